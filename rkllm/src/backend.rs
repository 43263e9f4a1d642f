//! The two traits between the floors: what runs a model, and what runs one layer.

use std::io::{Read, Write};

use crate::{Error, ErrorKind, Result};

/// For which of the fed tokens logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Only for the last one: what generation needs.
    Last,
    /// For every one: what evaluation needs.
    All,
    /// For none: prefill of what will be continued.
    Nothing,
}

/// What is appended to a sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input<'a> {
    /// Token ids.
    Tokens(&'a [u32]),
    /// Rows `[M, embedding_size]`, row-major, in the place of the embedding of M tokens: exactly what
    /// [`Backend::embed`] gives for a token, that is what the first layer takes.
    Embeddings(&'a [f32]),
}

/// Tokens in, logits out: one sequence on one device.
pub trait Backend {
    /// The number of logits per position.
    fn vocab_size(&self) -> usize;

    /// The number of tokens the sequence can hold.
    fn context(&self) -> usize;

    /// The number of tokens the sequence holds now.
    fn position(&self) -> usize;

    /// Forgets the sequence.
    fn reset(&mut self);

    /// Appends `tokens` to the sequence and gives the wanted logits, in order, to `sink` as
    /// (position, `vocab_size` logits). Logits are lent for the call only, so any vocabulary and
    /// length can be streamed.
    ///
    /// # Errors
    /// [`ErrorKind::Context`](crate::ErrorKind::Context) if the tokens do not fit,
    /// [`ErrorKind::Tokenizer`](crate::ErrorKind::Tokenizer) for an id outside the vocabulary, and
    /// whatever `sink` returns. The sequence is unchanged by the first two.
    fn forward(
        &mut self,
        tokens: &[u32],
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()>;

    /// Values per embedding, which is also the size of a hidden state; `None`, the default, on a backend
    /// that takes tokens alone.
    fn embedding_size(&self) -> Option<usize> {
        None
    }

    /// Writes the embeddings of `tokens` to `out` `[tokens, embedding_size]`, to be mixed with those of
    /// an image, say, for [`Backend::forward_embeddings`].
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] for an id outside the vocabulary, [`ErrorKind::Shape`] if `out` has
    /// another size, [`ErrorKind::Unsupported`], the default, where the embedding stays inside.
    fn embed(&self, tokens: &[u32], out: &mut [f32]) -> Result<()> {
        let _ = (tokens, out);
        Err(unsupported("give the embedding of a token"))
    }

    /// As [`Backend::forward`], of M positions whose embeddings are `values` `[M, embedding_size]`,
    /// row-major: those that [`Backend::embed`] gives for tokens make the same bits as the tokens.
    ///
    /// A model that scales its embedding (none that the CPU engine runs does so) gives and takes the
    /// values after scaling.
    ///
    /// # Errors
    /// [`ErrorKind::Context`] if they do not fit, [`ErrorKind::Shape`] if they are not whole rows,
    /// [`ErrorKind::NonFinite`] for a NaN or infinity among them, [`ErrorKind::Unsupported`], the
    /// default, where only tokens go in, and whatever `sink` returns. The sequence is unchanged by all
    /// but the last.
    fn forward_embeddings(
        &mut self,
        values: &[f32],
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let _ = (values, want, sink);
        Err(unsupported("take embeddings"))
    }

    /// Appends `input` as [`Backend::forward`] and [`Backend::forward_embeddings`] do, and gives, in
    /// the place of logits, hidden states: `sink` gets (position, `embedding_size` values), the last
    /// layer's output after the final norm, which the output head would multiply. The head is not
    /// computed.
    ///
    /// # Errors
    /// As [`Backend::forward`] and [`Backend::forward_embeddings`]; [`ErrorKind::Unsupported`], the
    /// default, where hidden states stay inside.
    fn forward_hidden(
        &mut self,
        input: Input<'_>,
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let _ = (input, want, sink);
        Err(unsupported("give hidden states"))
    }

    /// Puts the adapter `name` in force for all that is fed from now on, or none. What the sequence
    /// holds stays as it was computed: for the answer of the adapter alone, [`Backend::reset`] first.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a name that is not loaded, [`ErrorKind::Unsupported`] on a backend
    /// without adapters, which is the default. The choice is as before then.
    fn set_lora(&mut self, name: Option<&str>) -> Result<()> {
        match name {
            None => Ok(()),
            Some(_) => Err(unsupported("take an adapter")),
        }
    }

    /// Forgets all but the first `len` tokens. What follows gives the same bits as in a sequence that
    /// never held more.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if the sequence is shorter, [`ErrorKind::Unsupported`] where the device
    /// cannot; nothing has changed then. The default can only keep all or nothing.
    fn truncate(&mut self, len: usize) -> Result<()> {
        match len {
            _ if len == self.position() => Ok(()),
            0 => {
                self.reset();
                Ok(())
            }
            _ => Err(unsupported("forget a part of the sequence")),
        }
    }

    /// What [`Backend::export_state`] depends on besides the tokens: model, scheme, layout. States go
    /// between backends of one fingerprint only. `None`, the default, where the state stays inside.
    fn fingerprint(&self) -> Option<u64> {
        None
    }

    /// Bytes of the state of `len` tokens, `None` where the state stays inside or for more tokens than
    /// the sequence can hold.
    fn state_bytes(&self, len: usize) -> Option<u64> {
        let _ = len;
        None
    }

    /// Writes the state of the whole sequence, [`Backend::state_bytes`] of [`Backend::position`] bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the state stays inside, [`ErrorKind::Io`] from `out`.
    fn export_state(&self, out: &mut dyn Write) -> Result<()> {
        let _ = out;
        Err(unsupported("save its state"))
    }

    /// Puts the exported state of `len` tokens in the place of the sequence. What follows gives the same
    /// bits as in the sequence that was exported.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the state stays inside, [`ErrorKind::Context`] for more tokens
    /// than the sequence can hold, [`ErrorKind::Format`] for what cannot be a state, [`ErrorKind::Io`]
    /// from `input`. The sequence is empty after an error.
    fn import_state(&mut self, len: usize, input: &mut dyn Read) -> Result<()> {
        let _ = (len, input);
        Err(unsupported("load a state"))
    }
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this backend cannot {what}"))
}

/// Activations in, outputs out: one linear layer, or several that share their input.
pub trait Linear: Send + Sync {
    /// K: values per input row.
    fn in_features(&self) -> usize;

    /// N: values per output row.
    fn out_features(&self) -> usize;

    /// `y[m, n] = sum_k x[m, k] * w[n, k] + b[n]` by the rules of `NUMERICS.md`.
    /// `x` is `[M, K]` and `y` is `[M, N]`, both row-major and dense.
    ///
    /// # Errors
    /// What the device reports. The CPU has none.
    fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()>;
}
