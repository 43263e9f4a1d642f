//! The calls of `librknnrt.so`, answered by the CPU.
//!
//! The library beside this crate is a C face over these functions: it turns pointers into values and
//! keeps panics from crossing. Handles are slab ids, memories are known by the address of the struct
//! that was handed out, and what a client may have written into that struct is checked, never trusted.
//!
//! Source of layouts, limits and codes: `rknn_matmul_api.h` and `rknn_api.h` 2.3.2. What no source
//! says and this stand-in had to decide is listed in `tools/host-runtime/rknnrt/README.md`.

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rkllm_sys::rknn;

mod contexts;
mod element;
mod fault;
pub mod log;
mod matmul;
mod memory;
mod model;
mod product;
mod quant;
mod query;
mod session;
mod settings;
mod slab;
mod soc;
mod tensor;

pub use contexts::{alive, destroy, destroy_matmul, dup_model};
pub use fault::Fault;
pub use matmul::{
    bind, convert_b, create_dynamic_matmul, create_matmul, get_quant_params, run_matmul,
    set_dynamic_shape, set_matmul_core, set_quant_params,
};
pub use memory::{create_memory, destroy_memory, import_memory, sync_memory};
pub use quant::Params;
pub use query::{API_VERSION, query};
pub use session::{
    Source, get_outputs, init_model, release_outputs, run_model, set_inputs, set_model_core,
    wait_model,
};

/// A return code that is not success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub c_int);

impl Code {
    /// -1; also what the vendor documents for a call the SoC lacks.
    pub const FAIL: Self = Self(rknn::RKNN_ERR_FAIL);
    /// -4.
    pub const MALLOC_FAIL: Self = Self(rknn::RKNN_ERR_MALLOC_FAIL);
    /// -5.
    pub const PARAM_INVALID: Self = Self(rknn::RKNN_ERR_PARAM_INVALID);
    /// -6.
    pub const MODEL_INVALID: Self = Self(rknn::RKNN_ERR_MODEL_INVALID);
    /// -7.
    pub const CTX_INVALID: Self = Self(rknn::RKNN_ERR_CTX_INVALID);
    /// -8.
    pub const INPUT_INVALID: Self = Self(rknn::RKNN_ERR_INPUT_INVALID);
    /// -9.
    pub const OUTPUT_INVALID: Self = Self(rknn::RKNN_ERR_OUTPUT_INVALID);
}

/// What a call comes to.
pub type Answer<T = ()> = Result<T, Code>;

/// What a panic under a lock leaves behind is whole: every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Zeros, or the code for no memory where an allocation would otherwise end the process.
fn zeros<T: Copy + Default>(len: usize) -> Answer<Vec<T>> {
    let mut all = Vec::new();
    if all.try_reserve_exact(len).is_err() {
        return Err(log::refuse(
            Code::MALLOC_FAIL,
            format_args!("failed to malloc {len} elements of {} bytes", size_of::<T>()),
        ));
    }
    all.resize(len, T::default());
    Ok(all)
}
