//! What a run takes of memory, from the shapes, before it begins.

use super::attention::TILE;
use super::cores::Cores;
use super::engine::EngineOptions;
use super::forward::LOGIT_ROWS;
use crate::kernels::Kernel;
use crate::kernels::float::{KEY_BLOCK, TileScratch};
use crate::kernels::int::Packed;
use crate::model::{Embedding, LinearWeights, ModelWeights};
use crate::{Dtype, Want};

/// Bytes a model and one engine take, at most, each for what it is.
///
/// Tensors that were mapped are the file's pages, read as they are needed and shared with other processes;
/// everything else is memory of this process. The system hands out memory as it is touched: the KV cache fills
/// position by position, activations are as long as the longest input was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct MemoryPlan {
    /// Matrices of the layers and the output head, with scales and zero points, as they are stored.
    pub weights: u64,
    /// The embedding where it is not the head's matrix. Only rows of tokens that occur are read.
    pub embedding: u64,
    /// Norms and biases, as f32.
    pub vectors: u64,
    /// Keys and values of the whole context.
    pub kv_cache: u64,
    /// Activations of a prefill step.
    pub activations: u64,
    /// The same, quantised for one layer's product, and packed for prefill.
    pub quantized_activations: u64,
    /// Rows of weights that every thread prepares for prefill, and its tiles of outputs.
    pub prepared_weights: u64,
    /// Queries and score rows of every thread.
    pub attention: u64,
    /// Cosines and sines of the whole context.
    pub rope: u64,
    /// Rows of logits computed at a time.
    pub logits: u64,
}

impl MemoryPlan {
    /// The plan of an engine with `options` over `weights` that is asked for `want`: logits of every position
    /// take up to 16 rows. It is that of the process's kernel.
    pub fn new(weights: &ModelWeights, options: &EngineOptions, want: Want) -> Self {
        Self::with_kernel(weights, options, want, Kernel::active().ok())
    }

    pub(super) fn with_kernel(
        weights: &ModelWeights,
        options: &EngineOptions,
        want: Want,
        kernel: Option<Kernel>,
    ) -> Self {
        let config = &weights.config;
        let m = options.prefill_chunk.min(options.context) as u64;
        let float = size_of::<f32>() as u64;
        let [hidden, inner, context, dim] =
            [config.hidden_size, config.intermediate_size, options.context, config.head_dim]
                .map(|n| n as u64);
        let q = config.num_attention_heads as u64 * dim;
        let kv = config.num_key_value_heads as u64 * dim;
        // As in `Buffers`: the residual stream and its norm, queries, keys and values, what attention gives,
        // gate and up, and what they make.
        let per_token = 2 * hidden + (q + 2 * kv) + q + 2 * inner + inner;
        let row = float * config.vocab_size as u64;
        // What `RKLLM_THREADS` holds wrongly is reported by the engine; a plan takes the machine's number.
        let chosen = options.resolved().map(|options| options.threads);
        let threads = chosen.unwrap_or_else(|_| Cores::system().placement(None).threads) as u64;
        let kv_value = if weights.kv_cache == Dtype::F16 { 2 } else { float };
        let pairs = config.rope.rotary_dim as u64 / 2;
        Self {
            weights: matrices(weights).map(|linear| stored(linear) - bias(linear)).sum(),
            embedding: match shared(weights) {
                true => 0,
                false => weights.embed_tokens.stored_bytes() as u64,
            },
            vectors: vectors(weights),
            // Keys lie in blocks of positions.
            kv_cache: (weights.layers.len() as u64 * kv * kv_value)
                .saturating_mul(context.saturating_add(context.next_multiple_of(KEY_BLOCK as u64))),
            activations: m.saturating_mul(per_token * float),
            quantized_activations: quantized(weights, m),
            prepared_weights: threads * kernel.map_or(0, |k| prepared(weights, k)),
            attention: threads
                * (TileScratch::bytes(TILE, options.context, config.head_dim) as u64)
                    .saturating_add(2 * TILE as u64 * dim * float),
            rope: context.saturating_mul(pairs * 2 * float),
            logits: match want {
                Want::All => row * m.min(LOGIT_ROWS as u64),
                Want::Last => row,
                Want::Nothing => 0,
            },
        }
    }

    /// What an engine allocates for itself, beside the model.
    pub fn engine(&self) -> u64 {
        self.kv_cache
            + self.activations
            + self.quantized_activations
            + self.prepared_weights
            + self.attention
            + self.rope
            + self.logits
    }

    /// What a model takes, shared by its engines.
    pub fn model(&self) -> u64 {
        self.weights + self.embedding + self.vectors
    }

    /// Model and engine.
    pub fn total(&self) -> u64 {
        self.model() + self.engine()
    }
}

fn matrices(weights: &ModelWeights) -> impl Iterator<Item = &LinearWeights> {
    let layers = weights.layers.iter().flat_map(|layer| {
        let fused = layer.qkv.iter().chain(&layer.gate_up);
        fused.chain([&layer.o_proj, &layer.down_proj])
    });
    layers.chain([&weights.lm_head])
}

fn stored(linear: &LinearWeights) -> u64 {
    linear.stored_bytes() as u64
}

fn bias(linear: &LinearWeights) -> u64 {
    linear.bias.as_ref().map_or(0, |bias| size_of_val(&bias[..]) as u64)
}

/// Norms, and biases twice: the weights' and those of the layers made of them.
fn vectors(weights: &ModelWeights) -> u64 {
    let norms = weights.layers.iter().map(|layer| {
        let heads = [&layer.q_norm, &layer.k_norm].into_iter().flatten().map(Vec::len);
        heads.sum::<usize>() + layer.input_layernorm.len() + layer.post_attention_layernorm.len()
    });
    let norms = (norms.sum::<usize>() + weights.norm.len()) * size_of::<f32>();
    norms as u64 + 2 * matrices(weights).map(bias).sum::<u64>()
}

/// True if the head's matrix is the embedding's memory.
fn shared(weights: &ModelWeights) -> bool {
    use crate::model::LinearData::{Float, Quantized};
    match (&weights.embed_tokens, &weights.lm_head.data) {
        (Embedding::Float(tensor), Float(_, bytes)) => tensor.data.as_ptr() == bytes.as_ptr(),
        (Embedding::Int8(rows), Quantized(head)) => rows.data().as_ptr() == head.data().as_ptr(),
        _ => false,
    }
}

/// The widest input of `m` tokens as int8 and as two planes, with scales and sums per group. Both lie in
/// memory where a model has both: the head is w8a8 whatever its layers are.
fn quantized(weights: &ModelWeights, m: u64) -> u64 {
    let widest = |bits: u32| {
        let bytes = matrices(weights).filter_map(|linear| {
            let (_, group) = linear.quantized_as().filter(|known| known.0 == bits)?;
            let (k, groups) = (linear.k as u64, (linear.k / group) as u64);
            // The head sees the positions whose logits are asked for, so 16 at most.
            let m = if linear.name == weights.lm_head.name { m.min(LOGIT_ROWS as u64) } else { m };
            let planes = if bits == 8 { 1 } else { 2 };
            let packed = Packed::bytes(m as usize, linear.k, linear.k / group, planes) as u64;
            Some(match bits {
                8 => m * (k.next_multiple_of(64) + groups * 8) + packed,
                _ => m * (4 * k.div_ceil(2).next_multiple_of(64) + groups * 12) + packed,
            })
        });
        bytes.max().unwrap_or(0)
    };
    widest(8) + widest(4)
}

/// What a thread keeps for the widest product of several tokens.
fn prepared(weights: &ModelWeights, kernel: Kernel) -> u64 {
    let bytes = matrices(weights).filter_map(|linear| {
        let (bits, group) = linear.quantized_as()?;
        Some(kernel.int().prefill_bytes(bits, linear.k, group) as u64)
    });
    bytes.max().unwrap_or(0)
}
