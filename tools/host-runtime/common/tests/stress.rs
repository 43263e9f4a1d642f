//! Eight threads on four handles, with aborts at random.

mod common;

use std::ffi::{CString, c_int, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Board, Speaks, tutor_nano};
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

fn open(functions: &Functions) -> Handle {
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
            v1_3::RKLLMCallback { result_callback: Some(told), ..Default::default() };
        (functions.rkllm_init)(&raw mut handle, &raw mut param, &raw mut callback)
    };
    assert_eq!(code, 0);
    Handle(handle)
}

fn ask(functions: &Functions, handle: Handle, prompt: usize, background: bool) -> Answer {
    let mut ids: Vec<i32> = (0..6).map(|i| (prompt * 37 + i * 11 + 3) as i32 % 2048).collect();
    let answer = Mutex::new(Answer::default());
    let userdata = (&raw const answer).cast_mut().cast::<c_void>();
    let mut input = v1_3::RKLLMInput {
        input_type: v1_3::RKLLMInputType::RKLLM_INPUT_TOKEN,
        ..Default::default()
    };
    input.payload.token_input =
        v1_3::RKLLMTokenInput { input_ids: ids.as_mut_ptr(), n_tokens: ids.len() };
    let mut infer = v1_3::RKLLMInferParam::default();
    let run = if background { functions.rkllm_run_async } else { functions.rkllm_run };
    // SAFETY: structs of this ABI; the answer lives until the end was told.
    let code = unsafe { run(handle.0, &raw mut input, &raw mut infer, userdata) };
    assert_eq!(code, 0);
    while background && answer.lock().unwrap().finishes == 0 {
        std::thread::sleep(Duration::from_micros(200));
    }
    answer.into_inner().unwrap()
}

/// Memory in use. What is free in the middle of the heap goes back first: that is no leak.
fn resident_kib() -> usize {
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        malloc_trim(0);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_thousand_requests_none_lost_none_mixed_and_memory_flat() {
    let board = Board::new(Speaks::V1_3);
    let library = Rkllm::open(&Search::file(board.library()), &OpenOptions::default()).unwrap();
    let RkllmApi::V1_3(functions) = *library.api() else { panic!("another ABI") };
    let handles: Vec<Handle> = (0..HANDLES).map(|_| open(&functions)).collect();
    let expected: Vec<Vec<i32>> =
        (0..THREADS).map(|prompt| ask(&functions, handles[0], prompt, false).tokens).collect();
    let (served, whole) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let early = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (handles, expected, functions) = (&handles, &expected, &functions);
            let (served, whole, early) = (&served, &whole, &early);
            scope.spawn(move || {
                let mut random = thread as u32 + 1;
                let mut next = move || {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 16) as usize
                };
                for _ in 0..REQUESTS / THREADS {
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
                    if served.fetch_add(1, Ordering::SeqCst) == REQUESTS / 5 {
                        early.store(resident_kib(), Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let (served, whole) = (served.into_inner(), whole.into_inner());
    let (early, late) = (early.into_inner(), resident_kib());
    println!("{served} served, {whole} whole, {early} KiB then {late} KiB");
    assert_eq!(served, REQUESTS);
    assert!(whole < served, "no abort met a run");
    assert!(whole > served / 4, "{whole} of {served} were whole");
    assert!(late < early + 8 * 1024, "{early} KiB became {late} KiB");
    for handle in handles {
        // SAFETY: made above.
        assert_eq!(unsafe { (functions.rkllm_destroy)(handle.0) }, 0);
    }
}
