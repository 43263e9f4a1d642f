//! Language models on Rockchip NPU boards, and the truth about what quantisation did to them.
//!
//! Every weight product is integer-exact and every other operation has one fixed order, so the
//! engine computes the same bits on every CPU. The rules are in `NUMERICS.md` beside this crate.
//!
//! ```no_run
//! use rkllm::session::Model;
//!
//! fn main() -> rkllm::Result<()> {
//!     let model = Model::open("models/tutor-nano")?;
//!     let mut chat = model.chat().with_max_tokens(256).start()?;
//!     for piece in chat.ask("¿Qué es la ley de Ohm?")? {
//!         print!("{}", piece?);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Below the session lie the parts it is made of:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use rkllm::cpu::{Engine, EngineOptions};
//! use rkllm::model::{Checkpoint, Load, WeightOptions};
//! use rkllm::{Backend, Want};
//!
//! fn main() -> rkllm::Result<()> {
//!     let model = Checkpoint::open("artifact", Load::Map)?;
//!     let weights = Arc::new(model.weights(None, &WeightOptions::default())?);
//!     let mut engine = Engine::new(weights, EngineOptions::default())?;
//!     engine.forward(&[1, 2, 3], Want::Last, &mut |position, logits| {
//!         println!("{} logits after position {position}", logits.len());
//!         Ok(())
//!     })
//! }
//! ```
//!
//! The floors of the crate, lowest first: [`quant`], [`layout`], [`soc`] and the open data types
//! ([`Dtype`], [`Tensor`], [`Error`]); [`model`] and [`kernels`]; [`cpu`] and `npu`; [`session`] and [`eval`].
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(target_endian = "big")]
compile_error!(
    "rkllm computes on mapped little-endian files in place; big-endian targets are not supported"
);

mod backend;
mod by_rows;
#[cfg(feature = "cpu")]
#[allow(unsafe_code)] // thread pool and shared output tiles; every block says who checked what
pub mod cpu;
#[cfg(any(feature = "cpu", feature = "tokenizer"))]
mod digest;
mod dtype;
mod error;
#[cfg(feature = "eval")]
pub mod eval;
#[cfg(feature = "cpu")]
#[allow(unsafe_code)] // SIMD
pub mod kernels;
pub mod layout;
#[cfg(any(feature = "eval", feature = "tokenizer"))]
mod logits;
pub mod model;
#[cfg(feature = "npu")]
pub mod npu;
pub mod quant;
#[cfg(feature = "tokenizer")]
pub mod session;
pub mod soc;
mod tensor;
#[cfg(test)]
mod testing;

pub use backend::{Backend, Input, Linear, Want};
pub use by_rows::ByRows;
pub use dtype::Dtype;
pub use error::{Error, ErrorKind, Result};
pub use tensor::{Bytes, Tensor, floats_to_f32};
