//! What quantisation did to a model, in numbers.
//!
//! Everything here runs over [`Backend`](crate::Backend) and token ids: [`perplexity`] of a text,
//! [`compare`] for the divergence of quantised models from a float baseline fed with the same tokens,
//! [`answers`] to questions whose right answer is known, and [`speed`]. Logits are streamed; memory
//! does not grow with the text, apart from one number per scored position for the percentiles.
//!
//! The rules of every measure are in `NUMERICS.md`, section "Measures"; when an answer is right, at
//! [`Term::accepts`].

mod divergence;
mod perplexity;
mod plan;
mod recommend;
mod softmax;
mod speed;
mod terms;
#[cfg(test)]
mod tests;

pub use divergence::{Candidate, Comparison, Differences, Divergence, compare};
pub use perplexity::{LogitsHash, Perplexity, Progress, perplexity};
pub use plan::{EvalOptions, Method};
pub use recommend::{Limits, Measured, Recommendation, recommend};
pub use speed::{Samples, Speed, SpeedOptions, speed};
pub use terms::{AnswerOptions, Term, TermAccuracy, TermKind, answers, parse_terms};
