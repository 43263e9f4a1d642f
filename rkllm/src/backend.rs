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
