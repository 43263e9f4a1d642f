//! What a file's bytes are, where they are surely no `.rkllm`, and what to do about each.

use std::path::Path;

use super::Certainty::Read;
use super::read::Seen;
use super::{SMALLEST, VendorFile};

/// How a git-LFS pointer begins.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Said of a download that went wrong.
pub(super) const AGAIN: &str = "download it again and compare its size and SHA-256 with the page's";

/// What a file's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Content {
    /// Nothing.
    Empty,
    /// A git-lfs pointer: the file itself was not fetched.
    LfsPointer,
    /// A web page.
    Html,
    /// Another text.
    Text,
    /// A GGUF file.
    Gguf,
    /// A safetensors file.
    Safetensors,
    /// A model for librknnrt.
    Rknn,
    /// A zip archive; PyTorch's files are some.
    Zip,
    /// Another archive or compressed file.
    Archive,
    /// A program or a library.
    Elf,
    /// Nothing but zeros.
    Zeros,
    /// Binary data of no format known here, as a `.rkllm` file is.
    Opaque,
}

/// How some formats begin.
const MAGICS: [(&[u8], Content); 9] = [
    (b"GGUF", Content::Gguf),
    (b"RKNN", Content::Rknn),
    (b"PK\x03\x04", Content::Zip),
    (b"\x7fELF", Content::Elf),
    (b"\x1f\x8b\x08", Content::Archive), // gzip
    (b"\xfd7zXZ\0", Content::Archive),
    (b"\x28\xb5\x2f\xfd", Content::Archive), // zstd
    (b"7z\xbc\xaf\x27\x1c", Content::Archive),
    (b"Rar!\x1a\x07", Content::Archive),
];

pub(super) fn of(seen: &Seen) -> Content {
    let start = &seen.start[..];
    if let Some((_, content)) = MAGICS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return *content;
    }
    let head = &start[..start.len().min(256)];
    let lower = String::from_utf8_lossy(head).trim_start().to_ascii_lowercase();
    // A character may be cut where the reading ended.
    let text = std::str::from_utf8(start).map_or_else(|error| error.valid_up_to(), str::len);
    match start {
        [] => Content::Empty,
        _ if start.starts_with(LFS) => Content::LfsPointer,
        _ if lower.starts_with("<!doctype html") || lower.starts_with("<html") => Content::Html,
        _ if !seen.binary && text > 0 && text + 4 > start.len() => Content::Text,
        // A length below 2^40, then JSON.
        [_, _, _, _, _, 0, 0, 0, b'{', b'"' | b'}', ..] => Content::Safetensors,
        _ if start.get(257..262) == Some(b"ustar") => Content::Archive,
        _ if seen.only_zeros => Content::Zeros,
        _ => Content::Opaque,
    }
}

/// Says what a file is that is no model, and what to do.
///
/// `folder` is the one it lies in, where that is known.
pub(super) fn explain(found: &mut VendorFile, seen: &Seen, folder: Option<&Path>) {
    let (id, message, advice) = match found.content {
        Content::Opaque => {
            let few = format!("{} bytes are too few for a model ({SMALLEST} at least)", found.size);
            ("too_small", few, AGAIN)
        }
        Content::Empty => ("empty", "the file is empty".into(), AGAIN),
        Content::LfsPointer => {
            pointer(found, &String::from_utf8_lossy(&seen.start));
            (
                "lfs_pointer",
                "a git-lfs pointer, not the model".into(),
                "fetch the model with `git lfs pull` (`git lfs install` first), or by the page's download link",
            )
        }
        Content::Html => (
            "web_page",
            "a web page, not the model: the link led to a page about the file".into(),
            "take the page's download link (on Hugging Face /resolve/ instead of /blob/), logged in where it asks for that",
        ),
        Content::Text => match host_pointer(&seen.start, folder) {
            Some(directory) => (
                "host_pointer",
                format!("a pointer of rkllm's host stand-ins to the model in {directory}, for programs in development"),
                "give that directory to `rkllm inspect`; on a board the program needs a .rkllm file of Rockchip's toolkit",
            ),
            None => ("text", said(&seen.start), AGAIN),
        },
        Content::Gguf => (
            "gguf",
            "a GGUF file; rkllm-toolkit 1.0 wrote such files, too, and no runtime since 1.1 loads those".into(),
            "for the NPU convert the checkpoint with rkllm-toolkit; llama.cpp runs a GGUF file as it is",
        ),
        Content::Safetensors => (
            "safetensors",
            "a safetensors file, the weights of a checkpoint".into(),
            "give the directory it lies in to `rkllm inspect`",
        ),
        Content::Rknn => (
            "rknn",
            "a .rknn model: for librknnrt, not for librkllmrt".into(),
            "a vision encoder goes to librknnrt beside the .rkllm; a language model is converted by rkllm-toolkit",
        ),
        Content::Zip => {
            ("zip", "a zip archive or a PyTorch file".into(), "unpack it, or convert the checkpoint")
        }
        Content::Archive => ("archive", "a compressed file or an archive".into(), "unpack it"),
        Content::Elf => (
            "elf",
            "a program or a library, not a model".into(),
            "name the .rkllm file; `rkllm doctor` judges a runtime",
        ),
        Content::Zeros => (
            "zeros",
            "nothing but zeros in what was searched: space was reserved and nothing came".into(),
            AGAIN,
        ),
    };
    found.against(id, Read, message, advice);
}

/// The directory that a file of `tools/host-runtime` names: in lines `key = value`, of which the first may be just the
/// path.
fn host_pointer(start: &[u8], folder: Option<&Path>) -> Option<String> {
    let text = std::str::from_utf8(start).ok()?;
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let mut value = None;
    for (number, line) in lines.enumerate() {
        value = match line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
            Some(("model", path)) => Some(path),
            Some(("dtype" | "context_limit" | "tokenizer" | "embedding", _)) => value,
            // Of a text whatever, the first line could look so: this one names what is there.
            None if number == 0 && folder.is_some_and(|f| f.join(line).is_dir()) => Some(line),
            _ => return None,
        };
    }
    let value = value?;
    let plain = !value.is_empty() && value.len() <= 200 && !value.contains(char::is_control);
    let whole = || folder.map_or(value.into(), |folder| folder.join(value)).display().to_string();
    plain.then(whole)
}

/// What a pointer says of the file it stands for.
fn pointer(found: &mut VendorFile, text: &str) {
    for (name, key) in [("model_sha256", "oid sha256:"), ("model_bytes", "size ")] {
        let value = text.lines().find_map(|line| line.strip_prefix(key));
        let plain = |v: &&str| v.len() <= 64 && v.bytes().all(|b| b.is_ascii_alphanumeric());
        if let Some(value) = value.filter(plain) {
            found.push(name, value, Read, "git-lfs pointer");
        }
    }
}

/// A text's first line: servers answer with one, such as "Entry not found".
fn said(start: &[u8]) -> String {
    let text = String::from_utf8_lossy(start);
    let line: String = text.trim().chars().take_while(|c| !c.is_control()).take(80).collect();
    format!("a text, not a model; it begins {line:?}")
}
