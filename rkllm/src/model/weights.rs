//! A model's tensors in the form the engine computes on.

use super::ModelConfig;
use crate::quant::{Clip, Group, QuantScheme, QuantizedRows, WeightSpec};
use crate::{Bytes, Dtype, Error, ErrorKind, Result, Tensor, floats_to_f32};

/// A model ready to run: configuration and weights, mapped or in memory.
#[derive(Debug, Clone)]
pub struct ModelWeights {
    /// What the model is.
    pub config: ModelConfig,
    /// How its layers are stored.
    pub scheme: QuantScheme,
    /// What keys and values are kept as: f16 for quantised models, f32 for the baseline and for
    /// artifacts of other tools that leave the output head in float.
    pub kv_cache: Dtype,
    /// Token embedding `[vocab, hidden]`.
    pub embed_tokens: Embedding,
    /// The layers, first to last.
    pub layers: Vec<LayerWeights>,
    /// Final norm `[hidden]`.
    pub norm: Vec<f32>,
    /// Output head `[vocab, hidden]`.
    pub lm_head: LinearWeights,
}

/// One transformer layer.
#[derive(Debug, Clone)]
pub struct LayerWeights {
    /// Norm before attention `[hidden]`.
    pub input_layernorm: Vec<f32>,
    /// Query, key and value projections: three matrices, or one whose rows are q, k, v. All are
    /// float, or all have the same bits and groups, so that one quantised input serves them.
    pub qkv: Vec<LinearWeights>,
    /// Norm of each query head `[head_dim]` (Qwen3).
    pub q_norm: Option<Vec<f32>>,
    /// Norm of each key head `[head_dim]` (Qwen3).
    pub k_norm: Option<Vec<f32>>,
    /// Output projection.
    pub o_proj: LinearWeights,
    /// Norm before the feed-forward part `[hidden]`.
    pub post_attention_layernorm: Vec<f32>,
    /// Gate and up projections: two matrices, or one whose rows are gate, up. They share bits and
    /// groups as `qkv` do.
    pub gate_up: Vec<LinearWeights>,
    /// Down projection.
    pub down_proj: LinearWeights,
}

/// One linear layer's weights.
#[derive(Debug, Clone)]
pub struct LinearWeights {
    /// The name of its weight tensor, for messages.
    pub name: String,
    /// N: output features.
    pub n: usize,
    /// K: input features.
    pub k: usize,
    /// The matrix.
    pub data: LinearData,
    /// Bias `[N]`.
    pub bias: Option<Vec<f32>>,
}

/// A linear layer's matrix `[N, K]`, row-major.
#[derive(Debug, Clone)]
pub enum LinearData {
    /// f32, f16 or bf16 elements, little-endian at any alignment.
    Float(Dtype, Bytes),
    /// int8 or int4 with scales.
    Quantized(QuantizedRows),
}

/// The token embedding `[vocab, hidden]`.
#[derive(Debug, Clone)]
pub enum Embedding {
    /// f32, f16 or bf16.
    Float(Tensor),
    /// int8 with scales, usually the rows of the output head.
    Int8(QuantizedRows),
}

impl Embedding {
    /// Writes the row of token `id` to `out` `[hidden]`: floats converted exactly, int8 as
    /// `(q - z) * scale`.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] for an id outside the vocabulary, [`ErrorKind::Shape`] if `out` is not
    /// one row.
    pub fn row(&self, id: u32, out: &mut [f32]) -> Result<()> {
        let (vocab, hidden) = match self {
            Self::Float(tensor) => match tensor.shape[..] {
                [vocab, hidden] => (vocab, hidden),
                _ => return Err(wrong_row(&tensor.shape, out.len())),
            },
            Self::Int8(rows) => (rows.n(), rows.k()),
        };
        let id = id as usize;
        if id >= vocab {
            return Err(Error::new(
                ErrorKind::Tokenizer,
                format!("token id {id} is outside the vocabulary of {vocab}"),
            )
            .with_hint("the tokenizer belongs to another model"));
        }
        if out.len() != hidden {
            return Err(wrong_row(&[vocab, hidden], out.len()));
        }
        match self {
            Self::Float(tensor) => {
                let bytes = hidden * tensor.dtype.size();
                floats_to_f32(tensor.dtype, &tensor.data[id * bytes..][..bytes], out)
            }
            Self::Int8(rows) => {
                rows.dequantize_row(id, out);
                Ok(())
            }
        }
    }

    /// Bytes stored.
    pub fn stored_bytes(&self) -> usize {
        match self {
            Self::Float(tensor) => tensor.data.len(),
            Self::Int8(rows) => rows.stored_bytes(),
        }
    }
}

fn wrong_row(shape: &[usize], len: usize) -> Error {
    Error::new(ErrorKind::Shape, format!("a row of {shape:?} does not fit {len} values"))
        .about("embed_tokens")
}

impl LinearWeights {
    /// Bits and group size of the matrix, `None` where it is float.
    pub fn quantized_as(&self) -> Option<(u32, usize)> {
        match &self.data {
            LinearData::Float(..) => None,
            LinearData::Quantized(rows) => Some((rows.bits(), rows.group())),
        }
    }

    /// Bytes stored, with scales, zero points and bias.
    pub fn stored_bytes(&self) -> usize {
        let bias = self.bias.as_ref().map_or(0, |bias| bias.len() * size_of::<f32>());
        bias + match &self.data {
            LinearData::Float(_, bytes) => bytes.len(),
            LinearData::Quantized(rows) => rows.stored_bytes(),
        }
    }
}

/// How an unquantised checkpoint is quantised in memory; what the converter takes, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightOptions {
    /// The rule that chooses a group's range.
    pub clip: Clip,
    /// False: a zero point for every group.
    pub symmetric: bool,
    /// Threads that convert and check weights, at least one. Their number changes no bit.
    pub threads: usize,
}

impl Default for WeightOptions {
    /// Round to nearest, symmetric, one thread.
    fn default() -> Self {
        Self { clip: Clip::AbsMax, symmetric: true, threads: 1 }
    }
}

impl WeightOptions {
    /// How the linear layers of a model of `scheme` become integers.
    pub fn layer_spec(&self, scheme: QuantScheme) -> WeightSpec {
        WeightSpec { scheme, symmetric: self.symmetric, clip: self.clip }
    }

    /// How the output head does: w8a8 per channel whatever the scheme, and symmetric. It moves every
    /// logit, so it is fixed.
    pub fn head_spec(&self) -> WeightSpec {
        WeightSpec { scheme: QuantScheme::W8A8(Group::Channel), symmetric: true, clip: self.clip }
    }
}
