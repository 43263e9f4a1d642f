//! A backend and the tokens it was fed.

use crate::{Backend, Error, ErrorKind, Result, Want};

/// One sequence: all its tokens, of which the backend's cache holds those before
/// [`Backend::position`]. The others wait to be fed.
pub(super) struct Sequence {
    backend: Box<dyn Backend + Send>,
    tokens: Vec<u32>,
    /// Positions before the first token that came as embeddings.
    embedded: usize,
    /// Tokens fed at a time, between two looks at the cancellation.
    chunk: usize,
    /// Logits after the last token, once all are fed.
    logits: Vec<f32>,
}

impl Sequence {
    pub(super) fn new(mut backend: Box<dyn Backend + Send>, chunk: usize) -> Self {
        backend.reset();
        Self { backend, tokens: Vec::new(), embedded: 0, chunk: chunk.max(1), logits: Vec::new() }
    }

    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(super) fn context(&self) -> usize {
        self.backend.context()
    }

    /// Tokens in the cache.
    pub(super) fn cached(&self) -> usize {
        self.backend.position().saturating_sub(self.embedded)
    }

    /// Positions before the first token that came as embeddings.
    pub(super) fn embedded(&self) -> usize {
        self.embedded
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Logits after the last token, if all are fed.
    pub(super) fn logits(&self) -> &[f32] {
        &self.logits
    }

    pub(super) fn clear(&mut self) {
        self.backend.reset();
        self.tokens.clear();
        self.embedded = 0;
    }

    /// Puts embeddings `[M, embedding_size]` in the place of the sequence. It is as it was after an error
    /// about their shape or number, and empty after any other.
    pub(super) fn prefill_embeddings(&mut self, values: &[f32]) -> Result<()> {
        let Some(size) = self.backend.embedding_size().filter(|&size| size > 0) else {
            return Err(Error::new(ErrorKind::Unsupported, "this backend cannot take embeddings"));
        };
        let count = values.len() / size;
        if count == 0 || count * size != values.len() {
            let message = format!("{} values are not rows of {size}", values.len());
            return Err(Error::new(ErrorKind::Shape, message).about("embeddings"));
        }
        if count > self.context() {
            let message = format!("{count} embeddings, the context holds {}", self.context());
            return Err(Error::new(ErrorKind::Context, message)
                .with_hint("open the model with a larger context"));
        }
        self.clear();
        let parts = count.div_ceil(self.chunk);
        for (index, part) in values.chunks(self.chunk.saturating_mul(size)).enumerate() {
            let want = if index + 1 == parts { Want::Last } else { Want::Nothing };
            let logits = &mut self.logits;
            let fed = self.backend.forward_embeddings(part, want, &mut |_, row| {
                logits.clear();
                logits.extend_from_slice(row);
                Ok(())
            });
            if let Err(error) = fed {
                self.clear();
                return Err(error);
            }
        }
        self.embedded = count;
        Ok(())
    }

    /// Chooses the adapter of what is fed from now on. The sequence, made under another, is forgotten.
    pub(super) fn set_lora(&mut self, name: Option<&str>) -> Result<()> {
        self.backend.set_lora(name)?;
        self.clear();
        Ok(())
    }

    /// Fills the cache from a file. Empty after an error.
    pub(super) fn import(
        &mut self,
        tokens: Vec<u32>,
        cached: usize,
        input: &mut dyn std::io::Read,
    ) -> Result<()> {
        self.clear();
        self.backend.import_state(cached, input)?;
        self.tokens = tokens;
        Ok(())
    }

    /// Puts `prompt` in the place of the sequence, or of what follows its embeddings if they are kept, and
    /// returns how many of its first tokens the cache has already. At least the last one is to be fed,
    /// for its logits.
    pub(super) fn begin(&mut self, prompt: Vec<u32>, keep_embeddings: bool) -> Result<usize> {
        if self.embedded > 0 && !keep_embeddings {
            self.clear();
        }
        let cached = &self.tokens[..self.cached()];
        let common = cached.iter().zip(&prompt).take_while(|(a, b)| a == b).count();
        let kept = common.min(prompt.len().saturating_sub(1));
        let truncated = self.backend.truncate(self.embedded + kept);
        self.tokens = prompt;
        match truncated {
            Ok(()) => Ok(kept),
            Err(error) if error.kind() == ErrorKind::Unsupported && self.embedded == 0 => {
                self.backend.reset();
                Ok(0)
            }
            Err(error) => {
                self.clear();
                Err(error)
            }
        }
    }

    pub(super) fn push(&mut self, token: u32) {
        self.tokens.push(token);
    }

    /// True if the context has no room for the tokens that wait.
    pub(super) fn is_full(&self) -> bool {
        self.embedded + self.tokens.len() > self.context()
    }

    /// Feeds the tokens that wait, chunk by chunk. False if `cancelled` said so before the end; what was
    /// fed stays.
    pub(super) fn feed(&mut self, cancelled: &dyn Fn() -> bool) -> Result<bool> {
        while self.cached() < self.tokens.len() {
            if cancelled() {
                return Ok(false);
            }
            let first = self.cached();
            let end = (first + self.chunk).min(self.tokens.len());
            let want = if end == self.tokens.len() { Want::Last } else { Want::Nothing };
            let logits = &mut self.logits;
            logits.clear();
            self.backend.forward(&self.tokens[first..end], want, &mut |_, row| {
                logits.clear();
                logits.extend_from_slice(row);
                Ok(())
            })?;
            if self.cached() != end {
                let message = format!(
                    "the backend holds {} tokens after {end} were fed",
                    self.backend.position()
                );
                return Err(Error::new(ErrorKind::Shape, message));
            }
        }
        match self.logits.len() == self.backend.vocab_size() {
            true => Ok(true),
            false => Err(Error::new(ErrorKind::Shape, "the backend gave no logits")),
        }
    }
}

impl std::fmt::Debug for Sequence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sequence")
            .field("tokens", &self.tokens.len())
            .field("cached", &self.cached())
            .field("context", &self.context())
            .finish_non_exhaustive()
    }
}
