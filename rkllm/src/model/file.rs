//! Files of a model: small ones read whole, large ones mapped or read in parts.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::{Bytes, Error, ErrorKind, Result};

/// How tensors come into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Load {
    /// Mapped: pages are read when touched, shared between processes, and dropped under memory
    /// pressure. If another process truncates the file meanwhile, touching a lost page kills this
    /// process with SIGBUS; use [`Load::Copy`] where files may change, as on network mounts.
    #[default]
    Map,
    /// Copied into memory, tensor by tensor.
    Copy,
}

/// What a Git LFS pointer begins with: the text that stands for a file that was not fetched.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// Bytes of known length, in a file or in memory. The length was taken once, and everything is
/// checked against it.
#[derive(Debug)]
pub(super) struct ModelFile {
    path: PathBuf,
    len: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    File(File, OnceLock<Bytes>),
    Memory(Bytes),
}

impl ModelFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        // Asked before opening: opening a named pipe would wait for a writer.
        let metadata = std::fs::metadata(path).map_err(|error| cannot_open(path, error))?;
        if !metadata.is_file() {
            return Err(Error::new(ErrorKind::Format, "not a regular file")
                .about(path.display().to_string()));
        }
        let file = File::open(path).map_err(|error| cannot_open(path, error))?;
        let len = file.metadata().map_err(|error| Error::io(path, "read", error))?.len();
        let source = Source::File(file, OnceLock::new());
        let opened = Self { path: path.to_owned(), len, source };
        opened.refuse_lfs_pointer()?;
        Ok(opened)
    }

    /// Bytes that are in memory already; `path` is what messages call them.
    pub(super) fn in_memory(path: &str, bytes: Bytes) -> Self {
        Self { path: path.into(), len: bytes.len() as u64, source: Source::Memory(bytes) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buffer` from `offset` on, without mapping.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(buffer.len() as u64);
        if end > self.len {
            return Err(self.truncated(end));
        }
        match &self.source {
            Source::File(file, _) => {
                file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => self.truncated(end),
                    _ => Error::io(&self.path, "read", error),
                })
            }
            Source::Memory(bytes) => {
                buffer.copy_from_slice(&bytes[offset as usize..end as usize]);
                Ok(())
            }
        }
    }

    /// The error for a file that is shorter than what it must hold.
    pub(super) fn truncated(&self, expected: u64) -> Error {
        let found = match &self.source {
            Source::File(file, _) => file.metadata().map_or(self.len, |metadata| metadata.len()),
            Source::Memory(_) => self.len,
        };
        Error::new(
            ErrorKind::Format,
            format!("truncated: expected at least {expected} bytes, found {found}"),
        )
        .about(self.path.display().to_string())
        .with_hint("download it again")
    }

    /// All of it, mapped once where it is a file.
    pub(super) fn map(&self) -> Result<&Bytes> {
        let (file, mapped) = match &self.source {
            Source::File(file, mapped) => (file, mapped),
            Source::Memory(bytes) => return Ok(bytes),
        };
        if let Some(map) = mapped.get() {
            return Ok(map);
        }
        #[allow(unsafe_code)] // the memory map of design.md
        // SAFETY: the map is read-only and lives in `Bytes`. The file must not shrink or change
        // meanwhile, which no program can check; `Load::Map` documents what then happens, and no
        // value of a byte is ever trusted for memory safety.
        let map = unsafe { memmap2::Mmap::map(file) }
            .map_err(|error| Error::io(&self.path, "map", error))?;
        if map.len() as u64 != self.len {
            return Err(self.truncated(self.len));
        }
        Ok(mapped.get_or_init(|| Bytes::new(map)))
    }

    fn refuse_lfs_pointer(&self) -> Result<()> {
        let mut start = [0; LFS_POINTER.len()];
        if self.len >= start.len() as u64 {
            self.read_at(0, &mut start)?;
        }
        if start != LFS_POINTER {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Format,
            format!("a Git LFS pointer of {} bytes stands in place of the file", self.len),
        )
        .about(self.path.display().to_string())
        .with_hint("fetch it with git lfs pull, or download the file itself"))
    }
}

/// A small text file, at most `limit` bytes.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String> {
    let file = ModelFile::open(path)?;
    let about = |error: Error| error.about(path.display().to_string());
    if file.len > limit {
        let message = format!("expected at most {limit} bytes, found {}", file.len);
        return Err(about(Error::new(ErrorKind::Format, message)));
    }
    let mut text = vec![0; file.len as usize];
    file.read_at(0, &mut text)?;
    String::from_utf8(text).map_err(|error| {
        about(
            Error::new(ErrorKind::Format, format!("not UTF-8 text: {error}"))
                .with_hint("download it again"),
        )
    })
}

fn cannot_open(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::new(ErrorKind::Missing, "no such file")
            .about(path.display().to_string())
            .with_source(error),
        _ => Error::io(path, "open", error),
    }
}
