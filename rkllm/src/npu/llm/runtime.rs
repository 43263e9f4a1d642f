//! `Runtime`: a librkllmrt whose ABI is known.

use std::ffi::{CString, c_int};
use std::path::Path;

use rkllm_sys::{Abi, OpenOptions, Rkllm, RkllmApi, RuntimeVersion, Search};

use crate::{Error, ErrorKind, Result};

/// A loaded librkllmrt. Cheap to clone; it stays loaded until the process ends.
#[derive(Debug, Clone)]
pub struct Runtime(Rkllm);

impl Runtime {
    /// The librkllmrt.so in the directories of `RKLLM_LIB_DIR`, else where the system loader looks; never
    /// the current directory.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] where there is none, [`ErrorKind::Format`] for a file that is no library,
    /// [`ErrorKind::Abi`] for a library that cannot be used here. The source is an
    /// [`rkllm_sys::Error`], whose own kind is finer.
    pub fn find() -> Result<Self> {
        Self::open_with(&Search::from_env(), &OpenOptions::default())
    }

    /// This file and no other.
    ///
    /// # Errors
    /// As [`Runtime::find`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(&Search::file(path.as_ref()), &OpenOptions::default())
    }

    /// Looks where the caller says, and accepts what the caller vouches for.
    ///
    /// # Errors
    /// As [`Runtime::find`].
    pub fn open_with(search: &Search, options: &OpenOptions) -> Result<Self> {
        Rkllm::open(search, options).map(Self).map_err(refused)
    }

    /// The ABI it speaks.
    pub fn abi(&self) -> Abi {
        self.0.abi()
    }

    /// The release it says it is; `None` only where the caller assumed an ABI.
    pub fn version(&self) -> Option<RuntimeVersion> {
        self.0.version()
    }

    /// Whether it says that it is the host stand-in by rkllm: what it answers comes from the processor, and so do
    /// figures taken of it.
    pub fn is_stand_in(&self) -> bool {
        self.0.is_stand_in()
    }

    /// Its file, symbolic links resolved.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn api(&self) -> RkllmApi {
        *self.0.api()
    }
}

/// Calls a function that both ABIs declare alike.
macro_rules! either {
    ($api:expr, $functions:ident => $call:expr) => {
        match $api {
            rkllm_sys::RkllmApi::V1_2($functions) => $call,
            rkllm_sys::RkllmApi::V1_3($functions) => $call,
        }
    };
}
pub(super) use either;

/// A refused library as the crate's error; the advice stays.
fn refused(error: rkllm_sys::Error) -> Error {
    use rkllm_sys::ErrorKind as Sys;
    let kind = match error.kind() {
        Sys::NotFound => ErrorKind::Missing,
        Sys::RelativePath => ErrorKind::Input,
        Sys::Io => ErrorKind::Io,
        Sys::NotElf | Sys::LfsPointer | Sys::Truncated | Sys::Malformed => ErrorKind::Format,
        _ => ErrorKind::Abi,
    };
    // Its text is path, message, expected, found, advice; path and advice go to places of their own.
    let path = error.path().display().to_string();
    let mut message = error.to_string();
    if let Some(rest) = message.strip_prefix(&format!("{path}: ")) {
        message = rest.to_owned();
    }
    if let Some(rest) = error.advice().and_then(|it| message.strip_suffix(&format!("; {it}"))) {
        message = rest.to_owned();
    }
    let mut ours = Error::new(kind, message).about(path);
    if let Some(advice) = error.advice() {
        ours = ours.with_hint(advice);
    }
    ours.with_source(error)
}

/// What the runtime's log says about a failure is all there is: it has no error codes.
const LOOK_AT_THE_LOG: &str =
    "the runtime writes the cause to standard error; RKLLM_LOG_LEVEL=1 makes it say more";

/// The error of a call that returned `code`.
pub(super) fn failed(call: &str, code: c_int) -> Error {
    Error::new(ErrorKind::Runtime, format!("{call} returned {code}")).with_hint(LOOK_AT_THE_LOG)
}

/// 0 is success.
pub(super) fn check(call: &str, code: c_int) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(failed(call, code)) }
}

/// What an ABI does not have.
pub(super) fn only_1_3(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("librkllmrt 1.2 has no {what}"))
        .with_hint("install librkllmrt 1.3.0, or leave it out")
}

/// A C string; a NUL inside is an error about `what`.
pub(super) fn c_string(what: &str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|error| {
        let at = error.nul_position();
        Error::new(ErrorKind::Input, format!("a NUL character at byte {at}"))
            .about(what)
            .with_hint("C strings end there: take it out")
    })
}

/// A path as a C string; bytes as the operating system has them.
pub(super) fn c_path(path: &Path) -> Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Err(Error::new(ErrorKind::Input, "an empty path"));
    }
    CString::new(bytes).map_err(|_| {
        Error::new(ErrorKind::Input, "a path with a NUL character")
            .about(path.display().to_string())
    })
}

/// A file the runtime is going to open: its own error would be a line in its log, and a pipe would hang.
pub(super) fn file(path: &Path) -> Result<()> {
    let about = std::fs::metadata(path).map_err(|error| Error::io(path, "open", error))?;
    if !about.is_file() {
        return Err(Error::new(ErrorKind::Input, "not a file").about(path.display().to_string()));
    }
    std::fs::File::open(path).map(drop).map_err(|error| Error::io(path, "open", error))
}

/// A length as the vendor's `int32_t`.
pub(super) fn int(what: &str, value: usize) -> Result<i32> {
    i32::try_from(value).map_err(|_| {
        Error::new(ErrorKind::Input, format!("{value} is more than 2147483647")).about(what)
    })
}
