//! The tokenizer of a model, read when text is first needed.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::Result;
use crate::model::Tokenizer;

/// What reading a tokenizer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TokenizerLoad {
    /// Reading and building it.
    pub time: Duration,
    /// Bytes of `tokenizer.json`. In memory it takes several times as much.
    pub file_bytes: u64,
}

/// A tokenizer in a directory, or one the caller gave.
pub(super) struct Text {
    /// Ends of an answer that the model's configuration names.
    eos: Vec<u32>,
    dir: Option<PathBuf>,
    /// Held while it is read, so that of two threads one reads and the other waits.
    reading: Mutex<()>,
    known: OnceLock<Known>,
}

struct Known {
    tokenizer: Tokenizer,
    eos: Vec<u32>,
    load: Option<TokenizerLoad>,
}

impl Text {
    /// The tokenizer in `dir`, not looked at yet.
    pub(super) fn in_dir(dir: impl Into<PathBuf>, eos: Vec<u32>) -> Self {
        Self { eos, dir: Some(dir.into()), reading: Mutex::default(), known: OnceLock::new() }
    }

    #[cfg(feature = "cpu")]
    pub(super) fn given(tokenizer: Tokenizer, eos: Vec<u32>) -> Self {
        let text = Self { eos, dir: None, reading: Mutex::default(), known: OnceLock::new() };
        text.keep(tokenizer, None);
        text
    }

    /// # Errors
    /// As [`Tokenizer::open`], each time until it succeeds.
    pub(super) fn tokenizer(&self) -> Result<&Tokenizer> {
        self.known().map(|known| &known.tokenizer)
    }

    /// Ends of an answer: the configuration's, and the tokenizer's.
    ///
    /// # Errors
    /// As [`Text::tokenizer`].
    pub(super) fn eos(&self) -> Result<&[u32]> {
        self.known().map(|known| &known.eos[..])
    }

    /// What reading it took; `None` until then, and of one that was given.
    pub(super) fn load(&self) -> Option<TokenizerLoad> {
        self.known.get()?.load
    }

    fn known(&self) -> Result<&Known> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.known.get(), &self.dir) {
            (Some(known), _) => Ok(known),
            (None, Some(dir)) => {
                let begun = Instant::now();
                let tokenizer = Tokenizer::open(dir)?;
                let file = std::fs::metadata(dir.join("tokenizer.json"));
                let file_bytes = file.map_or(0, |file| file.len());
                Ok(self.keep(tokenizer, Some(TokenizerLoad { time: begun.elapsed(), file_bytes })))
            }
            (None, None) => unreachable!("without a directory it was given"),
        }
    }

    fn keep(&self, tokenizer: Tokenizer, load: Option<TokenizerLoad>) -> &Known {
        self.known.get_or_init(|| {
            let mut eos = self.eos.clone();
            eos.extend(tokenizer.eos().filter(|id| !self.eos.contains(id)));
            Known { tokenizer, eos, load }
        })
    }
}
