//! A session in a file: tokens, keys and values, and the messages of a chat.
//!
//! All numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic `RKLLMSES` |
//! | 4 | version: 1 |
//! | 4 | 1 if messages follow, else 0 |
//! | 8 | fingerprint of model, scheme and position embedding |
//! | 8 | T: tokens |
//! | 8 | C: tokens whose keys and values follow, at most T |
//! | 8 | S: bytes of keys and values |
//! | 8 | J: bytes of messages |
//! | 4 T | token ids |
//! | S | keys and values, as the backend lays them out |
//! | J | JSON: an array of messages |
//! | 8 | XXH64 of all before |

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::sequence::Sequence;
use super::session::Session;
use crate::digest::Digest;
use crate::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"RKLLMSES";
const VERSION: u32 = 1;
const HEADER: u64 = 56;
const CHECKSUM: u64 = 8;
/// Longest messages believed.
const MAX_MESSAGES: u64 = 64 << 20;

impl Session {
    /// Writes the sequence with its keys and values to a file, which takes the place of an older one
    /// only when it is whole.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be written, [`ErrorKind::Unsupported`] on a backend that keeps its
    /// state inside.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(&self.sequence, path.as_ref(), None)
    }

    /// Puts the sequence of a file in the place of this one. What follows gives the same bits as in the
    /// session that was saved; neither threads nor kernel nor the length of the context need be the same,
    /// as long as the tokens fit and position embedding does not depend on that length.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] for a file that is no session or damaged, [`ErrorKind::Checksum`] for one
    /// whose bytes changed, [`ErrorKind::Input`] for another model's or scheme's,
    /// [`ErrorKind::Context`] for more tokens than fit, [`ErrorKind::Io`] if it cannot be read. The
    /// session is as it was then, unless the file changed while it was read: then it is empty.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        load(&mut self.sequence, path.as_ref(), &mut |_| Ok(()))
    }
}

/// Writes `sequence` and the JSON of a chat's messages.
pub(super) fn save(sequence: &Sequence, path: &Path, messages: Option<&[u8]>) -> Result<()> {
    let mut draft = Draft::create(path)?;
    let written = write(sequence, &mut draft.file, messages);
    written.and_then(|()| draft.publish()).map_err(|error| error.about(path.display().to_string()))
}

fn write(sequence: &Sequence, file: &mut File, messages: Option<&[u8]>) -> Result<()> {
    if sequence.embedded() > 0 {
        let message = "a sequence that begins with embeddings cannot be saved";
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_hint("keep the embeddings and compute them again"));
    }
    let backend = sequence.backend();
    let (cached, tokens) = (sequence.cached(), sequence.tokens());
    let (Some(fingerprint), Some(state)) = (backend.fingerprint(), backend.state_bytes(cached))
    else {
        return Err(Error::new(ErrorKind::Unsupported, "this backend cannot save its state")
            .with_hint("keep the text and compute it again"));
    };
    let mut out = Hashing { inner: BufWriter::new(file), digest: Digest::new(), len: 0 };
    let mut header = Vec::with_capacity(HEADER as usize);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&u32::from(messages.is_some()).to_le_bytes());
    let messages = messages.unwrap_or_default();
    let lengths = [tokens.len() as u64, cached as u64, state, messages.len() as u64];
    header.extend_from_slice(&fingerprint.to_le_bytes());
    lengths.iter().for_each(|length| header.extend_from_slice(&length.to_le_bytes()));
    tokens.iter().for_each(|id| header.extend_from_slice(&id.to_le_bytes()));
    out.write_all(&header).map_err(cannot_write)?;
    let first = out.len;
    backend.export_state(&mut out)?;
    if out.len - first != state {
        let message = format!("the backend wrote {} bytes of {state}", out.len - first);
        return Err(Error::new(ErrorKind::Shape, message));
    }
    out.write_all(messages).map_err(cannot_write)?;
    let checksum = out.digest.finish();
    out.inner
        .write_all(&checksum.to_le_bytes())
        .and_then(|()| out.inner.flush())
        .map_err(cannot_write)
}

/// What the first bytes of a file say, checked against its length.
struct Header {
    fingerprint: u64,
    has_messages: bool,
    tokens: u64,
    cached: u64,
    state: u64,
    messages: u64,
}

impl Header {
    fn read(file: &mut impl Read, len: u64) -> Result<Self> {
        if len < HEADER + CHECKSUM {
            return Err(damaged(format!("too short: {len} bytes")));
        }
        let mut bytes = [0; HEADER as usize];
        file.read_exact(&mut bytes).map_err(cannot_read)?;
        if bytes[..8] != MAGIC {
            return Err(Error::new(ErrorKind::Format, "not a saved session")
                .with_hint("give a file that a session or chat saved"));
        }
        let words = bytes.as_chunks::<4>().0;
        let [version, has_messages] = [words[2], words[3]].map(u32::from_le_bytes);
        if version != VERSION {
            let message = format!("version {version}, this release reads {VERSION}");
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint("save the session again with this release"));
        }
        if has_messages > 1 {
            return Err(damaged(format!("expected 0 or 1, found {has_messages}")));
        }
        let numbers = bytes.as_chunks::<8>().0;
        let number = |index: usize| u64::from_le_bytes(numbers[index]);
        let header = Self {
            fingerprint: number(2),
            has_messages: has_messages == 1,
            tokens: number(3),
            cached: number(4),
            state: number(5),
            messages: number(6),
        };
        let expected = header
            .tokens
            .checked_mul(4)
            .and_then(|ids| ids.checked_add(header.state))
            .and_then(|sum| sum.checked_add(header.messages))
            .and_then(|sum| sum.checked_add(HEADER + CHECKSUM));
        match expected {
            Some(expected) if expected == len => Ok(header),
            Some(expected) => Err(damaged(format!("expected {expected} bytes, found {len}"))),
            None => Err(damaged("its lengths cannot be".into())),
        }
    }

    /// Checks that it can go into `sequence`.
    fn check(&self, sequence: &Sequence) -> Result<()> {
        let backend = sequence.backend();
        let Some(own) = backend.fingerprint() else {
            return Err(Error::new(ErrorKind::Unsupported, "this backend cannot load a state"));
        };
        if own != self.fingerprint {
            let message = format!(
                "saved by another model, scheme or position embedding: expected fingerprint \
                 {own:016x}, found {:016x}",
                self.fingerprint
            );
            return Err(Error::new(ErrorKind::Input, message)
                .with_hint("open the model it was saved with, with the same options"));
        }
        // A full sequence has one token that was generated and could not be fed.
        let context = sequence.context() as u64;
        if self.cached > context || self.tokens > context + 1 {
            let message = format!("its {} tokens do not fit a context of {context}", self.tokens);
            return Err(Error::new(ErrorKind::Context, message)
                .with_hint("open the model with a larger context"));
        }
        if self.cached > self.tokens {
            return Err(damaged(format!("{} of {} tokens cached", self.cached, self.tokens)));
        }
        if backend.state_bytes(self.cached as usize) != Some(self.state) {
            return Err(damaged(format!(
                "{} bytes of keys and values for {} tokens",
                self.state, self.cached
            )));
        }
        if self.messages > MAX_MESSAGES || (self.messages > 0 && !self.has_messages) {
            return Err(damaged(format!("{} bytes of messages", self.messages)));
        }
        Ok(())
    }
}

/// Reads a file into `sequence`. `take` gets the JSON of the messages, where there are, before anything
/// changes.
pub(super) fn load(
    sequence: &mut Sequence,
    path: &Path,
    take: &mut dyn FnMut(Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    read(sequence, path, take).map_err(|error| error.about(path.display().to_string()))
}

fn read(
    sequence: &mut Sequence,
    path: &Path,
    take: &mut dyn FnMut(Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    // Asked before opening: opening a named pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(ErrorKind::Missing, "no such file").with_source(error)
        }
        _ => cannot_read(error),
    })?;
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::Format, "not a regular file"));
    }
    let mut file = BufReader::new(File::open(path).map_err(cannot_read)?);
    let len = file.get_ref().metadata().map_err(cannot_read)?.len();
    let header = Header::read(&mut file, len)?;
    header.check(sequence)?;
    check_sum(&mut file, len)?;

    let mut messages = vec![0; header.messages as usize];
    let first = len - CHECKSUM - header.messages;
    file.seek(SeekFrom::Start(first)).map_err(cannot_read)?;
    file.read_exact(&mut messages).map_err(cannot_read)?;
    file.seek(SeekFrom::Start(HEADER)).map_err(cannot_read)?;
    let mut ids = vec![0; header.tokens as usize * 4];
    file.read_exact(&mut ids).map_err(cannot_read)?;
    let tokens: Vec<u32> = ids.as_chunks().0.iter().map(|&id| u32::from_le_bytes(id)).collect();
    let vocab = sequence.backend().vocab_size();
    if let Some(id) = tokens.iter().find(|&&id| id as usize >= vocab) {
        return Err(damaged(format!("token {id} of a vocabulary of {vocab}")));
    }
    take(header.has_messages.then_some(&*messages))?;
    sequence.import(tokens, header.cached as usize, &mut file.take(header.state))
}

/// Reads the file from its start and compares its last bytes with the sum of those before.
fn check_sum(file: &mut (impl Read + Seek), len: u64) -> Result<()> {
    file.seek(SeekFrom::Start(0)).map_err(cannot_read)?;
    let mut digest = Digest::new();
    let mut left = len - CHECKSUM;
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut buffer[..part]).map_err(cannot_read)?;
        digest.update(&buffer[..part]);
        left -= part as u64;
    }
    let mut stored = [0; CHECKSUM as usize];
    file.read_exact(&mut stored).map_err(cannot_read)?;
    let (stored, found) = (u64::from_le_bytes(stored), digest.finish());
    match stored == found {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Checksum,
            format!("damaged: expected checksum {stored:016x}, found {found:016x}"),
        )
        .with_hint("compute the sequence again")),
    }
}

/// A file beside its destination, gone again unless it is published.
struct Draft<'a> {
    file: File,
    path: PathBuf,
    destination: &'a Path,
    published: bool,
}

impl<'a> Draft<'a> {
    fn create(destination: &'a Path) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let Some(name) = destination.file_name() else {
            return Err(Error::new(ErrorKind::Input, "not the name of a file")
                .about(destination.display().to_string()));
        };
        let mut own = std::ffi::OsString::from(".");
        own.push(name);
        own.push(format!(".{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let path = destination.with_file_name(own);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| Error::io(&path, "create", error))?;
        Ok(Self { file, path, destination, published: false })
    }

    fn publish(mut self) -> Result<()> {
        self.file.sync_all().map_err(cannot_write)?;
        std::fs::rename(&self.path, self.destination).map_err(cannot_write)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.published {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Hashes what goes through.
struct Hashing<W> {
    inner: W,
    digest: Digest,
    len: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn damaged(message: String) -> Error {
    Error::new(ErrorKind::Format, format!("not a whole saved session: {message}"))
        .with_hint("compute the sequence again")
}

fn cannot_write(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot write: {error}")).with_source(error)
}

fn cannot_read(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot read: {error}")).with_source(error)
}
