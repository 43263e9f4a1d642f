//! The fake runtimes beside the tests: found, altered, loaded, asked.
#![allow(dead_code, reason = "no test uses all of it")]

use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::path::{Path, PathBuf};

use rkllm_sys::{Search, v1_2, v1_3};

/// The package of a fake, as its file is named.
pub(crate) const RKLLM_1_2: &str = "libfake_rkllmrt_1_2.so";
pub(crate) const RKLLM_1_3: &str = "libfake_rkllmrt_1_3.so";
pub(crate) const RKNN: &str = "libfake_rknnrt.so";

/// The bytes of a fake. Cargo builds it with the tests, into their directory.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    let test = std::env::current_exe().unwrap();
    let file = test.parent().unwrap().join(name);
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Replaces every occurrence of `from` by as many bytes.
pub(crate) fn replaced(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!at.is_empty(), "{from} is not in the file");
    for at in at {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// A file with these bytes, in a directory of its own so that it is a library of its own.
pub(crate) struct Placed {
    dir: tempfile::TempDir,
    pub(crate) file: PathBuf,
}

impl Placed {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        fs::write(&file, bytes).unwrap();
        Self { dir, file }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn search(&self) -> Search {
        Search::file(&self.file)
    }
}

/// The functions a fake has beside the vendor's.
pub(crate) struct Fake {
    report: unsafe extern "C" fn(*mut c_char, usize) -> usize,
    configure: unsafe extern "C" fn(*const c_char) -> c_int,
    alive: unsafe extern "C" fn() -> c_int,
    library: libloading::Library,
}

impl Fake {
    /// The fake that was loaded from this file.
    pub(crate) fn of(file: &Path, prefix: &str) -> Self {
        // SAFETY: a fake of this project; these are its functions.
        unsafe {
            let library = libloading::Library::new(file).unwrap();
            Self {
                report: *library.get(format!("{prefix}_fake_report\0")).unwrap(),
                configure: *library.get(format!("{prefix}_fake_configure\0")).unwrap(),
                alive: *library.get(format!("{prefix}_fake_alive\0")).unwrap(),
                library,
            }
        }
    }

    pub(crate) fn record(&self) -> Vec<String> {
        // SAFETY: a buffer of the size that was asked for.
        let text = unsafe {
            let mut text = vec![0u8; (self.report)(std::ptr::null_mut(), 0)];
            (self.report)(text.as_mut_ptr().cast(), text.len());
            text
        };
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    pub(crate) fn configure(&self, words: &str) {
        let words = CString::new(words).unwrap();
        // SAFETY: a C string.
        assert_eq!(unsafe { (self.configure)(words.as_ptr()) }, 0, "{words:?}");
    }

    pub(crate) fn alive(&self) -> i32 {
        // SAFETY: takes nothing.
        unsafe { (self.alive)() }
    }
}

/// The functions of 1.2 of an opened runtime.
pub(crate) fn of_1_2(api: &rkllm_sys::RkllmApi) -> v1_2::Functions {
    match api {
        rkllm_sys::RkllmApi::V1_2(functions) => *functions,
        rkllm_sys::RkllmApi::V1_3(_) => panic!("1.3"),
    }
}

/// The functions of 1.3 of an opened runtime.
pub(crate) fn of_1_3(api: &rkllm_sys::RkllmApi) -> v1_3::Functions {
    match api {
        rkllm_sys::RkllmApi::V1_3(functions) => *functions,
        rkllm_sys::RkllmApi::V1_2(_) => panic!("1.2"),
    }
}
