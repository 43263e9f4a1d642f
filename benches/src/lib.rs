//! Shapes and data shared by the benches and programs of this package.
#![deny(unsafe_code)]

#[allow(unsafe_code)] // calls products whose contract the callers here keep
mod product;
mod shapes;
mod times;

pub use product::{Product, copies, weights};
pub use shapes::{MODELS, Shape};
pub use times::{Times, options};
