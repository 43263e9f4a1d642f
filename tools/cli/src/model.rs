//! Opening models for the commands that run them.

use std::sync::Arc;

use rkllm::Linear;
use rkllm::cpu::{Engine, EngineOptions, LinearRole};
use rkllm::kernels::Kernel;
use rkllm::model::{
    Checkpoint, Embedding, LinearData, LinearWeights, Load, ModelWeights, WeightOptions,
};
use rkllm::quant::QuantScheme;
use serde::Serialize;

use crate::args::{ModelArgs, QuantizeArgs, Settings};
use crate::{memory, output};

/// A model in memory.
pub(crate) struct Model {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) weights: Arc<ModelWeights>,
}

impl Model {
    /// Opens the model the arguments name.
    pub(crate) fn open(args: &ModelArgs, settings: &Settings) -> anyhow::Result<Self> {
        let checkpoint = Checkpoint::open(&args.path, args.load.load)?;
        let weights = weights(&checkpoint, args.dtype, args.quantize, settings)?;
        Ok(Self { checkpoint, weights })
    }

    /// The scheme it runs in.
    pub(crate) fn dtype(&self) -> QuantScheme {
        self.weights.scheme
    }

    /// An engine for sequences of `context` tokens.
    pub(crate) fn engine(
        &self,
        context: usize,
        prefill_chunk: Option<usize>,
        settings: &Settings,
    ) -> anyhow::Result<Engine> {
        engine(&self.weights, context, prefill_chunk, settings)
    }

    /// The same with the linear layers that `supply` makes of the CPU's own.
    pub(crate) fn engine_with(
        &self,
        context: usize,
        prefill_chunk: Option<usize>,
        settings: &Settings,
        supply: &mut dyn FnMut(LinearRole, Box<dyn Linear>) -> Box<dyn Linear>,
    ) -> anyhow::Result<Engine> {
        let options = engine_options(context, prefill_chunk, settings);
        let weights = Arc::clone(&self.weights);
        let mut supply = |role, _: &[LinearWeights], cpu| Ok(supply(role, cpu));
        let engine = Engine::with_linears(weights, options, Kernel::active()?, &mut supply)?;
        note_plan(&engine, settings);
        Ok(engine)
    }
}

/// The weights of `checkpoint` as `dtype`.
pub(crate) fn weights(
    checkpoint: &Checkpoint,
    dtype: Option<QuantScheme>,
    quantize: QuantizeArgs,
    settings: &Settings,
) -> rkllm::Result<Arc<ModelWeights>> {
    let options = WeightOptions {
        clip: quantize.clip,
        symmetric: !quantize.asymmetric,
        threads: settings.threads,
    };
    checkpoint.weights(dtype, &options).map(Arc::new)
}

/// An engine over `weights` for sequences of `context` tokens; `--verbose` says where it computes and what it takes.
pub(crate) fn engine(
    weights: &Arc<ModelWeights>,
    context: usize,
    prefill_chunk: Option<usize>,
    settings: &Settings,
) -> anyhow::Result<Engine> {
    let engine =
        Engine::new(Arc::clone(weights), engine_options(context, prefill_chunk, settings))?;
    note_plan(&engine, settings);
    Ok(engine)
}

fn note_plan(engine: &Engine, settings: &Settings) {
    if settings.verbose {
        output::note(&memory::engine(engine));
    }
}

fn engine_options(
    context: usize,
    prefill_chunk: Option<usize>,
    settings: &Settings,
) -> EngineOptions {
    let mut options = EngineOptions { threads: settings.threads, context, ..Default::default() };
    if let Some(chunk) = prefill_chunk {
        options.prefill_chunk = chunk;
    }
    options
}

/// How large a model's tensors are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Size {
    /// Bits per weight of the layers' matrices, scales and zero points included: the cost of the scheme.
    pub(crate) bits_per_weight: f64,
    /// Bits of everything, embedding and head included, per parameter of the model.
    pub(crate) bits_per_parameter: f64,
    /// Bytes of everything; a matrix that serves twice counts once.
    pub(crate) bytes: u64,
}

impl Size {
    pub(crate) fn of(weights: &ModelWeights) -> Self {
        let matrices = || {
            weights.layers.iter().flat_map(|layer| {
                let fused = layer.qkv.iter().chain(&layer.gate_up);
                fused.chain([&layer.o_proj, &layer.down_proj])
            })
        };
        let linear_weights: usize = matrices().map(|m| m.n * m.k).sum();
        let linear_bytes: usize = matrices().map(|m| m.stored_bytes() - bias_bytes(m)).sum();
        let biases: usize = matrices().map(bias_bytes).sum();
        let norms: usize = weights
            .layers
            .iter()
            .map(|layer| {
                let heads = [&layer.q_norm, &layer.k_norm].into_iter().flatten();
                heads.map(Vec::len).sum::<usize>()
                    + layer.input_layernorm.len()
                    + layer.post_attention_layernorm.len()
            })
            .sum::<usize>()
            + weights.norm.len();
        let head = &weights.lm_head;
        let tied = weights.config.tie_word_embeddings;
        let mut bytes = linear_bytes + biases + norms * size_of::<f32>();
        bytes += weights.embed_tokens.stored_bytes();
        bytes += if shared(&weights.embed_tokens, head) { 0 } else { head.stored_bytes() };
        let tables = if tied { 1 } else { 2 };
        let parameters =
            linear_weights + biases / size_of::<f32>() + norms + tables * head.n * head.k;
        Self {
            bits_per_weight: linear_bytes as f64 * 8.0 / linear_weights.max(1) as f64,
            bits_per_parameter: bytes as f64 * 8.0 / parameters.max(1) as f64,
            bytes: bytes as u64,
        }
    }
}

fn bias_bytes(linear: &LinearWeights) -> usize {
    linear.bias.as_ref().map_or(0, |bias| bias.len() * size_of::<f32>())
}

/// True if the head's matrix is the embedding's memory.
fn shared(embedding: &Embedding, head: &LinearWeights) -> bool {
    match (embedding, &head.data) {
        (Embedding::Float(tensor), LinearData::Float(_, bytes)) => {
            tensor.data.as_ptr() == bytes.as_ptr()
        }
        (Embedding::Int8(rows), LinearData::Quantized(head)) => {
            rows.data().as_ptr() == head.data().as_ptr()
        }
        _ => false,
    }
}

/// True if both hold the same numbers in the same form, so that the engine computes the same bits with them:
/// an f16 checkpoint run as it is, and run as f16.
pub(crate) fn same_numbers(a: &ModelWeights, b: &ModelWeights) -> bool {
    let floats = |a: &LinearWeights, b: &LinearWeights| match (&a.data, &b.data) {
        (LinearData::Float(a_type, a_bytes), LinearData::Float(b_type, b_bytes)) => {
            a_type == b_type && a_bytes[..] == b_bytes[..] && a.bias == b.bias
        }
        _ => false,
    };
    let all = |a: &[LinearWeights], b: &[LinearWeights]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| floats(a, b))
    };
    let embedding = match (&a.embed_tokens, &b.embed_tokens) {
        (Embedding::Float(a), Embedding::Float(b)) => {
            a.dtype == b.dtype && a.data[..] == b.data[..]
        }
        _ => false,
    };
    embedding
        && a.kv_cache == b.kv_cache
        && a.norm == b.norm
        && floats(&a.lm_head, &b.lm_head)
        && a.layers.len() == b.layers.len()
        && a.layers.iter().zip(&b.layers).all(|(a, b)| {
            all(&a.qkv, &b.qkv)
                && all(&a.gate_up, &b.gate_up)
                && floats(&a.o_proj, &b.o_proj)
                && floats(&a.down_proj, &b.down_proj)
                && a.input_layernorm == b.input_layernorm
                && a.post_attention_layernorm == b.post_attention_layernorm
                && a.q_norm == b.q_norm
                && a.k_norm == b.k_norm
        })
}

/// Opens a checkpoint that has not been quantised, for a float baseline.
pub(crate) fn open_float(path: &std::path::Path, load: Load) -> anyhow::Result<Checkpoint> {
    let checkpoint = Checkpoint::open(path, load)?;
    if checkpoint.is_quantized() {
        anyhow::bail!(
            "{}: already quantised as {}, so it has no float baseline; give the checkpoint it was made from",
            path.display(),
            checkpoint.scheme()
        );
    }
    Ok(checkpoint)
}
