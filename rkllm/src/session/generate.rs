//! From a prompt to a stream of tokens.

use std::ops::ControlFlow;

use crate::logits::first_maximum;
use crate::{Backend, Error, ErrorKind, Result, Want};

/// When a generation ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GenerateOptions {
    /// New tokens at most.
    pub max_tokens: usize,
    /// Tokens that end the sequence. They are not part of what is generated.
    pub eos: Vec<u32>,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Stop {
    /// The model ended the sequence.
    Eos,
    /// As many tokens as were asked for.
    MaxTokens,
    /// The context is full.
    Context,
    /// `on_token` said so.
    Caller,
}

/// What was generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The new tokens, without the one that ended the sequence.
    pub tokens: Vec<u32>,
    /// Why there are no more.
    pub stop: Stop,
}

/// Appends `prompt` to the backend's sequence and generates after it. `sample` chooses a token from the
/// logits of the last position; `on_token` gets each new token as soon as it is known.
///
/// The last new token has not been fed to the backend when this returns.
///
/// # Errors
/// [`ErrorKind::Input`] for an empty prompt, [`ErrorKind::Context`] for one that does not fit, and what the
/// backend and `sample` report.
pub fn generate(
    backend: &mut dyn Backend,
    prompt: &[u32],
    options: &GenerateOptions,
    sample: &mut dyn FnMut(&[f32]) -> Result<u32>,
    on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> Result<Generation> {
    if prompt.is_empty() {
        return Err(Error::new(ErrorKind::Input, "the prompt has no tokens")
            .with_hint("give some text, or start with the model's BOS token"));
    }
    let mut tokens = Vec::new();
    let mut feed = |tokens: &[u32]| {
        let mut next = None;
        backend.forward(tokens, Want::Last, &mut |_, logits| {
            next = Some(sample(logits)?);
            Ok(())
        })?;
        let full = backend.position() >= backend.context();
        let next =
            next.ok_or_else(|| Error::new(ErrorKind::Shape, "the backend gave no logits"))?;
        Ok::<_, Error>((next, full))
    };
    if options.max_tokens == 0 {
        return Ok(Generation { tokens, stop: Stop::MaxTokens });
    }
    let (mut next, mut full) = feed(prompt)?;
    let stop = loop {
        if options.eos.contains(&next) {
            break Stop::Eos;
        }
        tokens.push(next);
        if on_token(next).is_break() {
            break Stop::Caller;
        }
        if tokens.len() == options.max_tokens {
            break Stop::MaxTokens;
        }
        if full {
            break Stop::Context;
        }
        (next, full) = feed(&[next])?;
    };
    Ok(Generation { tokens, stop })
}

/// Chooses the most likely token; of equal ones, the first.
///
/// # Errors
/// [`ErrorKind::NonFinite`] if a logit is not finite.
pub fn greedy(logits: &[f32]) -> Result<u32> {
    if let Some(index) = logits.iter().position(|value| !value.is_finite()) {
        return Err(Error::new(
            ErrorKind::NonFinite,
            format!("logit {index} is {}", logits[index]),
        )
        .with_hint("the weights overflow in this scheme; try the float baseline"));
    }
    Ok(first_maximum(logits) as u32)
}
