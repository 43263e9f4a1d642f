//! The fake runtime: a library of its own for each test, so that each has its own state.

use std::ffi::{CString, c_char, c_int};

use rkllm::npu::matmul::Runtime;

/// A loaded fake, and what it says about its caller.
pub(crate) struct Fake {
    pub(crate) runtime: Runtime,
    report: unsafe extern "C" fn(*mut c_char, usize) -> usize,
    reset: unsafe extern "C" fn(),
    configure: unsafe extern "C" fn(*const c_char) -> c_int,
    alive: unsafe extern "C" fn() -> c_int,
    _dir: tempfile::TempDir,
    _library: libloading::Library,
}

impl Fake {
    /// A fake set up with these words; see the fake's `Setup`.
    pub(crate) fn new(words: &str) -> Self {
        let test = std::env::current_exe().unwrap();
        let built = test.parent().unwrap().join("libfake_rknnrt.so");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("librknnrt.so");
        std::fs::copy(&built, &file).unwrap_or_else(|e| panic!("{}: {e}", built.display()));
        let runtime = Runtime::open(&file).unwrap();
        // SAFETY: the fake of this project, and its functions; it is loaded already.
        let fake = unsafe {
            let library = libloading::Library::new(&file).unwrap();
            Self {
                runtime,
                report: *library.get(b"rknn_fake_report\0").unwrap(),
                reset: *library.get(b"rknn_fake_reset\0").unwrap(),
                configure: *library.get(b"rknn_fake_configure\0").unwrap(),
                alive: *library.get(b"rknn_fake_alive\0").unwrap(),
                _dir: dir,
                _library: library,
            }
        };
        fake.configure(words);
        fake
    }

    pub(crate) fn configure(&self, words: &str) {
        let text = CString::new(words).unwrap();
        // SAFETY: a C string.
        assert_eq!(unsafe { (self.configure)(text.as_ptr()) }, 0, "{words:?}");
    }

    pub(crate) fn record(&self) -> Vec<String> {
        // SAFETY: a buffer of the size that was asked for.
        let text = unsafe {
            let mut text = vec![0u8; (self.report)(std::ptr::null_mut(), 0)];
            let len = (self.report)(text.as_mut_ptr().cast(), text.len());
            text.truncate(len);
            text
        };
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    /// Lines of the record that begin so.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.record().iter().filter(|line| line.starts_with(call)).count()
    }

    pub(crate) fn reset(&self) {
        // SAFETY: takes nothing.
        unsafe { (self.reset)() }
    }

    /// Contexts and memories that live.
    pub(crate) fn alive(&self) -> i32 {
        // SAFETY: takes nothing.
        unsafe { (self.alive)() }
    }

    /// Nothing is left and nothing was done that may not be.
    pub(crate) fn expect_clean(&self) {
        self.expect_no_violation();
        assert_eq!(self.alive(), 0, "contexts or memories are left");
    }

    pub(crate) fn expect_no_violation(&self) {
        let record = self.record();
        let violations: Vec<_> = record.iter().filter(|line| line.contains("VIOLATION")).collect();
        assert!(violations.is_empty(), "{violations:#?}");
    }
}
