//! Contexts of a dense model: inputs, a run, outputs.

use std::collections::HashMap;
use std::ffi::c_void;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use half::f16;
use rkllm_sys::rknn::{rknn_input, rknn_output, rknn_tensor_type};

use super::model::Model;
use super::{Answer, Code, contexts, fault, log, settings};

pub(super) struct Session {
    pub(super) model: Arc<Model>,
    input: Option<Vec<f32>>,
    output: Option<Vec<f32>>,
    /// Results the client holds, by address.
    handed: HashMap<usize, Vec<f32>>,
    frame: u64,
    /// Of the last run.
    pub(super) microseconds: i64,
}

/// What `rknn_init` is given.
pub enum Source<'a> {
    /// The bytes of a container.
    Bytes(&'a [u8]),
    /// Its file.
    File(&'a Path),
}

fn invalid(text: String) -> Code {
    log::refuse(Code::MODEL_INVALID, format_args!("rknn_init: {text}"))
}

/// `rknn_init` of a container: see `model`.
///
/// # Errors
/// A file that cannot be read, bytes that are none; faults.
pub fn init_model(source: &Source<'_>) -> Answer<u64> {
    let null = fault::creating()?;
    let model = match *source {
        Source::Bytes(bytes) => Model::parse(bytes).map_err(invalid)?,
        Source::File(path) => {
            let said = |error: String| invalid(format!("{}: {error}", path.display()));
            // A device or a pipe would never end.
            if !path.is_file() {
                return Err(said("no such file".into()));
            }
            let bytes = std::fs::read(path).map_err(|error| said(error.to_string()))?;
            Model::parse(&bytes).map_err(said)?
        }
    };
    log::inform(format_args!(
        "dense model: {} rows, {} inputs, {} outputs",
        model.rows,
        model.inputs(),
        model.outputs()
    ));
    let session = Session::new(Arc::new(model));
    Ok(if null { 0 } else { contexts::add_session(session) })
}

impl Session {
    fn new(model: Arc<Model>) -> Self {
        let handed = HashMap::new();
        Self { model, input: None, output: None, handed, frame: 0, microseconds: 0 }
    }

    /// Another of the same model.
    pub(super) fn again(&self) -> Self {
        Self::new(Arc::clone(&self.model))
    }
}

/// Where `len` values of `size` bytes begin, if they are what is there.
fn values(input: &rknn_input, len: usize) -> Answer<Vec<f32>> {
    let (kind, size) = match input.type_ {
        _ if input.pass_through != 0 => (rknn_tensor_type::RKNN_TENSOR_FLOAT32, 4),
        kind @ rknn_tensor_type::RKNN_TENSOR_FLOAT32 => (kind, 4),
        kind @ rknn_tensor_type::RKNN_TENSOR_FLOAT16 => (kind, 2),
        kind @ (rknn_tensor_type::RKNN_TENSOR_INT8 | rknn_tensor_type::RKNN_TENSOR_UINT8) => {
            (kind, 1)
        }
        other => {
            return Err(log::refuse(
                Code::INPUT_INVALID,
                format_args!("rknn_inputs_set: rknn_tensor_type {}", other.0),
            ));
        }
    };
    if input.index != 0 || input.buf.is_null() || input.size as usize != len * size {
        return Err(log::refuse(
            Code::INPUT_INVALID,
            format_args!(
                "rknn_inputs_set: index {}, {} bytes at {:p}; expected index 0, {} bytes",
                input.index,
                input.size,
                input.buf,
                len * size
            ),
        ));
    }
    // SAFETY: not null, and the client says that so many bytes are there; copied, never kept.
    let bytes = unsafe { std::slice::from_raw_parts(input.buf.cast::<u8>(), len * size) };
    let one = |bytes: &[u8]| match kind {
        rknn_tensor_type::RKNN_TENSOR_FLOAT16 => f16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
        rknn_tensor_type::RKNN_TENSOR_INT8 => f32::from(bytes[0].cast_signed()),
        rknn_tensor_type::RKNN_TENSOR_UINT8 => f32::from(bytes[0]),
        _ => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
    };
    Ok(bytes.chunks_exact(size).map(one).collect())
}

/// `rknn_inputs_set`: copies the one input there is.
///
/// # Errors
/// A dead context; another number, index, size or type.
pub fn set_inputs(id: u64, inputs: &[rknn_input]) -> Answer {
    contexts::with_session(id, |session| {
        let [input] = inputs else {
            return Err(log::refuse(
                Code::INPUT_INVALID,
                format_args!("rknn_inputs_set: one input, found {}", inputs.len()),
            ));
        };
        let len = session.model.rows * session.model.inputs();
        session.input = Some(values(input, len)?);
        Ok(())
    })
}

/// `rknn_run`: the number of the run.
///
/// # Errors
/// A dead context; no input; faults.
pub fn run_model(id: u64) -> Answer<u64> {
    contexts::with_session(id, |session| {
        let results = fault::running()?;
        let start = Instant::now();
        let Some(input) = &session.input else {
            return Err(log::refuse(
                Code::INPUT_INVALID,
                format_args!("rknn_run before rknn_inputs_set"),
            ));
        };
        let mut output = session.model.forward(input);
        if results != fault::Results::Right {
            let mut bytes: Vec<u8> = output.iter().flat_map(|y| y.to_le_bytes()).collect();
            results.spoil(&mut bytes);
            for (y, bytes) in output.iter_mut().zip(bytes.as_chunks().0) {
                *y = f32::from_le_bytes(*bytes);
            }
        }
        session.output = Some(output);
        session.frame += 1;
        session.microseconds = i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX);
        Ok(session.frame)
    })
}

/// `rknn_wait`: every run has ended when it returns, so there is nothing to wait for.
///
/// # Errors
/// A dead context; no run yet.
pub fn wait_model(id: u64) -> Answer<u64> {
    contexts::with_session(id, |session| match session.frame {
        0 => Err(log::refuse(Code::FAIL, format_args!("rknn_wait before rknn_run"))),
        frame => Ok(frame),
    })
}

/// `rknn_outputs_get`: fills the one output there is, float32 either way; the number of the run.
///
/// # Errors
/// A dead context; another number or index; no run yet; a buffer of the client's that is NULL or too
/// small.
pub fn get_outputs(id: u64, outputs: &mut [rknn_output]) -> Answer<u64> {
    let invalid = |text: String| {
        Err(log::refuse(Code::OUTPUT_INVALID, format_args!("rknn_outputs_get: {text}")))
    };
    contexts::with_session(id, |session| {
        let [output] = outputs else {
            return invalid(format!("one output, found {}", outputs.len()));
        };
        let Some(found) = &session.output else { return invalid("no run yet".into()) };
        if output.index != 0 {
            return invalid(format!("index {}", output.index));
        }
        let bytes = size_of_val(&found[..]);
        if output.is_prealloc != 0 {
            if output.buf.is_null() || (output.size as usize) < bytes {
                return invalid(format!("{} bytes at {:p}", output.size, output.buf));
            }
            // SAFETY: the client says that so many bytes are there; bytes may lie anywhere.
            unsafe {
                output.buf.cast::<u8>().copy_from_nonoverlapping(found.as_ptr().cast(), bytes);
            }
        } else {
            let mut copy = found.clone();
            output.buf = copy.as_mut_ptr().cast();
            session.handed.insert(output.buf.addr(), copy);
        }
        output.size = bytes as u32;
        Ok(session.frame)
    })
}

/// `rknn_outputs_release`: frees what was handed out. Buffers of the client's are left alone.
///
/// # Errors
/// A dead context; a buffer that is none of its.
pub fn release_outputs(id: u64, outputs: &mut [rknn_output]) -> Answer {
    contexts::with_session(id, |session| {
        for output in outputs.iter_mut().filter(|output| output.is_prealloc == 0) {
            if session.handed.remove(&output.buf.addr()).is_none() {
                return Err(log::refuse(
                    Code::OUTPUT_INVALID,
                    format_args!("rknn_outputs_release: {:p} was not handed out", output.buf),
                ));
            }
            output.buf = std::ptr::null_mut::<c_void>();
        }
        Ok(())
    })
}

/// `rknn_set_core_mask`: several cores are as good as one here.
///
/// # Errors
/// A dead context; cores there are not; any where the SoC has one.
pub fn set_model_core(id: u64, mask: u32) -> Answer {
    contexts::with_session(id, |_| {
        let cores = settings::get().soc.matmul_cores;
        let fits = mask == 0xffff || mask < 1 << cores && mask != 5 && mask != 6;
        if cores > 0 && fits {
            return Ok(());
        }
        Err(log::refuse(Code::FAIL, format_args!("Not support core mask: {mask}")))
    })
}
