//! `.rkllm` models through librkllmrt, one safe interface over both of its ABIs.
//!
//! ```no_run
//! use rkllm::npu::{NpuOptions, RunOptions};
//!
//! fn main() -> rkllm::Result<()> {
//!     let mut model = NpuOptions::default().with_context(4096).load("qwen3-0.6b.rkllm")?;
//!     for piece in model.stream("¿Qué es la ley de Ohm?", &RunOptions::default())? {
//!         print!("{}", piece?.text);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What is kept true
//! - Which ABI the library speaks is known before its first call; what an ABI lacks is an error of kind
//!   [`Unsupported`](crate::ErrorKind::Unsupported), never a guess.
//! - What a run is handed lives on the heap, owned by the model, until the next run has begun.
//! - Callbacks find their run by a number that is never used twice. One that comes after its run, from
//!   whatever thread, finds nothing and touches nothing.
//! - A panic in a caller's closure stops the run and goes on in the caller. Characters arrive whole.
//! - One call at a time per model. Only abort and the question whether it runs go beside a run.
//! - `rkllm_run_async` is never called: the background is a thread of ours around the blocking run.
//!
//! # What has not been verified
//! Nothing here has run on a board. Where Rockchip's documents are silent the assumption stands beside
//! the item, marked `[INF]`.

mod abort;
mod arena;
mod backend;
mod callback;
mod core;
mod cross_attention;
mod frames;
mod hooks;
mod input;
mod media;
mod memory;
mod model;
mod npu_run;
mod options;
mod output;
mod param;
mod prepare;
mod registry;
mod run;
mod run_options;
mod runtime;
mod sampling;
mod sink;
mod start;
mod stream;
#[cfg(test)]
mod tests;
mod text;
mod transfer;

pub use abort::AbortHandle;
pub(super) use abort::Remote;
pub use backend::NpuBackend;
pub use cross_attention::{CrossAttention, CrossAttentionSize};
pub use input::{Input, Role};
pub use media::{Images, MediaTags, Videos};
pub use model::NpuModel;
pub use npu_run::NpuRun;
pub use options::NpuOptions;
pub use output::{End, Flow, Output, Performance, Report, Rows};
pub use rkllm_sys::{Abi, OpenOptions, RuntimeVersion, Search};
pub use run_options::{Mode, RunOptions};
pub use runtime::Runtime;
pub use sampling::NpuSampling;
pub use stream::{Piece, Stream};
pub(super) use transfer::{Settings, Told, is_null_handle, put_output};
