//! The vendor's functions.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::late::{self, Watched};
use super::record::{array, string, structure};
use super::run::{self, run};
use super::{CONFIGURED, HANDLES, Handle, SYSTEM_PROMPT, begin, lock, model, note};
use crate::facts::{self, get, put};
use crate::rkllmrt::behaviour::{Behaviour, environment};
use crate::{IS_1_3, PARAM_WORDS};

/// `RKLLMParam`, as words.
#[repr(C)]
pub(crate) struct Param([u64; PARAM_WORDS]);

/// The documented defaults, the rest zero.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rkllm_createDefaultParam() -> Param {
    let mut param = Param([0; PARAM_WORDS]);
    let (outer, extend) = (facts::of("RKLLMParam"), facts::of("RKLLMExtendParam"));
    assert_eq!(outer.size, PARAM_WORDS * 8, "this build's facts are another ABI's");
    let base = param.0.as_mut_ptr().cast::<u8>();
    for (name, value) in [
        ("top_p", 0.9),
        ("temperature", 0.8),
        ("repeat_penalty", 1.1),
        ("mirostat_tau", 5.0),
        ("mirostat_eta", 0.1),
    ] {
        // SAFETY: a float field of the struct.
        unsafe { put::<f32>(base, outer.at(name), value) };
    }
    for (name, value) in
        [("max_context_len", 4096), ("max_new_tokens", 512), ("top_k", 40), ("n_keep", -1)]
    {
        let zero = configured().zero_defaults && name.starts_with("max_");
        let value = if zero { 0 } else { value };
        // SAFETY: an int32_t field of the struct.
        unsafe { put::<i32>(base, outer.at(name), value) };
    }
    let at = outer.at("extend_param");
    // SAFETY: one-byte fields and a uint32_t of the struct.
    unsafe {
        put::<i8>(base, at + extend.at("enabled_cpus_num"), 4);
        put::<u32>(base, at + extend.at("enabled_cpus_mask"), 0xf0);
        put::<u8>(base, at + extend.at("n_batch"), 1);
    }
    param
}

/// Records the parameters and makes a handle.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_init(
    handle: *mut *mut c_void,
    param: *const u8,
    callback: *const u8,
) -> c_int {
    const CALL: &str = "rkllm_init";
    note(CALL);
    if handle.is_null() || param.is_null() {
        note("VIOLATION rkllm_init without a handle or parameters");
        return -1;
    }
    // SAFETY: the caller's structs.
    unsafe {
        structure(CALL, "param", "RKLLMParam", param);
        if IS_1_3 {
            structure(CALL, "callback", "RKLLMCallback", callback);
        } else {
            note(format!("{CALL} callback={}", if callback.is_null() { "null" } else { "set" }));
        }
    }
    let layout = facts::of("RKLLMParam");
    let batch = layout.at("extend_param") + facts::of("RKLLMExtendParam").at("n_batch");
    // SAFETY: fields of the caller's struct; the path is a C string or null.
    let (path, batch, max_new_tokens) = unsafe {
        let path = get::<*const c_char>(param, layout.at("model_path"));
        let path = if path.is_null() { None } else { Some(CStr::from_ptr(path)) };
        (
            path.map(|path| path.to_string_lossy().into_owned()),
            usize::from(get::<u8>(param, batch)).max(1),
            get::<i32>(param, layout.at("max_new_tokens")),
        )
    };
    let Some(path) = path else { return -1 };
    let words = path.split_once("fake=").map_or("", |(_, words)| words);
    let words = words.strip_suffix(".rkllm").unwrap_or(words);
    let environment = environment();
    let Some(behaviour) = Behaviour::parse(&format!("{environment}+{}+{words}", lock(&CONFIGURED)))
    else {
        note(format!("VIOLATION the fake knows no such behaviour: {words}"));
        return -1;
    };
    if let Some(fault) = behaviour.init_fault {
        return fault.strike();
    }
    if behaviour.init_fails || behaviour.init_null {
        return if behaviour.init_fails { -1 } else { 0 };
    }
    let made = Arc::new(Handle {
        callback: callback as usize,
        path,
        batch,
        max_new_tokens,
        running: AtomicBool::new(false),
        aborted: AtomicBool::new(false),
        paused: AtomicBool::new(false),
        keep_history: AtomicI32::new(0),
        kv: Mutex::new(vec![0; batch]),
        thread: Mutex::new(None),
        // SAFETY: the caller's struct, whose first field is a C string.
        param: unsafe { Watched::new(param, layout.size) },
        userdata: AtomicUsize::new(0),
        input: Mutex::new(None),
        keys: AtomicUsize::new(0),
    });
    if behaviour.ask_at_init {
        // SAFETY: the caller's callbacks.
        unsafe { super::hooks::ask(&made) };
    }
    let address = Arc::as_ptr(&made).cast_mut();
    lock(&HANDLES).get_or_insert_with(HashMap::new).insert(address as usize, made);
    // SAFETY: the caller's place for a handle.
    unsafe { handle.write(address.cast()) };
    0
}

/// Destroys a handle; during a run is a violation.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rkllm_destroy(handle: *mut c_void) -> c_int {
    note("rkllm_destroy");
    let Some(model) = model("rkllm_destroy", handle) else { return -1 };
    if model.running.load(Ordering::SeqCst) {
        note("VIOLATION rkllm_destroy during a run");
        model.aborted.store(true, Ordering::SeqCst);
    }
    lock(&HANDLES).get_or_insert_default().remove(&(handle as usize));
    let thread = lock(&model.thread).take();
    if let Some(thread) = thread {
        let _ = thread.join();
    }
    let behaviour = model.behaviour();
    if behaviour.after_destroy {
        // SAFETY: the caller's callbacks.
        unsafe { late::call_back(&model) };
    }
    if behaviour.destroy_fails {
        late::look_again(&model, 5);
        return -1;
    }
    0
}

/// The words for every model.
fn configured() -> Behaviour {
    Behaviour::parse(&lock(&CONFIGURED)).expect("checked when configured")
}

/// Runs.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_run(
    handle: *mut c_void,
    input: *const u8,
    infer: *const u8,
    userdata: *mut c_void,
) -> c_int {
    note("rkllm_run");
    let Some(model) = model("rkllm_run", handle) else { return -1 };
    if !begin("rkllm_run", &model) {
        return -1;
    }
    // SAFETY: the caller's arguments.
    let code = unsafe { run("rkllm_run", &model, input, infer, userdata) };
    model.running.store(false, Ordering::SeqCst);
    code
}

/// Runs on a thread of its own.
///
/// # Safety
/// As for the vendor's; the arguments live until the run ends.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_run_async(
    handle: *mut c_void,
    input: *const u8,
    infer: *const u8,
    userdata: *mut c_void,
) -> c_int {
    note("rkllm_run_async");
    let Some(model) = model("rkllm_run_async", handle) else { return -1 };
    if !begin("rkllm_run_async", &model) {
        return -1;
    }
    let (input, infer, userdata) = (input as usize, infer as usize, userdata as usize);
    let of_thread = Arc::clone(&model);
    let thread = std::thread::spawn(move || {
        // SAFETY: the caller keeps its arguments alive.
        unsafe {
            run("rkllm_run_async", &of_thread, input as _, infer as _, userdata as _);
        }
        of_thread.running.store(false, Ordering::SeqCst);
    });
    *lock(&model.thread) = Some(thread);
    0
}

/// Stops a run, from any thread.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rkllm_abort(handle: *mut c_void) -> c_int {
    note("rkllm_abort");
    let Some(model) = model("rkllm_abort", handle) else { return -1 };
    let running = model.running.load(Ordering::SeqCst);
    if running && model.behaviour().abort_tells {
        run::tell_error(&model);
    }
    model.aborted.store(running, Ordering::SeqCst);
    if running { 0 } else { -1 }
}

/// 1.3: 1 while running. 1.2: 0 while running.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rkllm_is_running(handle: *mut c_void) -> c_int {
    note("rkllm_is_running");
    let Some(model) = model("rkllm_is_running", handle) else { return -1 };
    let behaviour = model.behaviour();
    if behaviour.slow_is_running {
        std::thread::sleep(Duration::from_millis(30));
    }
    if behaviour.odd_is_running {
        return 7;
    }
    c_int::from(model.running.load(Ordering::SeqCst) == IS_1_3)
}

/// The result of the functions that only take note.
fn noted(model: Option<Arc<Handle>>) -> c_int {
    model.map_or(-1, |model| if model.behaviour().calls_fail { -1 } else { 0 })
}

/// Takes note.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_load_lora(handle: *mut c_void, adapter: *const u8) -> c_int {
    note("rkllm_load_lora");
    // SAFETY: the caller's struct.
    unsafe { structure("rkllm_load_lora", "lora_adapter", "RKLLMLoraAdapter", adapter) };
    noted(model("rkllm_load_lora", handle))
}

/// Takes note.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_load_prompt_cache(
    handle: *mut c_void,
    path: *const c_char,
) -> c_int {
    // SAFETY: the caller's string.
    note(format!("rkllm_load_prompt_cache prompt_cache_path={}", unsafe { string(path) }));
    noted(model("rkllm_load_prompt_cache", handle))
}

/// Takes note.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rkllm_release_prompt_cache(handle: *mut c_void) -> c_int {
    note("rkllm_release_prompt_cache");
    noted(model("rkllm_release_prompt_cache", handle))
}

/// Clears the counts; a range only while paused and without history.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_clear_kv_cache(
    handle: *mut c_void,
    keep_system_prompt: c_int,
    start: *const c_int,
    end: *const c_int,
) -> c_int {
    const CALL: &str = "rkllm_clear_kv_cache";
    note(format!("{CALL} keep_system_prompt={keep_system_prompt}"));
    let Some(model) = model(CALL, handle) else { return -1 };
    // SAFETY: one entry per input of the batch, or null.
    unsafe {
        note(format!("{CALL} start_pos={}", array(start, model.batch)));
        note(format!("{CALL} end_pos={}", array(end, model.batch)));
    }
    let behaviour = model.behaviour();
    if behaviour.calls_fail || behaviour.clear_fails || start.is_null() != end.is_null() {
        return -1;
    }
    let mut kv = lock(&model.kv);
    if start.is_null() {
        let kept = if keep_system_prompt == 1 { SYSTEM_PROMPT } else { 0 };
        kv.iter_mut().for_each(|positions| *positions = kept.min(*positions));
        return 0;
    }
    let may = model.paused.load(Ordering::SeqCst) && model.keep_history.load(Ordering::SeqCst) == 0;
    if !may {
        return -1;
    }
    for (i, positions) in kv.iter_mut().enumerate() {
        // SAFETY: as above.
        let (start, end) = unsafe { (*start.add(i), *end.add(i)) };
        if start < end {
            *positions -= (end.min(*positions) - start.max(0)).max(0);
        }
    }
    0
}

/// Positions per input of the batch.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_get_kv_cache_size(
    handle: *mut c_void,
    sizes: *mut c_int,
) -> c_int {
    note("rkllm_get_kv_cache_size");
    let Some(model) = model("rkllm_get_kv_cache_size", handle) else { return -1 };
    if model.behaviour().calls_fail || sizes.is_null() {
        return -1;
    }
    let below = model.behaviour().negative_sizes;
    for (i, positions) in lock(&model.kv).iter().enumerate() {
        // SAFETY: the caller has room for one count per input.
        unsafe { sizes.add(i).write(if below { -1 } else { *positions }) };
    }
    0
}

/// Notes three strings.
///
/// # Safety
/// They are C strings or null.
unsafe fn strings(call: &str, given: [(&str, *const c_char); 3]) {
    for (name, text) in given {
        // SAFETY: as promised by the caller.
        note(format!("{call} {name}={}", unsafe { string(text) }));
    }
}

/// Takes note.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_set_chat_template(
    handle: *mut c_void,
    system: *const c_char,
    prefix: *const c_char,
    postfix: *const c_char,
) -> c_int {
    const CALL: &str = "rkllm_set_chat_template";
    let given = [("system_prompt", system), ("prompt_prefix", prefix), ("prompt_postfix", postfix)];
    // SAFETY: the caller's strings.
    unsafe { strings(CALL, given) };
    let model = model(CALL, handle);
    if let Some(model) = model.as_ref().filter(|model| model.behaviour().ask_at_calls) {
        // SAFETY: the caller's callbacks.
        unsafe { super::hooks::ask(model) };
    }
    noted(model)
}

/// Takes note.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_set_function_tools(
    handle: *mut c_void,
    system: *const c_char,
    tools: *const c_char,
    tag: *const c_char,
) -> c_int {
    const CALL: &str = "rkllm_set_function_tools";
    let given = [("system_prompt", system), ("tools", tools), ("tool_response_str", tag)];
    // SAFETY: the caller's strings.
    unsafe { strings(CALL, given) };
    noted(model(CALL, handle))
}

/// Takes note.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_set_cross_attn_params(
    handle: *mut c_void,
    params: *const u8,
) -> c_int {
    const CALL: &str = "rkllm_set_cross_attn_params";
    note(CALL);
    // SAFETY: the caller's struct.
    unsafe { structure(CALL, "cross_attn_params", "RKLLMCrossAttnParam", params) };
    let model = model(CALL, handle);
    if let Some(model) = model.as_ref().filter(|model| !model.behaviour().calls_fail) {
        // SAFETY: a field of the caller's struct.
        let keys = unsafe {
            facts::get::<usize>(params, facts::of("RKLLMCrossAttnParam").at("encoder_k_cache"))
        };
        model.keys.store(keys, Ordering::SeqCst);
    }
    noted(model)
}
