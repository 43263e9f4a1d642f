//! `TensorIndex`: every tensor of a directory, whichever file holds it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::file::{Load, ModelFile, read_text};
use super::header::{self, StoredDtype};
use super::json::{self, Fields, kind_of, shorten};
use crate::{Bytes, Dtype, Error, ErrorKind, Result, Tensor};

const SINGLE: &str = "model.safetensors";
const SHARDED: &str = "model.safetensors.index.json";
const MAX_INDEX: u64 = 100_000_000;

/// Where a tensor lies and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: StoredDtype,
    /// Dimensions, slowest first.
    pub shape: Vec<usize>,
    /// Which of [`TensorIndex::files`].
    pub file: usize,
    /// Its bytes, from the beginning of that file.
    pub range: Range<u64>,
}

impl TensorInfo {
    /// The number of bytes stored.
    pub fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The element type, if this crate reads it.
    ///
    /// # Errors
    /// [`ErrorKind::Dtype`] with the type's name in the file.
    pub fn known_dtype(&self) -> Result<Dtype> {
        match &self.dtype {
            StoredDtype::Known(dtype) => Ok(*dtype),
            StoredDtype::Other(name) => Err(Error::new(
                ErrorKind::Dtype,
                format!("element type {} cannot be read", shorten(name)),
            )),
        }
    }
}

/// The tensors of a model's directory: `model.safetensors`, or the shards that
/// `model.safetensors.index.json` lists. All headers are checked before it exists.
#[derive(Debug)]
pub struct TensorIndex {
    files: Vec<ModelFile>,
    tensors: BTreeMap<String, TensorInfo>,
    /// Names that safetensors metadata map to the name a tensor is stored under.
    aliases: BTreeMap<String, String>,
    load: Load,
}

impl TensorIndex {
    /// Reads the headers of the model in `dir`. Nothing is mapped or copied yet.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] where there is no model, [`ErrorKind::Format`] for a file that is
    /// truncated, whose header lies, or that is a Git LFS pointer.
    pub fn open(dir: &Path, load: Load) -> Result<Self> {
        let single = dir.join(SINGLE);
        let sharded = dir.join(SHARDED);
        let mut index =
            Self { files: Vec::new(), tensors: BTreeMap::new(), aliases: BTreeMap::new(), load };
        // Where both exist the single file counts, as it does for transformers.
        if single.exists() {
            index.add(ModelFile::open(&single)?)?;
        } else if sharded.exists() {
            index.add_shards(dir, &sharded)?;
        } else {
            return Err(Error::new(ErrorKind::Missing, format!("no {SINGLE} and no {SHARDED}"))
                .about(dir.display().to_string())
                .with_hint(next_step(dir)));
        }
        Ok(index)
    }

    /// Reads the header of the one safetensors file `path`.
    #[cfg(feature = "cpu")]
    pub(super) fn open_file(path: &Path, load: Load) -> Result<Self> {
        let mut index =
            Self { files: Vec::new(), tensors: BTreeMap::new(), aliases: BTreeMap::new(), load };
        index.add(ModelFile::open(path)?)?;
        Ok(index)
    }

    /// Reads the header of a safetensors file in memory, such as one embedded in the program. `name`
    /// is what messages call it.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] for a header that lies.
    pub fn from_bytes(name: &str, bytes: Bytes) -> Result<Self> {
        let mut index = Self {
            files: Vec::new(),
            tensors: BTreeMap::new(),
            aliases: BTreeMap::new(),
            load: Load::Map,
        };
        index.add(ModelFile::in_memory(name, bytes))?;
        Ok(index)
    }

    /// The files, in the order their tensors refer to them.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(ModelFile::path)
    }

    /// The names of the stored tensors, sorted; aliases are not among them.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The name a tensor is stored under: its own, or what the metadata map it to.
    pub fn stored_name<'a>(&'a self, name: &str) -> Option<&'a str> {
        match self.tensors.get_key_value(name) {
            Some((stored, _)) => Some(stored),
            None => self.aliases.get(name).map(String::as_str),
        }
    }

    /// What is known of a tensor, without touching its data.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(self.stored_name(name)?)
    }

    /// As [`TensorIndex::get`], for a tensor that must be there.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] with the names that come closest.
    pub fn require(&self, name: &str) -> Result<&TensorInfo> {
        self.get(name).ok_or_else(|| {
            let error = Error::new(ErrorKind::Missing, "the tensor is absent").about(name);
            match self.near(name).as_slice() {
                [] => error,
                near => error.with_hint(format!("there is {}", near.join(", "))),
            }
        })
    }

    /// A tensor's data: a view of the mapped file, or a copy, as [`Load`] says.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] where there is none, [`ErrorKind::Dtype`] for an element type this
    /// crate does not read, [`ErrorKind::Io`] or [`ErrorKind::Format`] if the file cannot be read.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let info = self.require(name)?;
        let dtype = info.known_dtype().map_err(|error| error.about(name))?;
        let file = &self.files[info.file];
        let data = match self.load {
            Load::Map => {
                let range = info.range.start as usize..info.range.end as usize;
                file.map()?.slice(range).ok_or_else(|| file.truncated(info.range.end))?
            }
            Load::Copy => {
                let mut data = zeroed(info.bytes()).map_err(|error| error.about(name))?;
                file.read_at(info.range.start, &mut data)?;
                Bytes::new(data)
            }
        };
        Tensor::new(dtype, info.shape.clone(), data).map_err(|error| error.about(name))
    }

    /// Reads bytes `start..start + buffer.len()` of a tensor's data into `buffer`. Never maps, so
    /// resident memory is the buffer's; for converters.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] where there is no such tensor, [`ErrorKind::Input`] for a range outside
    /// it, [`ErrorKind::Io`] or [`ErrorKind::Format`] if the file cannot be read.
    pub fn read_range(&self, name: &str, start: u64, buffer: &mut [u8]) -> Result<()> {
        let info = self.require(name)?;
        let end = start.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > info.bytes()) {
            let message = format!(
                "{} bytes from byte {start} are outside its {} bytes",
                buffer.len(),
                info.bytes()
            );
            return Err(Error::new(ErrorKind::Input, message).about(name));
        }
        self.files[info.file].read_at(info.range.start + start, buffer)
    }

    fn add(&mut self, file: ModelFile) -> Result<()> {
        let header = read_header(&file)?;
        let number = self.files.len();
        for (name, entry) in header.tensors {
            let info = TensorInfo {
                dtype: entry.dtype,
                shape: entry.shape,
                file: number,
                range: entry.range,
            };
            if let Some(other) = self.tensors.get(&name) {
                let message = format!("also in {}", self.files[other.file].path().display());
                return Err(Error::new(ErrorKind::Format, message)
                    .about(name)
                    .about(file.path().display().to_string()));
            }
            self.tensors.insert(name, info);
        }
        self.aliases.extend(header.aliases);
        self.files.push(file);
        Ok(())
    }

    fn add_shards(&mut self, dir: &Path, index: &Path) -> Result<()> {
        let about = |error: Error| error.about(index.display().to_string());
        let text = read_text(index, MAX_INDEX)?;
        let map = json::parse_object(&text).map_err(about)?;
        let fields = Fields::new(&map, "");
        let weights = fields.object("weight_map").map_err(about)?;
        let weights = weights.ok_or_else(|| about(fields.missing("weight_map")))?;
        let mut shards: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, file) in weights {
            let file = plain_name(file).map_err(|error| about(error.about(name)))?;
            shards.insert(file, 0);
        }
        for (number, (file, slot)) in shards.iter_mut().enumerate() {
            self.add(ModelFile::open(&dir.join(file))?)?;
            *slot = number;
        }
        self.aliases.retain(|name, _| !self.tensors.contains_key(name));
        for (name, file) in weights {
            let file = file.as_str().unwrap_or_default();
            match self.get(name) {
                Some(info) if Some(&info.file) == shards.get(file) => {}
                _ => {
                    return Err(about(
                        Error::new(
                            ErrorKind::Missing,
                            format!("listed in {}, but not there", shorten(file)),
                        )
                        .about(name)
                        .with_hint("download the files again"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Up to three stored names that share the most with `name`.
    fn near(&self, name: &str) -> Vec<String> {
        let mut scored: Vec<(usize, &str)> = self
            .names()
            .map(|other| (common_parts(name, other), other))
            .filter(|(score, _)| *score > 0)
            .collect();
        scored.sort_by_key(|&(score, other)| (std::cmp::Reverse(score), other));
        scored.into_iter().take(3).map(|(_, other)| shorten(other)).collect()
    }
}

/// How many of the dotted parts two names share, from the end and from the beginning; two names
/// without the same last module share nothing worth a hint.
fn common_parts(a: &str, b: &str) -> usize {
    let from_end = a.rsplit('.').zip(b.rsplit('.')).take_while(|(x, y)| x == y).count();
    let from_start = a.split('.').zip(b.split('.')).take_while(|(x, y)| x == y).count();
    from_end + from_start
}

fn read_header(file: &ModelFile) -> Result<header::Header> {
    let about = |error: Error| error.about(file.path().display().to_string());
    let mut prefix = [0; 8];
    file.read_at(0, &mut prefix)?;
    let len = header::header_len(prefix, file.len()).map_err(about)?;
    let mut bytes = vec![0; len];
    file.read_at(8, &mut bytes)?;
    header::parse(&bytes, file.len()).map_err(about)
}

/// A shard's name must not lead out of the directory.
fn plain_name(value: &Value) -> Result<&str> {
    let name = value.as_str().unwrap_or_default();
    let path = PathBuf::from(name);
    if !name.is_empty() && !name.contains(['/', '\\']) && path.file_name() == Some(path.as_os_str())
    {
        return Ok(name);
    }
    Err(Error::new(
        ErrorKind::Format,
        format!("expected a file name in the same directory, found {}", kind_of(value)),
    ))
}

/// Memory for a tensor, or an error where there is not enough.
fn zeroed(bytes: u64) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let reserved = usize::try_from(bytes).ok().and_then(|len| {
        data.try_reserve_exact(len).ok()?;
        Some(len)
    });
    match reserved {
        Some(len) => {
            data.resize(len, 0);
            Ok(data)
        }
        None => Err(Error::new(ErrorKind::Memory, format!("cannot allocate {bytes} bytes"))),
    }
}

/// What to do about a directory without safetensors, judged by what else it holds.
fn next_step(dir: &Path) -> &'static str {
    let holds = |suffix: &str| {
        std::fs::read_dir(dir).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(suffix))
        })
    };
    if holds(".bin") || holds(".pth") {
        "save the model as safetensors: this reader takes no pickled weights"
    } else if holds(".gguf") {
        "this reader takes Hugging Face directories, not GGUF"
    } else if holds(".safetensors") {
        "rename the weights to model.safetensors, or add the index of the shards"
    } else {
        "give the directory of a Hugging Face model"
    }
}
