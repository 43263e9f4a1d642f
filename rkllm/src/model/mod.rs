//! What a model is on disk: configuration, tensors, tokenizer.

mod artifact;
mod assemble;
#[cfg(feature = "chat")]
mod chat_template;
mod checkpoint;
mod config;
mod file;
mod finite;
mod header;
mod json;
#[cfg(feature = "cpu")]
mod lora;
mod rope;
mod tensors;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(feature = "tokenizer")]
mod tokenizer;
mod weights;

#[cfg(feature = "chat")]
pub use chat_template::{
    ChatTemplate, Content, FunctionCall, Message, RenderOptions, Role, SpecialTokens, ToolCall,
};
pub use checkpoint::Checkpoint;
pub use config::{Activation, Architecture, ModelConfig};
pub use file::Load;
pub use header::StoredDtype;
#[cfg(feature = "cpu")]
pub use lora::Lora;
#[cfg(feature = "cpu")]
pub(crate) use lora::LoraPart;
pub use rope::{RopeConfig, RopeScaling, RopeTable};
pub use tensors::{TensorIndex, TensorInfo};
#[cfg(feature = "tokenizer")]
pub use tokenizer::{TextStream, Tokenizer};
pub use weights::{
    Embedding, LayerWeights, LinearData, LinearWeights, ModelWeights, WeightOptions,
};
