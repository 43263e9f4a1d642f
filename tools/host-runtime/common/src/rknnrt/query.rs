//! `rknn_query`.

use std::ffi::{c_char, c_void};

use rkllm_sys::rknn::{
    rknn_custom_string, rknn_input_output_num, rknn_mem_size, rknn_perf_run, rknn_query_cmd,
    rknn_sdk_version, rknn_tensor_attr, rknn_tensor_format, rknn_tensor_type,
};

use super::{Answer, Code, contexts, log, settings};

/// What the library says its version is; the file holds the same after `librknnrt version: `.
pub const API_VERSION: &str = "2.3.2 (rkllm host stand-in, not Rockchip's)";
/// There is none; the number is the driver's that 2.3.2 was published with.
const DRIVER_VERSION: &str = "0.9.8 (rkllm host stand-in, no driver)";

/// Answers into `info`, which has `size` bytes. A matmul's context knows the version alone.
///
/// # Errors
/// A dead context, a question that has no answer here, a struct that is too small or NULL.
///
/// # Safety
/// `info` is NULL or has `size` bytes that may be written, and for attributes read.
pub unsafe fn query(id: u64, cmd: rknn_query_cmd, info: *mut c_void, size: u32) -> Answer {
    let place = Place { info, size: size as usize };
    if cmd == rknn_query_cmd::RKNN_QUERY_SDK_VERSION {
        contexts::expect(id)?;
        let text = settings::get().fault.version.as_deref().unwrap_or(API_VERSION);
        let mut answer = rknn_sdk_version::default();
        fill(&mut answer.api_version, text);
        fill(&mut answer.drv_version, DRIVER_VERSION);
        return place.put(answer);
    }
    if contexts::is_matmul(id)? {
        return Err(unknown(cmd));
    }
    contexts::with_session(id, |session| {
        let model = &session.model;
        match cmd {
            rknn_query_cmd::RKNN_QUERY_IN_OUT_NUM => {
                place.put(rknn_input_output_num { n_input: 1, n_output: 1 })
            }
            rknn_query_cmd::RKNN_QUERY_INPUT_ATTR
            | rknn_query_cmd::RKNN_QUERY_NATIVE_INPUT_ATTR
            | rknn_query_cmd::RKNN_QUERY_NATIVE_NHWC_INPUT_ATTR
            | rknn_query_cmd::RKNN_QUERY_CURRENT_INPUT_ATTR
            | rknn_query_cmd::RKNN_QUERY_CURRENT_NATIVE_INPUT_ATTR => {
                place.put_attr(|| attr("input", model.rows, model.inputs()))
            }
            rknn_query_cmd::RKNN_QUERY_OUTPUT_ATTR
            | rknn_query_cmd::RKNN_QUERY_NATIVE_OUTPUT_ATTR
            | rknn_query_cmd::RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR
            | rknn_query_cmd::RKNN_QUERY_CURRENT_OUTPUT_ATTR
            | rknn_query_cmd::RKNN_QUERY_CURRENT_NATIVE_OUTPUT_ATTR => {
                place.put_attr(|| attr("output", model.rows, model.outputs()))
            }
            rknn_query_cmd::RKNN_QUERY_PERF_RUN => {
                place.put(rknn_perf_run { run_duration: session.microseconds })
            }
            rknn_query_cmd::RKNN_QUERY_MEM_SIZE => place.put(rknn_mem_size {
                total_weight_size: u32::try_from(model.weight_bytes).unwrap_or(u32::MAX),
                total_dma_allocated_size: model.weight_bytes as u64,
                ..Default::default()
            }),
            rknn_query_cmd::RKNN_QUERY_CUSTOM_STRING => {
                let mut answer = rknn_custom_string::default();
                fill(&mut answer.string, &model.custom);
                place.put(answer)
            }
            _ => Err(unknown(cmd)),
        }
    })
}

fn unknown(cmd: rknn_query_cmd) -> Code {
    log::refuse(Code::PARAM_INVALID, format_args!("rknn_query: cmd {} has no answer here", cmd.0))
}

/// Where an answer goes.
struct Place {
    info: *mut c_void,
    size: usize,
}

impl Place {
    fn check<T>(&self) -> Answer {
        if !self.info.is_null() && self.size >= size_of::<T>() {
            return Ok(());
        }
        Err(log::refuse(
            Code::PARAM_INVALID,
            format_args!(
                "rknn_query: {} bytes at {:p}, needs {}",
                self.size,
                self.info,
                size_of::<T>()
            ),
        ))
    }

    fn put<T: Copy>(&self, answer: T) -> Answer {
        self.check::<T>()?;
        // SAFETY: not NULL and large enough, as checked; `query`'s caller promises the rest.
        unsafe { self.info.cast::<T>().write_unaligned(answer) };
        Ok(())
    }

    /// The client's struct says which one it asks about.
    fn put_attr(&self, of: impl FnOnce() -> rknn_tensor_attr) -> Answer {
        self.check::<rknn_tensor_attr>()?;
        // SAFETY: as above; the first field is the index.
        let index = unsafe { self.info.cast::<u32>().read_unaligned() };
        if index != 0 {
            return Err(log::refuse(
                Code::PARAM_INVALID,
                format_args!("rknn_query: tensor {index}; there is one"),
            ));
        }
        self.put(of())
    }
}

fn attr(name: &str, rows: usize, cols: usize) -> rknn_tensor_attr {
    let mut attr = rknn_tensor_attr {
        n_dims: 2,
        n_elems: (rows * cols) as u32,
        size: (rows * cols * 4) as u32,
        size_with_stride: (rows * cols * 4) as u32,
        fmt: rknn_tensor_format::RKNN_TENSOR_UNDEFINED,
        type_: rknn_tensor_type::RKNN_TENSOR_FLOAT32,
        scale: 1.0,
        ..Default::default()
    };
    attr.dims[..2].copy_from_slice(&[rows as u32, cols as u32]);
    fill(&mut attr.name, name);
    attr
}

/// A C string, cut where there is no room.
fn fill(to: &mut [c_char], text: &str) {
    let most = to.len() - 1;
    for (to, byte) in to.iter_mut().zip(text.bytes().take(most)) {
        *to = byte.cast_signed() as c_char;
    }
}
