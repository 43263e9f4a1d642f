//! Memory.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use rkllm_host::rknnrt::{self as host, Code, log};
use rkllm_sys::rknn::{rknn_context, rknn_mem_sync_mode, rknn_tensor_mem};

use crate::{guard, kept};

/// Memory of a context, zero at first; NULL if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_create_mem(ctx: rknn_context, size: u32) -> *mut rknn_tensor_mem {
    kept("rknn_create_mem", || host::create_memory(ctx, size.into(), 0)).unwrap_or(null_mut())
}

/// The same with flags, which change nothing but that the context may be 0.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_create_mem2(
    ctx: rknn_context,
    size: u64,
    alloc_flags: u64,
) -> *mut rknn_tensor_mem {
    kept("rknn_create_mem2", || host::create_memory(ctx, size, alloc_flags)).unwrap_or(null_mut())
}

/// A file or memfd of the client's, mapped.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_create_mem_from_fd(
    ctx: rknn_context,
    fd: i32,
    virt_addr: *mut c_void,
    size: u32,
    offset: i32,
) -> *mut rknn_tensor_mem {
    kept("rknn_create_mem_from_fd", || host::import_memory(ctx, fd, virt_addr, size, offset))
        .unwrap_or(null_mut())
}

/// NULL: a physical address means nothing here.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_create_mem_from_phys(
    _ctx: rknn_context,
    phys_addr: u64,
    _virt_addr: *mut c_void,
    _size: u32,
) -> *mut rknn_tensor_mem {
    kept::<*mut rknn_tensor_mem>("rknn_create_mem_from_phys", || {
        Err(log::refuse(
            Code::FAIL,
            format_args!("rknn_create_mem_from_phys: no NPU that could reach {phys_addr:#x}"),
        ))
    })
    .unwrap_or(null_mut())
}

/// NULL: there are no media blocks here.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_create_mem_from_mb_blk(
    _ctx: rknn_context,
    _mb_blk: *mut c_void,
    _offset: i32,
) -> *mut rknn_tensor_mem {
    kept::<*mut rknn_tensor_mem>("rknn_create_mem_from_mb_blk", || {
        Err(log::refuse(
            Code::FAIL,
            format_args!("rknn_create_mem_from_mb_blk: not without hardware"),
        ))
    })
    .unwrap_or(null_mut())
}

/// Frees memory; NULL and what is freed already are refused.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_destroy_mem(ctx: rknn_context, mem: *mut rknn_tensor_mem) -> c_int {
    guard("rknn_destroy_mem", || host::destroy_memory(ctx, mem))
}

/// Checks its arguments: both sides see the same bytes.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_mem_sync(
    context: rknn_context,
    mem: *mut rknn_tensor_mem,
    mode: rknn_mem_sync_mode,
) -> c_int {
    guard("rknn_mem_sync", || host::sync_memory(context, mem, mode.0))
}
