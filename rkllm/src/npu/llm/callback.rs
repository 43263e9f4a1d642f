//! The functions that the runtime calls.

use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rkllm_sys::v1_3::{LLMCallState, RKLLMResult};
use rkllm_sys::{v1_2, v1_3};

use super::registry::{self, Entry};
use super::run::{GO_ON, PAUSE, RELEASE};

// Both ABIs lay out a result alike, so one reader serves both.
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<v1_2::RKLLMResult>() == size_of::<v1_3::RKLLMResult>());
    assert!(offset_of!(v1_2::RKLLMResult, text) == offset_of!(v1_3::RKLLMResult, text));
    assert!(offset_of!(v1_2::RKLLMResult, token_id) == offset_of!(v1_3::RKLLMResult, token_id));
    assert!(
        offset_of!(v1_2::RKLLMResult, last_hidden_layer)
            == offset_of!(v1_3::RKLLMResult, last_hidden_layer)
    );
    assert!(offset_of!(v1_2::RKLLMResult, logits) == offset_of!(v1_3::RKLLMResult, logits));
    assert!(offset_of!(v1_2::RKLLMResult, perf) == offset_of!(v1_3::RKLLMResult, perf));
    // The same of what a run's parameters point to.
    assert!(size_of::<v1_2::RKLLMLoraParam>() == size_of::<v1_3::RKLLMLoraParam>());
    assert!(size_of::<v1_2::RKLLMPromptCacheParam>() == size_of::<v1_3::RKLLMPromptCacheParam>());
    assert!(size_of::<v1_2::RKLLMLoraAdapter>() == size_of::<v1_3::RKLLMLoraAdapter>());
    assert!(size_of::<v1_2::RKLLMCrossAttnParam>() == size_of::<v1_3::RKLLMCrossAttnParam>());
};

/// The result callback of 1.3.
pub(super) unsafe extern "C" fn result_1_3(
    result: *mut RKLLMResult,
    userdata: *mut c_void,
    state: LLMCallState,
) -> c_int {
    guarded(PAUSE, || match registry::find(userdata) {
        // SAFETY: what the runtime hands to the callback of this run.
        Some(Entry::Run(run)) => unsafe { run.tell(result, state) },
        // 1.3 falls back to the model's own user data.
        Some(Entry::Model(hooks)) => match hooks.current() {
            // SAFETY: as above.
            Some(run) => unsafe { run.tell(result, state) },
            None => PAUSE,
        },
        None => PAUSE,
    })
}

/// The result callback of 1.2.
pub(super) unsafe extern "C" fn result_1_2(
    result: *mut v1_2::RKLLMResult,
    userdata: *mut c_void,
    state: v1_2::LLMCallState,
) -> c_int {
    // SAFETY: the same arguments; the layouts are compared above.
    match unsafe { result_1_3(result.cast(), userdata, LLMCallState(state.0)) } {
        // 1.2 knows 0 and 1.
        RELEASE => GO_ON,
        answer => answer,
    }
}

/// The tokenizer callback of 1.3.
pub(super) unsafe extern "C" fn tokenizer(
    userdata: *mut c_void,
    text: *const c_char,
    text_len: i32,
    tokens: *mut i32,
    n_tokens_max: i32,
) -> c_int {
    guarded(-1, || {
        let Some(Entry::Model(hooks)) = registry::find(userdata) else { return -1 };
        let (Ok(length), Ok(most)) = (usize::try_from(text_len), usize::try_from(n_tokens_max))
        else {
            return -1;
        };
        if text.is_null() || tokens.is_null() || !tokens.is_aligned() {
            return -1;
        }
        // SAFETY: the runtime's text of so many bytes.
        let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
        let Some(ids) = hooks.tokenize(text, most) else { return -1 };
        // SAFETY: the runtime has room for `most` ids, and these are no more.
        unsafe { tokens.copy_from_nonoverlapping(ids.as_ptr(), ids.len()) };
        ids.len() as c_int
    })
}

/// The embedding callback of 1.3.
pub(super) unsafe extern "C" fn embedding(
    userdata: *mut c_void,
    tokens: *mut i32,
    num_tokens: u64,
    embed: *mut c_void,
    len: u64,
) -> c_int {
    guarded(-1, || {
        let Some(Entry::Model(hooks)) = registry::find(userdata) else { return -1 };
        let Some((count, values)) = sizes(num_tokens, len) else { return -1 };
        let embed = embed.cast::<f32>();
        if tokens.is_null() || embed.is_null() || !embed.is_aligned() {
            return -1;
        }
        // SAFETY: so many ids, and so many floats to write, made zero before they are a slice.
        let (ids, rows) = unsafe {
            embed.write_bytes(0, values);
            (
                (0..count).map(|i| tokens.add(i).read_unaligned()).collect::<Vec<_>>(),
                std::slice::from_raw_parts_mut(embed, values),
            )
        };
        if hooks.embed(&ids, rows) { 0 } else { -1 }
    })
}

/// Tokens and floats of `len` bytes, if those are whole rows, one at least for each token.
fn sizes(num_tokens: u64, len: u64) -> Option<(usize, usize)> {
    let (count, bytes) = (usize::try_from(num_tokens).ok()?, usize::try_from(len).ok()?);
    let of_column = count.checked_mul(size_of::<f32>()).filter(|bytes| *bytes > 0)?;
    let whole = bytes > 0 && bytes <= isize::MAX as usize && bytes.is_multiple_of(of_column);
    whole.then_some((count, bytes / size_of::<f32>()))
}

/// No panic leaves a callback: those of closures are caught within, and ours, of whatever is dropped
/// here, end here.
fn guarded(otherwise: c_int, act: impl FnOnce() -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        // Dropping what was thrown may throw.
        std::mem::forget(panic);
        otherwise
    })
}

#[cfg(test)]
mod tests {
    use super::sizes;

    #[test]
    fn sizes_that_make_no_sense_are_none() {
        assert_eq!(sizes(2, 64), Some((2, 16)));
        for (tokens, bytes) in [
            (0, 64),
            (2, 0),
            (2, 60),
            (3, 64),
            (u64::MAX, 64),
            (u64::MAX / 4 + 1, 64),
            (1, u64::MAX),
            (1 << 62, 1 << 62),
            (1, 1 << 63),
        ] {
            assert_eq!(sizes(tokens, bytes), None, "{tokens} {bytes}");
        }
    }
}
