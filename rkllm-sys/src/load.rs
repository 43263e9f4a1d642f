//! Opening librkllmrt and librknnrt: found, read, judged, and only then loaded.

use std::ffi::c_int;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libloading::Library;
use libloading::os::unix;

use crate::check::{self, Host, missing_symbol};
use crate::error::{Error, ErrorKind};
use crate::library::LibraryFile;
use crate::probe::{CreateDefaultParam, Written};
use crate::search::Search;
use crate::version::{Abi, RuntimeVersion};
use crate::{rknn, v1_2, v1_3};

/// The file name of the runtime for language models.
pub const RKLLM_LIBRARY: &str = "librkllmrt.so";
/// The file name of the runtime for `.rknn` models and matmul.
pub const RKNN_LIBRARY: &str = "librknnrt.so";

/// What is asked of a librkllmrt beyond being sound.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// For a release that is not known, or a library without a version text: take it for this ABI.
    /// The functions and the probe of its first struct still have to agree.
    pub assume_abi: Option<Abi>,
    /// Refuse the other ABI.
    pub require_abi: Option<Abi>,
    /// Load a library that seems to need SVE on a processor without it.
    pub allow_sve: bool,
}

/// What is asked of a librknnrt beyond being sound.
#[derive(Debug, Clone, Copy, Default)]
pub struct RknnOptions {
    /// Take a release newer than 2.3, or a library without a version text, for 2.3.
    pub assume_2_3: bool,
    /// Load a library that seems to need SVE on a processor without it.
    pub allow_sve: bool,
}

/// The functions of a loaded librkllmrt, by ABI.
#[derive(Debug, Clone, Copy)]
pub enum RkllmApi {
    /// 1.2.1 to 1.2.3.
    V1_2(v1_2::Functions),
    /// 1.3.0.
    V1_3(v1_3::Functions),
}

/// A loaded librkllmrt. It stays loaded until the process ends: its threads may outlive any handle.
#[derive(Debug, Clone)]
pub struct Rkllm {
    path: PathBuf,
    version: Option<RuntimeVersion>,
    stand_in: bool,
    api: RkllmApi,
}

/// A loaded librknnrt. It stays loaded until the process ends.
#[derive(Debug, Clone)]
pub struct Rknn {
    path: PathBuf,
    version: Option<RuntimeVersion>,
    functions: rknn::Functions,
}

impl Rkllm {
    /// Finds, judges and loads a librkllmrt.
    ///
    /// # Errors
    /// Every [`ErrorKind`]; nothing of the library is executed unless the file passes, and nothing
    /// of it is called with a struct of ours before the probe of its first struct passes.
    pub fn open(search: &Search, options: &OpenOptions) -> Result<Self, Error> {
        let (file, abi) =
            first(search, RKLLM_LIBRARY, |file| check::rkllm(file, options, Host::this()))?;
        let library = load(&file)?;
        // SAFETY: a function of no arguments in every release.
        let create = *unsafe { library.get::<CreateDefaultParam>("rkllm_createDefaultParam\0") }
            .map_err(|_| missing_symbol(&file.path, "rkllm_createDefaultParam"))?;
        // SAFETY: the version text and the fifteen functions say it is librkllmrt since 1.2.1.
        unsafe { Written::by(create) }.check(abi).map_err(|(expected, found)| {
            Error::new(
                ErrorKind::PoisonMismatch,
                &file.path,
                "rkllm_createDefaultParam wrote another struct than its release has",
            )
            .expected(expected)
            .found(found)
            .hint("the version text is wrong, or the ABI that was assumed")
        })?;
        // SAFETY: version, functions and the probe agree on the ABI.
        let api = unsafe {
            match abi {
                Abi::V1_2 => v1_2::Functions::resolve(&library).map(RkllmApi::V1_2),
                Abi::V1_3 => v1_3::Functions::resolve(&library).map(RkllmApi::V1_3),
            }
        }
        .map_err(|name| missing_symbol(&file.path, name))?;
        std::mem::forget(library);
        Ok(Self { path: file.path, version: file.rkllm, stand_in: file.stand_in, api })
    }

    /// The file, symbolic links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The release it says it is; `None` only with `assume_abi`.
    pub fn version(&self) -> Option<RuntimeVersion> {
        self.version
    }

    /// Whether it says that it is the host stand-in by rkllm: what it answers comes from the processor.
    pub fn is_stand_in(&self) -> bool {
        self.stand_in
    }

    /// The ABI it speaks.
    pub fn abi(&self) -> Abi {
        match self.api {
            RkllmApi::V1_2(_) => Abi::V1_2,
            RkllmApi::V1_3(_) => Abi::V1_3,
        }
    }

    /// Its functions.
    pub fn api(&self) -> &RkllmApi {
        &self.api
    }
}

impl Rknn {
    /// Finds, judges and loads a librknnrt 2.3.
    ///
    /// # Errors
    /// As [`Rkllm::open`], but for `OtherAbi` and `PoisonMismatch`.
    pub fn open(search: &Search, options: &RknnOptions) -> Result<Self, Error> {
        let (file, ()) =
            first(search, RKNN_LIBRARY, |file| check::rknn(file, options, Host::this()))?;
        let library = load(&file)?;
        // SAFETY: version text and functions say it is librknnrt 2.3.
        let functions = unsafe { rknn::Functions::resolve(&library) }
            .map_err(|name| missing_symbol(&file.path, name))?;
        std::mem::forget(library);
        Ok(Self { path: file.path, version: file.rknn, functions })
    }

    /// The file, symbolic links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The release it says it is; `None` only with `assume_2_3`.
    pub fn version(&self) -> Option<RuntimeVersion> {
        self.version
    }

    /// Its functions.
    pub fn functions(&self) -> &rknn::Functions {
        &self.functions
    }
}

/// The first file there is, if it passes. A system directory's file for another processor does not
/// count, as for the system loader.
fn first<T>(
    search: &Search,
    name: &str,
    check: impl Fn(&LibraryFile) -> Result<T, Error>,
) -> Result<(LibraryFile, T), Error> {
    let candidates = search.candidates(name)?;
    let mut other_machine = None;
    for (i, candidate) in candidates.files.iter().enumerate() {
        let outcome = LibraryFile::open(candidate).and_then(|file| {
            let value = check(&file)?;
            Ok((file, value))
        });
        match outcome {
            Ok(found) => return Ok(found),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error)
                if error.kind() == ErrorKind::WrongMachine && i >= candidates.system_from =>
            {
                other_machine.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(other_machine.unwrap_or_else(|| not_found(name, &candidates.files)))
}

fn not_found(name: &str, tried: &[PathBuf]) -> Error {
    let tried: Vec<_> = tried.iter().map(|path| path.display().to_string()).collect();
    let file = if tried.len() == 1 { &tried[0] } else { name };
    let error = Error::new(ErrorKind::NotFound, Path::new(file), "no such library").hint(format!(
        "install it (the SDK's runtime/Linux/librkllm_api/aarch64, or rknpu2/runtime for librknnrt) \
         or name its directory in {}",
        crate::search::LIB_DIR
    ));
    if tried.len() < 2 { error } else { error.found(format!("none of {}", tried.join(", "))) }
}

/// Loads the file that was read.
fn load(file: &LibraryFile) -> Result<Library, Error> {
    // All of its own imports are wanted now: a missing one is an error here, not an end later. Its
    // names stay its own: two runtimes in one process export the same ones.
    const FLAGS: c_int = unix::RTLD_NOW | unix::RTLD_LOCAL;
    // SAFETY: the initialisers of a shared library that says it is Rockchip's runtime; loading it is
    // what the caller asked for.
    let library = unsafe { unix::Library::open(Some(&file.path), FLAGS) }.map_err(|error| {
        let mut message = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            message = format!("{message}: {source}");
        }
        Error::new(ErrorKind::Load, &file.path, format!("the loader refused it: {message}")).hint(
            "a library it needs may be missing (libomp.so comes with some SDK images): install it \
             or name its directory in LD_LIBRARY_PATH",
        )
    })?;
    if fs::metadata(&file.path).map(|now| Stamp::of(&now)).ok() != Some(file.stamp) {
        return Err(Error::new(ErrorKind::Load, &file.path, "changed while it was being opened")
            .hint("open it again"));
    }
    Ok(library.into())
}

/// Tells whether a file is still the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(file: &fs::Metadata) -> Self {
        Self {
            file: (file.dev(), file.ino()),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
        }
    }
}
