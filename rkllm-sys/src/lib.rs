//! Which ABI a Rockchip LLM runtime speaks, told from its file before anything of it is called.
//!
//! `librkllmrt.so` changes its structs between releases without a soname, a symbol version or a
//! query function: between 1.2.3 and 1.3.0 `RKLLMParam` went from 208 to 184 bytes under the same
//! fifteen symbols, and a program built for the other one corrupts its stack at the first call. The
//! one thing that tells them apart is a version text inside the library.
//!
//! This crate is a beginning: it reads that text and names the ABI. The declarations of the two ABIs
//! and of librknnrt, and their loading, are not here yet.

mod version;

pub use version::{Abi, RuntimeVersion};
