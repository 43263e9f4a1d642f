//! Matmul contexts and linear layers on a fake librknnrt that multiplies plainly and keeps a record of what
//! it was asked and of what a caller may never do.
#![cfg(all(feature = "npu", feature = "cpu"))]

mod board;
#[path = "../common/mod.rs"]
mod common;
mod context;
mod errors;
mod fake;
mod linear;
mod model;
mod random;
