//! Perplexity of a text, and the hash of the logits it was computed from.

use std::fmt;
use std::ops::ControlFlow;

use sha2::{Digest, Sha256};

use super::plan::{EvalOptions, Method, Plan};
use super::softmax::{LogSum, check_finite};
use crate::kernels::Kernel;
use crate::kernels::float::FloatOps;
use crate::kernels::fpenv::FpEnv;
use crate::{Backend, Error, ErrorKind, Result, Want};

/// How well a model predicts a text.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Perplexity {
    /// How the text was cut.
    pub method: Method,
    /// Tokens per sequence.
    pub window: usize,
    /// Predictions that count. Two figures compare only if this is equal.
    pub tokens_scored: usize,
    /// Mean cross-entropy, in nats per token.
    pub cross_entropy: f64,
    /// `exp(cross_entropy)`.
    pub perplexity: f64,
    /// SHA-256, in hexadecimal, of the scored logits as little-endian f32 in the order of the text.
    pub logits_hash: String,
}

/// How far an evaluation is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Predictions scored.
    pub done: usize,
    /// Predictions to score.
    pub total: usize,
    /// Perplexity of what is scored; of the baseline where there is one.
    pub perplexity: f64,
}

/// Evaluates `backend` on `tokens`, a text's ids without special tokens. `progress` is called after each
/// scored position and stops the run by [`ControlFlow::Break`].
///
/// # Errors
/// [`ErrorKind::Input`] for a text with nothing to predict, [`ErrorKind::Context`] if the window does not fit
/// the backend, [`ErrorKind::NonFinite`] for logits that are not finite, [`ErrorKind::Cancelled`], and what
/// the backend reports.
pub fn perplexity(
    backend: &mut dyn Backend,
    tokens: &[u32],
    options: &EvalOptions,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Perplexity> {
    let _env = FpEnv::enter();
    let plan = Plan::new(tokens, options)?;
    check_context(backend, options)?;
    let mut score = Score::new()?;
    let chunk = if options.chunk == 0 { options.window } else { options.chunk };
    for sequence in plan.sequences() {
        backend.reset();
        feed_context(backend, sequence.context, chunk)?;
        let chunks = sequence.inputs.chunks(chunk).zip(sequence.targets.chunks(chunk));
        for (inputs, targets) in chunks {
            let mut targets = targets.iter();
            backend.forward(inputs, Want::All, &mut |_, logits| {
                let &target = targets.next().ok_or_else(surplus)?;
                score.add(logits, target)?;
                report(progress, &score, plan.total)
            })?;
        }
    }
    score.finish(options, plan.total)
}

/// Feeds what is not scored.
pub(super) fn feed_context(backend: &mut dyn Backend, context: &[u32], chunk: usize) -> Result<()> {
    context
        .chunks(chunk)
        .try_for_each(|tokens| backend.forward(tokens, Want::Nothing, &mut |_, _| Ok(())))
}

/// The window must fit the backend.
pub(super) fn check_context(backend: &dyn Backend, options: &EvalOptions) -> Result<()> {
    if backend.context() >= options.window {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Context,
        format!(
            "a window of {} tokens does not fit a context of {}",
            options.window,
            backend.context()
        ),
    )
    .with_hint("open the model with a longer context or evaluate with a smaller window"))
}

/// Tells the caller how far the run is, who may stop it.
pub(super) fn report(
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    score: &Score,
    total: usize,
) -> Result<()> {
    let mean = score.cross_entropy / score.count.max(1) as f64;
    match progress(&Progress { done: score.count, total, perplexity: libm::exp(mean) }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(ErrorKind::Cancelled, "evaluation cancelled")),
    }
}

/// The error of a backend that gives more logits than were wanted.
pub(super) fn surplus() -> Error {
    Error::new(ErrorKind::Shape, "the backend gave logits for more positions than it was fed")
}

/// Cross-entropies and the hash of one model on one text.
#[derive(Debug)]
pub(super) struct Score {
    ops: &'static dyn FloatOps,
    cross_entropy: f64,
    count: usize,
    hash: LogitsHash,
}

impl Score {
    /// Nothing scored yet; arithmetic by the process's kernel.
    pub(super) fn new() -> Result<Self> {
        let ops = Kernel::active()?.float();
        Ok(Self { ops, cross_entropy: 0.0, count: 0, hash: LogitsHash::default() })
    }

    /// Takes one position's logits and the token that came next.
    pub(super) fn add(&mut self, logits: &[f32], target: u32) -> Result<LogSum> {
        check_finite(logits, self.count)?;
        let logit = logits.get(target as usize).ok_or_else(|| {
            Error::new(
                ErrorKind::Tokenizer,
                format!("token {target} of the text is outside the vocabulary of {}", logits.len()),
            )
            .with_hint("the tokenizer does not belong to this model")
        })?;
        let sum = LogSum::of(logits, self.ops);
        self.cross_entropy -= sum.log_probability(*logit);
        self.count += 1;
        self.hash.update(logits);
        Ok(sum)
    }

    pub(super) fn finish(self, options: &EvalOptions, total: usize) -> Result<Perplexity> {
        if self.count != total {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("the backend gave logits for {} of {total} positions", self.count),
            ));
        }
        let cross_entropy = self.cross_entropy / total as f64;
        Ok(Perplexity {
            method: options.method,
            window: options.window,
            tokens_scored: total,
            cross_entropy,
            perplexity: libm::exp(cross_entropy),
            logits_hash: self.hash.to_string(),
        })
    }
}

/// SHA-256 over logits as little-endian f32. Two runs with one hash computed the same bits.
#[derive(Debug, Clone, Default)]
pub struct LogitsHash(Sha256);

impl LogitsHash {
    /// Takes the logits of the next position.
    pub fn update(&mut self, logits: &[f32]) {
        let mut bytes = [0u8; 4096];
        for block in logits.chunks(bytes.len() / 4) {
            for (bytes, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(block) {
                *bytes = value.to_le_bytes();
            }
            self.0.update(&bytes[..block.len() * 4]);
        }
    }
}

impl fmt::Display for LogitsHash {
    /// The hash of everything taken so far, in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.clone().finalize().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
