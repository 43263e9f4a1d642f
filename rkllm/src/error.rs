//! The one error type of the crate.

use std::fmt;
use std::path::Path;

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in kinds a program can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused to open, read, map or write a file.
    Io,
    /// A file is not what its name or header says: truncated, overlapping, malformed.
    Format,
    /// A tensor or a file the model needs is absent.
    Missing,
    /// A tensor has an element type that cannot serve here.
    Dtype,
    /// A tensor or an argument has the wrong shape.
    Shape,
    /// A valid model or option that this version cannot run.
    Unsupported,
    /// A quantisation scheme that cannot apply, for example a group size that does not divide K.
    Quantization,
    /// A kernel that this processor cannot run.
    Kernel,
    /// Text that cannot be tokenised or ids that are outside the vocabulary.
    Tokenizer,
    /// An argument of the caller is wrong.
    Input,
    /// The sequence does not fit in the context.
    Context,
    /// Values that are not finite, in weights or in logits.
    NonFinite,
    /// A file does not have the SHA-256 its manifest records.
    Checksum,
    /// The work was cancelled by the caller.
    Cancelled,
    /// Not enough memory.
    Memory,
    /// A vendor library that speaks none of the ABIs known here, or not here.
    Abi,
    /// The vendor's runtime or the driver below it failed.
    Runtime,
    /// A worker process died, or what it said could not be understood.
    Crashed,
    /// Something took longer than the caller allowed.
    Timeout,
    /// Another process has what only one may have, such as the NPU.
    Busy,
}

/// An error that says what it is about, what was found, and what to do next.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    subject: Option<String>,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`. `message` is lower case and has no full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            subject: None,
            message: message.into(),
            hint: None,
            source: None,
        }))
    }

    /// An [`ErrorKind::Io`] error about `path`.
    pub fn io(path: impl AsRef<Path>, action: &str, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("cannot {action}: {source}"))
            .about(path.as_ref().display().to_string())
            .with_source(source)
    }

    /// Names the path or the tensor the error is about; an outer subject is put before an inner one.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        let outer = subject.into();
        self.0.subject = Some(match self.0.subject.take() {
            Some(inner) => format!("{outer}: {inner}"),
            None => outer,
        });
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Keeps the error underneath.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The path or tensor the error is about.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// The message without subject and hint, for an error that crosses to another process.
    #[cfg(feature = "npu")]
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, where it is known.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = &self.0.subject {
            write!(f, "{subject}: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // An io::Error is already part of the message; its own source is what lies deeper.
        match &self.0.source {
            Some(source) if source.is::<std::io::Error>() => source.source(),
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_subject_message_and_next_step() {
        let error = Error::new(ErrorKind::Shape, "expected [4, 8], found [8, 4]")
            .about("model.norm.weight")
            .about("model.safetensors")
            .with_hint("download the file again");
        assert_eq!(
            error.to_string(),
            "model.safetensors: model.norm.weight: expected [4, 8], found [8, 4]; download the file again"
        );
        assert_eq!(error.kind(), ErrorKind::Shape);
    }
}
