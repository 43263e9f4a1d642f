//! What a model is on disk: configuration, tensors, tokenizer.

mod artifact;
mod assemble;
mod checkpoint;
mod config;
mod file;
mod finite;
mod header;
mod json;
mod rope;
mod tensors;
#[cfg(test)]
mod tests;
#[cfg(feature = "tokenizer")]
mod tokenizer;
mod weights;

pub use checkpoint::Checkpoint;
pub use config::{Activation, Architecture, ModelConfig};
pub use file::Load;
pub use header::StoredDtype;
pub use rope::{RopeConfig, RopeScaling, RopeTable};
pub use tensors::{TensorIndex, TensorInfo};
#[cfg(feature = "tokenizer")]
pub use tokenizer::{TextStream, Tokenizer};
pub use weights::{
    Embedding, LayerWeights, LinearData, LinearWeights, ModelWeights, WeightOptions,
};
