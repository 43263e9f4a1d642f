//! Turns checkpoints into artifacts.
//!
//! An artifact is a Hugging Face style directory: `config.json` with a `quantization_config` in the
//! compressed-tensors schema, safetensors, the tokenizer's files untouched, and `rkllm.json`, the
//! [`Manifest`].
#![forbid(unsafe_code)]

mod artifact;
mod convert;
mod digest;
mod inspect;
mod manifest;
mod options;
mod outputs;
mod plan;
mod quantization_config;
mod rows;
mod shard;
mod source;
mod staging;
mod verify;

pub use convert::{ConvertReport, convert};
pub use digest::FileDigest;
pub use inspect::{
    Dimensions, DtypeUse, Inspection, Kind, Memory, Parts, Rope, StoredFile, StoredTensor,
    TokenizerFiles, inspect,
};
pub use manifest::{
    Algorithm, Calibration, MANIFEST, MANIFEST_VERSION, Manifest, Perplexity, Source, Tool,
};
pub use options::{ConvertOptions, Embedding, OnProgress, Progress, Stage};
pub use verify::{Problem, VerifyReport, verify, verify_with_progress};
