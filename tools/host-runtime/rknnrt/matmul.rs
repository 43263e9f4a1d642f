//! The matmul half.

use std::ffi::{c_char, c_int, c_void};

use rkllm_host::rknnrt::{self as host, Answer, Code, Params};
use rkllm_sys::rknn::{
    RKNN_MAX_DYNAMIC_SHAPE_NUM, rknn_core_mask, rknn_matmul_ctx, rknn_matmul_info,
    rknn_matmul_io_attr, rknn_matmul_shape, rknn_matmul_tensor_attr, rknn_quant_params,
    rknn_tensor_mem,
};

use crate::{array, guard, null, read, write};

/// Makes a context and says how A, B and C are to lie.
///
/// # Safety
/// Every pointer is NULL or has its struct.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_matmul_create(
    ctx: *mut rknn_matmul_ctx,
    info: *mut rknn_matmul_info,
    io_attr: *mut rknn_matmul_io_attr,
) -> c_int {
    guard("rknn_matmul_create", || {
        if ctx.is_null() || io_attr.is_null() {
            return Err(null("rknn_matmul_create ctx or io_attr"));
        }
        // SAFETY: as promised by the caller.
        unsafe {
            let (id, attr) = host::create_matmul(&read("rknn_matmul_create info", info)?)?;
            write("rknn_matmul_create io_attr", io_attr, attr)?;
            write("rknn_matmul_create ctx", ctx, id)
        }
    })
}

/// The same for several M.
///
/// # Safety
/// Every pointer is NULL or has its struct; the arrays have `shape_num`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_matmul_create_dynamic_shape(
    ctx: *mut rknn_matmul_ctx,
    info: *mut rknn_matmul_info,
    shape_num: c_int,
    dynamic_shapes: *mut rknn_matmul_shape,
    io_attrs: *mut rknn_matmul_io_attr,
) -> c_int {
    const CALL: &str = "rknn_matmul_create_dynamic_shape";
    guard(CALL, || {
        if ctx.is_null() || io_attrs.is_null() {
            return Err(null("rknn_matmul_create_dynamic_shape ctx or io_attrs"));
        }
        // One too many is read at most, of a number that is refused.
        let count = shape_num.min(RKNN_MAX_DYNAMIC_SHAPE_NUM.cast_signed() + 1);
        // SAFETY: as promised by the caller.
        unsafe {
            let shapes = match count > RKNN_MAX_DYNAMIC_SHAPE_NUM.cast_signed() {
                true => Vec::new(),
                false => array(CALL, dynamic_shapes, count)?,
            };
            let (id, attrs) = host::create_dynamic_matmul(&read(CALL, info)?, &shapes)?;
            for (i, attr) in attrs.into_iter().enumerate() {
                write(CALL, io_attrs.add(i), attr)?;
            }
            write(CALL, ctx, id)
        }
    })
}

/// The bytes of a name of 256; no NUL is fine.
fn name(chars: &[c_char; 256]) -> [u8; 256] {
    chars.map(|c| c as u8)
}

/// Binds A, B or C, whichever `attr` names.
///
/// # Safety
/// `attr` is NULL or has its struct. `mem` may be anything.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_matmul_set_io_mem(
    ctx: rknn_matmul_ctx,
    mem: *mut rknn_tensor_mem,
    attr: *mut rknn_matmul_tensor_attr,
) -> c_int {
    guard("rknn_matmul_set_io_mem", || {
        // SAFETY: as promised by the caller.
        let attr = unsafe { read("rknn_matmul_set_io_mem attr", attr)? };
        host::bind(ctx, mem, &name(&attr.name), attr.size)
    })
}

/// One core, or the driver's choice.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_matmul_set_core_mask(
    context: rknn_matmul_ctx,
    core_mask: rknn_core_mask,
) -> c_int {
    guard("rknn_matmul_set_core_mask", || host::set_matmul_core(context, core_mask.0))
}

/// Takes scales and zero points, which are copied.
///
/// # Safety
/// `params` is NULL or has its struct, whose arrays have the lengths it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_matmul_set_quant_params(
    context: rknn_matmul_ctx,
    params: *mut rknn_quant_params,
) -> c_int {
    const CALL: &str = "rknn_matmul_set_quant_params";
    guard(CALL, || {
        // SAFETY: as promised by the caller.
        let (of, scales, zeros) = unsafe {
            let of = read(CALL, params)?;
            let zeros = if of.zp.is_null() { 0 } else { of.zp_len };
            (of, array(CALL, of.scale, of.scale_len)?, array(CALL, of.zp, zeros)?)
        };
        host::set_quant_params(context, &name(&of.name), Params { scales, zeros })
    })
}

/// B's scales, weighed, and what they were divided by. `params` has room for N scales and says so.
///
/// # Safety
/// Pointers are NULL or have their struct, `params.scale` room for `params.scale_len` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_matmul_get_quant_params(
    ctx: rknn_matmul_ctx,
    params: *mut rknn_quant_params,
    scale: *mut f32,
) -> c_int {
    const CALL: &str = "rknn_matmul_get_quant_params";
    guard(CALL, || {
        let (weights, largest) = host::get_quant_params(ctx)?;
        // SAFETY: as promised by the caller.
        unsafe {
            let of = read(CALL, params)?;
            if scale.is_null() || of.scale.is_null() {
                return Err(null("rknn_matmul_get_quant_params scale"));
            }
            if usize::try_from(of.scale_len).is_ok_and(|len| len < weights.len()) {
                return Err(Code::PARAM_INVALID);
            }
            for (i, weight) in weights.into_iter().enumerate() {
                write(CALL, of.scale.add(i), weight)?;
            }
            write(CALL, scale, largest)
        }
    })
}

/// Chooses one of the shapes.
///
/// # Safety
/// `shape` is NULL or has its struct.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_matmul_set_dynamic_shape(
    ctx: rknn_matmul_ctx,
    shape: *mut rknn_matmul_shape,
) -> c_int {
    guard("rknn_matmul_set_dynamic_shape", || {
        // SAFETY: as promised by the caller.
        host::set_dynamic_shape(ctx, &unsafe { read("rknn_matmul_set_dynamic_shape", shape)? })
    })
}

/// Multiplies; C is there when it returns.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_matmul_run(ctx: rknn_matmul_ctx) -> c_int {
    guard("rknn_matmul_run", || host::run_matmul(ctx))
}

/// Ends a context, after a run that another thread has begun.
#[unsafe(no_mangle)]
pub extern "C" fn rknn_matmul_destroy(ctx: rknn_matmul_ctx) -> c_int {
    guard("rknn_matmul_destroy", || host::destroy_matmul(ctx))
}

/// Converts B.
///
/// # Safety
/// `B_input` is NULL or has K x N elements, `B_output` is NULL or has room for native B, `info` is NULL or
/// has its struct.
#[unsafe(no_mangle)]
#[allow(non_snake_case)] // the vendor's names
pub unsafe extern "C" fn rknn_B_normal_layout_to_native_layout(
    B_input: *mut c_void,
    B_output: *mut c_void,
    K: c_int,
    N: c_int,
    info: *mut rknn_matmul_info,
) -> c_int {
    const CALL: &str = "rknn_B_normal_layout_to_native_layout";
    guard(CALL, || {
        if B_input.is_null() || B_output.is_null() {
            return Err(null("rknn_B_normal_layout_to_native_layout B_input or B_output"));
        }
        // Headers before 2.3 have two sizes and a type here.
        if (1..4096).contains(&info.addr()) {
            return Err(host::log::refuse(
                Code::PARAM_INVALID,
                format_args!(
                    "{CALL}: {} is no rknn_matmul_info; was the program compiled against an older \
                     rknn_matmul_api.h?",
                    info.addr()
                ),
            ));
        }
        // SAFETY: as promised by the caller.
        let info = unsafe { read(CALL, info)? };
        let copy = |from: usize, _| -> Answer<Vec<u8>> {
            // SAFETY: as promised by the caller, of K and N that are sound.
            Ok(unsafe { std::slice::from_raw_parts(B_input.cast::<u8>(), from) }.to_vec())
        };
        let native = host::convert_b(&info, (K, N), copy)?;
        // SAFETY: as above; the input was copied, so both may be one buffer.
        unsafe { B_output.cast::<u8>().copy_from_nonoverlapping(native.as_ptr(), native.len()) };
        Ok(())
    })
}
