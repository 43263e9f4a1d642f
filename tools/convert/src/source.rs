//! The checkpoint to convert, checked whole before anything is written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rkllm::model::{Checkpoint, Load, ModelConfig, TensorIndex, TensorInfo};
use rkllm::quant::QuantScheme;
use rkllm::{Dtype, Error, ErrorKind, Result};
use serde_json::Value;

use crate::options::{ConvertOptions, Embedding};
use crate::plan::{self, EMBEDDING, HEAD, Item, Role};

/// What artifacts keep of a checkpoint beside its tensors, by the beginning of the name. Everything of a
/// tokenizer, the generation defaults, and what the licence demands.
const KEPT: [&str; 14] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "LICENSE",
    "NOTICE",
    "README",
];
/// Ends of the names of tables that some checkpoints hold and every reader computes itself.
const COMPUTED: [&str; 4] =
    [".rotary_emb.inv_freq", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached", ".masked_bias"];

/// A checkpoint and what it will be read for.
#[derive(Debug)]
pub(crate) struct SourceModel {
    pub(crate) dir: PathBuf,
    /// Last component of its path.
    pub(crate) name: String,
    /// `config.json` as it is, in its order.
    pub(crate) config_json: Value,
    checkpoint: Checkpoint,
    pub(crate) items: Vec<SourceItem>,
    /// Files to copy untouched, sorted.
    pub(crate) kept: Vec<String>,
    /// Tensors that nothing in the model reads.
    pub(crate) left_out: Vec<String>,
}

/// A tensor of the model and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct SourceItem {
    pub(crate) item: Item,
    pub(crate) dtype: Dtype,
    /// The name it is stored under; a tied head has the embedding's.
    pub(crate) stored: String,
    pub(crate) bytes: u64,
}

impl SourceItem {
    pub(crate) fn elements(&self) -> u64 {
        self.item.shape.iter().map(|&dim| dim as u64).product()
    }
}

impl SourceModel {
    /// Opens the checkpoint in `dir` and refuses what cannot be converted as `options` ask.
    pub(crate) fn open(dir: &Path, options: &ConvertOptions) -> Result<Self> {
        check_scheme(options.scheme)?;
        let about = |error: Error| error.about(dir.display().to_string());
        let checkpoint = Checkpoint::open(dir, Load::Copy)?;
        if checkpoint.is_quantized() {
            return Err(about(
                Error::new(
                    ErrorKind::Quantization,
                    format!("already quantised as {}", checkpoint.scheme()),
                )
                .with_hint("convert the original f32, f16 or bf16 checkpoint"),
            ));
        }
        let items = items(checkpoint.config(), checkpoint.tensors(), options).map_err(about)?;
        let left_out = left_out(checkpoint.tensors(), &items).map_err(about)?;
        let name = dir.canonicalize().ok();
        let name = name.as_deref().and_then(Path::file_name).unwrap_or_default();
        Ok(Self {
            dir: dir.to_owned(),
            name: name.to_string_lossy().into_owned(),
            config_json: read_config(dir)?,
            kept: kept_files(dir)?,
            checkpoint,
            items,
            left_out,
        })
    }

    /// The stored tensors.
    pub(crate) fn tensors(&self) -> &TensorIndex {
        self.checkpoint.tensors()
    }

    /// Every file that is read, sorted: weights, configuration and what is kept.
    pub(crate) fn files(&self) -> Vec<String> {
        let weights = self.tensors().files().filter_map(Path::file_name);
        let mut files: Vec<String> =
            weights.map(|name| name.to_string_lossy().into_owned()).collect();
        files.push("config.json".into());
        // A sharded checkpoint is defined by its index too.
        let index = "model.safetensors.index.json";
        if self.tensors().files().len() > 1 && self.dir.join(index).is_file() {
            files.push(index.into());
        }
        files.extend(self.kept.iter().cloned());
        files.sort();
        files
    }

    /// Bytes of tensors that will be read.
    pub(crate) fn tensor_bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }

    /// Parameters of the model; a tied embedding counts once.
    pub(crate) fn parameters(&self) -> u64 {
        let mut seen = BTreeSet::new();
        let stored = self.items.iter().map(|item| (item.stored.as_str(), item.elements()));
        stored.filter(|&(name, _)| seen.insert(name)).map(|(_, elements)| elements).sum()
    }

    /// True if one matrix of the artifact is both embedding and head.
    pub(crate) fn shares_head(&self) -> bool {
        !self.items.iter().any(|item| item.item.role == Role::Head)
    }
}

fn check_scheme(scheme: QuantScheme) -> Result<()> {
    if scheme.is_float() {
        return Err(Error::new(
            ErrorKind::Quantization,
            format!("{scheme} is the baseline, not a quantised scheme"),
        )
        .with_hint("checkpoints run in f32 and f16 as they are; choose a w8a8 or w4a16 scheme"));
    }
    Ok(())
}

/// The configuration again, in the order of its file, to be written with few changes.
fn read_config(dir: &Path) -> Result<Value> {
    let path = dir.join("config.json");
    let text = fs::read_to_string(&path).map_err(|error| Error::io(&path, "read", error))?;
    serde_json::from_str(&text).map_err(|error| {
        Error::new(ErrorKind::Format, format!("not valid JSON: {error}"))
            .about(path.display().to_string())
    })
}

/// Finds every tensor of the model.
fn items(
    config: &ModelConfig,
    index: &TensorIndex,
    options: &ConvertOptions,
) -> Result<Vec<SourceItem>> {
    let mut found = Vec::new();
    for item in plan::tensors(config) {
        let name = stored_as(&item, config, index);
        let info = index.require(name)?;
        let dtype = check(&item, info, options).map_err(|error| error.about(name))?;
        let stored = index.stored_name(name).unwrap_or(name).to_owned();
        // Its rows are the embedding's, which the artifact stores once.
        let shared = item.role == Role::Head
            && options.embedding == Embedding::Int8
            && found.iter().any(|other: &SourceItem| other.stored == stored);
        if !shared {
            found.push(SourceItem { dtype, stored, bytes: info.bytes(), item });
        }
    }
    Ok(found)
}

/// The tensors that hold tables every reader computes itself; any other that the model does not read is
/// a bias, a norm or a layer that the configuration does not mention, and without it the model is another.
fn left_out(index: &TensorIndex, items: &[SourceItem]) -> Result<Vec<String>> {
    let used: BTreeSet<&str> = items.iter().map(|item| item.stored.as_str()).collect();
    let unused = index.names().filter(|name| !used.contains(name));
    let mut left_out = Vec::new();
    for name in unused {
        // Some files of tied models hold the one matrix twice.
        let twin = name == HEAD && used.contains(EMBEDDING);
        if !twin && !COMPUTED.iter().any(|suffix| name.ends_with(suffix)) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "no part of the model that config.json describes",
            )
            .about(name)
            .with_hint("take config.json and weights from the same model"));
        }
        left_out.push(name.to_owned());
    }
    Ok(left_out)
}

/// The name to look `item` up by. Of a tied pair either may be the one that is stored.
fn stored_as<'a>(item: &'a Item, config: &ModelConfig, index: &TensorIndex) -> &'a str {
    match item.role {
        Role::Head if config.tie_word_embeddings && index.get(EMBEDDING).is_some() => EMBEDDING,
        Role::Embedding if config.tie_word_embeddings && index.get(EMBEDDING).is_none() => HEAD,
        _ => &item.name,
    }
}

fn check(item: &Item, info: &TensorInfo, options: &ConvertOptions) -> Result<Dtype> {
    if info.shape != item.shape {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("expected {:?} by config.json, found {:?}", item.shape, info.shape),
        )
        .with_hint("configuration and weights are not of the same model"));
    }
    let dtype = info.known_dtype()?;
    if !dtype.is_float() {
        return Err(Error::new(ErrorKind::Dtype, format!("expected floats, found {dtype}"))
            .with_hint("convert the original f32, f16 or bf16 checkpoint"));
    }
    let spec = match item.role {
        Role::Linear => Some(options.layer_spec()),
        Role::Head => Some(options.head_spec()),
        Role::Embedding | Role::Small => None,
    };
    if let (Some(spec), Some(&k)) = (spec, item.shape.last()) {
        spec.check(k)?;
    }
    Ok(dtype)
}

/// The files beside the tensors that the artifact keeps.
fn kept_files(dir: &Path) -> Result<Vec<String>> {
    let failed = |error| Error::io(dir, "list", error);
    let mut kept = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Followed: the hub's cache is made of links. Names that are not UTF-8 are none of ours.
        let is_file = fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file());
        if let (true, Ok(name)) = (is_file, entry.file_name().into_string())
            && KEPT.iter().any(|kept| is_kept(&name, kept))
        {
            kept.push(name);
        }
    }
    kept.sort();
    Ok(kept)
}

/// Exact, but for the documents, which have many endings.
fn is_kept(name: &str, kept: &str) -> bool {
    let document = matches!(kept, "LICENSE" | "NOTICE" | "README");
    name == kept
        || document
            && name.get(..kept.len()).is_some_and(|start| start.eq_ignore_ascii_case(kept))
            && !name.ends_with(".bin")
            && !name.ends_with(".pt")
            && !name.ends_with(".gguf")
}
