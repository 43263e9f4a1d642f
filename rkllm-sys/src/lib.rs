//! The C ABIs of Rockchip's runtimes, and the telling of them apart before the first call.
//!
//! `librkllmrt.so` changes its structs between releases without a soname, a symbol version or a
//! query function: between 1.2.3 and 1.3.0 `RKLLMParam` went from 208 to 184 bytes under the same
//! fifteen symbols, and a program built for the other one corrupts its stack at the first call.
//!
//! [`Rkllm::open`] reads the file first: an ELF file for this processor, with a version text that is
//! known, exporting the functions of that release. Only then is it loaded, and its first function
//! called with a buffer that no layout fills. What comes out is an enum over the ABIs: a match says
//! which structs apply. What does not fit is an [`Error`] with a kind and an advice.
//!
//! | module | library | functions |
//! |---|---|---|
//! | [`v1_2`] | librkllmrt 1.2.1, 1.2.2, 1.2.3 | all fifteen |
//! | [`v1_3`] | librkllmrt 1.3.0 | all fifteen |
//! | [`rknn`] | librknnrt 2.3 | 33, of which matmul's must be there |
//!
//! 1.2.0 and the beta 1.2.1b1 are refused: their `RKLLMInput` and `RKLLMResult` are others, and
//! `rkllm_clear_kv_cache` takes two arguments where 1.2.1 takes four.
//!
//! Structs are plain data with `Default` as all zero bytes; C enums are newtypes. Nothing here is
//! linked, and nothing was run on a board yet.

#[cfg(not(all(target_pointer_width = "64", target_endian = "little", unix)))]
compile_error!("the layouts are those of 64-bit little-endian Unix; 32-bit builds have others");

mod bindings;
mod check;
mod elf;
mod error;
mod functions;
mod library;
mod load;
mod probe;
pub mod rknn;
mod search;
mod sve;
pub mod v1_2;
pub mod v1_3;
mod version;

pub use elf::Machine;
pub use error::{Error, ErrorKind};
pub use functions::Pointer;
pub use library::LibraryFile;
pub use load::{OpenOptions, RKLLM_LIBRARY, RKNN_LIBRARY, Rkllm, RkllmApi, Rknn, RknnOptions};
pub use search::{LIB_DIR, Search};
pub use sve::SveUse;
pub use version::{Abi, RuntimeVersion};
