//! What a library may do when it is too late.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Handle, ResultCallback, lock, note};
use crate::IS_1_3;
use crate::facts::{self, get, put};

/// Memory of the caller's, and what was in it.
#[derive(Clone)]
pub(crate) struct Watched {
    address: usize,
    bytes: Vec<u8>,
    /// Of the C string that the first field points to.
    text: Vec<u8>,
}

impl Watched {
    /// # Safety
    /// `size` bytes are readable, and the first eight are null or the address of a C string.
    pub(crate) unsafe fn new(address: *const u8, size: usize) -> Self {
        // SAFETY: as promised by the caller.
        let (bytes, text) = unsafe { read(address, size) };
        Self { address: address as usize, bytes, text }
    }
}

/// # Safety
/// As for [`Watched::new`].
unsafe fn read(address: *const u8, size: usize) -> (Vec<u8>, Vec<u8>) {
    // SAFETY: as promised by the caller.
    unsafe {
        let text = get::<*const c_char>(address, 0);
        let text = if text.is_null() { &[] } else { CStr::from_ptr(text).to_bytes() };
        (std::slice::from_raw_parts(address, size).to_vec(), text.to_vec())
    }
}

/// After so many milliseconds looks whether what it was handed is still there.
pub(crate) fn look_again(handle: &Handle, milliseconds: u64) {
    let watched: Vec<_> =
        lock(&handle.input).iter().cloned().chain([handle.param.clone()]).collect();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(milliseconds));
        for watched in watched {
            // SAFETY: the caller keeps it as long as the handle, and for ever if that was not destroyed.
            let now = unsafe { read(watched.address as *const u8, watched.bytes.len()) };
            if now != (watched.bytes, watched.text) {
                note("VIOLATION what the library was handed has changed");
            }
        }
        note("looked again");
    });
}

/// A token with its text and FINISH, a millisecond after the run returned.
pub(crate) fn tell((callback, userdata): (Option<ResultCallback>, usize), batch: usize) {
    let Some(callback) = callback else { return };
    let layout = facts::of("RKLLMResult");
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1));
        let mut results = vec![0u64; layout.size * batch / 8];
        for i in 0..batch {
            // SAFETY: a field of our own buffer.
            unsafe {
                let at = i * layout.size + layout.at("text");
                put(results.as_mut_ptr().cast(), at, c"late".as_ptr());
            }
        }
        for state in [0, 2] {
            // SAFETY: the caller's function, a result of the vendor's layout.
            unsafe { callback(results.as_mut_ptr().cast(), userdata as *mut c_void, state) };
        }
    });
}

/// How long after the end they come: whoever destroyed has forgotten the handle by then, on a busy machine too.
const AFTER: Duration = Duration::from_millis(500);

/// Every callback once more, when the handle is gone.
///
/// # Safety
/// The handle's callbacks are alive now.
pub(crate) unsafe fn call_back(handle: &Handle) {
    type Tokenizer = unsafe extern "C" fn(*mut c_void, *const c_char, i32, *mut i32, i32) -> c_int;
    let run = handle.userdata.load(Ordering::SeqCst);
    // SAFETY: what rkllm_init was handed: a function (1.2) or a struct of them (1.3).
    let (result, tokenizer, own) = unsafe {
        match IS_1_3 {
            true => {
                let (layout, base) = (facts::of("RKLLMCallback"), handle.callback as *const u8);
                (
                    get(base, layout.at("result_callback")),
                    get::<Option<Tokenizer>>(base, layout.at("tokenizer_callback")),
                    get::<usize>(base, layout.at("tokenizer_userdata")),
                )
            }
            false => {
                let callback = handle.callback;
                (std::mem::transmute::<usize, Option<ResultCallback>>(callback), None, 0)
            }
        }
    };
    std::thread::spawn(move || {
        std::thread::sleep(AFTER);
        for userdata in [run, own, 0] {
            let userdata = userdata as *mut c_void;
            // SAFETY: functions of the caller's, which are never unloaded.
            unsafe {
                let code = result.map_or(1, |result| result(null_mut(), userdata, 2));
                let mut ids = [0; 4];
                let to = ids.as_mut_ptr();
                let asked = tokenizer.map_or(-1, |f| f(userdata, c"abc".as_ptr(), 3, to, 4));
                note(format!("called back after the end: {code} {asked}"));
            }
        }
    });
}
