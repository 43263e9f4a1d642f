//! Exact products and the float operations of the network, one file per instruction set.
//!
//! The scalar kernel is the reference; every other kernel gives the same bits. Which one runs is
//! decided once per process, or by the environment variable `RKLLM_KERNEL`.

mod columns;
mod dispatch;
pub(crate) mod exact;
pub mod float;
pub mod fpenv;
pub mod int;
mod peak;
pub(crate) mod prefetch;

pub use columns::{Columns, ColumnsAt};
pub use dispatch::{KERNEL_VARIABLE, Kernel};
pub(crate) use peak::Peak;
