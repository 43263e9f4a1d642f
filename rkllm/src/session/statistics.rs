//! What an answer took.

use std::time::Duration;

use super::degenerate::Degenerate;
use super::stop::Stop;

/// What an answer took, so far or in all.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Statistics {
    /// Tokens of the prompt: history, question and what the template puts around them.
    pub prompt_tokens: usize,
    /// Of these, tokens whose keys and values were there from before.
    pub reused_tokens: usize,
    /// Tokens of the answer, without the one that ended it.
    pub new_tokens: usize,
    /// From the call that asked to the first token, with tokenisation and the caller's own time before
    /// the first piece; `None` without a token.
    pub time_to_first_token: Option<Duration>,
    /// Time spent computing the prompt, in a chat that slides each time it was.
    pub prefill: Duration,
    /// Time spent after the first token, without the caller's own between pieces.
    pub decode: Duration,
    /// Messages that left the history to make room.
    pub dropped_messages: usize,
    /// The seed of the random numbers.
    pub seed: u64,
    /// Why the answer ended; `None` while it goes on, and if it failed.
    pub stop: Option<Stop>,
    /// What was wrong with an answer that ended by [`Stop::Degenerate`].
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub degenerate: Option<Degenerate>,
}

impl Statistics {
    /// Tokens of the prompt that were computed, per second.
    pub fn prefill_tokens_per_second(&self) -> Option<f64> {
        rate(self.prompt_tokens - self.reused_tokens, self.prefill)
    }

    /// New tokens after the first, per second.
    pub fn decode_tokens_per_second(&self) -> Option<f64> {
        rate(self.new_tokens.saturating_sub(1), self.decode)
    }
}

fn rate(tokens: usize, time: Duration) -> Option<f64> {
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}
