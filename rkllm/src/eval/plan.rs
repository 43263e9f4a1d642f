//! How a text is cut into sequences, and which of its predictions count.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind, Result};

/// A published way to cut a text into sequences. Perplexities of different methods do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Method {
    /// ids = \[BOS\] + tokens; windows of `window` inputs, a fresh context each, BOS only before the
    /// text. Every token is predicted exactly once.
    #[default]
    Windows,
    /// llama.cpp's `llama-perplexity`: ids = \[BOS\] + tokens in chunks of `window`, the first id of each
    /// chunk replaced by BOS, only positions `window / 2` to `window - 2` scored, an incomplete last
    /// chunk dropped. (llama.cpp wants two chunks at least; one is enough here.)
    Llama,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Windows => "windows",
            Self::Llama => "llama",
        })
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "windows" => Ok(Self::Windows),
            "llama" => Ok(Self::Llama),
            _ => Err(Error::new(ErrorKind::Input, format!("unknown method {name:?}"))
                .with_hint("use windows or llama")),
        }
    }
}

/// How a text is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalOptions {
    /// How it is cut.
    pub method: Method,
    /// Tokens per sequence; the backend's context must hold as many.
    pub window: usize,
    /// The token that begins a sequence. `None` for models without one: then the first token of
    /// the text is not predicted, and `llama` replaces nothing.
    pub bos: Option<u32>,
    /// Tokens given to the backend at once; 0 for a whole window. It moves no bit.
    pub chunk: usize,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self { method: Method::Windows, window: 512, bos: None, chunk: 0 }
    }
}

/// One sequence of the plan: `context` is fed without logits, then `inputs` with, and `targets[i]` is
/// the token after `inputs[i]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence<'a> {
    pub(super) context: &'a [u32],
    pub(super) inputs: &'a [u32],
    pub(super) targets: &'a [u32],
}

/// The ids of a text and how they are cut.
#[derive(Debug)]
pub(super) struct Plan {
    ids: Vec<u32>,
    method: Method,
    window: usize,
    sequences: usize,
    /// Predictions that count, over all sequences.
    pub(super) total: usize,
}

impl Plan {
    /// Cuts `tokens`, the text's ids without any special token.
    pub(super) fn new(tokens: &[u32], options: &EvalOptions) -> Result<Self> {
        let EvalOptions { method, window, bos, .. } = *options;
        if tokens.is_empty() {
            return Err(Error::new(ErrorKind::Input, "the text is empty: it has no tokens")
                .with_hint("give a text with some content"));
        }
        let mut ids = Vec::with_capacity(tokens.len() + 1);
        ids.extend(bos);
        ids.extend_from_slice(tokens);
        let (sequences, total) = match method {
            Method::Windows => windows(&ids, window)?,
            Method::Llama => chunks(&ids, window)?,
        };
        if let (Method::Llama, Some(bos)) = (method, bos) {
            // The replaced id is never a target: chunks do not predict across their borders.
            ids.chunks_exact_mut(window).for_each(|chunk| chunk[0] = bos);
        }
        Ok(Self { ids, method, window, sequences, total })
    }

    /// The sequences in the order of the text.
    pub(super) fn sequences(&self) -> impl Iterator<Item = Sequence<'_>> {
        (0..self.sequences).map(|index| {
            let start = index * self.window;
            let (first, end) = match self.method {
                Method::Windows => (start, (start + self.window).min(self.ids.len() - 1)),
                Method::Llama => (start + self.window / 2, start + self.window - 1),
            };
            Sequence {
                context: &self.ids[start..first],
                inputs: &self.ids[first..end],
                targets: &self.ids[first + 1..=end],
            }
        })
    }
}

/// The number of windows and of predictions.
fn windows(ids: &[u32], window: usize) -> Result<(usize, usize)> {
    if window == 0 {
        return Err(Error::new(ErrorKind::Input, "a window of 0 tokens predicts nothing")
            .with_hint("use 512, or what the figures to compare with used"));
    }
    let total = ids.len() - 1;
    if total == 0 {
        return Err(Error::new(
            ErrorKind::Input,
            "the text has 1 token and the model no BOS token, so nothing can be predicted",
        )
        .with_hint("give a longer text"));
    }
    Ok((total.div_ceil(window), total))
}

/// The number of whole chunks and of predictions.
fn chunks(ids: &[u32], window: usize) -> Result<(usize, usize)> {
    if window < 3 {
        return Err(Error::new(
            ErrorKind::Input,
            format!("method llama scores nothing in chunks of {window} tokens, it needs 3 or more"),
        )
        .with_hint("use 512, llama.cpp's default"));
    }
    let count = ids.len() / window;
    if count == 0 {
        return Err(Error::new(
            ErrorKind::Input,
            format!(
                "method llama needs a whole chunk of {window} tokens, the text has {}",
                ids.len()
            ),
        )
        .with_hint("give a longer text, a smaller window, or use method windows"));
    }
    Ok((count, count * (window - 1 - window / 2)))
}
