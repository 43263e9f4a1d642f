//! The two traits between the floors: what runs a model, and what runs one layer.

use crate::Result;

/// For which of the fed tokens logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Only for the last one: what generation needs.
    Last,
    /// For every one: what evaluation needs.
    All,
    /// For none: prefill of what will be continued.
    Nothing,
}

/// Tokens in, logits out: one sequence on one device.
pub trait Backend {
    /// The number of logits per position.
    fn vocab_size(&self) -> usize;

    /// The number of tokens the sequence can hold.
    fn context(&self) -> usize;

    /// The number of tokens the sequence holds now.
    fn position(&self) -> usize;

    /// Forgets the sequence.
    fn reset(&mut self);

    /// Appends `tokens` to the sequence and gives the wanted logits, in order, to `sink` as
    /// (position, `vocab_size` logits). Logits are lent for the call only, so any vocabulary and
    /// length can be streamed.
    ///
    /// # Errors
    /// [`ErrorKind::Context`](crate::ErrorKind::Context) if the tokens do not fit,
    /// [`ErrorKind::Tokenizer`](crate::ErrorKind::Tokenizer) for an id outside the vocabulary, and
    /// whatever `sink` returns. The sequence is unchanged by the first two.
    fn forward(
        &mut self,
        tokens: &[u32],
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()>;
}

/// Activations in, outputs out: one linear layer, or several that share their input.
pub trait Linear: Send + Sync {
    /// K: values per input row.
    fn in_features(&self) -> usize;

    /// N: values per output row.
    fn out_features(&self) -> usize;

    /// `y[m, n] = sum_k x[m, k] * w[n, k] + b[n]` by the rules of `NUMERICS.md`.
    /// `x` is `[M, K]` and `y` is `[M, N]`, both row-major and dense.
    ///
    /// # Errors
    /// What the device reports. The CPU has none.
    fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()>;
}
