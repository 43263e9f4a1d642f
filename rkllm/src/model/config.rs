//! `ModelConfig`: what `config.json` says, in one spelling.

mod architecture;
#[cfg(test)]
mod tests;
mod window;

use serde_json::{Map, Value};

pub use architecture::Architecture;
use architecture::Bias;
pub(super) use architecture::Row;

use super::json::{self, Fields, kind_of};
use super::rope::RopeConfig;
use crate::{Error, ErrorKind, Result};

/// The gate's activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// The tanh approximation of GELU.
    GeluTanh,
}

/// A model's shape and constants. Every dimension is nonzero and every product of two fits usize.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Which network.
    pub architecture: Architecture,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Values per head; even.
    pub head_dim: usize,
    /// Tokens known.
    pub vocab_size: usize,
    /// The longest sequence the model was made for.
    pub max_position_embeddings: usize,
    /// Epsilon of the norms.
    pub rms_norm_eps: f32,
    /// The gate's activation function.
    pub hidden_act: Activation,
    /// The head is the embedding.
    pub tie_word_embeddings: bool,
    /// The query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// The output projection of attention has a bias.
    pub o_bias: bool,
    /// The projections of the feed-forward part have a bias.
    pub mlp_bias: bool,
    /// Query and key heads are normalised before RoPE.
    pub qk_norm: bool,
    /// Query, key and value are one matrix, gate and up are another.
    pub fused_projections: bool,
    /// Rotary position embedding.
    pub rope: RopeConfig,
    /// Per layer: the number of positions a query sees, itself included; `None` for all.
    pub sliding_window: Vec<Option<usize>>,
    /// First token of a sequence, where the configuration names one.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a sequence.
    pub eos_token_ids: Vec<u32>,
}

// Bounds of what is believed. The first is the issue of i32 indices elsewhere in the ecosystem; the
// others keep what is allocated from the configuration alone (a window per layer, an inverse
// frequency per pair of a head) small. Every product of two stays below 2^62.
const MAX_DIMENSION: usize = 1 << 31;
const MAX_LAYERS: usize = 1 << 12;
const MAX_HEADS: usize = 1 << 16;
const MAX_HEAD_DIM: usize = 1 << 16;

/// Fields that change the forward pass of their models and that no supported architecture has:
/// ignoring one would give wrong logits without a word.
const REFUSED: [&str; 16] = [
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "query_pre_attn_scalar",
    "attention_multiplier",
    "embedding_multiplier",
    "residual_multiplier",
    "logits_scaling",
    "logit_scale",
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "attention_chunk_size",
    "no_rope_layers",
    "clip_qkv",
    "alibi",
    "lm_head_bias",
];

impl ModelConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] for what is not a configuration, naming the field;
    /// [`ErrorKind::Unsupported`] for a model that this crate would run wrongly or not at all.
    pub fn from_json(text: &str) -> Result<Self> {
        Self::from_map(&json::parse_object(text)?)
    }

    /// Reads a parsed `config.json`.
    ///
    /// # Errors
    /// As [`ModelConfig::from_json`].
    pub fn from_value(value: &Value) -> Result<Self> {
        match value.as_object() {
            Some(map) => Self::from_map(map),
            None => Err(Error::new(
                ErrorKind::Format,
                format!("expected a JSON object, found {}", kind_of(value)),
            )),
        }
    }

    pub(super) fn from_map(map: &Map<String, Value>) -> Result<Self> {
        let fields = Fields::new(map, "");
        let row = architecture::row(fields)?;
        refuse_unknown_features(fields, row)?;

        let hidden_size = fields.required_dimension("hidden_size", MAX_DIMENSION)?;
        let num_hidden_layers = fields.required_dimension("num_hidden_layers", MAX_LAYERS)?;
        let (heads, kv_heads) = heads(fields, row)?;
        let head_dim = head_dim(fields, row, hidden_size, heads)?;
        let max_position_embeddings = fields
            .dimension("max_position_embeddings", MAX_DIMENSION)?
            .unwrap_or(row.max_position_embeddings);
        let attention_bias = fields.boolean("attention_bias")?.unwrap_or(false);
        let mlp_bias = fields.boolean("mlp_bias")?.unwrap_or(false);

        Ok(Self {
            architecture: row.architecture,
            hidden_size,
            intermediate_size: fields.required_dimension("intermediate_size", MAX_DIMENSION)?,
            num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim,
            vocab_size: fields.required_dimension("vocab_size", MAX_DIMENSION)?,
            max_position_embeddings,
            rms_norm_eps: rms_norm_eps(fields, row)?,
            hidden_act: hidden_act(fields)?,
            tie_word_embeddings: fields.boolean("tie_word_embeddings")?.unwrap_or(false),
            qkv_bias: row.qkv_bias.is_on(attention_bias),
            o_bias: row.o_bias.is_on(attention_bias),
            mlp_bias: row.mlp_bias.is_on(mlp_bias),
            qk_norm: row.qk_norm,
            fused_projections: row.fused_projections,
            rope: RopeConfig::from_fields(fields, row, head_dim, max_position_embeddings)?,
            sliding_window: window::per_layer(fields, row, num_hidden_layers)?,
            bos_token_id: match fields.has("bos_token_id") {
                true => token_ids(fields, "bos_token_id")?.first().copied(),
                false => row.bos_token_id,
            },
            eos_token_ids: match fields.has("eos_token_id") {
                true => token_ids(fields, "eos_token_id")?,
                false => row.eos_token_id.into_iter().collect(),
            },
        })
    }

    /// Rows of the query projection: `num_attention_heads * head_dim`.
    pub fn q_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Rows of the key and of the value projection: `num_key_value_heads * head_dim`.
    pub fn kv_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }
}

fn refuse_unknown_features(fields: Fields<'_>, row: &Row) -> Result<()> {
    let neutral = |value: &Value| match value {
        Value::Bool(value) => !value,
        // A factor of 1 changes nothing, a count of 0 is no feature.
        Value::Number(number) => number.as_f64().is_some_and(|v| v == 0.0 || v == 1.0),
        Value::Array(values) => values.is_empty(),
        _ => false,
    };
    for name in REFUSED {
        if let Some(value) = fields.get(name).filter(|value| !neutral(value)) {
            return Err(fields.error(
                ErrorKind::Unsupported,
                name,
                format!(
                    "found {}, which {} as known here does not have",
                    kind_of(value),
                    row.class
                ),
            ));
        }
    }
    for (name, bias) in [("attention_bias", row.qkv_bias), ("mlp_bias", row.mlp_bias)] {
        if bias == Bias::Never && fields.boolean(name)? == Some(true) {
            return Err(fields.error(
                ErrorKind::Unsupported,
                name,
                format!("found true, but {} has no such biases", row.class),
            ));
        }
    }
    Ok(())
}

fn heads(fields: Fields<'_>, row: &Row) -> Result<(usize, usize)> {
    let heads = fields.required_dimension("num_attention_heads", MAX_HEADS)?;
    let kv_heads = match fields.dimension("num_key_value_heads", MAX_HEADS)? {
        Some(kv_heads) => kv_heads,
        None if fields.has("num_key_value_heads") => heads,
        // The default of the architecture, as transformers has it, where it can be meant.
        None => row.num_key_value_heads.filter(|kv| heads.is_multiple_of(*kv)).unwrap_or(heads),
    };
    if !heads.is_multiple_of(kv_heads) {
        return Err(fields.error(
            ErrorKind::Format,
            "num_key_value_heads",
            format!("{kv_heads} does not divide num_attention_heads = {heads}"),
        ));
    }
    Ok((heads, kv_heads))
}

fn head_dim(fields: Fields<'_>, row: &Row, hidden_size: usize, heads: usize) -> Result<usize> {
    let stated = fields.dimension("head_dim", MAX_HEAD_DIM)?;
    let default = if fields.has("head_dim") { None } else { row.head_dim };
    let head_dim = match stated.or(default) {
        Some(head_dim) => head_dim,
        None if hidden_size.is_multiple_of(heads) => hidden_size / heads,
        None => {
            return Err(fields.error(
                ErrorKind::Format,
                "hidden_size",
                format!(
                    "{hidden_size} is not divisible by num_attention_heads = {heads}, \
                     and there is no head_dim"
                ),
            ));
        }
    };
    if head_dim > MAX_HEAD_DIM || !head_dim.is_multiple_of(2) {
        return Err(fields.error(
            ErrorKind::Format,
            "head_dim",
            format!("expected an even number up to {MAX_HEAD_DIM}, found {head_dim}"),
        ));
    }
    Ok(head_dim)
}

fn rms_norm_eps(fields: Fields<'_>, row: &Row) -> Result<f32> {
    let eps = fields.number("rms_norm_eps")?.unwrap_or(row.rms_norm_eps);
    if (0.0..=1.0).contains(&eps) {
        Ok(eps as f32)
    } else {
        Err(fields.error(
            ErrorKind::Format,
            "rms_norm_eps",
            format!("expected a number from 0 to 1, found {eps}"),
        ))
    }
}

fn hidden_act(fields: Fields<'_>) -> Result<Activation> {
    match fields.string("hidden_act")? {
        None | Some("silu" | "swish") => Ok(Activation::Silu),
        Some("gelu_pytorch_tanh" | "gelu_new") => Ok(Activation::GeluTanh),
        Some(other) => Err(fields
            .error(ErrorKind::Unsupported, "hidden_act", format!("unknown activation {other:?}"))
            .with_hint("silu and gelu_pytorch_tanh can run")),
    }
}

/// One id, a list of ids, or none; -1 is how some files write none.
pub(super) fn token_ids(fields: Fields<'_>, name: &str) -> Result<Vec<u32>> {
    let Some(value) = fields.get(name) else { return Ok(Vec::new()) };
    let values = match value {
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    let ids = values.iter().filter(|value| value.as_i64() != Some(-1));
    ids.map(|value| {
        value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
            fields.error(
                ErrorKind::Format,
                name,
                format!("expected token ids, found {}", kind_of(value)),
            )
        })
    })
    .collect()
}
