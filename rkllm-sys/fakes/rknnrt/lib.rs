//! librknnrt 2.3.2 for tests: the matmul half, multiplied plainly.
//!
//! Layouts are those of `rknn-matmul-facts.md`, written here a second time and on purpose without
//! the project's own; structs are read by offset. A SoC's types, alignments, tiles, K segments and
//! cores are kept to. `rknn_fake_configure(text)` takes words with `+` between them (see `Setup`),
//! `rknn_fake_report(buffer, size)` gives the record of calls, `rknn_fake_reset()` empties it,
//! `rknn_fake_alive()` counts contexts and memories that were not destroyed. What a caller may never
//! do is recorded as a line beginning with `VIOLATION`.
//!
//! Not computed, so refused: types with an int8 or bfloat16 result, and quantised results.

#[path = "../facts.rs"]
mod facts;

mod context;
mod memory;
mod product;
mod shape;
mod soc;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use facts::put;
use soc::Soc;

/// The vendor's layouts.
const FACTS: &str = include_str!("../../tests/data/rknn-abi-2.3.2.json");

pub(crate) const SUCC: c_int = 0;
pub(crate) const FAIL: c_int = -1;
pub(crate) const PARAM_INVALID: c_int = -5;
pub(crate) const CTX_INVALID: c_int = -7;

/// What a reader of the file finds.
#[unsafe(no_mangle)]
pub static rknn_fake_version: [u8; 45] = *b"librknnrt version: 2.3.2 (fake@for tests)\0\0\0\0";

/// How to behave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// `soc=rk3588`, `rk3576`, `rk3562`, `rk3566`.
    pub(crate) soc: &'static Soc,
    /// `strict_sync`: the NPU sees what was synchronised to it, the caller what was synchronised
    /// back.
    pub(crate) strict_sync: bool,
    /// `b_native_high`: native int4 B has the even element in the high nibble.
    pub(crate) b_native_high: bool,
    /// `other_tiles`: native B has half the usual tile along N.
    pub(crate) other_tiles: bool,
    /// `tiles_by_rows`: as `other_tiles` where there are more than eight rows.
    pub(crate) tiles_by_rows: bool,
    /// `no_memory`: `rknn_create_mem` returns null.
    pub(crate) no_memory: bool,
    /// `create_fails`, `run_fails`, `bind_fails`: that function returns -1.
    pub(crate) create_fails: bool,
    pub(crate) run_fails: bool,
    pub(crate) bind_fails: bool,
    /// `wrong_sums`: the last element of a result is one too high.
    pub(crate) wrong_sums: bool,
}

impl Setup {
    const DEFAULT: Self = Self {
        soc: &soc::RK3588,
        strict_sync: false,
        b_native_high: false,
        other_tiles: false,
        tiles_by_rows: false,
        no_memory: false,
        create_fails: false,
        run_fails: false,
        bind_fails: false,
        wrong_sums: false,
    };

    fn parse(words: &str) -> Option<Self> {
        let mut it = Self::DEFAULT;
        for word in words.split('+').filter(|word| !word.is_empty()) {
            match word {
                "strict_sync" => it.strict_sync = true,
                "b_native_high" => it.b_native_high = true,
                "other_tiles" => it.other_tiles = true,
                "tiles_by_rows" => it.tiles_by_rows = true,
                "no_memory" => it.no_memory = true,
                "create_fails" => it.create_fails = true,
                "run_fails" => it.run_fails = true,
                "bind_fails" => it.bind_fails = true,
                "wrong_sums" => it.wrong_sums = true,
                _ => it.soc = Soc::find(word.strip_prefix("soc=")?)?,
            }
        }
        Some(it)
    }
}

static RECORD: Mutex<Vec<String>> = Mutex::new(Vec::new());
static SETUP: Mutex<Setup> = Mutex::new(Setup::DEFAULT);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn note(line: impl Into<String>) {
    lock(&RECORD).push(line.into());
}

pub(crate) fn setup() -> Setup {
    *lock(&SETUP)
}

/// Copies the record, NUL not included; returns its length.
///
/// # Safety
/// `size` bytes are writable at `buffer`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_fake_report(buffer: *mut c_char, size: usize) -> usize {
    let record = lock(&RECORD).join("\n");
    let fits = record.len().min(size);
    // SAFETY: as promised by the caller.
    unsafe { buffer.cast::<u8>().copy_from_nonoverlapping(record.as_ptr(), fits) };
    record.len()
}

/// Empties the record.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_fake_reset() {
    lock(&RECORD).clear();
}

/// How to behave from now on; -1 for a word that is none.
///
/// # Safety
/// `words` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_fake_configure(words: *const c_char) -> c_int {
    // SAFETY: as promised by the caller.
    let words = unsafe { CStr::from_ptr(words) }.to_string_lossy();
    let Some(setup) = Setup::parse(&words) else { return FAIL };
    *lock(&SETUP) = setup;
    SUCC
}

/// Contexts and memories that were not destroyed.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_fake_alive() -> c_int {
    (context::alive() + memory::alive()) as c_int
}

/// Answers RKNN_QUERY_SDK_VERSION and nothing else.
///
/// # Safety
/// `size` bytes are writable at `info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_query(ctx: u64, cmd: c_int, info: *mut c_void, size: u32) -> c_int {
    const SDK_VERSION: c_int = 5;
    note(format!("rknn_query cmd={cmd} size={size}"));
    if !context::is_alive(ctx) {
        return CTX_INVALID;
    }
    let layout = facts::of("rknn_sdk_version");
    if cmd != SDK_VERSION || info.is_null() || size as usize != layout.size {
        return PARAM_INVALID;
    }
    for (field, text) in [("api_version", "2.3.2 (fake)"), ("drv_version", "0.9.8")] {
        for (i, byte) in text.bytes().chain([0]).enumerate() {
            // SAFETY: a field of 256 bytes in the struct the caller sized.
            unsafe { put(info.cast::<u8>(), layout.at(field) + i, byte) };
        }
    }
    SUCC
}
