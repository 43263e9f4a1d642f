//! The board's NPU, through the vendor's runtimes.

#[cfg(feature = "cpu")]
mod linear;
#[allow(unsafe_code)] // the vendor's C interface; each block says who checked what
pub mod matmul;

#[cfg(feature = "cpu")]
pub use linear::{NpuDevice, NpuDeviceOptions, NpuLinear};
