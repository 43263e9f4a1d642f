//! `NpuChat`: a conversation that the vendor's runtime holds by itself.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::converse::{Converse, hand_out};
use super::degenerate::Watch;
use super::statistics::Statistics;
use super::stop::{Stop, StopStrings};
use crate::Result;
use crate::npu::{AbortHandle, End, Input, NpuModel, NpuRun, Report, RunOptions, Stream};

/// A conversation with a `.rkllm` model. The runtime tokenises, keeps the history and samples; its
/// template and system prompt are set by
/// [`NpuModel::set_chat_template`](crate::npu::NpuModel::set_chat_template).
///
/// ```no_run
/// use rkllm::npu::NpuOptions;
/// use rkllm::session::NpuChat;
///
/// let mut chat = NpuChat::new(NpuOptions::default().load("tutor.rkllm")?);
/// let mut answer = chat.ask("¿Qué es la ley de Ohm?")?;
/// for piece in &mut answer {
///     print!("{}", piece?);
/// }
/// println!("\n{:?}", answer.statistics());
/// # Ok::<(), rkllm::Error>(())
/// ```
///
/// The model may as well be a [`Worker`](crate::npu::worker::Worker), which a crash of the runtime does not
/// take the program with; that is the one line to change.
///
/// For our own sampling, stop strings and context policies over the runtime's logits, use a
/// [`Chat`](super::Chat) with an [`NpuBackend`](crate::npu::NpuBackend) instead.
#[derive(Debug)]
pub struct NpuChat<M = NpuModel> {
    model: M,
    options: RunOptions,
    stop: Vec<String>,
    allow_degenerate: bool,
}

impl<M: NpuRun> NpuChat<M> {
    /// A conversation that keeps its history in the KV cache.
    pub fn new(model: M) -> Self {
        let options = RunOptions::default().with_history(true);
        Self { model, options, stop: Vec::new(), allow_degenerate: false }
    }

    /// How answers are made, in the place of what they obeyed; without history each stands alone.
    #[must_use]
    pub fn with_options(mut self, options: RunOptions) -> Self {
        self.options = options;
        self
    }

    /// Texts that end an answer and are cut off it.
    #[must_use]
    pub fn with_stop<S: Into<String>>(mut self, stop: impl IntoIterator<Item = S>) -> Self {
        self.stop = stop.into_iter().map(Into::into).collect();
        self
    }

    /// Whether an answer that is no language any more, as [`Degenerate`](super::Degenerate) describes, goes
    /// on; without it the run is aborted.
    #[must_use]
    pub fn with_allow_degenerate(mut self, allow: bool) -> Self {
        self.allow_degenerate = allow;
        self
    }

    /// The model.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model, for its other calls.
    pub fn model_mut(&mut self) -> &mut M {
        &mut self.model
    }

    /// Asks. The answer is computed from now on, on a thread of its own.
    ///
    /// # Errors
    /// As [`NpuModel::run`], and [`ErrorKind::Input`](crate::ErrorKind::Input) for an empty stop string.
    pub fn ask(&mut self, question: impl Into<Input>) -> Result<NpuAnswer<'_>> {
        StopStrings::check(&self.stop)?;
        let begun = Instant::now();
        // 0 is the library's own limit, which nobody has told.
        let limit = Some(self.model.max_new_tokens(&self.options)).filter(|limit| *limit > 0);
        let stream = self.model.stream_input(question.into(), &self.options)?;
        Ok(NpuAnswer {
            abort: stream.abort_handle(),
            stream: Some(stream),
            stops: StopStrings::new(&self.stop),
            watch: Watch::new(!self.allow_degenerate),
            limit,
            begun,
            said: String::new(),
            statistics: Statistics::default(),
        })
    }

    /// Forgets the history, but for the system prompt.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`](crate::ErrorKind::Runtime) if the runtime refuses.
    pub fn clear(&mut self) -> Result<()> {
        self.model.clear_kv_cache(true)
    }
}

impl<M: NpuRun> Converse for NpuChat<M> {
    fn converse(
        &mut self,
        question: &str,
        on_piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Statistics> {
        let mut answer = self.ask(question)?;
        hand_out(&mut answer, on_piece)?;
        answer.cancel();
        Ok(*answer.statistics())
    }

    fn forget(&mut self) -> Result<()> {
        self.clear()
    }
}

/// An answer of an [`NpuChat`]: an iterator of pieces of text, each of whole characters. Dropping it before
/// its end aborts the run and waits for it.
#[derive(Debug)]
pub struct NpuAnswer<'a> {
    stream: Option<Stream<'a>>,
    abort: AbortHandle,
    stops: StopStrings,
    watch: Watch,
    limit: Option<usize>,
    begun: Instant,
    said: String,
    statistics: Statistics,
}

impl NpuAnswer<'_> {
    /// Ends the answer from another thread.
    pub fn cancel_handle(&self) -> AbortHandle {
        self.abort.clone()
    }

    /// What the answer took, by the runtime's own figures; all of it once there are no more pieces.
    /// Reused tokens and the seed are not told by the runtime.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The text given so far.
    pub fn so_far(&self) -> &str {
        &self.said
    }

    /// Waits for the end and returns what it took.
    ///
    /// # Errors
    /// The first error of the rest.
    pub fn finish(mut self) -> Result<Statistics> {
        self.by_ref().try_for_each(|piece| piece.map(drop))?;
        Ok(self.statistics)
    }

    /// Waits for the end and returns the whole text.
    ///
    /// # Errors
    /// The first error of the rest.
    pub fn text(mut self) -> Result<String> {
        self.by_ref().try_for_each(|piece| piece.map(drop))?;
        Ok(std::mem::take(&mut self.said))
    }

    /// Ends the run if it still goes on.
    fn cancel(&mut self) {
        if self.stream.take().is_some() {
            self.statistics.stop = Some(Stop::Cancelled);
        }
    }

    fn ended(&mut self, report: Option<Report>) -> String {
        let rest = self.stops.finish();
        let Some(report) = report else { return rest };
        let tokens = self.statistics.new_tokens;
        self.statistics.stop = Some(match report.end {
            End::Finished if self.limit.is_some_and(|limit| tokens >= limit) => Stop::MaxTokens,
            End::Finished => Stop::Eos,
            _ => Stop::Cancelled,
        });
        if let Some(figures) = report.performance {
            self.statistics.prompt_tokens = figures.prefill_tokens as usize;
            self.statistics.prefill = milliseconds(figures.prefill_ms);
            self.statistics.decode = milliseconds(figures.generate_ms);
        }
        rest
    }

    /// The text of the next token; `None` at the end.
    fn step(&mut self) -> Option<Result<String>> {
        let stream = self.stream.as_mut()?;
        let text = match stream.next() {
            Some(Ok(piece)) => {
                if let Some(token) = piece.token {
                    let statistics = &mut self.statistics;
                    statistics.time_to_first_token.get_or_insert_with(|| self.begun.elapsed());
                    statistics.new_tokens += 1;
                    statistics.degenerate = self.watch.push(token, &piece.text);
                }
                let mut shown = self.stops.push(&piece.text);
                if shown.stopped {
                    self.stream = None;
                    self.statistics.stop = Some(Stop::StopString);
                } else if self.statistics.degenerate.is_some() {
                    self.stream = None;
                    self.statistics.stop = Some(Stop::Degenerate);
                    shown.text += &self.stops.finish();
                }
                shown.text
            }
            Some(Err(error)) => {
                self.stream = None;
                return Some(Err(error));
            }
            None => {
                let report = stream.report().copied();
                self.stream = None;
                self.ended(report)
            }
        };
        self.said += &text;
        Some(Ok(text))
    }
}

/// A time of the runtime's, which may be anything.
fn milliseconds(ms: f32) -> Duration {
    Duration::try_from_secs_f32(ms / 1000.0).unwrap_or_default()
}

impl Iterator for NpuAnswer<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step()? {
                Ok(text) if text.is_empty() => {}
                other => return Some(other),
            }
        }
    }
}

impl std::iter::FusedIterator for NpuAnswer<'_> {}
