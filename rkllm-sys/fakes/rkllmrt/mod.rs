//! A librkllmrt for tests of whatever calls one.
//!
//! It records every call and every field it is handed, read at the vendor's offsets by the facts, and
//! answers with made-up tokens. Lines of the record look like `rkllm_init param.top_k=7`; strings are
//! in Rust's notation, arrays in brackets, pointers to callbacks `set` or `null`. What a caller may
//! never do is recorded as a line beginning with `VIOLATION`.
//!
//! Beside the vendor's functions it has three of its own: `rkllm_fake_report(buffer, size)` returns
//! the bytes of the record and copies as many as fit, `rkllm_fake_reset()` empties it, and
//! `rkllm_fake_configure(text)` says how to misbehave: words of `behaviour.rs` with `+` between them.
//! The same words may follow `fake=` in a model's path, and be in `RKLLM_FAKE`. Every copy of the file, loaded under a name
//! of its own, is a library with a state of its own.

mod behaviour;
mod calls;
mod fault;
mod hooks;
mod late;
mod record;
mod run;

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use behaviour::Behaviour;
use late::Watched;

/// The made-up model: its hidden size, vocabulary, layers, KV heads and head dimension.
pub(crate) const HIDDEN: usize = 8;
pub(crate) const VOCAB: usize = 16;
pub(crate) const LAYERS: usize = 2;
pub(crate) const KV_HEADS: usize = 2;
pub(crate) const HEAD_DIM: usize = 4;
/// Positions its system prompt takes.
pub(crate) const SYSTEM_PROMPT: i32 = 2;

/// The result callback, in both ABIs.
pub(crate) type ResultCallback = unsafe extern "C" fn(*mut u8, *mut c_void, c_int) -> c_int;

/// A loaded model.
pub(crate) struct Handle {
    /// What `rkllm_init` was handed: a function (1.2) or a struct of them (1.3), read anew at every
    /// use, as a library may do.
    callback: usize,
    path: String,
    batch: usize,
    max_new_tokens: i32,
    running: AtomicBool,
    aborted: AtomicBool,
    paused: AtomicBool,
    keep_history: AtomicI32,
    kv: Mutex<Vec<i32>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// What `rkllm_init` was handed, and what was at that address.
    param: Watched,
    /// The user data of the last run, and its input.
    userdata: AtomicUsize,
    input: Mutex<Option<Watched>>,
    /// The keys of the last cross attention that was taken.
    keys: AtomicUsize,
}

impl Handle {
    pub(crate) fn behaviour(&self) -> Behaviour {
        let from_path = self.path.split_once("fake=").map_or("", |(_, words)| words);
        let from_path = from_path.strip_suffix(".rkllm").unwrap_or(from_path);
        let configured = lock(&CONFIGURED).clone();
        let environment = behaviour::environment();
        Behaviour::parse(&format!("{environment}+{configured}+{from_path}"))
            .expect("checked at init")
    }
}

static RECORD: Mutex<Vec<String>> = Mutex::new(Vec::new());
static CONFIGURED: Mutex<String> = Mutex::new(String::new());
static HANDLES: Mutex<Option<HashMap<usize, Arc<Handle>>>> = Mutex::new(None);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn note(line: impl Into<String>) {
    lock(&RECORD).push(line.into());
}

/// The model behind a handle; a handle that is none is a violation.
fn model(call: &str, handle: *mut c_void) -> Option<Arc<Handle>> {
    let found = lock(&HANDLES).get_or_insert_default().get(&(handle as usize)).cloned();
    if found.is_none() {
        note(format!("VIOLATION {call} with a handle that is not alive"));
    }
    found
}

/// Copies the record, NUL not included; returns its length.
///
/// # Safety
/// `size` bytes are writable at `buffer`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_fake_report(buffer: *mut c_char, size: usize) -> usize {
    let record = lock(&RECORD).join("\n");
    let fits = record.len().min(size);
    // SAFETY: as promised by the caller.
    unsafe { buffer.cast::<u8>().copy_from_nonoverlapping(record.as_ptr(), fits) };
    record.len()
}

/// Empties the record.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rkllm_fake_reset() {
    lock(&RECORD).clear();
}

/// How to behave from now on; -1 for a word that is none.
///
/// # Safety
/// `words` is a C string.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rkllm_fake_configure(words: *const c_char) -> c_int {
    // SAFETY: as promised by the caller.
    let words = unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned();
    if Behaviour::parse(&words).is_none() {
        return -1;
    }
    *lock(&CONFIGURED) = words;
    0
}

/// Handles that were not destroyed.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rkllm_fake_alive() -> c_int {
    lock(&HANDLES).get_or_insert_default().len() as c_int
}

/// Marks a run as begun, or says why there can be none.
fn begin(call: &str, handle: &Handle) -> bool {
    // In this order, or an abort of the run that is seen to have begun would be lost.
    if !handle.running.load(Ordering::SeqCst) {
        handle.aborted.store(false, Ordering::SeqCst);
    }
    if handle.running.swap(true, Ordering::SeqCst) {
        note(format!("VIOLATION {call} during a run"));
        return false;
    }
    true
}
