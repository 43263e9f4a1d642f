//! Random calls on both C faces, with nulls and dead handles among the arguments, callbacks that call back, and
//! runs in the background: no crash, no hang, no memory left behind.
//!
//! `RKLLM_RANDOM_SEQUENCES=10000` runs as many on each face; without it a few hundred. `RKLLM_RANDOM_SEED`
//! begins elsewhere.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{Board, Memory, Speaks, tutor_nano};
use rkllm_sys::{OpenOptions, Rkllm, RkllmApi, Search};

/// Calls of one sequence.
const CALLS: usize = 8;
/// No sequence takes so long, unless something hangs.
const DEADLINE: Duration = Duration::from_secs(300);

/// A code that says nothing here: refusals are as good as successes.
fn ignore(_: i32) {}

/// One face at a time: both count the process's memory.
static ALONE: Mutex<()> = Mutex::new(());

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Ends the process if a sequence does not end.
fn watch(done: &'static AtomicU64) {
    std::thread::spawn(move || {
        loop {
            let before = done.load(Ordering::SeqCst);
            std::thread::sleep(DEADLINE);
            if before != u64::MAX && done.load(Ordering::SeqCst) == before {
                eprintln!("hangs in sequence {before}");
                std::process::abort();
            }
        }
    });
}

macro_rules! face {
    ($module:ident, $sys:ident, $abi:ident, $test:ident, callback: $callback:expr, infer: $infer:expr) => {
        mod $module {
            use std::ffi::{CString, c_char, c_int, c_void};
            use std::ptr::{null, null_mut};
            use std::sync::OnceLock;
            use std::sync::atomic::AtomicUsize;

            use rkllm_sys::$sys::{self, Functions, LLMCallState, RKLLMResult};

            use super::*;

            static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
            static DONE: AtomicU64 = AtomicU64::new(u64::MAX);
            /// What callbacks do next, and the handle they do it with.
            static MOOD: AtomicU64 = AtomicU64::new(0);
            static CURRENT: AtomicUsize = AtomicUsize::new(0);

            /// Says anything, and calls back in the midst of a run.
            unsafe extern "C" fn told(
                _: *mut RKLLMResult,
                _: *mut c_void,
                _: LLMCallState,
            ) -> c_int {
                let f = FUNCTIONS.get().unwrap();
                let handle = CURRENT.load(Ordering::SeqCst) as *mut c_void;
                let mut random = Random(MOOD.fetch_add(1, Ordering::SeqCst));
                let mut sizes = [0; 8];
                // SAFETY: whatever the handle is, it is one of the library's or none.
                unsafe {
                    match random.below(24) {
                        0 => ignore((f.rkllm_abort)(handle)),
                        1 => ignore((f.rkllm_get_kv_cache_size)(handle, sizes.as_mut_ptr())),
                        2 => ignore((f.rkllm_clear_kv_cache)(handle, 0, null_mut(), null_mut())),
                        3 => ignore((f.rkllm_is_running)(handle)),
                        4 if random.one_in(4) => ignore((f.rkllm_destroy)(handle)),
                        5 => ignore((f.rkllm_release_prompt_cache)(handle)),
                        _ => {}
                    }
                }
                random.of(&[0, 0, 0, 0, 0, 0, 1, 2, -1, 77])
            }

            struct Player {
                random: Random,
                handles: Vec<usize>,
                texts: Vec<CString>,
                directory: String,
            }

            impl Player {
                fn text(&mut self) -> *const c_char {
                    match self.random.one_in(6) {
                        true => null(),
                        false => {
                            let index = self.random.below(self.texts.len() as u64) as usize;
                            self.texts[index].as_ptr()
                        }
                    }
                }

                fn handle(&mut self) -> *mut c_void {
                    let handle = match self.random.below(12) {
                        0 => 0,
                        1 => self.random.next() as usize,
                        _ => {
                            let handles = std::mem::take(&mut self.handles);
                            let handle =
                                if handles.is_empty() { 7 } else { self.random.of(&handles) };
                            self.handles = handles;
                            handle
                        }
                    };
                    CURRENT.store(handle, Ordering::SeqCst);
                    handle as *mut c_void
                }

                fn init(&mut self, f: &Functions) {
                    let path = CString::new(self.directory.as_str()).unwrap();
                    let mut handle = null_mut();
                    // SAFETY: structs of this ABI, or null.
                    let code = unsafe {
                        let mut param = (f.rkllm_createDefaultParam)();
                        param.model_path =
                            if self.random.one_in(8) { null() } else { path.as_ptr() };
                        param.max_context_len =
                            self.random.of(&[48, 64, 48, 64, 64, 0, -1, 1 << 30]);
                        param.max_new_tokens = self.random.of(&[1, 2, 3, 5]);
                        param.top_k = self.random.of(&[1, 40, 0, -5, 1_088_421_888]);
                        param.temperature =
                            self.random.of(&[0.8, 0.8, 0.8, 0.8, 0.0, 0.0, -1.0, f32::NAN, 1e30]);
                        param.mirostat = self.random.of(&[0, 0, 1, 2, 9]);
                        param.n_keep = self.random.of(&[-1, 0, 4, 1000]);
                        param.extend_param.n_batch = self.random.of(&[0, 1, 1, 1, 2]);
                        param.extend_param.enabled_cpus_num = self.random.of(&[1, 1, -7]);
                        let given = match self.random.below(8) {
                            0 => null_mut(),
                            _ => &raw mut param,
                        };
                        let place = match self.random.below(8) {
                            0 => null_mut(),
                            _ => &raw mut handle,
                        };
                        $callback(f, place, given, self.random.one_in(8))
                    };
                    if code == 0 && !handle.is_null() {
                        self.handles.push(handle as usize);
                    }
                    if self.handles.len() > 6 {
                        let dead = self.handles.remove(0);
                        // SAFETY: a handle, dead or alive.
                        unsafe { (f.rkllm_destroy)(dead as *mut c_void) };
                    }
                }

                fn destroy_all(&mut self, f: &Functions) {
                    for handle in self.handles.drain(..) {
                        // SAFETY: dead or alive.
                        unsafe { (f.rkllm_destroy)(handle as *mut c_void) };
                    }
                }

                fn run(&mut self, f: &Functions) {
                    let handle = self.handle();
                    let mut ids = [1, 5, 9, 2047, 3, -1];
                    let mut rows = vec![0.01f32; 256 * 3];
                    let mut inputs = [$sys::RKLLMInput::default(), Default::default()];
                    for input in &mut inputs {
                        input.role = self.text();
                        input.enable_thinking = self.random.one_in(2);
                        let kind = self.random.of(&[0, 0, 1, 1, 1, 2, 3, 9]);
                        input.input_type = $sys::RKLLMInputType(kind);
                        match kind {
                            1 => {
                                input.payload.token_input = $sys::RKLLMTokenInput {
                                    input_ids: match self.random.below(6) {
                                        0 => null_mut(),
                                        _ => ids.as_mut_ptr(),
                                    },
                                    n_tokens: self.random.of(&[0, 1, 3, 5, 6]),
                                };
                            }
                            2 => {
                                input.payload.embed_input = $sys::RKLLMEmbedInput {
                                    embed: match self.random.below(6) {
                                        0 => null_mut(),
                                        _ => rows.as_mut_ptr(),
                                    },
                                    n_tokens: self.random.of(&[0, 1, 3]),
                                };
                            }
                            3 => {
                                let mut media = input.payload;
                                media.multimodal_input = Default::default();
                                media.multimodal_input.prompt = self.text().cast_mut();
                                input.payload = media;
                            }
                            _ => input.payload.prompt_input = self.text(),
                        }
                    }
                    let mut cache = $sys::RKLLMPromptCacheParam {
                        save_prompt_cache: 1,
                        prompt_cache_path: c"/nonexistent/cache.bin".as_ptr(),
                    };
                    let mut lora = $sys::RKLLMLoraParam { lora_adapter_name: self.text() };
                    let mut infer = $infer(&mut self.random);
                    infer.mode = $sys::RKLLMInferMode(self.random.of(&[0, 0, 0, 1, 2, 9]));
                    infer.keep_history = self.random.of(&[0, 1, -1]);
                    if self.random.one_in(6) {
                        infer.prompt_cache_params = &raw mut cache;
                    }
                    if self.random.one_in(12) {
                        infer.lora_params = &raw mut lora;
                    }
                    let input =
                        if self.random.one_in(12) { null_mut() } else { inputs.as_mut_ptr() };
                    let infer = if self.random.one_in(12) { null_mut() } else { &raw mut infer };
                    let run = if self.random.one_in(4) { f.rkllm_run_async } else { f.rkllm_run };
                    // SAFETY: structs of this ABI, or null; two inputs serve any batch made here.
                    unsafe { run(handle, input, infer, null_mut()) };
                }

                /// Clears, ranges among it.
                fn clear(&mut self, f: &Functions) {
                    let handle = self.handle();
                    let positions = [-5, 0, 0, 1, 3, 8, i32::MAX];
                    let (mut start, mut end) = ([0; 2], [0; 2]);
                    for i in 0..2 {
                        (start[i], end[i]) =
                            (self.random.of(&positions), self.random.of(&positions));
                    }
                    let start = if self.random.one_in(2) { null_mut() } else { start.as_mut_ptr() };
                    let end = if self.random.one_in(2) { null_mut() } else { end.as_mut_ptr() };
                    let keep = self.random.of(&[0, 1, -1]);
                    // SAFETY: two positions serve any batch made here.
                    unsafe { (f.rkllm_clear_kv_cache)(handle, keep, start, end) };
                }

                fn call(&mut self, f: &Functions) {
                    MOOD.store(self.random.next(), Ordering::SeqCst);
                    let mut sizes = [0; 4];
                    let which = self.random.below(100);
                    let handle = self.handle();
                    let (a, b, c) = (self.text(), self.text(), self.text());
                    // SAFETY: handles dead or alive, C strings or null, structs of this ABI.
                    unsafe {
                        match which {
                            0..=3 => self.init(f),
                            4..=43 => self.run(f),
                            44..=53 => self.clear(f),
                            54..=63 => {
                                let sizes = if self.random.one_in(6) {
                                    null_mut()
                                } else {
                                    sizes.as_mut_ptr()
                                };
                                (f.rkllm_get_kv_cache_size)(handle, sizes);
                            }
                            64..=68 => ignore((f.rkllm_abort)(handle)),
                            69..=72 => ignore((f.rkllm_is_running)(handle)),
                            73..=76 => ignore((f.rkllm_set_chat_template)(handle, a, b, c)),
                            77..=82 => ignore((f.rkllm_set_function_tools)(handle, a, b, c)),
                            83..=86 => ignore((f.rkllm_load_prompt_cache)(handle, a)),
                            87..=89 => ignore((f.rkllm_release_prompt_cache)(handle)),
                            90..=92 => {
                                let mut adapter = $sys::RKLLMLoraAdapter {
                                    lora_adapter_path: a,
                                    lora_adapter_name: b,
                                    scale: 1.0,
                                };
                                let given = match self.random.below(4) {
                                    0 => null_mut(),
                                    _ => &raw mut adapter,
                                };
                                (f.rkllm_load_lora)(handle, given);
                            }
                            93..=95 => {
                                ignore((f.rkllm_set_cross_attn_params)(handle, null_mut()));
                            }
                            _ => {
                                (f.rkllm_destroy)(handle);
                                // Most dead handles go, some are tried again and again.
                                if !self.random.one_in(4) {
                                    self.handles.retain(|it| *it != handle as usize);
                                }
                            }
                        }
                    }
                }
            }

            #[test]
            fn $test() {
                let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                let board = Board::new(Speaks::$abi);
                let search = Search::file(board.library());
                let library = Rkllm::open(&search, &OpenOptions::default()).unwrap();
                let RkllmApi::$abi(functions) = *library.api() else { panic!("another ABI") };
                let f = FUNCTIONS.get_or_init(|| functions);
                let texts =
                    ["", "hola\n", "user", "tool", "[]", "[{\"a\":1}]", "{{ x }}", "<image>"];
                let mut player = Player {
                    random: Random(number("RKLLM_RANDOM_SEED", 1)),
                    handles: Vec::new(),
                    texts: texts.map(|text| CString::new(text).unwrap()).to_vec(),
                    directory: tutor_nano().to_str().unwrap().to_owned(),
                };
                let sequences = number("RKLLM_RANDOM_SEQUENCES", 300);
                DONE.store(0, Ordering::SeqCst);
                watch(&DONE);
                let mut early = None;
                for sequence in 0..sequences {
                    if player.handles.is_empty() || sequence % 16 == 0 {
                        player.init(f);
                    }
                    (0..CALLS).for_each(|_| player.call(f));
                    DONE.fetch_add(1, Ordering::SeqCst);
                    if sequence == sequences / 2 {
                        player.destroy_all(f);
                        early = Some(Memory::at_rest());
                    }
                }
                player.destroy_all(f);
                DONE.store(u64::MAX, Ordering::SeqCst);
                let (early, late) = (early.expect("a sequence"), Memory::at_rest());
                println!("{sequences} sequences, {early:?}, then {late:?}, in KiB");
                late.assert_not_beyond(&early);
            }
        }
    };
}

face!(
    older,
    v1_2,
    V1_2,
    random_calls_on_1_2,
    callback: |f: &Functions, place, given, none| {
        let callback: v1_2::LLMResultCallback = if none { None } else { Some(told) };
        (f.rkllm_init)(place, given, callback)
    },
    infer: |_: &mut Random| v1_2::RKLLMInferParam::default()
);

face!(
    newer,
    v1_3,
    V1_3,
    random_calls_on_1_3,
    callback: |f: &Functions, place, given, none| {
        let mut callback =
            v1_3::RKLLMCallback { result_callback: Some(told), ..Default::default() };
        let callback = if none { null_mut() } else { &raw mut callback };
        (f.rkllm_init)(place, given, callback)
    },
    infer: |random: &mut Random| v1_3::RKLLMInferParam {
        max_new_tokens: random.of(&[0, 1, 2, -1]),
        ..Default::default()
    }
);
