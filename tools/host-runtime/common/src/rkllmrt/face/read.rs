//! C's arguments as values of ours. Whatever may be null, is read as nothing.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::rkllmrt::prompt_cache::DEFAULT_PATH;
use crate::rkllmrt::{Media, Payload, Tags};

/// A longer array is a count that was never set.
const MOST_ROWS: usize = 1 << 22;

/// A C string as text, or none. What is no UTF-8 is replaced.
///
/// # Safety
/// `text` is null or a C string.
pub unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: not null, so a C string by the caller.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// A C string as a path, or none.
///
/// # Safety
/// As [`text`].
pub unsafe fn path(path: *const c_char) -> Option<PathBuf> {
    // SAFETY: not null, so a C string by the caller.
    let bytes = (!path.is_null()).then(|| unsafe { CStr::from_ptr(path) }.to_bytes())?;
    Some(OsStr::from_bytes(bytes).into())
}

/// Three texts, empty where null.
///
/// # Safety
/// As [`text`].
pub unsafe fn tags(start: *const c_char, end: *const c_char, content: *const c_char) -> Tags {
    // SAFETY: by the caller.
    let [start, end, content] =
        [start, end, content].map(|tag| unsafe { text(tag) }.unwrap_or_default());
    Tags { start, end, content }
}

/// Copies an array; `None` for one that is null, too long, or misses its place.
///
/// # Safety
/// `values` is null or so many values.
pub(super) unsafe fn array<T: Copy>(
    values: *const T,
    count: usize,
    width: usize,
) -> Option<Vec<T>> {
    let total = count.checked_mul(width)?;
    if count > MOST_ROWS || total > (isize::MAX as usize) / 8 {
        return None;
    }
    if total == 0 {
        return Some(Vec::new());
    }
    if values.is_null() {
        return None;
    }
    // SAFETY: not null, and so many values by the caller, at whatever address.
    Some((0..total).map(|index| unsafe { values.add(index).read_unaligned() }).collect())
}

/// Token ids.
///
/// # Safety
/// `ids` is null or so many ids.
pub unsafe fn token_payload(ids: *const i32, count: usize) -> Option<Payload> {
    // SAFETY: by the caller.
    unsafe { array(ids, count, 1) }.map(Payload::Tokens)
}

/// Embeddings of a model's size.
///
/// # Safety
/// `values` is null or so many rows.
pub unsafe fn embed_payload(values: *const f32, rows: usize, hidden: usize) -> Option<Payload> {
    // SAFETY: by the caller.
    unsafe { array(values, rows, hidden) }.map(Payload::Embeddings)
}

/// Images or videos; nothing where there are none.
///
/// # Safety
/// `values` is null or `count * rows * hidden` values.
pub unsafe fn media(
    marker: &'static str,
    values: *const f32,
    (count, rows, hidden): (usize, usize, usize),
    tags: Tags,
) -> Option<Option<Media>> {
    if values.is_null() || count == 0 || rows == 0 {
        return Some(None);
    }
    // SAFETY: by the caller.
    let values = unsafe { array(values, count.checked_mul(rows)?, hidden) }?;
    Some(Some(Media { marker, values, count, rows, tags }))
}

/// The file a run's cache is written to.
///
/// # Safety
/// As [`text`].
pub unsafe fn cache_path(wanted: c_int, file: *const c_char) -> Option<PathBuf> {
    // SAFETY: by the caller.
    let file = unsafe { path(file) }.filter(|path| !path.as_os_str().is_empty());
    (wanted != 0).then(|| file.unwrap_or_else(|| DEFAULT_PATH.into()))
}
