//! What the two C faces have in common: from C's arguments to calls, and back to codes.
//!
//! A face reads its ABI's structs and nothing else; what is a matter of the call is here. Everything that C
//! hands over may be null, and every handle may be dead.

mod export;
mod fields;
mod read;

use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use self::read::array;
pub use self::read::{cache_path, embed_payload, media, path, tags, text, token_payload};
pub use super::callback::{Callbacks, EmbedFn, ResultFn, TokenizerFn, UserData};
use super::conversation::Frame;
use super::fault::Faults;
use super::log::error;
use super::{InitParams, Instance, RunInput, RunParams, Tags, registry};

/// What went wrong, as all of the vendor's functions say it.
pub const FAILED: c_int = -1;

/// Runs `call`; a panic of ours ends here.
pub fn guard(call: impl FnOnce() -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(FAILED)
}

/// 0 or -1, with the reason in the log.
fn code(name: &str, done: rkllm::Result<()>) -> c_int {
    match done {
        Ok(()) => 0,
        Err(error) => {
            error!("{name}: {error}");
            FAILED
        }
    }
}

fn refuse(name: &str, why: &str) -> c_int {
    error!("{name}: {why}");
    FAILED
}

/// The model of a handle that is alive.
fn alive(name: &str, handle: *mut c_void) -> Option<Arc<Instance>> {
    let found = registry::find(handle as usize);
    if found.is_none() {
        error!("{name}: {handle:?} is no handle that is alive");
    }
    found
}

/// Loads a model. `params` and `callbacks` are `None` where C's were null.
///
/// # Safety
/// `handle` is null or a place for one.
pub unsafe fn init(
    handle: *mut *mut c_void,
    params: Option<InitParams>,
    callbacks: Option<Callbacks>,
    version: &str,
) -> c_int {
    const NAME: &str = "rkllm_init";
    if handle.is_null() {
        return refuse(NAME, "no place for a handle");
    }
    // SAFETY: not null, so a place for a handle by the caller.
    unsafe { handle.write_unaligned(std::ptr::null_mut()) };
    let Some(params) = params else { return refuse(NAME, "no parameters, or no model_path") };
    let Some(callbacks) = callbacks else { return refuse(NAME, "no result callback") };
    if let Some(code) = Faults::from_env().init() {
        return code;
    }
    match Instance::load(params, callbacks, version) {
        Ok(instance) => {
            let made = registry::insert(Arc::new(instance));
            // SAFETY: as above.
            unsafe { handle.write_unaligned(made as *mut c_void) };
            0
        }
        Err(error) => {
            error!("{error}");
            refuse(NAME, "failed to load the model")
        }
    }
}

/// Runs. `read` takes the caller's structs, knowing the model; `None` is what cannot be read.
pub fn run(
    handle: *mut c_void,
    userdata: *mut c_void,
    background: bool,
    read: impl FnOnce(&Instance) -> Option<(Vec<RunInput>, RunParams)>,
) -> c_int {
    let name = if background { "rkllm_run_async" } else { "rkllm_run" };
    let Some(instance) = alive(name, handle) else { return FAILED };
    let Some((inputs, params)) = read(&instance) else {
        return refuse(name, "an input or parameter is null or means nothing");
    };
    let to = UserData(userdata);
    match background {
        true => code(name, instance.run_async(inputs, params, to)),
        false => match instance.run(inputs, params, to) {
            Ok(true) => 0,
            Ok(false) => FAILED,
            Err(error) => code(name, Err(error)),
        },
    }
}

/// Ends a model.
pub fn destroy(handle: *mut c_void) -> c_int {
    match registry::remove(handle as usize) {
        Some(instance) => {
            instance.close();
            0
        }
        None => refuse("rkllm_destroy", "no handle that is alive"),
    }
}

/// Ends a run.
pub fn abort(handle: *mut c_void) -> c_int {
    alive("rkllm_abort", handle).map_or(FAILED, |it| if it.abort() { 0 } else { FAILED })
}

/// Whether a run is under way, as the ABI says it.
pub fn is_running(handle: *mut c_void, running: c_int, idle: c_int) -> c_int {
    let found = alive("rkllm_is_running", handle);
    found.map_or(FAILED, |it| if it.is_running() { running } else { idle })
}

/// Loads a LoRA.
///
/// # Safety
/// Both are null or C strings.
pub unsafe fn load_lora(
    handle: *mut c_void,
    file: *const c_char,
    lora: *const c_char,
    scale: f32,
) -> c_int {
    const NAME: &str = "rkllm_load_lora";
    let Some(instance) = alive(NAME, handle) else { return FAILED };
    // SAFETY: by the caller.
    match unsafe { (path(file), text(lora)) } {
        (Some(path), Some(name)) => code(NAME, instance.load_lora(&path, &name, scale)),
        _ => refuse(NAME, "no path or no name"),
    }
}

/// Loads a prompt cache.
///
/// # Safety
/// `file` is null or a C string.
pub unsafe fn load_prompt_cache(handle: *mut c_void, file: *const c_char) -> c_int {
    const NAME: &str = "rkllm_load_prompt_cache";
    let Some(instance) = alive(NAME, handle) else { return FAILED };
    // SAFETY: by the caller.
    match unsafe { path(file) } {
        Some(path) => code(NAME, instance.load_prompt_cache(&path)),
        None => refuse(NAME, "no path"),
    }
}

/// Lets go of the prompt cache.
pub fn release_prompt_cache(handle: *mut c_void) -> c_int {
    const NAME: &str = "rkllm_release_prompt_cache";
    alive(NAME, handle).map_or(FAILED, |instance| code(NAME, instance.release_prompt_cache()))
}

/// Clears the cache.
///
/// # Safety
/// Both are null or have a value for each place of the batch.
pub unsafe fn clear_kv_cache(
    handle: *mut c_void,
    keep_system_prompt: c_int,
    start: *const c_int,
    end: *const c_int,
) -> c_int {
    const NAME: &str = "rkllm_clear_kv_cache";
    let Some(instance) = alive(NAME, handle) else { return FAILED };
    if start.is_null() && end.is_null() {
        return code(NAME, instance.clear(keep_system_prompt == 1));
    }
    let batch = instance.batch();
    // SAFETY: by the caller.
    match unsafe { (array(start, batch, 1), array(end, batch, 1)) } {
        (Some(start), Some(end)) => {
            let ranges: Vec<_> = start.into_iter().zip(end).collect();
            code(NAME, instance.clear_ranges(&ranges))
        }
        _ => refuse(NAME, "positions where ranges begin without those where they end"),
    }
}

/// Writes the positions of each place.
///
/// # Safety
/// `sizes` is null or has room for each place of the batch.
pub unsafe fn get_kv_cache_size(handle: *mut c_void, sizes: *mut c_int) -> c_int {
    const NAME: &str = "rkllm_get_kv_cache_size";
    let Some(instance) = alive(NAME, handle) else { return FAILED };
    if sizes.is_null() {
        return refuse(NAME, "no place for the sizes");
    }
    for (index, size) in instance.sizes().into_iter().enumerate() {
        // SAFETY: room by the caller.
        unsafe { sizes.add(index).write_unaligned(size as c_int) };
    }
    0
}

/// Puts a template in the place of the model's; null is empty.
///
/// # Safety
/// All are null or C strings.
pub unsafe fn set_chat_template(
    handle: *mut c_void,
    system: *const c_char,
    prefix: *const c_char,
    postfix: *const c_char,
) -> c_int {
    const NAME: &str = "rkllm_set_chat_template";
    let Some(instance) = alive(NAME, handle) else { return FAILED };
    // SAFETY: by the caller.
    let Tags { start: system, end: prefix, content: postfix } =
        unsafe { tags(system, prefix, postfix) };
    code(NAME, instance.set_chat_template(Frame { system, prefix, postfix }))
}

/// Declares tools.
///
/// # Safety
/// All are null or C strings.
pub unsafe fn set_function_tools(
    handle: *mut c_void,
    system: *const c_char,
    tools: *const c_char,
    tag: *const c_char,
) -> c_int {
    const NAME: &str = "rkllm_set_function_tools";
    let Some(instance) = alive(NAME, handle) else { return FAILED };
    // SAFETY: by the caller.
    let (system, tools, tag) = unsafe { (text(system), text(tools), text(tag)) };
    let Some(tools) = tools else { return refuse(NAME, "no tools") };
    code(NAME, instance.set_tools(system.unwrap_or_default(), &tools, tag.unwrap_or_default()))
}

/// Refuses: no model here has cross attention.
pub fn set_cross_attn_params(handle: *mut c_void) -> c_int {
    const NAME: &str = "rkllm_set_cross_attn_params";
    alive(NAME, handle).map_or(FAILED, |_| refuse(NAME, "the model has no cross attention"))
}
/// The version text of a library, as long as `N` says: NULs fill what a longer text may take.
pub const fn version_text<const N: usize>(text: &str) -> [u8; N] {
    let bytes = text.as_bytes();
    assert!(bytes.len() < N, "the version text is too long");
    let mut out = [0; N];
    let mut at = 0;
    while at < bytes.len() {
        out[at] = bytes[at];
        at += 1;
    }
    out
}

/// The release in a version text.
pub fn release(text: &[u8]) -> &str {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).unwrap_or_default();
    let release = text.split_once("version: ").map_or(text, |(_, rest)| rest);
    release.split(" |").next().unwrap_or(release)
}
