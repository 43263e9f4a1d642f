//! What every answer of a session obeys.

#[cfg(feature = "constrain")]
use super::constraint::Constraint;
use super::matching::Matching;
use super::model::Model;
use super::sampling::Sampling;
use super::stop::StopStrings;
use crate::Result;

/// What the answers of a session or a chat obey.
///
/// ```
/// use rkllm::session::{GenerateOptions, Sampling};
///
/// let options = GenerateOptions::default()
///     .with_sampling(Sampling::default().with_temperature(0.7).with_seed(7))
///     .with_max_tokens(64)
///     .with_stop(["\n\n", "Question:"]);
/// assert_eq!(options.max_tokens(), Some(64));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GenerateOptions {
    pub(super) sampling: Sampling,
    pub(super) max_tokens: Option<usize>,
    pub(super) stop: Vec<String>,
    pub(super) ignore_eos: bool,
    pub(super) allow_degenerate: bool,
    #[cfg(feature = "constrain")]
    constraint: Option<Constraint>,
}

impl GenerateOptions {
    /// How tokens are chosen; greedy without it.
    #[must_use]
    pub fn with_sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// New tokens at most; without it, until the model ends or the context is full. At 0 nothing is
    /// computed.
    #[must_use]
    pub fn with_max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Texts that end an answer and are cut off it, wherever they come up.
    #[must_use]
    pub fn with_stop<S: Into<String>>(mut self, stop: impl IntoIterator<Item = S>) -> Self {
        self.stop = stop.into_iter().map(Into::into).collect();
        self
    }

    /// Goes on where the model would end, as benchmarks do.
    #[must_use]
    pub fn with_ignore_eos(mut self, ignore: bool) -> Self {
        self.ignore_eos = ignore;
        self
    }

    /// Whether an answer that is no language any more, as [`Degenerate`](super::Degenerate) describes, goes
    /// on; without it, and unless the end of a text is ignored, it ends.
    #[must_use]
    pub fn with_allow_degenerate(mut self, allow: bool) -> Self {
        self.allow_degenerate = allow;
        self
    }

    /// What answers must match, or anything with `None`.
    #[cfg(feature = "constrain")]
    #[must_use]
    pub fn with_constraint(mut self, constraint: impl Into<Option<Constraint>>) -> Self {
        self.constraint = constraint.into();
        self
    }

    /// How tokens are chosen.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// New tokens at most.
    pub fn max_tokens(&self) -> Option<usize> {
        self.max_tokens
    }

    /// Texts that end an answer.
    pub fn stop(&self) -> &[String] {
        &self.stop
    }

    /// What answers must match.
    #[cfg(feature = "constrain")]
    pub fn constraint(&self) -> Option<&Constraint> {
        self.constraint.as_ref()
    }

    /// # Errors
    /// [`ErrorKind::Input`](crate::ErrorKind::Input) for numbers and texts that mean nothing, and for a
    /// constraint that the model's tokens cannot obey.
    pub(super) fn check(&self, model: &Model) -> Result<()> {
        self.sampling.check()?;
        StopStrings::check(&self.stop)?;
        self.matching(model).map(drop)
    }

    /// The constraint before its first token.
    pub(super) fn matching(&self, model: &Model) -> Result<Option<Matching>> {
        #[cfg(feature = "constrain")]
        return self
            .constraint
            .as_ref()
            .map(|constraint| model.grammars()?.begin(constraint))
            .transpose();
        #[cfg(not(feature = "constrain"))]
        {
            let _ = model;
            Ok(None)
        }
    }
}
