//! `NpuBackend`: the vendor's runtime as a backend of sessions and evaluation.

use super::input::Input;
use super::model::NpuModel;
use super::npu_run::NpuRun;
use super::output::{End, Flow, Output};
use super::run_options::{Mode, RunOptions};
use crate::npu::worker::Failure;
use crate::{Backend, Error, ErrorKind, Result, Want};

/// Tokens of a run whose logits are all wanted: they are copied out of the callback, and 32 rows of
/// 150,000 logits are 19 MB.
const CHUNK: usize = 32;

/// Tokens of a run of which no or one row is wanted. The runtime may hold a row for each.
const PREFILL: usize = 256;

/// How many rows of logits the runtime gives for an input of several tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// One for each token.
    All,
    /// One for the last.
    Last,
}

/// A `.rkllm` model as a [`Backend`]: token ids in, the runtime's logits out. With a tokenizer beside it,
/// perplexity is measured on the board, and sessions sample from the vendor's logits by our rules.
///
/// How: runs in logits mode, without history, whose callback pauses. Rockchip's maintainer describes just
/// that for sampling by the caller (rknn-llm issue 446): the cache stays, and the next run of token ids
/// goes on after it. What that leaves open is settled by asking the runtime and believing its answer:
/// - `[INF]` that logits come for every token of the input. A run of two tokens shows how many rows there
///   are; where there is one, evaluation feeds one token at a time.
/// - `[INF]` that nothing is put around token ids, neither BOS nor template. After each run the runtime's
///   count of positions is compared with ours, and a difference is an error.
/// - `[INF]` that a sequence whose end was cleared by range goes on as one that never held it.
///
/// Numerics are the vendor's: runs of other lengths may differ in the last bits.
///
/// The model may as well be a [`Worker`](crate::npu::worker::Worker). After its restart,
/// [`Backend::reset`] begins anew.
#[derive(Debug)]
pub struct NpuBackend<M = NpuModel> {
    model: M,
    vocab_size: usize,
    given: Given,
    position: usize,
    /// Why nothing can be said about the sequence any more; a reset cures it.
    broken: Option<Broken>,
}

impl<M: NpuRun> NpuBackend<M> {
    /// Takes a model and asks it for its vocabulary. Its KV cache is cleared, system prompt included.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a context that is not known, [`ErrorKind::Unsupported`] for a batch and for a runtime whose logits have another shape,
    /// [`ErrorKind::Runtime`] if the runtime fails.
    pub fn new(mut model: M) -> Result<Self> {
        if model.context() == 0 {
            return Err(Error::new(ErrorKind::Input, "the model's context is not known")
                .with_hint("load it with NpuOptions::with_context"));
        }
        let mut shape = None;
        let options = RunOptions::default().with_mode(Mode::Logits);
        model.run_input(Input::tokens([0, 0]), &options, &mut |output| {
            let found = output.logits.map(|rows| (rows.rows().len(), rows.width()));
            shape = shape.or(found);
            Flow::Pause
        })?;
        let (given, vocab_size) = match shape {
            Some((2, vocab_size)) => (Given::All, vocab_size),
            Some((1, vocab_size)) => (Given::Last, vocab_size),
            Some((rows, vocab_size)) => {
                let message = format!("{rows} rows of {vocab_size} logits for 2 tokens");
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            None => {
                return Err(Error::new(ErrorKind::Unsupported, "the runtime gave no logits"));
            }
        };
        model.set_vocab_size(vocab_size)?;
        let mut backend = Self { model, vocab_size, given, position: 0, broken: None };
        backend.clear()?;
        Ok(backend)
    }

    /// The model underneath.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model underneath, such as to restart a worker. Another sequence than this one's must not be
    /// left in its KV cache: reset after other runs.
    pub fn model_mut(&mut self) -> &mut M {
        &mut self.model
    }

    /// The model back.
    pub fn into_model(self) -> M {
        self.model
    }

    fn clear(&mut self) -> Result<()> {
        self.model.clear_kv_cache(false)?;
        self.position = 0;
        self.compare()
    }

    /// Compares the runtime's count of positions with ours.
    fn compare(&mut self) -> Result<()> {
        let found = self.model.kv_cache_sizes()?;
        if found == [self.position] {
            return Ok(());
        }
        let message = format!("the runtime holds {found:?} positions, fed were {}", self.position);
        Err(Error::new(ErrorKind::Runtime, message).with_hint(
            "it puts something around token ids or cut the context: its logits are not those of the text",
        ))
    }

    /// One run; the logits of its last rows, `rows` of them.
    fn feed(&mut self, tokens: &[u32], rows: usize) -> Result<Vec<f32>> {
        let (vocab_size, expected) = (self.vocab_size, self.rows(tokens.len()));
        let mut found = None;
        let mut logits = Vec::new();
        let options = RunOptions::default().with_mode(Mode::Logits);
        let report =
            self.model.run_input(Input::tokens(tokens), &options, &mut |output: Output<'_>| {
                if let (Some(all), None) = (output.logits, found) {
                    found = Some((all.rows().len(), all.width()));
                    if found == Some((expected, vocab_size)) {
                        logits = all.values()[(expected - rows) * vocab_size..].to_vec();
                    }
                }
                Flow::Pause
            })?;
        if report.end != End::Paused {
            let message = format!("the run ended as {:?} where it was paused", report.end);
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        if found != Some((expected, vocab_size)) {
            let message = format!("logits of {found:?}, expected {expected} x {vocab_size}");
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        self.position += tokens.len();
        self.compare()?;
        Ok(logits)
    }

    /// All tokens; the logits of the last row, or none.
    fn prefill(&mut self, tokens: &[u32], rows: usize) -> Result<Vec<f32>> {
        let mut chunks = tokens.chunks(PREFILL);
        let last = chunks.next_back().unwrap_or_default();
        chunks.try_for_each(|chunk| self.feed(chunk, 0).map(drop))?;
        self.feed(last, rows)
    }

    /// Rows of logits for so many tokens.
    fn rows(&self, tokens: usize) -> usize {
        match self.given {
            Given::All => tokens,
            Given::Last => 1,
        }
    }

    fn check(&self, tokens: &[u32]) -> Result<()> {
        if let Some(broken) = &self.broken {
            return Err(broken.error());
        }
        if self.position + tokens.len() > self.context() {
            let message = format!(
                "{} tokens after {} do not fit a context of {}",
                tokens.len(),
                self.position,
                self.context()
            );
            return Err(Error::new(ErrorKind::Context, message)
                .with_hint("load the model with a larger context"));
        }
        match tokens.iter().find(|id| **id as usize >= self.vocab_size) {
            Some(id) => {
                let message =
                    format!("token id {id} is outside the vocabulary of {}", self.vocab_size);
                Err(Error::new(ErrorKind::Tokenizer, message)
                    .with_hint("use the tokenizer that belongs to this model"))
            }
            None => Ok(()),
        }
    }

    fn forward_all(
        &mut self,
        tokens: &[u32],
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let size = if self.given == Given::All { CHUNK } else { 1 };
        for chunk in tokens.chunks(size) {
            let first = self.position;
            let logits = self.feed(chunk, self.rows(chunk.len()))?;
            for (i, row) in logits.chunks_exact(self.vocab_size).enumerate() {
                sink(first + i, row)?;
            }
        }
        Ok(())
    }
}

/// What makes every call fail until a reset.
#[derive(Debug)]
struct Broken {
    kind: ErrorKind,
    why: String,
    hint: String,
}

impl Broken {
    fn by(error: &Error) -> Self {
        let hint = match error.hint().filter(|_| is_gone(error)) {
            // A reset does not bring a process back, nor a restart the sequence.
            Some(restart) => format!("{restart}, then reset the sequence"),
            None => "reset the sequence".into(),
        };
        Self { kind: error.kind(), why: error.message().to_owned(), hint }
    }

    fn error(&self) -> Error {
        Error::new(self.kind, format!("after an error: {}", self.why)).with_hint(self.hint.clone())
    }
}

/// Whether the worker that failed so is no more.
fn is_gone(error: &Error) -> bool {
    Failure::of(error).map_or(error.kind() == ErrorKind::Crashed, |failure| !failure.is_alive)
}

impl<M: NpuRun> Backend for NpuBackend<M> {
    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn context(&self) -> usize {
        self.model.context()
    }

    fn position(&self) -> usize {
        self.position
    }

    fn reset(&mut self) {
        self.position = 0;
        self.broken = self.clear().err().as_ref().map(Broken::by);
    }

    fn forward(
        &mut self,
        tokens: &[u32],
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.check(tokens)?;
        if tokens.is_empty() {
            return Ok(());
        }
        let done = match want {
            Want::Nothing => self.prefill(tokens, 0).map(drop),
            Want::Last => {
                let last = self.position + tokens.len() - 1;
                self.prefill(tokens, 1).and_then(|row| sink(last, &row))
            }
            Want::All => self.forward_all(tokens, sink),
        };
        // The caller's own errors leave the sequence as long as it is.
        let is_ours = |error: &&Error| {
            Failure::of(error).is_some()
                || matches!(
                    error.kind(),
                    ErrorKind::Runtime
                        | ErrorKind::Crashed
                        | ErrorKind::Timeout
                        | ErrorKind::Memory
                )
        };
        if let Some(error) = done.as_ref().err().filter(is_ours) {
            self.broken = Some(Broken::by(error));
        }
        done
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        if len > self.position {
            let message = format!("cannot keep {len} of {} positions", self.position);
            return Err(Error::new(ErrorKind::Input, message));
        }
        if len == self.position {
            return Ok(());
        }
        if len == 0 {
            self.reset();
            return Ok(());
        }
        let range = len..self.position;
        if let Err(error) = self.model.clear_kv_ranges(std::slice::from_ref(&range)) {
            // What is refused can be done by a reset; what was silent or has died says so itself.
            if error.kind() != ErrorKind::Timeout && !is_gone(&error) {
                let message = "the runtime keeps the whole sequence";
                return Err(Error::new(ErrorKind::Unsupported, message).with_source(error));
            }
            self.broken = Some(Broken::by(&error));
            return Err(error);
        }
        self.position = len;
        self.compare().inspect_err(|error| self.broken = Some(Broken::by(error)))
    }
}
