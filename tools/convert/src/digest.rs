//! SHA-256 of files, streamed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rkllm::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes read at a time; large enough that the system call costs nothing beside the hash.
const CHUNK: usize = 1 << 20;

/// One file of a directory: its name, size and SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Name inside the directory, without a path.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl FileDigest {
    /// Hashes `dir/name`. `on_bytes` is told the size of every piece read and can stop the work by an error.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file cannot be read, [`ErrorKind::Input`] if `name` is not a plain
    /// file name, and whatever `on_bytes` returns.
    pub fn of(dir: &Path, name: &str, on_bytes: &mut dyn FnMut(u64) -> Result<()>) -> Result<Self> {
        plain_name(name)?;
        let path = dir.join(name);
        let mut file = File::open(&path).map_err(|e| Error::io(&path, "open", e))?;
        let mut buffer = vec![0; CHUNK];
        let (mut hash, mut bytes) = (Sha256::new(), 0u64);
        loop {
            let read = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::io(&path, "read", e)),
            };
            hash.update(&buffer[..read]);
            bytes += read as u64;
            on_bytes(read as u64)?;
        }
        Ok(Self { name: name.to_owned(), bytes, sha256: hex(&hash.finalize()) })
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Refuses names that could lead out of the directory: a manifest is not trusted.
pub(crate) fn plain_name(name: &str) -> Result<()> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(std::path::Component::Normal(only)), None) if only == name => Ok(()),
        _ => Err(Error::new(ErrorKind::Input, "expected a plain file name").about(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_what_sha256sum_hashes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), b"abc").unwrap();
        let mut seen = 0;
        let digest = FileDigest::of(dir.path(), "a", &mut |n| {
            seen += n;
            Ok(())
        })
        .unwrap();
        assert_eq!(
            digest.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!((digest.bytes, seen), (3, 3));
    }

    #[test]
    fn names_stay_inside_the_directory() {
        for name in ["../a", "/etc/passwd", "a/b", "", ".", "..", "a/"] {
            assert!(plain_name(name).is_err(), "{name:?}");
        }
        assert!(plain_name("model-00001-of-00002.safetensors").is_ok());
    }
}
