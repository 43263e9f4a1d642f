//! What quantisation did to a model, in numbers.
//!
//! Everything here runs over [`Backend`](crate::Backend) and token ids: [`perplexity`] of a text,
//! [`compare`] for the divergence of quantised models from a float baseline fed with the same tokens,
//! and [`speed`]. Logits are streamed; memory does not grow with the text, apart from one number per
//! scored position for the percentiles.
//!
//! The rules of every measure are in `NUMERICS.md`, section "Measures".

mod divergence;
mod perplexity;
mod plan;
mod recommend;
mod softmax;
mod speed;
#[cfg(test)]
mod tests;

pub use divergence::{Candidate, Comparison, Differences, Divergence, compare};
pub use perplexity::{LogitsHash, Perplexity, Progress, perplexity};
pub use plan::{EvalOptions, Method};
pub use recommend::{Measured, Recommendation, recommend};
pub use speed::{Samples, Speed, SpeedOptions, speed};
