//! `Model`: weights, tokenizer and chat template, shared by sessions.

use std::path::Path;
#[cfg(feature = "cpu")]
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "constrain")]
use super::constraint::Grammars;
use super::session::Session;
use super::text::{Text, TokenizerLoad};
use crate::model::Tokenizer;
#[cfg(feature = "chat")]
use crate::model::{ChatTemplate, SpecialTokens};
use crate::{Backend, Result};

#[cfg(feature = "cpu")]
use crate::cpu::{Affinity, Engine, EngineOptions, MemoryPlan, Placement};
#[cfg(feature = "cpu")]
use crate::model::{Checkpoint, Load, Lora, ModelWeights, WeightOptions};
#[cfg(feature = "cpu")]
use crate::quant::{Clip, QuantScheme};

/// Makes a backend for a new session.
type Connect = dyn Fn() -> Result<Box<dyn Backend + Send>> + Send + Sync;

/// A model ready to talk to. Cloning shares it; sessions on any thread share its weights.
///
/// ```no_run
/// use rkllm::session::Model;
///
/// let model = Model::open("models/tutor-nano")?;
/// let text = model.session()?.generate("A resistor is")?.text()?;
/// println!("{text}");
/// # Ok::<(), rkllm::Error>(())
/// ```
#[derive(Clone)]
pub struct Model(Arc<Parts>);

struct Parts {
    text: Text,
    #[cfg(feature = "chat")]
    template: Option<Arc<ChatTemplate>>,
    prefill_chunk: usize,
    connect: Box<Connect>,
    /// Made when an answer is first constrained.
    #[cfg(feature = "constrain")]
    grammars: std::sync::OnceLock<Grammars>,
    #[cfg(feature = "cpu")]
    weights: Option<(Arc<ModelWeights>, EngineOptions)>,
}

impl Model {
    /// Opens the checkpoint or artifact in `dir` to run on the CPU: a float checkpoint in f32, an
    /// artifact as it is, with a context of up to 2,048 tokens and as many threads as suit the machine.
    /// The tokenizer is read when text is first needed: by [`ChatBuilder::start`](super::ChatBuilder::start),
    /// the first answer, or [`Model::tokenizer`]. [`Model::options`] offers more.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], [`Checkpoint::weights`] and [`ChatTemplate::open`].
    #[cfg(feature = "cpu")]
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(dir)
    }

    /// How to open a model, to be completed by [`ModelOptions::open`].
    pub fn options() -> ModelOptions {
        ModelOptions::default()
    }

    /// A session with an empty sequence: completes text. Its KV cache is reserved here.
    ///
    /// # Errors
    /// What the backend reports; for the CPU, as [`Engine::new`](crate::cpu::Engine::new).
    pub fn session(&self) -> Result<Session> {
        Ok(Session::with_backend(self.clone(), self.connect()?))
    }

    /// A conversation, to be completed by [`ChatBuilder::start`](super::ChatBuilder::start).
    #[cfg(feature = "chat")]
    pub fn chat(&self) -> super::ChatBuilder {
        super::ChatBuilder::new(self.clone())
    }

    /// The tokenizer, read now if it was not before.
    ///
    /// # Errors
    /// As [`Tokenizer::open`], of a model that was opened from its directory.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        self.0.text.tokenizer()
    }

    /// What reading the tokenizer took; `None` until text was needed, and of one the caller gave.
    pub fn tokenizer_load(&self) -> Option<TokenizerLoad> {
        self.0.text.load()
    }

    /// The chat template, if the model has one.
    #[cfg(feature = "chat")]
    pub fn template(&self) -> Option<&Arc<ChatTemplate>> {
        self.0.template.as_ref()
    }

    /// The weights, if it runs on the CPU.
    #[cfg(feature = "cpu")]
    pub fn weights(&self) -> Option<&Arc<ModelWeights>> {
        self.0.weights.as_ref().map(|(weights, _)| weights)
    }

    /// What the model and each session take of memory, if it runs on the CPU.
    #[cfg(feature = "cpu")]
    pub fn memory_plan(&self) -> Option<MemoryPlan> {
        let (weights, options) = self.0.weights.as_ref()?;
        Some(MemoryPlan::new(weights, options, crate::Want::Last))
    }

    /// Tokens that end an answer: those of `config.json`, `generation_config.json` and the tokenizer.
    ///
    /// # Errors
    /// As [`Model::tokenizer`].
    pub fn eos(&self) -> Result<&[u32]> {
        self.0.text.eos()
    }

    pub(super) fn prefill_chunk(&self) -> usize {
        self.0.prefill_chunk
    }

    /// What its tokens are for constraints; the first call takes a while.
    #[cfg(feature = "constrain")]
    pub(super) fn grammars(&self) -> Result<&Grammars> {
        if let Some(grammars) = self.0.grammars.get() {
            return Ok(grammars);
        }
        // Two threads may both make them; one wins.
        let grammars = Grammars::new(self.tokenizer()?, self.eos()?)?;
        Ok(self.0.grammars.get_or_init(|| grammars))
    }

    fn connect(&self) -> Result<Box<dyn Backend + Send>> {
        (self.0.connect)()
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("tokenizer", &self.0.text.load()).finish_non_exhaustive()
    }
}

/// How a model is opened.
///
/// ```no_run
/// use rkllm::session::Model;
///
/// let model = Model::options()
///     .with_dtype("w8a8".parse()?)
///     .with_threads(4)
///     .with_context(4096)
///     .open("Qwen2.5-0.5B-Instruct")?;
/// # Ok::<(), rkllm::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    #[cfg(feature = "cpu")]
    loras: Vec<(String, PathBuf, f32)>,
    #[cfg(feature = "cpu")]
    dtype: Option<QuantScheme>,
    #[cfg(feature = "cpu")]
    clip: Option<Clip>,
    #[cfg(feature = "cpu")]
    asymmetric: bool,
    #[cfg(feature = "cpu")]
    load: Load,
    #[cfg(feature = "cpu")]
    threads: Option<usize>,
    #[cfg(feature = "cpu")]
    affinity: Affinity,
    #[cfg(feature = "cpu")]
    context: Option<usize>,
    prefill_chunk: Option<usize>,
    #[cfg(feature = "chat")]
    template: Option<String>,
}

/// Tokens fed between two looks at a cancellation, unless the caller chooses.
const PREFILL_CHUNK: usize = 128;
/// Tokens of context, unless the caller chooses or the model was made for fewer.
#[cfg(feature = "cpu")]
const CONTEXT: usize = 2048;

impl ModelOptions {
    /// Quantises a float checkpoint in memory.
    #[cfg(feature = "cpu")]
    #[must_use]
    pub fn with_dtype(mut self, scheme: QuantScheme) -> Self {
        self.dtype = Some(scheme);
        self
    }

    /// The rule that chooses the range of a group of weights, where the model is quantised in memory.
    #[cfg(feature = "cpu")]
    #[must_use]
    pub fn with_clip(mut self, clip: Clip) -> Self {
        self.clip = Some(clip);
        self
    }

    /// Gives groups of weights a zero point, where the model is quantised in memory.
    #[cfg(feature = "cpu")]
    #[must_use]
    pub fn with_asymmetric(mut self, asymmetric: bool) -> Self {
        self.asymmetric = asymmetric;
        self
    }

    /// How tensors come into memory.
    #[cfg(feature = "cpu")]
    #[must_use]
    pub fn with_load(mut self, load: Load) -> Self {
        self.load = load;
        self
    }

    /// Threads of each session, the calling one included; without it the number of `RKLLM_THREADS`, else what
    /// suits the machine ([`cpu::cores`](crate::cpu::cores)). Their number moves no bit.
    #[cfg(feature = "cpu")]
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Whether threads are confined to the fast cores where cores are unequal; they are unless told otherwise.
    #[cfg(feature = "cpu")]
    #[must_use]
    pub fn with_affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = affinity;
        self
    }

    /// Tokens a session can hold. It also picks the branch of RoPE rules that depend on the length.
    #[cfg(feature = "cpu")]
    #[must_use]
    pub fn with_context(mut self, tokens: usize) -> Self {
        self.context = Some(tokens);
        self
    }

    /// Tokens of a prompt computed at a time: a cancellation waits for one chunk at most. Moves no
    /// bit.
    #[must_use]
    pub fn with_prefill_chunk(mut self, tokens: usize) -> Self {
        self.prefill_chunk = Some(tokens);
        self
    }

    /// Reads a LoRA adapter of PEFT's format from `dir`, called `name` and as strong as `scale` says: 1
    /// for what it was trained to be. It is computed beside the weights, quantised or not. Of several
    /// the first is in force in new sessions; [`Session::set_lora`] chooses another, or none.
    #[cfg(feature = "cpu")]
    #[must_use]
    pub fn with_lora(
        mut self,
        name: impl Into<String>,
        dir: impl Into<PathBuf>,
        scale: f32,
    ) -> Self {
        self.loras.push((name.into(), dir.into(), scale));
        self
    }

    /// A chat template in the place of the model's own, or where it has none: Jinja source.
    #[cfg(feature = "chat")]
    #[must_use]
    pub fn with_template(mut self, source: impl Into<String>) -> Self {
        self.template = Some(source.into());
        self
    }

    /// Opens the checkpoint or artifact in `dir` to run on the CPU.
    ///
    /// # Errors
    /// As [`Model::open`], and [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for another
    /// scheme than an artifact's own; for adapters, as [`Engine::load_lora`].
    #[cfg(feature = "cpu")]
    pub fn open(self, dir: impl AsRef<Path>) -> Result<Model> {
        let dir = dir.as_ref();
        let checkpoint = Checkpoint::open(dir, self.load)?;
        self.on_cpu(&checkpoint, |eos| Text::in_dir(dir, eos))
    }

    /// The same of parts the caller has, such as a checkpoint embedded in the program. The chat
    /// template is the one of [`ModelOptions::with_template`], else that of the checkpoint's directory.
    ///
    /// # Errors
    /// As [`ModelOptions::open`].
    #[cfg(feature = "cpu")]
    pub fn build(self, checkpoint: &Checkpoint, tokenizer: Tokenizer) -> Result<Model> {
        self.on_cpu(checkpoint, |eos| Text::given(tokenizer, eos))
    }

    #[cfg(feature = "cpu")]
    fn on_cpu(self, checkpoint: &Checkpoint, text: impl FnOnce(Vec<u32>) -> Text) -> Result<Model> {
        let threads = match self.threads {
            Some(threads) => threads.max(1),
            None => Placement::from_environment()?.threads,
        };
        let weight_options = WeightOptions {
            clip: self.clip.unwrap_or(WeightOptions::default().clip),
            symmetric: !self.asymmetric,
            threads,
        };
        let weights = Arc::new(checkpoint.weights(self.dtype, &weight_options)?);
        let most = weights.config.max_position_embeddings;
        let engine = EngineOptions {
            threads,
            context: self.context.unwrap_or(CONTEXT.min(most)),
            prefill_chunk: self.prefill_chunk.unwrap_or(PREFILL_CHUNK),
        };
        let shared = Arc::clone(&weights);
        let loras = self.loras.iter().map(|(name, dir, scale)| {
            Ok((name.clone(), Arc::new(Lora::open(dir, &weights.config, self.load)?), *scale))
        });
        let loras: Vec<(String, Arc<Lora>, f32)> = loras.collect::<Result<_>>()?;
        let affinity = self.affinity;
        let connect = Box::new(move || -> Result<Box<dyn Backend + Send>> {
            let mut engine = Engine::new(Arc::clone(&shared), engine)?;
            engine.set_affinity(affinity);
            for (name, lora, scale) in &loras {
                engine.add_lora(name.as_str(), Arc::clone(lora), *scale)?;
            }
            engine.set_lora(loras.first().map(|(name, ..)| name.as_str()))?;
            Ok(Box::new(engine))
        });
        let text = text(weights.config.eos_token_ids.clone());
        let mut parts = self.parts(checkpoint.dir(), text, connect)?;
        parts.weights = Some((weights, engine));
        Ok(Model(Arc::new(parts)))
    }

    /// A model that runs on another backend: `connect` makes one for each session. Tokenizer, chat
    /// template and the tokens that end an answer come from the files in `dir`; nothing else there is
    /// read, and options of weights, adapters and threads say nothing here.
    ///
    /// # Errors
    /// As [`ChatTemplate::open`].
    pub fn with_backend(
        self,
        dir: impl AsRef<Path>,
        connect: impl Fn() -> Result<Box<dyn Backend + Send>> + Send + Sync + 'static,
    ) -> Result<Model> {
        let dir = dir.as_ref();
        let parts = self.parts(Some(dir), Text::in_dir(dir, Vec::new()), Box::new(connect))?;
        Ok(Model(Arc::new(parts)))
    }

    fn parts(self, dir: Option<&Path>, text: Text, connect: Box<Connect>) -> Result<Parts> {
        #[cfg(not(feature = "chat"))]
        let _ = dir;
        Ok(Parts {
            #[cfg(feature = "chat")]
            template: match (&self.template, dir) {
                (Some(source), dir) => {
                    Some(Arc::new(ChatTemplate::new(source, special_tokens(dir, &text)?)?))
                }
                (None, Some(dir)) => ChatTemplate::open(dir)?.map(Arc::new),
                (None, None) => None,
            },
            text,
            prefill_chunk: self.prefill_chunk.unwrap_or(PREFILL_CHUNK),
            connect,
            #[cfg(feature = "constrain")]
            grammars: std::sync::OnceLock::new(),
            #[cfg(feature = "cpu")]
            weights: None,
        })
    }
}

/// The special tokens a template may name: those of the model's own, else the tokenizer's.
#[cfg(feature = "chat")]
fn special_tokens(dir: Option<&Path>, text: &Text) -> Result<SpecialTokens> {
    if let Some(template) = dir.map(ChatTemplate::open).transpose()?.flatten() {
        return Ok(template.special_tokens().clone());
    }
    let tokenizer = text.tokenizer()?;
    let mut special = SpecialTokens::default();
    for (name, id) in [("bos_token", tokenizer.bos()), ("eos_token", tokenizer.eos())] {
        if let Some(id) = id {
            special = special.with(name, tokenizer.decode_with_special_tokens(&[id])?);
        }
    }
    Ok(special)
}
