//! The caller's tokenizer and embedding, asked as they should be and as they should not (1.3).

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use super::behaviour::Behaviour;
use super::{HIDDEN, Handle, note};
use crate::IS_1_3;
use crate::facts::{self, get};

type Tokenizer = unsafe extern "C" fn(*mut c_void, *const c_char, i32, *mut i32, i32) -> c_int;
type Embedding = unsafe extern "C" fn(*mut c_void, *mut i32, u64, *mut c_void, u64) -> c_int;

/// Asks for both where a library has no business to.
///
/// # Safety
/// The handle's callbacks are alive.
pub(crate) unsafe fn ask(handle: &Handle) {
    let behaviour = Behaviour { no_tokenizer: true, no_embedding: true, ..Behaviour::default() };
    // SAFETY: as promised by the caller.
    unsafe {
        ask_tokenizer(handle, &behaviour, c"abc");
        ask_embedding(handle, &behaviour);
    }
}

/// 1.3: a model without a tokenizer asks the caller's.
///
/// # Safety
/// The handle's callbacks are alive.
pub(crate) unsafe fn ask_tokenizer(
    handle: &Handle,
    behaviour: &Behaviour,
    text: &CStr,
) -> Option<Vec<i32>> {
    if !IS_1_3 || !behaviour.no_tokenizer {
        return None;
    }
    let (layout, base) = (facts::of("RKLLMCallback"), handle.callback as *const u8);
    let mut ids = vec![-7; 64];
    // SAFETY: fields of the caller's struct of callbacks.
    unsafe {
        let callback = get::<Option<Tokenizer>>(base, layout.at("tokenizer_callback"))?;
        let userdata = get(base, layout.at("tokenizer_userdata"));
        let length = text.to_bytes().len() as i32;
        let count = callback(userdata, text.as_ptr(), length, ids.as_mut_ptr(), ids.len() as i32);
        note(format!("tokenizer_callback returned {count}"));
        ids.truncate(usize::try_from(count).unwrap_or(0));
    }
    note(format!("tokenizer_callback wrote {ids:?}"));
    Some(ids)
}

/// 1.3: a model without an embedding table asks the caller's.
///
/// # Safety
/// The handle's callbacks are alive.
pub(crate) unsafe fn ask_embedding(handle: &Handle, behaviour: &Behaviour) {
    if !IS_1_3 || !behaviour.no_embedding {
        return;
    }
    let (layout, base) = (facts::of("RKLLMCallback"), handle.callback as *const u8);
    let (mut ids, mut rows) = ([3, 5], [f32::NAN; 2 * HIDDEN]);
    // SAFETY: fields of the caller's struct of callbacks.
    unsafe {
        let Some(callback) = get::<Option<Embedding>>(base, layout.at("embed_callback")) else {
            return;
        };
        let userdata = get(base, layout.at("embed_userdata"));
        let bytes = size_of_val(&rows) as u64;
        let code = callback(userdata, ids.as_mut_ptr(), 2, rows.as_mut_ptr().cast(), bytes);
        note(format!("embed_callback returned {code}"));
    }
    note(format!("embed_callback wrote {rows:?}"));
}

/// Lengths that make no sense: each is to be answered by -1, and nothing written.
///
/// # Safety
/// The handle's callbacks are alive.
pub(crate) unsafe fn ask_nonsense(handle: &Handle, behaviour: &Behaviour) {
    if !IS_1_3 || !behaviour.hostile_hooks {
        return;
    }
    let (layout, base) = (facts::of("RKLLMCallback"), handle.callback as *const u8);
    let text = c"abc".as_ptr();
    let (mut ids, mut rows) = ([1i32; 2], [7f32; 2 * HIDDEN]);
    let (to, into) = (ids.as_mut_ptr(), rows.as_mut_ptr().cast::<c_void>());
    let odd = into.cast::<u8>().wrapping_add(1).cast::<c_void>();
    // SAFETY: fields of the caller's struct, and buffers of ours.
    unsafe {
        let userdata = get::<*mut c_void>(base, layout.at("tokenizer_userdata"));
        if let Some(tokenize) = get::<Option<Tokenizer>>(base, layout.at("tokenizer_callback")) {
            for (text, length, to, most) in
                [(null(), 3, to, 2), (text, -1, to, 2), (text, 3, null_mut(), 2), (text, 3, to, -1)]
            {
                let code = tokenize(userdata, text, length, to, most);
                note(format!("tokenizer_callback of nonsense returned {code}"));
            }
            let code = tokenize(null_mut(), text, 3, to, 2);
            note(format!("tokenizer_callback of nonsense returned {code}"));
        }
        if let Some(embed) = get::<Option<Embedding>>(base, layout.at("embed_callback")) {
            for (ids, count, into, bytes) in [
                (null_mut(), 2, into, 64),
                (to, 0, into, 64),
                (to, u64::MAX, into, 64),
                (to, 1 << 62, into, 1 << 62),
                (to, 2, into, 0),
                (to, 2, into, 62),
                (to, 2, into, u64::MAX - 7),
                (to, 2, null_mut(), 64),
                (to, 2, odd, 32),
            ] {
                let code = embed(userdata, ids, count, into, bytes);
                note(format!("embed_callback of nonsense returned {code}"));
            }
        }
    }
    if ids != [1; 2] || rows != [7.0; 2 * HIDDEN] {
        note("VIOLATION a callback wrote something for lengths that make no sense");
    }
}
