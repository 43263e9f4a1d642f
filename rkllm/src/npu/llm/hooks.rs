//! What a model without a tokenizer or an embedding table asks the caller for.

use std::any::Any;
use std::sync::{Arc, Mutex, Weak};

use super::frames;
use super::registry::lock;
use super::run::Run;
use crate::{Error, ErrorKind, Result};

/// Text to token ids.
pub(super) type Tokenizer = dyn FnMut(&str) -> Result<Vec<u32>> + Send;
/// Token ids to rows of floats.
pub(super) type Embedding = dyn FnMut(&[u32], &mut [f32]) -> Result<()> + Send;

/// The caller's closures of a model, and the run that is under way.
pub(super) struct Hooks {
    /// The model's.
    number: u64,
    tokenizer: Mutex<Option<Box<Tokenizer>>>,
    embedding: Mutex<Option<Box<Embedding>>>,
    run: Mutex<Weak<Run>>,
    error: Mutex<Option<Error>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Hooks {
    pub(super) fn new(
        number: u64,
        tokenizer: Option<Box<Tokenizer>>,
        embedding: Option<Box<Embedding>>,
    ) -> Self {
        Self {
            number,
            tokenizer: Mutex::new(tokenizer),
            embedding: Mutex::new(embedding),
            run: Mutex::default(),
            error: Mutex::default(),
            panic: Mutex::default(),
        }
    }

    pub(super) fn begin(&self, run: &Arc<Run>) {
        *lock(&self.run) = Arc::downgrade(run);
        self.forget();
    }

    /// The run is over.
    pub(super) fn end(&self) {
        *lock(&self.run) = Weak::new();
    }

    /// The run in flight.
    pub(super) fn current(&self) -> Option<Arc<Run>> {
        lock(&self.run).upgrade()
    }

    /// Before a call of the runtime: what went wrong in an earlier one is not its.
    pub(super) fn forget(&self) {
        drop((self.take_error(), self.take_panic()));
    }

    /// The first error of a closure in the call that has ended.
    pub(super) fn take_error(&self) -> Option<Error> {
        lock(&self.error).take()
    }

    /// The first panic of one.
    pub(super) fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        lock(&self.panic).take()
    }

    /// At most `most` ids of the text; `None` after an error, which is kept.
    pub(super) fn tokenize(&self, text: &[u8], most: usize) -> Option<Vec<i32>> {
        self.guarded(|| {
            let mut encode = lock(&self.tokenizer);
            let encode = encode.as_mut().ok_or_else(|| missing("tokenizer"))?;
            let ids = encode(&String::from_utf8_lossy(text))?;
            if ids.len() > most {
                let message = format!("{} tokens where the runtime has room for {most}", ids.len());
                return Err(Error::new(ErrorKind::Context, message));
            }
            let ids: Result<Vec<_>, _> = ids.into_iter().map(i32::try_from).collect();
            ids.map_err(|_| Error::new(ErrorKind::Tokenizer, "a token id above 2147483647"))
        })
    }

    /// Fills the rows; false after an error, which is kept.
    pub(super) fn embed(&self, ids: &[i32], rows: &mut [f32]) -> bool {
        self.guarded(|| {
            let ids: Result<Vec<_>, _> = ids.iter().map(|id| u32::try_from(*id)).collect();
            let ids = ids.map_err(|_| {
                Error::new(ErrorKind::Runtime, "the runtime asked for a negative token id")
            })?;
            let mut embed = lock(&self.embedding);
            embed.as_mut().ok_or_else(|| missing("embedding"))?(&ids, rows)
        })
        .is_some()
    }

    /// Keeps what goes wrong for the end of the call, and ends a run: what the runtime would compute
    /// without an answer is of no use.
    fn guarded<T>(&self, act: impl FnOnce() -> Result<T>) -> Option<T> {
        match frames::within(self.number, 0, act) {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => drop(lock(&self.error).get_or_insert(error)),
            Err(panic) => drop(lock(&self.panic).get_or_insert(panic)),
        }
        if let Some(run) = self.current() {
            run.stop();
        }
        None
    }
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::Missing, format!("the model has no {what} and was loaded without one"))
}
