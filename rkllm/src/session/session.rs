//! `Session`: one sequence that continues text.

use std::sync::Arc;
use std::time::Instant;

use super::answer::{Answer, Begin};
use super::cancel::{CancelHandle, Signal, Ticket};
#[cfg(feature = "constrain")]
use super::constraint::Constraint;
use super::model::Model;
use super::options::GenerateOptions;
use super::sampling::Sampling;
use super::sequence::Sequence;
use crate::{Backend, Error, ErrorKind, Result};

/// One sequence of tokens on one backend: continues text.
///
/// ```no_run
/// use rkllm::session::{Model, Sampling};
///
/// let model = Model::open("models/tutor-nano")?;
/// let mut session = model.session()?.with_max_tokens(40).with_stop(["\n"]);
/// for piece in session.generate("La ley de Ohm dice que")? {
///     print!("{}", piece?);
/// }
/// # Ok::<(), rkllm::Error>(())
/// ```
///
/// The keys and values of a sequence stay when an answer has ended; a prompt that begins alike, as the
/// same text with more at its end, is computed from the first different token on.
#[derive(Debug)]
pub struct Session {
    pub(super) model: Model,
    pub(super) sequence: Sequence,
    pub(super) options: GenerateOptions,
    pub(super) signal: Arc<Signal>,
}

impl Session {
    /// A session on a backend of the caller's, which is reset. [`Model::session`] makes one of the
    /// model's own.
    pub fn with_backend(model: Model, backend: Box<dyn Backend + Send>) -> Self {
        let sequence = Sequence::new(backend, model.prefill_chunk());
        Self { model, sequence, options: GenerateOptions::default(), signal: Arc::default() }
    }

    /// What answers obey from now on.
    #[must_use]
    pub fn with_options(mut self, options: GenerateOptions) -> Self {
        self.options = options;
        self
    }

    /// How tokens are chosen; greedy without it.
    #[must_use]
    pub fn with_sampling(mut self, sampling: Sampling) -> Self {
        self.options = self.options.with_sampling(sampling);
        self
    }

    /// New tokens at most; without it, until the model ends or the context is full.
    #[must_use]
    pub fn with_max_tokens(mut self, tokens: usize) -> Self {
        self.options = self.options.with_max_tokens(tokens);
        self
    }

    /// Texts that end an answer and are cut off it.
    #[must_use]
    pub fn with_stop<S: Into<String>>(mut self, stop: impl IntoIterator<Item = S>) -> Self {
        self.options = self.options.with_stop(stop);
        self
    }

    /// What answers must match, or anything with `None`.
    #[cfg(feature = "constrain")]
    #[must_use]
    pub fn with_constraint(mut self, constraint: impl Into<Option<Constraint>>) -> Self {
        self.options = self.options.with_constraint(constraint);
        self
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What answers obey.
    pub fn options(&self) -> &GenerateOptions {
        &self.options
    }

    /// Changes what answers obey from now on.
    pub fn options_mut(&mut self) -> &mut GenerateOptions {
        &mut self.options
    }

    /// Every token of the sequence: the last prompt and what was generated after it.
    pub fn tokens(&self) -> &[u32] {
        self.sequence.tokens()
    }

    /// Tokens the session can hold.
    pub fn context(&self) -> usize {
        self.sequence.context()
    }

    /// Stops the answer that is under way, from another thread.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.signal.handle()
    }

    /// Puts a LoRA adapter in force from now on, by the name that
    /// [`ModelOptions::with_lora`](super::ModelOptions::with_lora) gave it, or none. The sequence, which
    /// another one made, is forgotten.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a name that is not loaded, [`ErrorKind::Unsupported`] on a backend
    /// without adapters. The session is as it was then.
    pub fn set_lora(&mut self, name: Option<&str>) -> Result<()> {
        self.sequence.set_lora(name)
    }

    /// Forgets the sequence.
    pub fn clear(&mut self) {
        self.sequence.clear();
    }

    /// Continues `prompt`. The tokenizer puts around it what it puts around a text, for many models
    /// BOS; an empty prompt begins with BOS.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for an empty prompt and a model without BOS, and for options that mean
    /// nothing; [`ErrorKind::Context`] for a prompt that does not fit; [`ErrorKind::Tokenizer`] for text
    /// that cannot be encoded. The session is as it was then.
    pub fn generate(&mut self, prompt: &str) -> Result<Answer<'_>> {
        let (ticket, begun) = (self.signal.begin(), Instant::now());
        let mut tokens = self.model.tokenizer()?.encode_with_special_tokens(prompt)?;
        if tokens.is_empty() {
            tokens.extend(self.model.tokenizer()?.bos());
        }
        self.begin(ticket, begun, tokens, false)
    }

    /// Continues a prompt of tokens.
    ///
    /// # Errors
    /// As [`Session::generate`], and [`ErrorKind::Tokenizer`] for ids outside the vocabulary.
    pub fn generate_tokens(&mut self, prompt: &[u32]) -> Result<Answer<'_>> {
        let (ticket, begun) = (self.signal.begin(), Instant::now());
        self.begin(ticket, begun, prompt.to_vec(), false)
    }

    /// Puts embeddings `[M, hidden size]`, row-major, in the place of the sequence and computes them now:
    /// an image between texts, say, whose tokens' rows
    /// [`Embedding::row`](crate::model::Embedding::row) of [`Model::weights`] gives. [`Session::resume`]
    /// goes on after them, with an empty text at once; any other prompt takes their place.
    ///
    /// Positions of embeddings have no token: they are in no [`Session::tokens`] and no
    /// [`Statistics`](super::Statistics), no penalty sees them, and the session cannot be saved.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for values that are no rows, [`ErrorKind::Context`] for more than fit,
    /// [`ErrorKind::Unsupported`] on a backend that takes tokens alone; the session is as it was then.
    /// [`ErrorKind::NonFinite`] and what else the backend reports; it is empty then.
    pub fn prefill_embeddings(&mut self, values: &[f32]) -> Result<()> {
        self.sequence.prefill_embeddings(values)
    }

    /// Goes on after the sequence as it is, with `text` added first; an empty one goes on where the last
    /// answer stopped.
    ///
    /// # Errors
    /// As [`Session::generate`].
    pub fn resume(&mut self, text: &str) -> Result<Answer<'_>> {
        if self.tokens().is_empty() && self.sequence.embedded() == 0 {
            return self.generate(text);
        }
        let (ticket, begun) = (self.signal.begin(), Instant::now());
        let mut tokens = self.tokens().to_vec();
        tokens.extend(self.model.tokenizer()?.encode(text)?);
        self.begin(ticket, begun, tokens, true)
    }

    fn begin(
        &mut self,
        ticket: Ticket,
        begun: Instant,
        prompt: Vec<u32>,
        keep_embeddings: bool,
    ) -> Result<Answer<'_>> {
        let begin = Begin {
            ticket,
            begun,
            prompt,
            keep_embeddings,
            in_context: true,
            transcript: None,
            dropped_messages: 0,
        };
        Answer::begin(self, begin)
    }
}

/// # Errors
/// [`ErrorKind::Input`] for no token, [`ErrorKind::Context`] for more than fit,
/// [`ErrorKind::Tokenizer`] for an unknown one.
pub(super) fn check_prompt(sequence: &Sequence, prompt: &[u32], embedded: usize) -> Result<()> {
    if prompt.is_empty() && embedded == 0 {
        return Err(Error::new(ErrorKind::Input, "the prompt has no tokens")
            .with_hint("give some text, or start with the model's BOS token"));
    }
    let vocab = sequence.backend().vocab_size();
    if let Some(id) = prompt.iter().find(|&&id| id as usize >= vocab) {
        let message = format!("token id {id} is outside the vocabulary of {vocab}");
        return Err(Error::new(ErrorKind::Tokenizer, message)
            .with_hint("use the tokenizer that belongs to this model"));
    }
    if embedded + prompt.len() > sequence.context() {
        let message = format!(
            "the prompt has {} tokens, the context holds {}",
            embedded + prompt.len(),
            sequence.context()
        );
        return Err(Error::new(ErrorKind::Context, message)
            .with_hint("shorten it or open the model with a larger context"));
    }
    Ok(())
}
