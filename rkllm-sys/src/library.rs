//! What a runtime's file says about itself, read before the loader sees it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::check::{self, Host};
use crate::elf::{Elf, Fault, Machine};
use crate::error::{Error, ErrorKind};
use crate::load::{OpenOptions, RknnOptions, Stamp};
use crate::sve::{self, SveUse};
use crate::version::{Abi, RuntimeVersion};

/// No runtime is larger, in bytes; they have about 10 MB.
const LARGEST: u64 = 256 << 20;
/// How a git-LFS pointer begins.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// A shared library as its file describes it. Nothing of it was executed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LibraryFile {
    /// The file, symbolic links resolved.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The processor it is for.
    pub machine: Machine,
    /// The release of librkllmrt it says it is.
    pub rkllm: Option<RuntimeVersion>,
    /// The release of librknnrt it says it is.
    pub rknn: Option<RuntimeVersion>,
    /// The functions it exports whose names begin with `rk`.
    pub functions: BTreeSet<String>,
    /// Whether it uses SVE instructions; inferred.
    pub sve: SveUse,
    /// Whether it says that it is the host stand-in by rkllm, which computes on the processor, not Rockchip's.
    pub stand_in: bool,
    /// The ABIs of librkllmrt that its version texts stand for; one, unless something is wrong.
    pub(crate) abis: Vec<Abi>,
    pub(crate) stamp: Stamp,
}

impl LibraryFile {
    /// Reads a library file, for whatever processor it is (64-bit, little-endian).
    ///
    /// # Errors
    /// `NotFound`, `Io`, `NotElf`, `LfsPointer`, `Truncated`, `Malformed`, or `WrongMachine` for a
    /// 32-bit or big-endian file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let path = path.canonicalize().map_err(|error| io(path, &error))?;
        let (data, stamp) = read(&path)?;
        Self::parse(&path, &data, stamp)
    }

    /// The ABI that [`Rkllm::open`](crate::Rkllm::open) would find in this file on a machine of its
    /// own processor, whatever machine this is. SVE instructions are not held against it: see
    /// [`sve`](Self::sve).
    ///
    /// # Errors
    /// `NoVersion`, `TooOld`, `UnknownVersion`, `AbiMismatch` or `MissingSymbol`.
    pub fn rkllm_abi(&self) -> Result<Abi, Error> {
        check::rkllm(self, &OpenOptions::default(), self.own_machine())
    }

    /// Whether [`Rknn::open`](crate::Rknn::open) would take this file on a machine of its own
    /// processor, whatever machine this is. SVE instructions are not held against it.
    ///
    /// # Errors
    /// As [`rkllm_abi`](Self::rkllm_abi).
    pub fn check_rknn(&self) -> Result<(), Error> {
        check::rknn(self, &RknnOptions::default(), self.own_machine())
    }

    fn own_machine(&self) -> Host {
        Host { machine: Some(self.machine), sve: true }
    }

    /// The same of a file's contents.
    pub(crate) fn parse(path: &Path, data: &[u8], stamp: Stamp) -> Result<Self, Error> {
        let elf = Elf::parse(data).map_err(|fault| refuse(path, data, fault))?;
        let mut abis = Vec::new();
        for abi in RuntimeVersion::all_rkllm(data).filter_map(RuntimeVersion::abi) {
            if !abis.contains(&abi) {
                abis.push(abi);
            }
        }
        Ok(Self {
            path: path.to_owned(),
            size: data.len() as u64,
            machine: elf.machine,
            rkllm: RuntimeVersion::find(data),
            rknn: RuntimeVersion::find_rknn(data),
            sve: match elf.machine {
                Machine::AARCH64 => sve::judge(&elf, data),
                _ => SveUse::None,
            },
            stand_in: data.windows(STAND_IN.len()).any(|window| window == STAND_IN),
            functions: elf.defined,
            abis,
            stamp,
        })
    }
}

/// In the version texts of `tools/host-runtime`.
const STAND_IN: &[u8] = b"host stand-in";

fn io(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            Error::new(ErrorKind::NotFound, path, "no such file")
        }
        _ => Error::new(ErrorKind::Io, path, format!("cannot read: {error}")),
    }
}

fn read(path: &Path) -> Result<(Vec<u8>, Stamp), Error> {
    // Asked before the file is opened: opening a named pipe would wait for a writer.
    let about = std::fs::metadata(path).map_err(|error| io(path, &error))?;
    if !about.is_file() {
        return Err(Error::new(ErrorKind::Io, path, "not a file")
            .hint("name the library, not its directory"));
    }
    let mut data = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut data))
        .map_err(|error| io(path, &error))?;
    if data.len() as u64 > LARGEST {
        return Err(Error::new(ErrorKind::Malformed, path, "larger than any runtime")
            .expected(format!("at most {} MiB", LARGEST >> 20)));
    }
    Ok((data, Stamp::of(&about)))
}

fn refuse(path: &Path, data: &[u8], fault: Fault) -> Error {
    const AGAIN: &str = "copy the library again from the SDK and compare its size";
    match fault {
        Fault::NotElf if data.starts_with(LFS) => {
            Error::new(ErrorKind::LfsPointer, path, "a git-LFS pointer, not the library").hint(
                "fetch the file itself with `git lfs pull`, or download it from the release page",
            )
        }
        Fault::NotElf => Error::new(ErrorKind::NotElf, path, "not a shared library")
            .expected("an ELF file")
            .found(excerpt(data))
            .hint(AGAIN),
        Fault::Truncated { needed, found } => {
            Error::new(ErrorKind::Truncated, path, "the file is cut off")
                .expected(format!("at least {needed} bytes"))
                .found(format!("{found}"))
                .hint(AGAIN)
        }
        Fault::OtherClass(found) => wrong_machine(path, &found),
        Fault::Malformed(what) => {
            Error::new(ErrorKind::Malformed, path, format!("not a sound library: {what}"))
                .hint(AGAIN)
        }
    }
}

pub(crate) fn wrong_machine(path: &Path, found: &str) -> Error {
    let error = Error::new(ErrorKind::WrongMachine, path, "a library for another processor")
        .found(found.to_owned());
    let this = match Machine::this() {
        Some(this) => error.expected(this.to_string()),
        None => error.expected("x86_64 or aarch64, and this program is compiled for neither"),
    };
    this.hint("Rockchip's runtimes exist for the boards alone; take the aarch64 one there")
}

/// How a file that is not ELF begins.
fn excerpt(data: &[u8]) -> String {
    let start = &data[..data.len().min(24)];
    if start.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        format!("a text beginning {:?}", String::from_utf8_lossy(start))
    } else {
        format!("bytes {start:02x?}")
    }
}
