//! Tokens to text, whole characters only.

use rkllm::Result;
use rkllm::model::Tokenizer;

/// Tokens after which what still is no character is taken for none.
const MOST_PENDING: usize = 8;

/// Turns ids into text one at a time. As [`rkllm::model::TextStream`], with special tokens if wanted.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Ids whose text was given, which the next one's text depends on, then those that wait.
    ids: Vec<u32>,
    given: usize,
    skip_special: bool,
}

/// What a token added.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// Text, perhaps none.
    Text(String),
    /// It ends inside a character.
    Incomplete,
}

impl Decoder {
    pub(super) fn new(skip_special: bool) -> Self {
        Self { skip_special, ..Self::default() }
    }

    /// Adds a token.
    pub(super) fn push(&mut self, tokenizer: Option<&Tokenizer>, id: u32) -> Result<Added> {
        // A model that was exported without its tokenizer has no text to give.
        let Some(tokenizer) = tokenizer else { return Ok(Added::Text(String::new())) };
        self.ids.push(id);
        let text = self.pending(tokenizer)?;
        let waits = self.ids.len() - self.given;
        if text.ends_with(char::REPLACEMENT_CHARACTER) && waits < MOST_PENDING {
            return Ok(Added::Incomplete);
        }
        if !text.is_empty() {
            self.ids.drain(..self.given);
            self.given = self.ids.len();
        }
        Ok(Added::Text(text))
    }

    /// What never became a character.
    pub(super) fn finish(&mut self, tokenizer: Option<&Tokenizer>) -> Result<String> {
        let rest = tokenizer.map_or(Ok(String::new()), |tokenizer| self.pending(tokenizer));
        self.ids.clear();
        self.given = 0;
        rest
    }

    fn pending(&self, tokenizer: &Tokenizer) -> Result<String> {
        let text = |ids: &[u32]| match self.skip_special {
            true => tokenizer.decode(ids),
            false => tokenizer.decode_with_special_tokens(ids),
        };
        let before = text(&self.ids[..self.given])?;
        let mut all = text(&self.ids)?;
        let common = before.chars().zip(all.chars()).take_while(|(a, b)| a == b);
        let common: usize = common.map(|(a, _)| a.len_utf8()).sum();
        Ok(all.split_off(common))
    }
}
