//! What can be known of a vendor's `.rkllm` file without loading it.
//!
//! The format is not documented and nothing here decodes it. A file is told from what it surely is not
//! (a git-lfs pointer, a web page, another format), its readable strings are searched for what the
//! toolkit is known to store, and its name is read. Every [`Item`] and every [`Problem`] says whether it
//! was read or inferred.
//!
//! ```no_run
//! use rkllm::npu::file::{self, InspectOptions};
//! use rkllm::soc::Soc;
//!
//! let options = InspectOptions { target: Some(Soc::Rk3588), ..Default::default() };
//! let found = file::inspect("qwen3-0.6b-w8a8-rk3588.rkllm", &options)?;
//! assert_ne!(found.verdict(), file::Verdict::NotAModel);
//! # Ok::<(), rkllm::Error>(())
//! ```

mod content;
mod judge;
mod read;
mod scan;

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use std::path::Path;

use crate::soc::Soc;
use crate::{Error, ErrorKind, Result};

pub use content::Content;

/// Bytes searched at the front of a file, and as many at its end, unless all of it is asked for.
pub const REACH: u64 = 32 << 20;
/// No model is smaller, bytes.
const SMALLEST: u64 = 1 << 20;

/// How something is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Certainty {
    /// It stands in the file system or in the file's bytes.
    Read,
    /// It follows from a string, whose meaning is not documented, or from the file's name or size.
    Inferred,
}

/// A fact about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Item {
    /// What it is: `toolkit`, `platform`, `dtype`, `context`, `npu_cores`, `layers`, `chat_template`,
    /// `origin`, `end_mark`; of a git-lfs pointer `model_sha256` and `model_bytes`.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Whether it was read or inferred.
    pub certainty: Certainty,
    /// Where it comes from.
    pub from: String,
}

/// Something that speaks against a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Problem {
    /// A name for programs, such as `zero_tail`; the same in every release.
    pub id: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub advice: String,
    /// Whether it was read or inferred.
    pub certainty: Certainty,
}

/// What all of it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Verdict {
    /// Surely no model that the runtime could load.
    NotAModel,
    /// Something was inferred that speaks against it.
    Suspect,
    /// Binary data in which nothing was found that the toolkit is known to write.
    Unrecognized,
    /// The toolkit's strings are in it and nothing speaks against it. Only loading it on a board says more.
    Plausible,
}

/// What to look for, and how far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InspectOptions {
    /// Search the whole file. Without it, [`REACH`] bytes at each end.
    pub deep: bool,
    /// The chip it shall run on.
    pub target: Option<Soc>,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct VendorFile {
    /// Bytes.
    pub size: u64,
    /// Its first 16 bytes at most, in hexadecimal. Rockchip does not document what they must be.
    pub magic: String,
    /// What its bytes are.
    pub content: Content,
    /// Facts.
    pub items: Vec<Item>,
    /// What speaks against this file.
    pub problems: Vec<Problem>,
    /// Whether it was made for the target that was asked about; nothing if none was, or if no platform
    /// was found.
    pub fits_target: Option<bool>,
    /// Bytes that were searched.
    pub searched: u64,
    /// The first longer readable strings, for people to look at: printable ASCII.
    pub strings: Vec<String>,
}

impl VendorFile {
    /// What all of it comes to.
    pub fn verdict(&self) -> Verdict {
        if self.content != Content::Opaque || self.size < SMALLEST {
            Verdict::NotAModel
        } else if !self.problems.is_empty() {
            Verdict::Suspect
        } else if self.items.iter().any(|item| item.from != judge::FILE_NAME) {
            Verdict::Plausible
        } else {
            Verdict::Unrecognized
        }
    }

    /// The fact of this name.
    pub fn item(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.name == name)
    }

    /// The problem of this name.
    pub fn problem(&self, id: &str) -> Option<&Problem> {
        self.problems.iter().find(|problem| problem.id == id)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.item(name).map(|item| item.value.as_str())
    }

    fn push(
        &mut self,
        name: &'static str,
        value: impl Into<String>,
        certainty: Certainty,
        from: &str,
    ) {
        self.items.push(Item { name, value: value.into(), certainty, from: from.to_owned() });
    }

    fn against(
        &mut self,
        id: &'static str,
        certainty: Certainty,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let (message, advice) = (message.into(), advice.into());
        self.problems.push(Problem { id, message, advice, certainty });
    }
}

/// Looks at a file.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be read, [`ErrorKind::Input`] if it is a directory or a device.
pub fn inspect(path: impl AsRef<Path>, options: &InspectOptions) -> Result<VendorFile> {
    inspect_with_progress(path, options, &mut |_, _| ControlFlow::Continue(()))
}

/// Looks at a file and tells how many of the bytes to read were read; a break ends it.
///
/// # Errors
/// As [`inspect`], and [`ErrorKind::Cancelled`] after a break.
pub fn inspect_with_progress(
    path: impl AsRef<Path>,
    options: &InspectOptions,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<VendorFile> {
    let path = path.as_ref();
    let about = fs::metadata(path).map_err(|error| Error::io(path, "read", error))?;
    if !about.is_file() {
        return Err(Error::new(ErrorKind::Input, "not a regular file")
            .about(path.display().to_string())
            .with_hint("name a .rkllm file"));
    }
    let file = File::open(path).map_err(|error| Error::io(path, "open", error))?;
    let mut found = look(file, about.len(), &file_name(path), path.parent(), options, progress)
        .map_err(|error| error.about(path.display().to_string()))?;
    if found.verdict() != Verdict::NotAModel {
        judge::beside(&mut found, path, &about);
    }
    Ok(found)
}

/// Looks at `size` bytes that a reader gives, which are called `name`. A reader that ends earlier is searched
/// as far as it goes.
///
/// # Errors
/// [`ErrorKind::Io`] if they cannot be read.
pub fn inspect_reader(
    reader: impl Read + Seek,
    size: u64,
    name: &str,
    options: &InspectOptions,
) -> Result<VendorFile> {
    look(reader, size, name, None, options, &mut |_, _| ControlFlow::Continue(()))
        .map_err(|error| error.about(name))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn look(
    reader: impl Read + Seek,
    size: u64,
    name: &str,
    folder: Option<&Path>,
    options: &InspectOptions,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<VendorFile> {
    let seen = read::read(reader, size, options.deep, progress)?;
    let mut found = VendorFile {
        size,
        magic: seen.start.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
        content: content::of(&seen),
        items: Vec::new(),
        problems: Vec::new(),
        fits_target: None,
        searched: seen.searched,
        strings: seen.strings.samples().to_vec(),
    };
    if found.verdict() == Verdict::NotAModel {
        content::explain(&mut found, &seen, folder);
        judge::unfinished(&mut found, name);
    } else {
        judge::facts(&mut found, &seen, name);
        judge::doubts(&mut found, &seen, name);
        judge::target(&mut found, options.target);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
