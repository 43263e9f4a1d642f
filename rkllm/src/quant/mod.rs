//! Quantisation: schemes, affine maps, packing, and the rules that turn floats into integers.
//!
//! Everything here is scalar, portable and exact to `NUMERICS.md`; [`kernels`](crate::kernels) has
//! the fast versions of what the engine does per token.

pub mod activation;
mod affine;
pub mod clip;
pub mod nibble;
mod rows;
mod scheme;
mod weights;

pub use affine::Affine;
pub use clip::Clip;
pub use rows::{MAX_GROUP, QuantizedRows, ScaleType, Scales, ZeroPoints};
pub use scheme::{Group, QuantScheme};
pub use weights::{QuantizedBlock, WeightSpec, quantize, quantize_block};

#[cfg(test)]
mod tests;
