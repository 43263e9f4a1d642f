//! A librknnrt.so of the 2.3 ABI that computes on the CPU.
//!
//! This crate is the C face: it turns pointers into values and keeps panics from crossing. What the calls
//! do is `rkllm_host::rknnrt`. See the README beside it for what a client can rely on.

use std::ffi::c_int;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rkllm_host::rknnrt::{self as host, Answer, Code, log};

pub mod matmul;
pub mod memory;
pub mod model;

/// What a reader of the file finds, as in the vendor's; it says whose this is.
#[used]
#[unsafe(no_mangle)]
pub static rkllm_host_rknn_version: [u8; 63] =
    *b"librknnrt version: 2.3.2 (rkllm host stand-in, not Rockchip's)\0";

/// Contexts and memories that live: for tests, and no function of the vendor's.
#[unsafe(no_mangle)]
pub extern "C" fn rkllm_host_rknn_alive() -> c_int {
    catch_unwind(host::alive).map_or(-1, |count| c_int::try_from(count).unwrap_or(c_int::MAX))
}

/// Makes an answer a return code. A panic becomes -1: it must not reach C.
fn guard(call: &str, act: impl FnOnce() -> Answer) -> c_int {
    let code = kept(call, act).map_or_else(|code| code.0, |()| 0);
    log::line(log::Level::Debug, format_args!("{call} = {code}"));
    code
}

/// What a call came to, a panic being a failure.
fn kept<T>(call: &str, act: impl FnOnce() -> Answer<T>) -> Answer<T> {
    // Nothing is looked at again that a panic may have left half done, but what is behind locks, and that
    // changes in single steps.
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| {
        Err(log::refuse(Code::FAIL, format_args!("{call}: a mistake in this stand-in, see above")))
    })
}

/// A NULL where there may be none.
fn null(what: impl Debug) -> Code {
    log::refuse(Code::PARAM_INVALID, format_args!("{what:?} is NULL"))
}

/// A copy of the client's struct.
///
/// # Safety
/// `from` is NULL or has a `T`.
unsafe fn read<T: Copy>(what: &str, from: *const T) -> Answer<T> {
    if from.is_null() {
        return Err(null(what));
    }
    // SAFETY: as promised by the caller; nothing is assumed of alignment.
    Ok(unsafe { from.read_unaligned() })
}

/// Writes to the client's struct.
///
/// # Safety
/// `to` is NULL or has room for a `T`.
unsafe fn write<T>(what: &str, to: *mut T, value: T) -> Answer {
    if to.is_null() {
        return Err(null(what));
    }
    // SAFETY: as above.
    unsafe { to.write_unaligned(value) };
    Ok(())
}

/// A copy of the client's array; empty where `count` says so.
///
/// # Safety
/// `from` is NULL or has `count` values.
unsafe fn array<T: Copy>(what: &str, from: *const T, count: c_int) -> Answer<Vec<T>> {
    let count = usize::try_from(count).unwrap_or(0);
    if count == 0 {
        return Ok(Vec::new());
    }
    if from.is_null() {
        return Err(null(what));
    }
    // SAFETY: as above.
    Ok((0..count).map(|i| unsafe { from.add(i).read_unaligned() }).collect())
}
