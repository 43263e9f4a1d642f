//! One safetensors file, written as a stream: the header is known last and stands first.
//!
//! Matrices have sizes that are known before any is quantised, so their places are fixed at the start: the *body*.
//! Scales can turn out f16 or f32, and the small tensors would break the alignment of what follows, so they
//! come after it: the *tail*, kept in a file of its own until the shard is finished.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rkllm::{Dtype, Error, ErrorKind, Result};

use crate::staging::write_error;

/// Data starts at a multiple of this, and tensors lie at multiples of it wherever their sizes allow:
/// one cache line.
const ALIGN: u64 = 64;
/// Longer headers are refused by the safetensors library.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes moved at a time when the tail is appended.
const CHUNK: usize = 1 << 20;

/// A tensor's name, type and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
}

impl Spec {
    pub(crate) fn new(name: impl Into<String>, dtype: Dtype, shape: &[usize]) -> Self {
        Self { name: name.into(), dtype, shape: shape.to_vec() }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.shape.iter().fold(self.dtype.size() as u64, |n, &dim| n.saturating_mul(dim as u64))
    }

    /// The largest power of two, up to a cache line, that divides the size. Tensors laid out from
    /// the largest of these to the smallest all lie at multiples of their own.
    fn alignment(&self) -> u64 {
        1 << self.bytes().trailing_zeros().min(ALIGN.trailing_zeros())
    }
}

/// A tensor in its place: `start` counts from the beginning of the data.
#[derive(Debug)]
struct Placed {
    spec: Spec,
    start: u64,
    written: u64,
}

/// The writer of one shard.
#[derive(Debug)]
pub(crate) struct ShardWriter {
    file: File,
    path: PathBuf,
    /// Bytes before the data: the length field, the header, its padding.
    reserved: u64,
    body: Vec<Placed>,
    body_bytes: u64,
    tail: Option<Tail>,
    tail_specs: Vec<(Spec, u64)>,
}

/// The tail's own file, beside the shard.
#[derive(Debug)]
struct Tail {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl ShardWriter {
    /// Begins `path` with the tensors of `body`; `tail` bounds what will be appended: its names are all
    /// that may come, its sizes the most they may take.
    pub(crate) fn create(path: &Path, mut body: Vec<Spec>, tail: &[Spec]) -> Result<Self> {
        body.sort_by_key(|spec| std::cmp::Reverse(spec.alignment()));
        let mut start = 0;
        let mut placed = Vec::with_capacity(body.len());
        for spec in body {
            let bytes = spec.bytes();
            placed.push(Placed { spec, start, written: 0 });
            start += bytes;
        }
        let most = start + tail.iter().map(Spec::bytes).sum::<u64>();
        let specs = placed.iter().map(|p| &p.spec).chain(tail);
        let widest: Vec<_> = specs.map(|spec| (spec, most, most)).collect();
        let reserved = (8 + header(&widest).len() as u64).next_multiple_of(ALIGN);
        if reserved - 8 > MAX_HEADER {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("a header of {reserved} bytes, at most {MAX_HEADER} are allowed"),
            )
            .about(path.display().to_string())
            .with_hint("choose smaller shards"));
        }
        let file = create_new(path)?;
        let tail_path = path.with_extension("tail");
        let tail = Tail { file: create_new(&tail_path)?, path: tail_path, bytes: 0 };
        Ok(Self {
            file,
            path: path.to_owned(),
            reserved,
            body: placed,
            body_bytes: start,
            tail: Some(tail),
            tail_specs: Vec::new(),
        })
    }

    /// Appends `bytes` to the tensor `name` of the body.
    pub(crate) fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let placed = find(&mut self.body, name)?;
        let end = placed.written + bytes.len() as u64;
        if end > placed.spec.bytes() {
            return Err(misuse(name, "more bytes than the tensor has"));
        }
        let at = self.reserved + placed.start + placed.written;
        placed.written = end;
        let written = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.write_all(bytes));
        written.map_err(|e| write_error(&self.path, "write", e))
    }

    /// Begins the tensor `name` of the body again.
    pub(crate) fn restart(&mut self, name: &str) -> Result<()> {
        find(&mut self.body, name)?.written = 0;
        Ok(())
    }

    /// Adds a whole tensor to the tail.
    pub(crate) fn push_tail(&mut self, spec: Spec, bytes: &[u8]) -> Result<()> {
        if spec.bytes() != bytes.len() as u64 {
            return Err(misuse(&spec.name, "another number of bytes than the tensor has"));
        }
        let Some(tail) = &mut self.tail else { return Err(misuse(&spec.name, "no tail")) };
        tail.file.write_all(bytes).map_err(|e| write_error(&tail.path, "write", e))?;
        self.tail_specs.push((spec, tail.bytes));
        tail.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Appends the tail, writes the header, and makes the file durable. Returns the tensors and
    /// their total size.
    pub(crate) fn finish(mut self) -> Result<(Vec<Spec>, u64)> {
        if let Some(short) = self.body.iter().find(|p| p.written != p.spec.bytes()) {
            return Err(misuse(&short.spec.name, "fewer bytes than the tensor has"));
        }
        self.tail_specs.sort_by_key(|(spec, _)| std::cmp::Reverse(spec.alignment()));
        let mut end = self.body_bytes;
        let mut order: Vec<(&Spec, u64, u64)> =
            self.body.iter().map(|p| (&p.spec, p.start, p.start + p.spec.bytes())).collect();
        if let Some(mut tail) = self.tail.take() {
            let seek = SeekFrom::Start(self.reserved + end);
            self.file.seek(seek).map_err(|e| write_error(&self.path, "write", e))?;
            for (spec, from) in &self.tail_specs {
                copy_range(&mut tail, *from, spec.bytes(), &mut self.file, &self.path)?;
                order.push((spec, end, end + spec.bytes()));
                end += spec.bytes();
            }
            std::fs::remove_file(&tail.path).map_err(|e| write_error(&tail.path, "remove", e))?;
        }
        let mut text = header(&order).into_bytes();
        let room = (self.reserved - 8) as usize;
        if text.len() > room {
            return Err(misuse("the header", "a longer header than was reserved"));
        }
        text.resize(room, b' ');
        let mut start = (room as u64).to_le_bytes().to_vec();
        start.append(&mut text);
        let written = self.file.rewind().and_then(|()| self.file.write_all(&start));
        written
            .and_then(|()| self.file.sync_all())
            .map_err(|e| write_error(&self.path, "write", e))?;
        Ok((order.into_iter().map(|(spec, ..)| spec.clone()).collect(), end))
    }
}

fn create_new(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    options.open(path).map_err(|e| write_error(path, "create", e))
}

fn find<'a>(body: &'a mut [Placed], name: &str) -> Result<&'a mut Placed> {
    let placed = body.iter_mut().find(|placed| placed.spec.name == name);
    placed.ok_or_else(|| misuse(name, "no place in this shard"))
}

/// Our own plan contradicts itself. Never a file's fault, but an error rather than a panic or a bad file.
fn misuse(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Format, format!("internal error: {what}"))
        .about(name)
        .with_hint("please report this")
}

fn copy_range(tail: &mut Tail, from: u64, bytes: u64, to: &mut File, path: &Path) -> Result<()> {
    let failed = |e| Error::io(&tail.path, "read", e);
    tail.file.seek(SeekFrom::Start(from)).map_err(failed)?;
    let mut buffer = vec![0; CHUNK.min(bytes as usize)];
    let mut left = bytes;
    while left > 0 {
        let piece = &mut buffer[..left.min(CHUNK as u64) as usize];
        tail.file.read_exact(piece).map_err(failed)?;
        to.write_all(piece).map_err(|e| write_error(path, "write", e))?;
        left -= piece.len() as u64;
    }
    Ok(())
}

/// The JSON header over tensors with their first and last offsets.
fn header(tensors: &[(&Spec, u64, u64)]) -> String {
    // transformers refuses a file that does not say which framework's conventions it follows.
    let mut text = String::from(r#"{"__metadata__":{"format":"pt"}"#);
    for (spec, start, end) in tensors {
        let name = serde_json::Value::from(spec.name.as_str());
        let shape: Vec<_> = spec.shape.iter().map(ToString::to_string).collect();
        let (dtype, shape) = (dtype_name(spec.dtype), shape.join(","));
        write!(
            text,
            r#",{name}:{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{start},{end}]}}"#
        )
        .expect("writing to a string cannot fail");
    }
    text.push('}');
    text
}

/// safetensors' names of the types.
fn dtype_name(dtype: Dtype) -> String {
    dtype.to_string().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    #[test]
    fn the_library_reads_what_we_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let odd = Spec::new("odd", Dtype::I8, &[3, 5]);
        let even = Spec::new("even \"quoted\"", Dtype::I32, &[4, 16]);
        let bound =
            [Spec::new("scale", Dtype::F32, &[3, 1]), Spec::new("norm", Dtype::Bf16, &[32])];
        let mut writer =
            ShardWriter::create(&path, vec![odd.clone(), even.clone()], &bound).unwrap();
        let even_data: Vec<u8> = (0..=255).collect();
        writer.append(&odd.name, &[9; 15]).unwrap();
        writer.push_tail(Spec::new("scale", Dtype::F16, &[3, 1]), &[1, 2, 3, 4, 5, 6]).unwrap();
        writer.append(&even.name, &even_data[..100]).unwrap();
        writer.append(&even.name, &even_data[100..]).unwrap();
        writer.push_tail(bound[1].clone(), &[7; 64]).unwrap();
        writer.restart(&odd.name).unwrap();
        writer.append(&odd.name, &[8; 15]).unwrap();
        let (specs, total) = writer.finish().unwrap();
        assert_eq!((specs.len(), total), (4, 15 + 256 + 6 + 64));

        let bytes = std::fs::read(&path).unwrap();
        let (header, _) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!((header + 8) % 64, 0);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let data = |name| file.tensor(name).unwrap().data().to_vec();
        assert_eq!(data("odd"), [8; 15]);
        assert_eq!(data("even \"quoted\""), even_data);
        assert_eq!(data("scale"), [1, 2, 3, 4, 5, 6]);
        assert_eq!(data("norm"), [7; 64]);
        assert_eq!(file.tensor("scale").unwrap().dtype(), safetensors::Dtype::F16);
        assert_eq!(file.tensor("scale").unwrap().shape(), [3, 1]);
        // The even matrix comes first and on a cache line, though it was second to be asked for.
        let offset = bytes.windows(256).position(|window| window == even_data).unwrap();
        assert_eq!(offset, header + 8);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_short_or_long_tensor_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let spec = Spec::new("w", Dtype::I8, &[4]);
        let path = dir.path().join("a.safetensors");
        let mut writer = ShardWriter::create(&path, vec![spec.clone()], &[]).unwrap();
        assert!(writer.append("w", &[0; 5]).is_err());
        assert!(writer.append("v", &[0; 4]).is_err());
        assert!(writer.push_tail(Spec::new("s", Dtype::F32, &[1]), &[0; 3]).is_err());
        writer.append("w", &[0; 3]).unwrap();
        assert!(writer.finish().is_err());
    }
}
