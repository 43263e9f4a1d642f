//! The calls of `librkllmrt.so`, answered by the CPU engine.
//!
//! What the two ABIs share is here, in types of our own: what `rkllm_init` is given ([`InitParams`]), what a
//! run is given ([`RunInput`], [`RunParams`]), what callbacks are told. A C face reads its ABI's structs into
//! these and calls [`face`]; a handle is a number that stands for an [`Instance`], never an address.

mod callback;
mod conversation;
mod events;
#[doc(hidden)]
pub mod face;
mod fault;
mod generate;
mod instance;
mod lane;
mod loaded;
mod log;
mod model_file;
mod params;
mod prompt_cache;
mod queue;
mod registry;
mod sampling;
mod sequence;
#[cfg(test)]
mod tests;
mod text;

pub use callback::Callbacks;
pub use instance::Instance;
pub use params::{InitParams, Media, Mode, Payload, RunInput, RunParams, SamplingParams, Tags};
