//! What a conversion is asked to do, and how it tells where it is.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use rkllm::model::WeightOptions;
use rkllm::quant::{Clip, Group, QuantScheme, WeightSpec};
use rkllm::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// How the token embedding is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Embedding {
    /// A tensor of its own in f16.
    #[default]
    F16,
    /// int8 rows with a scale each, for small boards. Where the source's head is its embedding, one
    /// matrix stays both. transformers cannot read such an artifact.
    Int8,
}

impl fmt::Display for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F16 => "f16",
            Self::Int8 => "int8",
        })
    }
}

impl FromStr for Embedding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f16" => Ok(Self::F16),
            "int8" => Ok(Self::Int8),
            _ => Err(Error::new(ErrorKind::Input, format!("unknown embedding {name:?}"))
                .with_hint("use f16 or int8")),
        }
    }
}

/// Options of [`convert`](crate::convert).
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// How the linear layers are stored; w8a8 or w4a16, grouped or not.
    pub scheme: QuantScheme,
    /// False for zero points on the weights of the layers (never on the head).
    pub symmetric: bool,
    /// How the range of a group is chosen.
    pub clip: Clip,
    /// How the token embedding is stored.
    pub embedding: Embedding,
    /// Threads that quantise; 0 for one per core. The result does not depend on it.
    pub threads: usize,
    /// Bytes of tensors after which another `model-*.safetensors` is begun.
    pub shard_bytes: u64,
    /// Replaces an artifact (or an empty folder) that is already there.
    pub overwrite: bool,
}

impl ConvertOptions {
    /// Shards of 4 GB.
    pub const SHARD_BYTES: u64 = 4_000_000_000;

    /// Symmetric round-to-nearest in `scheme`, f16 embedding, all cores, nothing overwritten.
    pub fn new(scheme: QuantScheme) -> Self {
        Self {
            scheme,
            symmetric: true,
            clip: Clip::AbsMax,
            embedding: Embedding::F16,
            threads: 0,
            shard_bytes: Self::SHARD_BYTES,
            overwrite: false,
        }
    }

    /// How the linear layers become integers: as the model reader makes them in memory.
    pub(crate) fn layer_spec(&self) -> WeightSpec {
        self.weight_options().layer_spec(self.scheme)
    }

    /// How the output head does, and an int8 embedding.
    pub(crate) fn head_spec(&self) -> WeightSpec {
        self.weight_options().head_spec()
    }

    fn weight_options(&self) -> WeightOptions {
        WeightOptions { clip: self.clip, symmetric: self.symmetric, ..WeightOptions::default() }
    }
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self::new(QuantScheme::W8A8(Group::Channel))
    }
}

/// The parts of the work, in their order. Each counts its own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Hashing the source's files.
    HashSource,
    /// Reading, quantising and writing tensors.
    Quantize,
    /// Hashing the files of the artifact.
    HashArtifact,
}

/// Where the work is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The part of the work.
    pub stage: Stage,
    /// The tensor or the file in hand.
    pub item: &'a str,
    /// Bytes of this stage that are done.
    pub done: u64,
    /// Bytes of this stage.
    pub total: u64,
}

/// Told at every tensor, file and block where the work is; `Break` cancels it.
pub type OnProgress<'a> = dyn FnMut(&Progress<'_>) -> ControlFlow<()> + 'a;

/// The bytes of one stage, counted and reported.
pub(crate) struct Meter<'a, 'b> {
    on_progress: &'a mut OnProgress<'b>,
    stage: Stage,
    done: u64,
    total: u64,
}

impl<'a, 'b> Meter<'a, 'b> {
    pub(crate) fn new(on_progress: &'a mut OnProgress<'b>, stage: Stage, total: u64) -> Self {
        Self { on_progress, stage, done: 0, total }
    }

    /// Takes `bytes` back that must be done again.
    pub(crate) fn take_back(&mut self, bytes: u64) {
        self.done = self.done.saturating_sub(bytes);
    }

    /// Counts `bytes` more of `item`.
    pub(crate) fn add(&mut self, item: &str, bytes: u64) -> Result<()> {
        // A source that grows while it is read must not show more than everything.
        self.done = self.done.saturating_add(bytes).min(self.total);
        let progress = Progress { stage: self.stage, item, done: self.done, total: self.total };
        match (self.on_progress)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(ErrorKind::Cancelled, "cancelled")),
        }
    }
}
