//! `Runtime`: a loaded librknnrt, and what its return codes mean.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;

use rkllm_sys::rknn::{self, Functions};
use rkllm_sys::{Rknn, RknnOptions, Search};

use crate::{Error, ErrorKind, Result};

/// A loaded librknnrt 2.3. Cheap to clone; it stays loaded until the process ends.
#[derive(Debug, Clone)]
pub struct Runtime(Arc<Rknn>);

impl Runtime {
    /// The librknnrt.so in the directories of `RKLLM_LIB_DIR`, else where the system loader looks; never
    /// the current directory.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] where there is none, [`ErrorKind::Format`] for a file that is no library,
    /// [`ErrorKind::Abi`] for a library that cannot be used here. The source is an
    /// [`rkllm_sys::Error`], whose own kind is finer.
    pub fn find() -> Result<Self> {
        Self::open_with(&Search::from_env(), &RknnOptions::default())
    }

    /// This file and no other.
    ///
    /// # Errors
    /// As [`Runtime::find`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(&Search::file(path.as_ref()), &RknnOptions::default())
    }

    /// Looks where the caller says, and accepts what the caller vouches for.
    ///
    /// # Errors
    /// As [`Runtime::find`].
    pub fn open_with(search: &Search, options: &RknnOptions) -> Result<Self> {
        Rknn::open(search, options).map(|it| Self(Arc::new(it))).map_err(refused)
    }

    /// Its file, symbolic links resolved.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The release it says it is; `None` only where the caller assumed one.
    pub fn version(&self) -> Option<rkllm_sys::RuntimeVersion> {
        self.0.version()
    }

    pub(super) fn functions(&self) -> &Functions {
        self.0.functions()
    }

    /// `librknnrt 2.3.2`, for messages.
    pub(super) fn name(&self) -> String {
        match self.version() {
            Some(version) => format!("librknnrt {version}"),
            None => "librknnrt".to_owned(),
        }
    }
}

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
    let text = error.to_string();
    let message = text.strip_prefix(&format!("{path}: ")).unwrap_or(&text);
    let advice = error.advice().map(str::to_owned);
    let message = match &advice {
        Some(advice) => message.strip_suffix(&format!("; {advice}")).unwrap_or(message),
        None => message,
    };
    let ours = Error::new(kind, message).about(path);
    let ours = match advice {
        Some(advice) => ours.with_hint(advice),
        None => ours,
    };
    ours.with_source(error)
}

/// The vendor's name of a return code, the kind of error it is, and what to do.
fn meaning(code: c_int) -> (&'static str, ErrorKind, &'static str) {
    match code {
        rknn::RKNN_ERR_FAIL => (
            "RKNN_ERR_FAIL",
            ErrorKind::Runtime,
            "the cause is in the runtime's log: set RKNN_LOG_LEVEL=4 and look at dmesg",
        ),
        rknn::RKNN_ERR_TIMEOUT => (
            "RKNN_ERR_TIMEOUT",
            ErrorKind::Runtime,
            "the NPU did not finish in time: look at dmesg, and whether another process holds it",
        ),
        rknn::RKNN_ERR_DEVICE_UNAVAILABLE => (
            "RKNN_ERR_DEVICE_UNAVAILABLE",
            ErrorKind::Runtime,
            "no NPU driver or no permission for its device node: run `rkllm doctor`",
        ),
        rknn::RKNN_ERR_MALLOC_FAIL => (
            "RKNN_ERR_MALLOC_FAIL",
            ErrorKind::Memory,
            "an IOMMU domain has 4 GiB: use smaller shapes or another iommu_domain_id",
        ),
        rknn::RKNN_ERR_PARAM_INVALID => (
            "RKNN_ERR_PARAM_INVALID",
            ErrorKind::Unsupported,
            "this chip does not take this matmul type, layout or shape: ask Runtime::supports, keep K at \
             10240 or less, and look at the runtime's log",
        ),
        rknn::RKNN_ERR_CTX_INVALID => (
            "RKNN_ERR_CTX_INVALID",
            ErrorKind::Runtime,
            "the runtime lost the context, perhaps after a reset of the NPU: create it again",
        ),
        rknn::RKNN_ERR_DEVICE_UNMATCH => (
            "RKNN_ERR_DEVICE_UNMATCH",
            ErrorKind::Abi,
            "runtime and driver do not belong together: update the NPU driver to 0.9.8",
        ),
        rknn::RKNN_ERR_TARGET_PLATFORM_UNMATCH => (
            "RKNN_ERR_TARGET_PLATFORM_UNMATCH",
            ErrorKind::Abi,
            "the library is for another chip: install the runtime of this board's SDK",
        ),
        rknn::RKNN_ERR_INPUT_INVALID => (
            "RKNN_ERR_INPUT_INVALID",
            ErrorKind::Runtime,
            "bind A and B before the run, and after every change of shape",
        ),
        rknn::RKNN_ERR_OUTPUT_INVALID => (
            "RKNN_ERR_OUTPUT_INVALID",
            ErrorKind::Runtime,
            "bind C before the run, and after every change of shape",
        ),
        _ => ("not a code of matmul", ErrorKind::Runtime, "look at the runtime's log and at dmesg"),
    }
}

/// 0 is success.
pub(super) fn check(call: &str, code: c_int) -> Result<()> {
    if code == rknn::RKNN_SUCC.cast_signed() {
        return Ok(());
    }
    let (name, kind, hint) = meaning(code);
    Err(Error::new(kind, format!("{call} returned {code} ({name})")).with_hint(hint))
}
