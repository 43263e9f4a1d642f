//! Text as tokens arrive.

use super::Tokenizer;
use crate::Result;

/// Turns ids into text one at a time, giving whole characters only: a token may end in the middle of
/// one, and its text may depend on the token before. Special tokens give no text.
#[derive(Debug, Clone)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// Ids whose text was given, kept because the next token's text depends on them, then ids whose
    /// text was not.
    pub(super) ids: Vec<u32>,
    given: usize,
}

/// A character has at most four bytes and most tokens at least one, so what still ends in the middle
/// of one after this many tokens is not text.
const MAX_PENDING: usize = 8;

impl<'a> TextStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), given: 0 }
    }

    /// Adds a token and returns the text that is now whole, often none. All texts together, with that
    /// of [`TextStream::finish`], are what [`Tokenizer::decode`] gives for all ids at once.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`](crate::ErrorKind::Tokenizer) if the tokens cannot be joined.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        let text = self.pending()?;
        let broken = text.ends_with(char::REPLACEMENT_CHARACTER);
        if text.is_empty() || (broken && self.ids.len() - self.given < MAX_PENDING) {
            return Ok(String::new());
        }
        self.ids.drain(..self.given);
        self.given = self.ids.len();
        Ok(text)
    }

    /// The text of an unfinished character, as replacement characters, at the end of the sequence.
    ///
    /// # Errors
    /// As [`TextStream::push`].
    pub fn finish(&mut self) -> Result<String> {
        let text = self.pending()?;
        self.ids.clear();
        self.given = 0;
        Ok(text)
    }

    /// The text of the ids not given yet, in the context of those before.
    fn pending(&self) -> Result<String> {
        let before = self.tokenizer.decode(&self.ids[..self.given])?;
        let mut text = self.tokenizer.decode(&self.ids)?;
        let common: usize = before
            .chars()
            .zip(text.chars())
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len_utf8())
            .sum();
        Ok(text.split_off(common))
    }
}
