//! One pass over a file, or over both of its ends.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use super::REACH;
use super::scan::Strings;
use crate::{Error, ErrorKind, Result};

/// Read at once.
const CHUNK: usize = 1 << 20;
/// Bytes of the front that are kept.
const START: usize = 4096;
/// Bytes of the end that are kept.
const END: usize = 64;

/// What the reading of a file came to.
pub(super) struct Seen {
    /// Its first 4096 bytes at most.
    pub(super) start: Vec<u8>,
    /// Its last 64 bytes at most.
    pub(super) end: Vec<u8>,
    pub(super) strings: Strings,
    pub(super) searched: u64,
    /// Zeros at its end, counted to some way back.
    pub(super) zeros: u64,
    pub(super) only_zeros: bool,
    /// There is a byte in it that no text has.
    pub(super) binary: bool,
}

/// Reads all of `size` bytes, or where that is more than both reaches, those.
pub(super) fn read(
    mut reader: impl Read + Seek,
    size: u64,
    deep: bool,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Seen> {
    let whole = deep || size <= 2 * REACH;
    let total = if whole { size } else { 2 * REACH };
    let mut pass = Pass {
        seen: Seen {
            start: Vec::new(),
            end: Vec::new(),
            strings: Strings::new(size),
            searched: 0,
            zeros: 0,
            only_zeros: true,
            binary: false,
        },
        total,
        progress,
    };
    let failed = |error: io::Error| {
        Error::new(ErrorKind::Io, format!("cannot read: {error}")).with_source(error)
    };
    // A file that grows meanwhile is read to its old end.
    let front = if whole { size } else { REACH };
    pass.over(&mut reader.by_ref().take(front), 0)?;
    pass.seen.strings.end();
    if !whole {
        reader.seek(SeekFrom::Start(size - REACH)).map_err(failed)?;
        pass.over(&mut reader.take(REACH), size - REACH)?;
        pass.seen.strings.end();
    }
    Ok(pass.seen)
}

struct Pass<'a> {
    seen: Seen,
    total: u64,
    progress: &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>,
}

impl Pass<'_> {
    fn over(&mut self, reader: &mut impl Read, mut at: u64) -> Result<()> {
        let mut chunk = vec![0u8; CHUNK];
        loop {
            let count = match reader.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Error::new(ErrorKind::Io, format!("cannot read: {error}"))
                        .with_source(error));
                }
            };
            self.take(&chunk[..count], at);
            at += count as u64;
            if (self.progress)(self.seen.searched, self.total).is_break() {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
            }
        }
    }

    fn take(&mut self, bytes: &[u8], at: u64) {
        let seen = &mut self.seen;
        let missing = START.saturating_sub(seen.start.len());
        seen.start.extend(bytes.iter().take(missing));
        seen.end.extend(&bytes[bytes.len().saturating_sub(END)..]);
        seen.end.drain(..seen.end.len().saturating_sub(END));
        let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let before = if zeros == bytes.len() { seen.zeros } else { 0 };
        seen.zeros = before.saturating_add(zeros as u64);
        seen.only_zeros &= zeros == bytes.len();
        seen.binary = seen.binary || !bytes.iter().all(|byte| is_text(*byte));
        seen.strings.feed(bytes, at);
        seen.searched += bytes.len() as u64;
    }
}

/// True of what texts are made of, in UTF-8.
fn is_text(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || b"\t\n\r\x0c".contains(&byte)
}
