//! The board's NPU, through the vendor's runtimes.

pub mod board;
pub mod file;
#[cfg(feature = "cpu")]
mod linear;
#[allow(unsafe_code)] // the vendor's C interface; each block says who checked what
mod llm;
#[allow(unsafe_code)] // the vendor's C interface; each block says who checked what
pub mod matmul;
mod wire;
#[allow(unsafe_code)] // what a process does to itself; each block says who checked what
pub mod worker;

#[cfg(feature = "cpu")]
pub use linear::{NpuDevice, NpuDeviceOptions, NpuLinear};
pub use llm::*;
