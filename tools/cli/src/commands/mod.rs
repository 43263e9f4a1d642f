//! One file per command: its options and the function that does it.

pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod generate;
pub(crate) mod host_runtime;
pub(crate) mod inspect;
pub(crate) mod logits;
pub(crate) mod models;
mod record;
pub(crate) mod verify;
pub(crate) mod worker;

use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use rkllm::eval::Perplexity;

use crate::failure::Usage;

/// A whole number of at least 1.
pub(crate) fn positive() -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u64).range(1..=1 << 40).map(|value| value as usize)
}

/// One of `names`, as the type that parses it.
pub(crate) fn parser<T>(names: impl Into<PossibleValuesParser>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = rkllm::Error> + Clone + Send + Sync + 'static,
{
    names.into().try_map(|name| name.parse::<T>())
}

/// The error of a command line that cannot mean anything.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// How much worse a perplexity is than the baseline's, in per cent.
pub(crate) fn loss_percent(found: &Perplexity, baseline: &Perplexity) -> f64 {
    (found.perplexity / baseline.perplexity - 1.0) * 100.0
}
