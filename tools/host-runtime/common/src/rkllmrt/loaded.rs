//! A model as it was loaded: what no run changes.

use std::path::Path;
use std::sync::Arc;

use rkllm::cpu::{Engine, EngineOptions};
use rkllm::model::{ChatTemplate, Checkpoint, Load, ModelWeights, Tokenizer, WeightOptions};
use rkllm::{Error, ErrorKind, Result};

use super::log::{info, warning};
use super::model_file::ModelFile;
use super::params::InitParams;

/// The longest context the vendor's toolkit builds models for.
const LONGEST_CONTEXT: usize = 16_384;
/// Positions computed between two looks at an abort.
pub(super) const CHUNK: usize = 128;

/// Weights, tokenizer and template.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) weights: Arc<ModelWeights>,
    /// `None` as exported without: the callback is asked.
    pub(super) tokenizer: Option<Tokenizer>,
    pub(super) template: Option<ChatTemplate>,
    pub(super) eos: Vec<u32>,
    /// False as exported without: the callback is asked.
    pub(super) has_embedding: bool,
    options: EngineOptions,
}

impl Loaded {
    /// # Errors
    /// As [`ModelFile::find`], [`Checkpoint::weights`] and [`Tokenizer::open`], and
    /// [`ErrorKind::Context`] for a context beyond the limit.
    pub(super) fn open(params: &InitParams, version: &str) -> Result<Self> {
        let file = ModelFile::find(&params.model_path)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let wanted = usize::try_from(params.enabled_cpus_num).ok().filter(|count| *count > 0);
        let threads = wanted.map_or(cores, |count| count.min(cores));
        info!(
            "rkllm-runtime version: {version}, rknpu driver version: none, platform: HOST ({}, {cores} \
             CPUs)",
            std::env::consts::ARCH
        );
        info!("loading rkllm model from {}", file.dir.display());
        let checkpoint = Checkpoint::open(&file.dir, Load::default())?;
        let options = WeightOptions { threads, ..WeightOptions::default() };
        let weights = Arc::new(checkpoint.weights(file.dtype, &options)?);
        let context = context(params, &file, weights.config.max_position_embeddings)?;
        let tokenizer = match file.tokenizer && file.dir.join("tokenizer.json").is_file() {
            true => Some(Tokenizer::open(&file.dir)?),
            false => None,
        };
        let template = match &tokenizer {
            Some(_) => template(&file.dir),
            None => None,
        };
        let mut eos = weights.config.eos_token_ids.clone();
        eos.extend(tokenizer.as_ref().and_then(Tokenizer::eos));
        let loaded = Self {
            tokenizer,
            template,
            eos,
            has_embedding: file.embedding,
            options: EngineOptions { threads, context, prefill_chunk: CHUNK },
            weights,
        };
        info!(
            "rkllm-toolkit version: none, max_context_limit: {}, npu_core_num: 0, target_platform: \
             HOST, model_dtype: {}",
            limit(&file, loaded.weights.config.max_position_embeddings),
            loaded.weights.scheme.to_string().to_uppercase(),
        );
        Ok(loaded)
    }

    /// A sequence's engine.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub(super) fn engine(&self) -> Result<Engine> {
        Engine::new(Arc::clone(&self.weights), self.options)
    }

    pub(super) fn context(&self) -> usize {
        self.options.context
    }

    pub(super) fn threads(&self) -> usize {
        self.options.threads
    }

    pub(super) fn hidden(&self) -> usize {
        self.weights.config.hidden_size
    }

    pub(super) fn vocab(&self) -> usize {
        self.weights.config.vocab_size
    }
}

/// A template that cannot be read is no reason not to load: one may be set.
fn template(dir: &Path) -> Option<ChatTemplate> {
    ChatTemplate::open(dir).unwrap_or_else(|error| {
        warning!("the model's chat template is not used: {error}");
        None
    })
}

fn limit(file: &ModelFile, trained: usize) -> usize {
    file.context_limit.unwrap_or(LONGEST_CONTEXT.max(trained))
}

fn context(params: &InitParams, file: &ModelFile, trained: usize) -> Result<usize> {
    let limit = limit(file, trained);
    let asked = usize::try_from(params.max_context_len).ok().filter(|tokens| *tokens > 0);
    let asked = asked.unwrap_or(limit.min(4096));
    if asked > limit {
        let message = format!(
            "max_context[{asked}] must be less than the model's max_context_limit[{limit}]"
        );
        return Err(Error::new(ErrorKind::Context, message));
    }
    if asked > trained {
        warning!("max_context[{asked}]: the model was trained for {trained} positions");
    }
    Ok(asked)
}
