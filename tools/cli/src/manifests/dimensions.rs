//! A model's shape, and what follows from it: parameters, and sizes of artifacts.

use rkllm::model::{Architecture, ModelConfig};
use rkllm::quant::{Group, QuantScheme};
use serde::{Deserialize, Serialize};

/// The shape, in the words of `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dimensions {
    pub(crate) model_type: String,
    pub(crate) layers: u64,
    pub(crate) hidden_size: u64,
    pub(crate) intermediate_size: u64,
    pub(crate) attention_heads: u64,
    pub(crate) key_value_heads: u64,
    pub(crate) head_dim: u64,
    pub(crate) vocab_size: u64,
    pub(crate) tie_word_embeddings: bool,
}

/// Rows and columns.
type Matrix = (u64, u64);

/// Bytes of a norm's or a bias's value, which artifacts keep as published: bfloat16 or float16.
const SMALL: u64 = 2;
/// A packed int4 matrix has its shape beside it: two 64-bit numbers.
const PACKED_SHAPE: u64 = 16;

impl Dimensions {
    /// Of a checkpoint.
    pub(crate) fn of(config: &ModelConfig) -> Self {
        let model_type = match config.architecture {
            Architecture::Llama => "llama",
            Architecture::Mistral => "mistral",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
            Architecture::Phi3 => "phi3",
            _ => "",
        };
        let [layers, hidden_size, intermediate_size, attention_heads] = [
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads,
        ]
        .map(|size| size as u64);
        let [key_value_heads, head_dim, vocab_size] =
            [config.num_key_value_heads, config.head_dim, config.vocab_size]
                .map(|size| size as u64);
        Self {
            model_type: model_type.into(),
            layers,
            hidden_size,
            intermediate_size,
            attention_heads,
            key_value_heads,
            head_dim,
            vocab_size,
            tie_word_embeddings: config.tie_word_embeddings,
        }
    }

    /// The matrices of one layer, as checkpoints store them.
    fn matrices(&self) -> Vec<Matrix> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let query = self.attention_heads * self.head_dim;
        let key = self.key_value_heads * self.head_dim;
        match self.model_type.as_str() {
            "phi3" => vec![
                (query + 2 * key, hidden),
                (hidden, query),
                (2 * inner, hidden),
                (hidden, inner),
            ],
            _ => vec![
                (query, hidden),
                (key, hidden),
                (key, hidden),
                (hidden, query),
                (inner, hidden),
                (inner, hidden),
                (hidden, inner),
            ],
        }
    }

    /// Values of norms and biases in the whole model.
    pub(super) fn small(&self) -> u64 {
        let extra = match self.model_type.as_str() {
            "qwen2" => (self.attention_heads + 2 * self.key_value_heads) * self.head_dim,
            "qwen3" => 2 * self.head_dim,
            _ => 0,
        };
        self.layers * (2 * self.hidden_size + extra) + self.hidden_size
    }

    /// The number of parameters: the layers' matrices, norms and biases, the embedding, and the head where
    /// it is another matrix.
    pub(crate) fn parameters(&self) -> u64 {
        let layer: u64 = self.matrices().iter().map(|(n, k)| n * k).sum();
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        self.layers * layer + self.small() + tables * self.vocab_size * self.hidden_size
    }

    /// Bytes of the tensors of an artifact of `rkllm convert` in `scheme`, or of the model in a float type: a
    /// quantised one has its embedding in f16 and an int8 head.
    ///
    /// # Errors
    /// Why the scheme cannot apply.
    pub(crate) fn bytes(&self, scheme: QuantScheme) -> rkllm::Result<u64> {
        if scheme.is_float() {
            return Ok(self.parameters() * u64::from(scheme.weight_bits()) / 8);
        }
        let mut layer = 0;
        for (n, k) in self.matrices() {
            layer += matrix_bytes(n, k, scheme)?;
        }
        let (vocab, hidden) = (self.vocab_size, self.hidden_size);
        let head = matrix_bytes(vocab, hidden, QuantScheme::W8A8(Group::Channel))?;
        Ok(self.layers * layer + head + 2 * vocab * hidden + SMALL * self.small())
    }
}

/// Bytes of a symmetric matrix with its scales: f16 for groups, else f32.
fn matrix_bytes(n: u64, k: u64, scheme: QuantScheme) -> rkllm::Result<u64> {
    let group = scheme.group_size(k as usize)? as u64;
    let scales = match scheme.group() {
        Some(Group::Columns(_)) => 2 * n * (k / group),
        _ => 4 * n,
    };
    Ok(scales
        + match scheme.weight_bits() {
            4 => n * k.div_ceil(8) * 4 + PACKED_SHAPE,
            _ => n * k,
        })
}
