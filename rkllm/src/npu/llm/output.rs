//! What a run tells while it goes, and what it took.

use rkllm_sys::v1_3::RKLLMPerfStat;

/// Rows of floats, lent for one call of the closure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rows<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> Rows<'a> {
    /// `values` is `[rows][width]`, `width` not 0.
    pub(super) fn new(values: &'a [f32], width: usize) -> Self {
        Self { values, width }
    }

    /// All values, `[rows][width]`.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Values per row: the vocabulary of logits, the hidden size of hidden states.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row after row.
    pub fn rows(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.width)
    }
}

/// What the runtime tells of one token, or of one pass over the input.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Output<'a> {
    /// The place in the batch.
    pub index: usize,
    /// Text of whole characters; empty while a character is incomplete. It came as C text, which has no
    /// U+0000: a model that generates one is seen by [`Self::token`] only.
    pub text: &'a str,
    /// The token; `None` where there is none, as for hidden states.
    pub token: Option<u32>,
    /// Logits `[tokens][vocabulary]`, in [`Mode::Logits`](super::Mode::Logits). `[INF]` a row for each
    /// token of the input.
    pub logits: Option<Rows<'a>>,
    /// Hidden states `[tokens][hidden size]`, in
    /// [`Mode::LastHiddenLayer`](super::Mode::LastHiddenLayer).
    pub hidden_states: Option<Rows<'a>>,
}

/// What the closure of a run says to each output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Flow {
    /// Go on.
    #[default]
    Continue,
    /// Go on, and free logits or hidden states now; 1.3, in 1.2 the same as [`Flow::Continue`].
    Release,
    /// Pause with the KV cache as it is: the next run goes on after it with its own input, such as a
    /// token that the caller chose. For runs without history.
    Pause,
    /// End the run. The next one begins anew.
    Stop,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// By itself.
    Finished,
    /// By [`Flow::Pause`].
    Paused,
    /// By [`Flow::Stop`] or an [`AbortHandle`](super::AbortHandle).
    Aborted,
}

/// The runtime's own figures of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Performance {
    /// Time for the input, in milliseconds.
    pub prefill_ms: f32,
    /// Tokens of the input.
    pub prefill_tokens: u32,
    /// Time for the new tokens, in milliseconds.
    pub generate_ms: f32,
    /// New tokens.
    pub generate_tokens: u32,
    /// The largest resident memory of the process, in MB.
    pub memory_mb: f32,
}

impl Performance {
    pub(super) fn new(c: &RKLLMPerfStat) -> Self {
        Self {
            prefill_ms: c.prefill_time_ms,
            prefill_tokens: u32::try_from(c.prefill_tokens).unwrap_or(0),
            generate_ms: c.generate_time_ms,
            generate_tokens: u32::try_from(c.generate_tokens).unwrap_or(0),
            memory_mb: c.memory_usage_mb,
        }
    }

    /// Tokens of the input per second.
    pub fn prefill_tokens_per_second(&self) -> Option<f64> {
        rate(self.prefill_tokens, self.prefill_ms)
    }

    /// New tokens per second.
    pub fn generate_tokens_per_second(&self) -> Option<f64> {
        rate(self.generate_tokens, self.generate_ms)
    }
}

fn rate(tokens: u32, ms: f32) -> Option<f64> {
    (tokens > 0 && ms > 0.0).then(|| f64::from(tokens) * 1000.0 / f64::from(ms))
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// Tokens that were told, over the whole batch.
    pub tokens: usize,
    /// The runtime's figures; only of a run that finished.
    pub performance: Option<Performance>,
}
