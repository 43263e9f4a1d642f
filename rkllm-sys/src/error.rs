//! What can be wrong with a runtime library, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a library was refused, in kinds a program can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such file in any of the places looked at.
    NotFound,
    /// A path that would depend on the current directory.
    RelativePath,
    /// The operating system refused to open or read the file.
    Io,
    /// Not an ELF file: a text, an archive, a web page.
    NotElf,
    /// A git-LFS pointer in place of the file.
    LfsPointer,
    /// The file ends before its headers say.
    Truncated,
    /// An ELF file whose tables contradict each other, or which is no shared library.
    Malformed,
    /// A library for another processor.
    WrongMachine,
    /// No version text inside.
    NoVersion,
    /// A release whose layouts are older than those declared here.
    TooOld,
    /// A release that is not known here.
    UnknownVersion,
    /// A good library, but of the ABI the caller cannot use.
    OtherAbi,
    /// The functions are those of another release than the version text says.
    AbiMismatch,
    /// A function is missing that no release lacks alone.
    MissingSymbol,
    /// `rkllm_createDefaultParam` wrote a struct of another layout.
    PoisonMismatch,
    /// The library executes SVE instructions, which this processor does not have.
    NeedsSve,
    /// The loader refused the library.
    Load,
}

/// A library that cannot be used: which, why, and what to do next.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    path: PathBuf,
    message: String,
    expected: Option<String>,
    found: Option<String>,
    hint: Option<String>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, path: &Path, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            path: path.to_owned(),
            message: message.into(),
            expected: None,
            found: None,
            hint: None,
        }))
    }

    #[must_use]
    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    #[must_use]
    pub(crate) fn found(mut self, found: impl Into<String>) -> Self {
        self.0.found = Some(found.into());
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Why, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The library; its bare file name where none was found.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What is wrong, without the path and the comparison.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What was expected, where there is something to compare.
    pub fn what_was_expected(&self) -> Option<&str> {
        self.0.expected.as_deref()
    }

    /// What was found instead.
    pub fn what_was_found(&self) -> Option<&str> {
        self.0.found.as_deref()
    }

    /// What to do next, where it is known.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { path, message, expected, found, hint, .. } = &*self.0;
        write!(f, "{}: {message}", path.display())?;
        if let Some(expected) = expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(found) = found {
            write!(f, "; found {found}")?;
        }
        if let Some(hint) = hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_file_the_reason_and_the_way_out() {
        let error = Error::new(ErrorKind::TooOld, Path::new("/l/librkllmrt.so"), "too old")
            .expected("1.2.1 or newer")
            .found("1.1.4")
            .hint("install 1.2.3");
        assert_eq!(
            error.to_string(),
            "/l/librkllmrt.so: too old; expected 1.2.1 or newer; found 1.1.4; install 1.2.3"
        );
        assert_eq!(error.kind(), ErrorKind::TooOld);
        assert_eq!(error.path(), Path::new("/l/librkllmrt.so"));
        assert_eq!(error.what_was_expected(), Some("1.2.1 or newer"));
        assert_eq!(error.what_was_found(), Some("1.1.4"));
        assert_eq!(error.advice(), Some("install 1.2.3"));
    }
}
