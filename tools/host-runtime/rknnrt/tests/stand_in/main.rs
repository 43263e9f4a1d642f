//! The library itself, found beside this test, through the real loader.

mod conversion;
mod faults;
mod lib_under_test;
mod linear;
mod lives;
mod model;
mod products;
mod programs;
mod quantised;
#[allow(dead_code)] // the matmul tests of `rkllm` use the rest of it
#[path = "../../../../../rkllm/tests/npu_matmul/random.rs"]
mod random;
mod reference;
mod sequences;
