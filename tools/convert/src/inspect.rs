//! What a checkpoint or an artifact holds, without reading a weight.

mod display;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rkllm::model::{Checkpoint, Load, ModelConfig, RopeScaling, TensorIndex};
use rkllm::quant::QuantScheme;
use rkllm::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::manifest::Manifest;
use crate::outputs::MatrixNames;
use crate::plan::{self, EMBEDDING, HEAD, Role};

/// Contexts that memory is estimated for, beside the model's own.
const CONTEXTS: [u64; 2] = [2048, 4096];

/// What a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Floats, as published.
    Checkpoint,
    /// Integers in the compressed-tensors schema.
    Artifact,
}

/// What a directory holds. `Display` prints all but the tensors.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// Checkpoint or artifact.
    pub kind: Kind,
    /// The class in `config.json`.
    pub architecture: String,
    /// How its layers are stored; `f32` for any float checkpoint, which is what it runs in.
    pub scheme: QuantScheme,
    /// Parameters; a tied embedding counts once.
    pub parameters: u64,
    /// Bits in all stored tensors per parameter.
    pub bits_per_weight: f64,
    /// Shape of the network.
    pub dimensions: Dimensions,
    /// How positions become angles.
    pub rope: Rope,
    /// One matrix is embedding and head.
    pub tied: bool,
    /// Bytes of tensors by what they are for.
    pub parts: Parts,
    /// Element types in use.
    pub dtypes: Vec<DtypeUse>,
    /// Bytes of keys and values for every token of the context.
    pub kv_bytes_per_token: u64,
    /// What running takes.
    pub memory: Vec<Memory>,
    /// What turns text into ids.
    pub tokenizer: TokenizerFiles,
    /// Files that hold tensors.
    pub files: Vec<StoredFile>,
    /// Every stored tensor, by name.
    pub tensors: Vec<StoredTensor>,
    /// `rkllm.json`, where there is one.
    pub manifest: Option<Manifest>,
}

/// The shape of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Dimensions {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
    /// Tokens known.
    pub vocab_size: usize,
    /// The longest sequence the model was made for.
    pub context: usize,
    /// Layers that see only a window, and the widest of these windows.
    pub sliding_layers: usize,
    /// Positions of the widest window; absent where no layer has one.
    pub sliding_window: Option<usize>,
}

/// Rotary position embedding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// Values of a head that are rotated.
    pub rotary_dim: usize,
    /// `default`, `linear`, `dynamic`, `llama3`, `yarn` or `longrope`.
    pub scaling: String,
}

/// Bytes of tensors by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// The token embedding; the head too, where they are one.
    pub embedding: u64,
    /// Matrices of the layers, with scales and zero points.
    pub layers: u64,
    /// The output head, with scales.
    pub head: u64,
    /// Norms and biases, and whatever the model does not read.
    pub other: u64,
}

/// Tensors of one element type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DtypeUse {
    /// The type.
    pub dtype: String,
    /// How many tensors.
    pub tensors: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// What running with a context takes: weights, keys and values. Activations of a prefill chunk come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Tokens of context.
    pub context: u64,
    /// Bytes of the cache.
    pub kv_cache: u64,
    /// Bytes of weights and cache.
    pub total: u64,
}

/// What turns text into ids and messages into text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TokenizerFiles {
    /// `tokenizer.json` is there.
    pub tokenizer_json: bool,
    /// A chat template is there.
    pub chat_template: bool,
}

/// A file of tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredFile {
    /// Its name.
    pub name: String,
    /// Bytes of tensors in it.
    pub tensor_bytes: u64,
}

/// A stored tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: String,
    /// Dimensions, slowest first.
    pub shape: Vec<usize>,
    /// Bytes.
    pub bytes: u64,
    /// The file that holds it.
    pub file: String,
}

/// Looks at the model in `dir`: configuration and headers, no weight.
///
/// # Errors
/// What [`Checkpoint::open`] refuses, and a manifest that cannot be read.
pub fn inspect(dir: &Path) -> Result<Inspection> {
    let checkpoint = Checkpoint::open(dir, Load::Copy)?;
    let manifest = match Manifest::read(dir) {
        Ok(manifest) => Some(manifest),
        Err(error) if error.kind() == ErrorKind::Missing => None,
        Err(error) => return Err(error),
    };
    let config = checkpoint.config();
    let tensors = stored_tensors(checkpoint.tensors());
    let weights: u64 = tensors.iter().map(|tensor| tensor.bytes).sum();
    let parameters = match &manifest {
        Some(manifest) => manifest.parameters,
        None => parameters(config),
    };
    let kv_bytes_per_token = kv_bytes(config, quantized_head(&checkpoint));
    Ok(Inspection {
        kind: match checkpoint.is_quantized() {
            true => Kind::Artifact,
            false => Kind::Checkpoint,
        },
        architecture: config.architecture.class().to_owned(),
        scheme: checkpoint.scheme(),
        parameters,
        bits_per_weight: weights as f64 * 8.0 / parameters.max(1) as f64,
        dimensions: dimensions(config),
        rope: rope(config),
        tied: config.tie_word_embeddings,
        parts: parts(config, checkpoint.tensors()),
        dtypes: dtypes(&tensors),
        kv_bytes_per_token,
        memory: memory(config, weights, kv_bytes_per_token),
        tokenizer: tokenizer_files(dir)?,
        files: stored_files(&tensors),
        tensors,
        manifest,
    })
}

fn dimensions(config: &ModelConfig) -> Dimensions {
    let windows = config.sliding_window.iter().flatten();
    Dimensions {
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        vocab_size: config.vocab_size,
        context: config.max_position_embeddings,
        sliding_layers: windows.clone().count(),
        sliding_window: windows.max().copied(),
    }
}

fn rope(config: &ModelConfig) -> Rope {
    let scaling = match config.rope.scaling {
        RopeScaling::Default => "default",
        RopeScaling::Linear { .. } => "linear",
        RopeScaling::Dynamic { .. } => "dynamic",
        RopeScaling::Llama3 { .. } => "llama3",
        RopeScaling::Yarn { .. } => "yarn",
        RopeScaling::LongRope { .. } => "longrope",
        _ => "other",
    };
    Rope { theta: config.rope.theta, rotary_dim: config.rope.rotary_dim, scaling: scaling.into() }
}

/// Parameters by the configuration.
fn parameters(config: &ModelConfig) -> u64 {
    let tied = |role| role == Role::Head && config.tie_word_embeddings;
    let items = plan::tensors(config).into_iter().filter(|item| !tied(item.role));
    // Dimensions are bounded so that a product of two fits; a sum of many might not.
    items.fold(0u64, |sum, item| {
        sum.saturating_add(item.shape.iter().map(|&dim| dim as u64).product())
    })
}

/// True for artifacts of this tool; others leave the head in floats, and the engine then keeps the cache in
/// f32 as their own readers do.
fn quantized_head(checkpoint: &Checkpoint) -> bool {
    let scaled = |name| checkpoint.tensors().get(&MatrixNames::new(name).scale).is_some();
    checkpoint.is_quantized() && (scaled(HEAD) || scaled(EMBEDDING))
}

/// Bytes of keys and values of one token: f16 where the head is quantised, else f32.
fn kv_bytes(config: &ModelConfig, half: bool) -> u64 {
    let size = if half { 2 } else { 4 };
    2 * size * config.num_hidden_layers as u64 * config.kv_size() as u64
}

fn memory(config: &ModelConfig, weights: u64, kv_bytes_per_token: u64) -> Vec<Memory> {
    let most = config.max_position_embeddings as u64;
    let contexts = CONTEXTS.into_iter().filter(|&context| context < most).chain([most]);
    contexts
        .map(|context| {
            let kv_cache = kv_bytes_per_token.saturating_mul(context);
            Memory { context, kv_cache, total: weights.saturating_add(kv_cache) }
        })
        .collect()
}

/// Sorts every stored tensor by the module whose name it begins with.
fn parts(config: &ModelConfig, index: &TensorIndex) -> Parts {
    let mut roles: BTreeMap<String, Role> = BTreeMap::new();
    for item in plan::tensors(config).into_iter().filter(|item| item.role != Role::Small) {
        roles.insert(item.name.trim_end_matches(".weight").to_owned(), item.role);
    }
    let mut parts = Parts::default();
    for name in index.names() {
        let bytes = index.get(name).map_or(0, |info| info.bytes());
        let role = name
            .rsplit_once('.')
            .filter(|(_, tensor)| *tensor == "weight" || tensor.starts_with("weight_"))
            .and_then(|(module, _)| roles.get(module));
        let part = match role {
            Some(Role::Embedding) => &mut parts.embedding,
            Some(Role::Linear) => &mut parts.layers,
            Some(Role::Head) => &mut parts.head,
            Some(Role::Small) | None => &mut parts.other,
        };
        *part += bytes;
    }
    parts
}

fn stored_tensors(index: &TensorIndex) -> Vec<StoredTensor> {
    let files: Vec<String> = index
        .files()
        .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    let tensors = index.names().filter_map(|name| Some((name, index.get(name)?)));
    tensors
        .map(|(name, info)| StoredTensor {
            name: name.to_owned(),
            dtype: info.dtype.to_string(),
            shape: info.shape.clone(),
            bytes: info.bytes(),
            file: files.get(info.file).cloned().unwrap_or_default(),
        })
        .collect()
}

fn dtypes(tensors: &[StoredTensor]) -> Vec<DtypeUse> {
    let mut uses: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for tensor in tensors {
        let (count, bytes) = uses.entry(&tensor.dtype).or_default();
        *count += 1;
        *bytes += tensor.bytes;
    }
    let mut uses: Vec<DtypeUse> = uses
        .into_iter()
        .map(|(dtype, (tensors, bytes))| DtypeUse { dtype: dtype.to_owned(), tensors, bytes })
        .collect();
    uses.sort_by_key(|of_type| std::cmp::Reverse(of_type.bytes));
    uses
}

fn stored_files(tensors: &[StoredTensor]) -> Vec<StoredFile> {
    let mut files: BTreeMap<&str, u64> = BTreeMap::new();
    for tensor in tensors {
        *files.entry(&tensor.file).or_default() += tensor.bytes;
    }
    files
        .into_iter()
        .map(|(name, tensor_bytes)| StoredFile { name: name.to_owned(), tensor_bytes })
        .collect()
}

fn tokenizer_files(dir: &Path) -> Result<TokenizerFiles> {
    let has = |name: &str| dir.join(name).is_file();
    let in_config = || -> Result<bool> {
        let path = dir.join("tokenizer_config.json");
        // Templates are a few kilobytes; a file that is not is no reason to read it whole.
        if !has("tokenizer_config.json")
            || fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 16 << 20)
        {
            return Ok(false);
        }
        let text = fs::read(&path).map_err(|error| Error::io(&path, "read", error))?;
        let config: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        Ok(config.get("chat_template").is_some_and(|template| !template.is_null()))
    };
    Ok(TokenizerFiles {
        tokenizer_json: has("tokenizer.json"),
        chat_template: has("chat_template.jinja") || has("chat_template.json") || in_config()?,
    })
}
