//! The header of a safetensors file, checked whole before anything is read by it.
//!
//! The `safetensors` crate is stricter in one way and laxer in two: it knows a closed list of element
//! types, and of a tensor named twice it keeps the last, in a file it holds in memory whole.

use std::borrow::Cow;
use std::collections::btree_map::{self as map, BTreeMap};
use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::json::shorten;
use crate::{Dtype, Error, ErrorKind, Result};

/// Longest header believed, as in the reference reader.
pub(super) const MAX_HEADER: u64 = 100_000_000;
/// Most dimensions of a tensor; bounds what is allocated per tensor.
const MAX_RANK: usize = 8;

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub dtype: StoredDtype,
    pub shape: Vec<usize>,
    /// From the beginning of the file.
    pub range: Range<u64>,
}

/// An element type as a file names it: one this crate computes with, or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredDtype {
    /// A type this crate reads.
    Known(Dtype),
    /// Any other, by its name in the file, such as `F8_E4M3`.
    Other(String),
}

impl fmt::Display for StoredDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(dtype) => dtype.fmt(f),
            Self::Other(name) => f.pad(name),
        }
    }
}

/// What a header says.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub tensors: BTreeMap<String, Entry>,
    /// Names that the metadata maps to the name a tensor is stored under.
    pub aliases: BTreeMap<String, String>,
}

/// The header's length from the first eight bytes, checked against the length of the file.
pub(super) fn header_len(prefix: [u8; 8], file_len: u64) -> Result<usize> {
    let len = u64::from_le_bytes(prefix);
    if len > MAX_HEADER {
        return Err(Error::new(
            ErrorKind::Format,
            format!("not a safetensors file: it claims a header of {len} bytes"),
        )
        .with_hint("download it again"));
    }
    if len + 8 > file_len {
        return Err(Error::new(
            ErrorKind::Format,
            format!("truncated: expected a header of {len} bytes, found {file_len} bytes in all"),
        )
        .with_hint("download it again"));
    }
    Ok(len as usize)
}

/// Parses and checks a header of a file of `file_len` bytes: no name twice, and the tensors' bytes
/// follow one another without gap or overlap from the header to the end of the file.
pub(super) fn parse(header: &[u8], file_len: u64) -> Result<Header> {
    let raw: RawHeader<'_> = serde_json::from_slice(header).map_err(|error| {
        Error::new(ErrorKind::Format, format!("the header is not valid: {error}"))
            .with_hint("download it again")
    })?;
    let start = 8 + header.len() as u64;
    let mut tensors = BTreeMap::new();
    for (name, raw) in raw.tensors {
        let entry = check(raw, start).map_err(|error| error.about(name.clone()))?;
        tensors.insert(name, entry);
    }
    check_layout(&tensors, start, file_len)?;
    let aliases = raw.metadata.into_iter();
    let aliases = aliases
        .filter(|(name, stored)| !tensors.contains_key(name) && tensors.contains_key(stored))
        .collect();
    Ok(Header { tensors, aliases })
}

fn check(raw: RawEntry, start: u64) -> Result<Entry> {
    let [from, to] = raw.data_offsets;
    let (Some(begin), Some(end)) = (start.checked_add(from), start.checked_add(to)) else {
        return Err(lying(from, to, "reach beyond any file"));
    };
    if from > to {
        return Err(lying(from, to, "run backwards"));
    }
    let (dtype, bits) = element_type(&raw.dtype);
    let shape: Option<Vec<usize>> =
        raw.shape.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let elements = raw.shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
    let (Some(shape), Some(elements)) = (shape, elements) else {
        return Err(Error::new(ErrorKind::Format, format!("shape {:?} is too large", raw.shape)));
    };
    let expected = bits.map(|bits| elements.checked_mul(bits).map(|bits| bits.div_ceil(8)));
    if expected.is_some_and(|bytes| bytes != Some(to - from)) {
        return Err(Error::new(
            ErrorKind::Format,
            format!("{dtype} {shape:?} does not fit its {} bytes", to - from),
        )
        .with_hint("download the file again"));
    }
    Ok(Entry { dtype, shape, range: begin..end })
}

fn lying(from: u64, to: u64, what: &str) -> Error {
    Error::new(ErrorKind::Format, format!("data offsets {from}..{to} {what}"))
        .with_hint("download the file again")
}

fn check_layout(tensors: &BTreeMap<String, Entry>, start: u64, file_len: u64) -> Result<()> {
    let mut ordered: Vec<_> = tensors.iter().collect();
    ordered.sort_by_key(|(_, entry)| (entry.range.start, entry.range.end));
    let mut end = start;
    for (name, entry) in ordered {
        let Range { start: from, end: to } = entry.range;
        if from < end {
            return Err(lying(from - start, to - start, "overlap another tensor's").about(name));
        }
        if from > end {
            return Err(lying(from - start, to - start, "leave a gap before them").about(name));
        }
        if to > file_len {
            return Err(Error::new(
                ErrorKind::Format,
                format!("truncated: the data end at byte {to}, the file at {file_len}"),
            )
            .about(name)
            .with_hint("download it again"));
        }
        end = to;
    }
    if end != file_len {
        return Err(Error::new(
            ErrorKind::Format,
            format!("expected {end} bytes by the header, found {file_len}"),
        )
        .with_hint("download it again"));
    }
    Ok(())
}

/// The type, and the bits per element where the name is known.
fn element_type(name: &str) -> (StoredDtype, Option<u64>) {
    let known = |dtype: Dtype| (StoredDtype::Known(dtype), Some(dtype.size() as u64 * 8));
    let bits = match name {
        "F32" => return known(Dtype::F32),
        "F16" => return known(Dtype::F16),
        "BF16" => return known(Dtype::Bf16),
        "F64" => return known(Dtype::F64),
        "I8" => return known(Dtype::I8),
        "U8" => return known(Dtype::U8),
        "I32" => return known(Dtype::I32),
        "I64" => return known(Dtype::I64),
        "F4" => Some(4),
        "F6_E2M3" | "F6_E3M2" => Some(6),
        "BOOL" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" => Some(8),
        "I16" | "U16" => Some(16),
        "U32" => Some(32),
        "U64" | "C64" => Some(64),
        _ => None,
    };
    (StoredDtype::Other(name.to_owned()), bits)
}

struct RawHeader<'a> {
    tensors: BTreeMap<String, RawEntry<'a>>,
    metadata: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    #[serde(deserialize_with = "shape")]
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for RawHeader<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut header = RawHeader { tensors: BTreeMap::new(), metadata: BTreeMap::new() };
        let mut metadata_seen = false;
        while let Some(name) = entries.next_key::<String>()? {
            if name == "__metadata__" {
                if std::mem::replace(&mut metadata_seen, true) {
                    return Err(de::Error::custom("__metadata__ occurs twice"));
                }
                header.metadata = entries.next_value::<Option<_>>()?.unwrap_or_default();
            } else {
                match header.tensors.entry(name) {
                    map::Entry::Vacant(slot) => {
                        slot.insert(entries.next_value()?);
                    }
                    map::Entry::Occupied(slot) => {
                        let name = shorten(slot.key());
                        return Err(de::Error::custom(format!("tensor {name} occurs twice")));
                    }
                }
            }
        }
        Ok(header)
    }
}

fn shape<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    struct Dimensions;

    impl<'de> Visitor<'de> for Dimensions {
        type Value = Vec<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_RANK} dimensions")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u64>, A::Error> {
            let mut shape = Vec::new();
            while let Some(dim) = seq.next_element()? {
                if shape.len() == MAX_RANK {
                    return Err(de::Error::invalid_length(MAX_RANK + 1, &self));
                }
                shape.push(dim);
            }
            Ok(shape)
        }
    }

    deserializer.deserialize_seq(Dimensions)
}
