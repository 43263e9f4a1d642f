//! Models: a dense one of this project's container; nothing of the vendor's.

use std::ffi::{CStr, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rkllm_host::rknnrt::{self as host, Answer, Code, Source, log};
use rkllm_sys::rknn::{
    rknn_context, rknn_core_mask, rknn_init_extend, rknn_input, rknn_output, rknn_output_extend,
    rknn_query_cmd, rknn_run_extend, rknn_tensor_attr, rknn_tensor_mem,
};

use crate::{array, guard, null, read, write};

/// Loads a container from memory or, with size 0, from the file of that name. Flags change nothing.
///
/// # Safety
/// `context` is NULL or has room; `model` is NULL, or has `size` bytes, or is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_init(
    context: *mut rknn_context,
    model: *mut c_void,
    size: u32,
    _flag: u32,
    _extend: *mut rknn_init_extend,
) -> c_int {
    guard("rknn_init", || {
        if context.is_null() || model.is_null() {
            return Err(null("rknn_init context or model"));
        }
        // SAFETY: as promised by the caller.
        unsafe {
            let source = if size == 0 {
                let name = CStr::from_ptr(model.cast()).to_bytes();
                Source::File(Path::new(OsStr::from_bytes(name)))
            } else {
                Source::Bytes(std::slice::from_raw_parts(model.cast::<u8>(), size as usize))
            };
            write("rknn_init context", context, host::init_model(&source)?)
        }
    })
}

/// Another context of the same model.
///
/// # Safety
/// Pointers are NULL or have a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_dup_context(
    context_in: *mut rknn_context,
    context_out: *mut rknn_context,
) -> c_int {
    guard("rknn_dup_context", || {
        if context_out.is_null() {
            return Err(null("rknn_dup_context context_out"));
        }
        // SAFETY: as promised by the caller.
        unsafe {
            let id = host::dup_model(read("rknn_dup_context context_in", context_in)?)?;
            write("rknn_dup_context context_out", context_out, id)
        }
    })
}

/// Ends a context, with results that were handed out.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_destroy(context: rknn_context) -> c_int {
    guard("rknn_destroy", || host::destroy(context))
}

/// Answers a question; of a matmul's context the version alone.
///
/// # Safety
/// `info` is NULL or has `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_query(
    context: rknn_context,
    cmd: rknn_query_cmd,
    info: *mut c_void,
    size: u32,
) -> c_int {
    // SAFETY: as promised by the caller.
    guard("rknn_query", || unsafe { host::query(context, cmd, info, size) })
}

/// Copies the input.
///
/// # Safety
/// `inputs` is NULL or has `n_inputs`, whose buffers have the sizes they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_inputs_set(
    context: rknn_context,
    n_inputs: u32,
    inputs: *mut rknn_input,
) -> c_int {
    guard("rknn_inputs_set", || {
        // SAFETY: as promised by the caller; of more than two, two are enough to refuse.
        let inputs =
            unsafe { array("rknn_inputs_set inputs", inputs, n_inputs.min(2).cast_signed())? };
        host::set_inputs(context, &inputs)
    })
}

/// Runs; the results are there when it returns, also where `non_block` is asked for.
///
/// # Safety
/// `extend` is NULL or has its struct.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_run(context: rknn_context, extend: *mut rknn_run_extend) -> c_int {
    // SAFETY: as promised by the caller.
    guard("rknn_run", || unsafe { frame(extend, host::run_model(context)?) })
}

/// Says which run ended last.
///
/// # Safety
/// `extend` is NULL or has its struct.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_wait(context: rknn_context, extend: *mut rknn_run_extend) -> c_int {
    // SAFETY: as promised by the caller.
    guard("rknn_wait", || unsafe { frame(extend, host::wait_model(context)?) })
}

/// Writes the number of a run where it is wanted.
///
/// # Safety
/// `extend` is NULL or has its struct.
unsafe fn frame(extend: *mut rknn_run_extend, frame_id: u64) -> Answer {
    if !extend.is_null() {
        // SAFETY: as promised by the caller.
        unsafe { (&raw mut (*extend).frame_id).write_unaligned(frame_id) };
    }
    Ok(())
}

/// Hands out or copies the results.
///
/// # Safety
/// `outputs` is NULL or has `n_outputs`; buffers of the client's have the sizes they say; `extend` is NULL
/// or has its struct.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_outputs_get(
    context: rknn_context,
    n_outputs: u32,
    outputs: *mut rknn_output,
    extend: *mut rknn_output_extend,
) -> c_int {
    const CALL: &str = "rknn_outputs_get";
    guard(CALL, || {
        // SAFETY: as promised by the caller; of more than two, two are enough to refuse.
        unsafe {
            let mut all = array(CALL, outputs, n_outputs.min(2).cast_signed())?;
            let frame_id = host::get_outputs(context, &mut all)?;
            if !extend.is_null() {
                write(CALL, extend, rknn_output_extend { frame_id })?;
            }
            write(CALL, outputs, all[0])
        }
    })
}

/// Frees results that were handed out.
///
/// # Safety
/// `outputs` is NULL or has `n_outputs`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_outputs_release(
    context: rknn_context,
    n_outputs: u32,
    outputs: *mut rknn_output,
) -> c_int {
    const CALL: &str = "rknn_outputs_release";
    guard(CALL, || {
        // SAFETY: as promised by the caller.
        unsafe {
            let mut all = array(CALL, outputs, c_int::try_from(n_outputs).unwrap_or(c_int::MAX))?;
            host::release_outputs(context, &mut all)?;
            for (i, output) in all.into_iter().enumerate() {
                write(CALL, outputs.add(i), output)?;
            }
        }
        Ok(())
    })
}

/// Cores of a model; checked, and of no effect.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_set_core_mask(context: rknn_context, core_mask: rknn_core_mask) -> c_int {
    guard("rknn_set_core_mask", || host::set_model_core(context, core_mask.0))
}

/// What this stand-in has not: -1, which is what the vendor documents for calls a SoC lacks.
fn lacking(call: &str) -> c_int {
    guard(call, || {
        Err(log::refuse(Code::FAIL, format_args!("{call}: unsupported by the host stand-in")))
    })
}

/// Unsupported.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_set_batch_core_num(_context: rknn_context, _core_num: c_int) -> c_int {
    lacking("rknn_set_batch_core_num")
}

/// Unsupported.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_set_weight_mem(_ctx: rknn_context, _mem: *mut rknn_tensor_mem) -> c_int {
    lacking("rknn_set_weight_mem")
}

/// Unsupported.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_set_internal_mem(_ctx: rknn_context, _mem: *mut rknn_tensor_mem) -> c_int {
    lacking("rknn_set_internal_mem")
}

/// Unsupported: use rknn_inputs_set and rknn_outputs_get.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_set_io_mem(
    _ctx: rknn_context,
    _mem: *mut rknn_tensor_mem,
    _attr: *mut rknn_tensor_attr,
) -> c_int {
    lacking("rknn_set_io_mem")
}

/// Unsupported.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_set_input_shape(_ctx: rknn_context, _attr: *mut rknn_tensor_attr) -> c_int {
    lacking("rknn_set_input_shape")
}

/// Unsupported.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_set_input_shapes(
    _ctx: rknn_context,
    _n_inputs: u32,
    _attr: *mut rknn_tensor_attr,
) -> c_int {
    lacking("rknn_set_input_shapes")
}
