//! The caller's functions.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::atomic::{Ordering, compiler_fence};

use rkllm::{Error, ErrorKind, Result};
use rkllm_sys::v1_3::{LLMCallState, RKLLMResult};

/// The result callback; results are laid out alike in both ABIs.
pub type ResultFn = unsafe extern "C" fn(*mut RKLLMResult, *mut c_void, LLMCallState) -> c_int;
/// Text to token ids.
pub type TokenizerFn =
    unsafe extern "C" fn(*mut c_void, *const c_char, i32, *mut i32, i32) -> c_int;
/// Token ids to embeddings.
pub type EmbedFn = unsafe extern "C" fn(*mut c_void, *mut i32, u64, *mut c_void, u64) -> c_int;

// A face of 1.2 hands its callback over as one of 1.3.
const _: () = {
    use rkllm_sys::v1_2;
    use std::mem::offset_of;
    assert!(size_of::<v1_2::RKLLMResult>() == size_of::<RKLLMResult>());
    assert!(offset_of!(v1_2::RKLLMResult, logits) == offset_of!(RKLLMResult, logits));
    assert!(offset_of!(v1_2::RKLLMResult, perf) == offset_of!(RKLLMResult, perf));
};

/// The callbacks of a model, copied when it is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Callbacks {
    /// Gets every token.
    pub result: ResultFn,
    /// For runs whose own user data is null.
    pub result_userdata: *mut c_void,
    /// For a model without a tokenizer.
    pub tokenizer: Option<TokenizerFn>,
    /// Its first argument.
    pub tokenizer_userdata: *mut c_void,
    /// For a model without an embedding table.
    pub embed: Option<EmbedFn>,
    /// Its first argument.
    pub embed_userdata: *mut c_void,
}

// SAFETY: functions and addresses that are only handed back to those functions, from whatever thread, as the
// vendor's interface has it.
unsafe impl Send for Callbacks {}
// SAFETY: as above.
unsafe impl Sync for Callbacks {}

/// A run's user data: handed back, never looked at.
#[derive(Debug, Clone, Copy)]
pub struct UserData(pub *mut c_void);

// SAFETY: as above.
unsafe impl Send for UserData {}

/// A run or callback that a thread is in, and those it was called from. It lies on the thread's own stack.
struct Frame {
    /// Of the model.
    number: u64,
    outer: *const Self,
}

impl Drop for Frame {
    fn drop(&mut self) {
        INSIDE.set(self.outer);
        compiler_fence(Ordering::SeqCst);
    }
}

thread_local! {
    /// The innermost of them; null outside. A signal handler is in what it interrupted.
    static INSIDE: Cell<*const Frame> = const { Cell::new(std::ptr::null()) };
}

/// True in a run or callback of the model with this number, and in a signal handler that interrupted one:
/// waiting for that run would be waiting for oneself.
pub(super) fn is_inside(number: u64) -> bool {
    let mut frame = INSIDE.get();
    // SAFETY: a frame is on the list only while the call that holds it is on this thread's stack.
    while let Some(Frame { number: of, outer }) = unsafe { frame.as_ref() } {
        if *of == number {
            return true;
        }
        frame = *outer;
    }
    false
}

/// True in a run or callback of any model.
pub(super) fn is_inside_any() -> bool {
    !INSIDE.get().is_null()
}

/// Calls as from a run or callback of a model.
pub(super) fn inside<T>(number: u64, call: impl FnOnce() -> T) -> T {
    let frame = Frame { number, outer: INSIDE.get() };
    // A signal handler on this thread that finds the frame finds it whole.
    compiler_fence(Ordering::SeqCst);
    INSIDE.set(&raw const frame);
    call()
}

impl Callbacks {
    /// Tells results, one per input of the batch.
    pub(super) fn tell(
        &self,
        number: u64,
        userdata: UserData,
        results: &mut [RKLLMResult],
        state: LLMCallState,
    ) -> c_int {
        let userdata = if userdata.0.is_null() { self.result_userdata } else { userdata.0 };
        // SAFETY: the caller's function, with results whose pointers hold during the call.
        inside(number, || unsafe { (self.result)(results.as_mut_ptr(), userdata, state) })
    }

    /// Asks for the ids of a text, at most `most`.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] without the callback, or if it fails.
    pub(super) fn encode(&self, number: u64, text: &str, most: usize) -> Result<Vec<u32>> {
        let refused = |why: &str| Err(Error::new(ErrorKind::Tokenizer, why.to_owned()));
        let Some(callback) = self.tokenizer else {
            return refused("the model has no tokenizer and there is no tokenizer callback");
        };
        let length = i32::try_from(text.len()).unwrap_or(i32::MAX);
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let mut ids = vec![0; most as usize];
        let Ok(text) = CString::new(text) else { return refused("a NUL in the text") };
        let (userdata, out) = (self.tokenizer_userdata, ids.as_mut_ptr());
        // SAFETY: the caller's function, with a text of that length and room for so many ids.
        let found =
            inside(number, || unsafe { callback(userdata, text.as_ptr(), length, out, most) });
        match usize::try_from(found) {
            Ok(count) if count <= ids.len() => {
                ids.truncate(count);
                Ok(ids.into_iter().map(|id| id as u32).collect())
            }
            _ => refused(&format!("the tokenizer callback returned {found}")),
        }
    }

    /// Asks for the embeddings of ids, `hidden` values each.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] without the callback, or if it fails.
    pub(super) fn embeddings(&self, number: u64, ids: &[u32], hidden: usize) -> Result<Vec<f32>> {
        let refused = |why: String| Err(Error::new(ErrorKind::Input, why));
        let Some(callback) = self.embed else {
            return refused("the model has no embedding and there is no embedding callback".into());
        };
        let mut ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
        let mut rows = vec![0f32; ids.len() * hidden];
        let (userdata, tokens, count) = (self.embed_userdata, ids.as_mut_ptr(), ids.len() as u64);
        let (out, bytes) = (rows.as_mut_ptr().cast(), size_of_val(&rows[..]) as u64);
        // SAFETY: the caller's function, with so many ids and room for so many bytes.
        let code = inside(number, || unsafe { callback(userdata, tokens, count, out, bytes) });
        if code == 0 {
            Ok(rows)
        } else {
            refused(format!("the embedding callback returned {code}"))
        }
    }
}
