//! Eight threads on four handles, with aborts at random.

mod common;

use std::ffi::{CString, c_int, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Board, Memory, RUNS, Speaks, tutor_nano};
use rkllm_sys::v1_3::{self, Functions, LLMCallState, RKLLMResult};
use rkllm_sys::{OpenOptions, Rkllm, RkllmApi, Search};

const THREADS: usize = 8;
const HANDLES: usize = 4;
const REQUESTS: usize = 1000;

/// What one request was told.
#[derive(Default)]
struct Answer {
    tokens: Vec<i32>,
    finishes: usize,
    errors: usize,
}

unsafe extern "C" fn told(
    result: *mut RKLLMResult,
    userdata: *mut c_void,
    state: LLMCallState,
) -> c_int {
    // SAFETY: each request hands over its own answer and waits for the end.
    let (answer, result) = unsafe { (&*userdata.cast::<Mutex<Answer>>(), &*result) };
    let mut answer = answer.lock().unwrap();
    match state {
        LLMCallState::RKLLM_RUN_FINISH => answer.finishes += 1,
        LLMCallState::RKLLM_RUN_ERROR => answer.errors += 1,
        _ => answer.tokens.push(result.token_id),
    }
    0
}

#[derive(Clone, Copy)]
struct Handle(*mut c_void);
// SAFETY: the stand-in takes calls from any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// A stand-in's functions, and where its file lies.
fn functions() -> (Board, Functions) {
    let board = Board::new(Speaks::V1_3);
    let library = Rkllm::open(&Search::file(board.library()), &OpenOptions::default()).unwrap();
    let RkllmApi::V1_3(functions) = *library.api() else { panic!("another ABI") };
    (board, functions)
}

fn open(functions: &Functions) -> Handle {
    open_with(functions, told)
}

type Callback = unsafe extern "C" fn(*mut RKLLMResult, *mut c_void, LLMCallState) -> c_int;

fn open_with(functions: &Functions, callback: Callback) -> Handle {
    let path = CString::new(tutor_nano().to_str().unwrap()).unwrap();
    let mut handle = std::ptr::null_mut();
    // SAFETY: structs of this ABI.
    let code = unsafe {
        let mut param = (functions.rkllm_createDefaultParam)();
        param.model_path = path.as_ptr();
        param.max_context_len = 64;
        param.max_new_tokens = 6;
        param.top_k = 1;
        param.extend_param.enabled_cpus_num = 1;
        let mut callback =
            v1_3::RKLLMCallback { result_callback: Some(callback), ..Default::default() };
        (functions.rkllm_init)(&raw mut handle, &raw mut param, &raw mut callback)
    };
    assert_eq!(code, 0);
    Handle(handle)
}

/// Runs ids of a prompt; the code of the call.
fn begin(
    functions: &Functions,
    handle: Handle,
    prompt: usize,
    background: bool,
    userdata: *mut c_void,
) -> c_int {
    let mut ids: Vec<i32> = (0..6).map(|i| (prompt * 37 + i * 11 + 3) as i32 % 2048).collect();
    let mut input = v1_3::RKLLMInput {
        input_type: v1_3::RKLLMInputType::RKLLM_INPUT_TOKEN,
        ..Default::default()
    };
    input.payload.token_input =
        v1_3::RKLLMTokenInput { input_ids: ids.as_mut_ptr(), n_tokens: ids.len() };
    let mut infer = v1_3::RKLLMInferParam::default();
    let run = if background { functions.rkllm_run_async } else { functions.rkllm_run };
    // SAFETY: structs of this ABI; what the user data points to lives until the end was told.
    unsafe { run(handle.0, &raw mut input, &raw mut infer, userdata) }
}

fn ask(functions: &Functions, handle: Handle, prompt: usize, background: bool) -> Answer {
    let answer = Mutex::new(Answer::default());
    let userdata = (&raw const answer).cast_mut().cast();
    assert_eq!(begin(functions, handle, prompt, background, userdata), 0);
    while background && answer.lock().unwrap().finishes == 0 {
        std::thread::sleep(Duration::from_micros(200));
    }
    answer.into_inner().unwrap()
}

#[test]
fn a_thousand_requests_none_lost_none_mixed_and_memory_flat() {
    let (_board, functions) = functions();
    let handles: Vec<Handle> = (0..HANDLES).map(|_| open(&functions)).collect();
    let expected: Vec<Vec<i32>> =
        (0..THREADS).map(|prompt| ask(&functions, handles[0], prompt, false).tokens).collect();
    let (served, whole) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let serve = |requests: usize| {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (handles, expected, functions) = (&handles, &expected, &functions);
                let (served, whole) = (&served, &whole);
                scope.spawn(move || {
                    let mut random = thread as u32 + 1;
                    let mut next = move || {
                        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (random >> 16) as usize
                    };
                    for _ in 0..requests / THREADS {
                        let (prompt, handle) = (next() % THREADS, handles[next() % HANDLES]);
                        if next() % 4 == 0 {
                            // Whoever runs there, this one's predecessor or another's, ends.
                            // SAFETY: alive until the scope ends.
                            unsafe { (functions.rkllm_abort)(handle.0) };
                        }
                        let answer = ask(functions, handle, prompt, next() % 3 == 0);
                        assert_eq!((answer.finishes, answer.errors), (1, 0));
                        assert!(expected[prompt].starts_with(&answer.tokens), "mixed up");
                        whole.fetch_add(
                            usize::from(answer.tokens == expected[prompt]),
                            Ordering::SeqCst,
                        );
                        served.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
    };
    serve(REQUESTS / 5);
    let early = Memory::now();
    serve(REQUESTS - REQUESTS / 5);
    let late = Memory::now();
    let (served, whole) = (served.into_inner(), whole.into_inner());
    println!("{served} served, {whole} whole, {early:?}, then {late:?}, in KiB");
    assert_eq!(served, REQUESTS);
    assert!(0 < whole && whole < served, "{whole} of {served} were whole, the others aborted");
    late.assert_not_beyond(&early);
    for handle in handles {
        // SAFETY: made above.
        assert_eq!(unsafe { (functions.rkllm_destroy)(handle.0) }, 0);
    }
}

/// Tells of the end, and is long in returning.
unsafe extern "C" fn lingers(
    _: *mut RKLLMResult,
    userdata: *mut c_void,
    state: LLMCallState,
) -> c_int {
    if state == LLMCallState::RKLLM_RUN_FINISH {
        // `Memory::at_rest` knows runs by it.
        assert_eq!(std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim(), RUNS);
        // SAFETY: the test's own, which outlives the run.
        unsafe { &*userdata.cast::<AtomicUsize>() }.store(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
    }
    0
}

/// Another thread hears of the end before the run has returned, and goes on.
#[test]
fn calls_follow_the_end_that_was_told() {
    let (_board, functions) = functions();
    let handle = open_with(&functions, lingers);
    for _ in 0..3 {
        let ended = AtomicUsize::new(0);
        assert_eq!(begin(&functions, handle, 1, true, (&raw const ended).cast_mut().cast()), 0);
        while ended.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
        let (none, clear) = (std::ptr::null_mut(), functions.rkllm_clear_kv_cache);
        // SAFETY: alive; null is no range.
        assert_eq!(unsafe { clear(handle.0, 0, none, none) }, 0);
    }
    // SAFETY: made above.
    assert_eq!(unsafe { (functions.rkllm_destroy)(handle.0) }, 0);
}

/// What a callback of one handle needs to run another.
struct Nested {
    functions: Functions,
    outer: Handle,
    inner: Handle,
    codes: Mutex<Vec<i32>>,
}

unsafe extern "C" fn runs_the_inner(
    _: *mut RKLLMResult,
    userdata: *mut c_void,
    _: LLMCallState,
) -> c_int {
    // SAFETY: the test's own, which outlives the run.
    let nested = unsafe { &*userdata.cast::<Nested>() };
    if nested.codes.lock().unwrap().is_empty() {
        nested.codes.lock().unwrap().push(0);
        begin(&nested.functions, nested.inner, 2, false, userdata);
    }
    0
}

unsafe extern "C" fn runs_the_outer(
    _: *mut RKLLMResult,
    userdata: *mut c_void,
    _: LLMCallState,
) -> c_int {
    // SAFETY: as above.
    let nested = unsafe { &*userdata.cast::<Nested>() };
    let code = begin(&nested.functions, nested.outer, 3, false, userdata);
    nested.codes.lock().unwrap().push(code);
    0
}

/// Its run waits further down the same stack: waiting for it would be for ever.
#[test]
fn a_run_within_its_own_run_is_refused_through_another_handle() {
    let (_board, functions) = functions();
    let (outer, inner) =
        (open_with(&functions, runs_the_inner), open_with(&functions, runs_the_outer));
    let nested = Nested { functions, outer, inner, codes: Mutex::default() };
    let userdata = (&raw const nested).cast_mut().cast();
    assert_eq!(begin(&functions, outer, 1, false, userdata), 0);
    let codes = nested.codes.lock().unwrap();
    assert!(codes.len() > 1 && codes[1..].iter().all(|&code| code == -1), "{codes:?}");
    for handle in [outer, inner] {
        // SAFETY: made above.
        assert_eq!(unsafe { (functions.rkllm_destroy)(handle.0) }, 0);
    }
}
