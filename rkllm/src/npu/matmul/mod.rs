//! Matmul contexts of librknnrt 2.3: C = A x B on one NPU core.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use rkllm::layout::{Chip, MatmulType};
//! use rkllm::npu::matmul::{Core, MatmulSpec, Runtime, Shape};
//!
//! fn main() -> rkllm::Result<()> {
//!     let runtime = Runtime::find()?;
//!     let shape = Shape { m: 4, k: 64, n: 64 };
//!     let spec = MatmulSpec::new(Chip::Rk3588, MatmulType::I8I8I32, shape).with_core(Core::Zero);
//!     let mut product = spec.create(&runtime)?;
//!     let weights = Arc::new(product.weights(&[1i8; 64 * 64])?);
//!     product.set_weights(weights)?;
//!     product.write_a(&[2i8; 4 * 64])?;
//!     product.run()?;
//!     let mut sums = [0i32; 4 * 64];
//!     product.read_c(&mut sums)
//! }
//! ```
//!
//! # What is kept true
//! - Matrices are row-major here, weights `(N, K)`; where an element lies on the device is
//!   [`layout`](crate::layout)'s. Shapes the chip does not take are padded with zeros.
//! - What `io_attr` says of each tensor is compared with [`layout`](crate::layout) before any memory is
//!   filled. A difference is an error that names both; nothing is guessed.
//! - Every length is checked before a byte moves. A memory is destroyed once, before its context, whatever
//!   order its owners go in: each [`Weights`] keeps the context it came from alive.
//! - One call at a time on a context. A [`Matmul`] can move to another thread and use it there.
//! - Masks of several cores cannot be expressed: on matmul contexts librknnrt refuses them. Use a context
//!   per core, each with a part of N, each on its own thread.
//!
//! # What has not been verified
//! **None of this has run on an NPU or met a real librknnrt.** The tests run on a fake one that is written
//! from the same facts (RKNN 2.3.2: headers, API reference, demo). Assumed, in particular:
//! - A, B and C of a context may be bound anew at any time, and a B memory may be bound to any context of
//!   its IOMMU domain. The demo binds B once. A dynamic context refuses a second B here, as documented.
//! - `rknn_mem_sync` does no harm where it is not needed; the demo never calls it.
//! - Creating a context and using it on another thread is allowed; only reports of others say so.
//! - `io_attr` sizes are exact. If a release pads them, [`MatmulSpec::with_io_attr_trusted`] accepts it.
//! - What padded rows of native A may hold: they are zero here.

mod attr;
mod context;
mod product;
mod quant;
mod runtime;
mod spec;
mod support;

pub use context::Weights;
pub use product::Matmul;
pub use quant::Granularity;
pub use rkllm_sys::{RknnOptions, Search};
pub use runtime::Runtime;
pub use spec::{Core, MatmulSpec, Shape};
