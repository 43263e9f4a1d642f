//! A fake runtime with a state of its own, and models to load with it.

use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rkllm::npu::{NpuModel, NpuOptions, Runtime};

/// The made-up model of the fakes.
pub const HIDDEN: usize = 8;
pub const VOCAB: usize = 16;

/// Which ABI a fake speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fake {
    V1_2,
    V1_3,
}

pub const BOTH: [Fake; 2] = [Fake::V1_2, Fake::V1_3];

/// A copy of a fake, loaded under a name of its own, so that tests do not see each other's calls.
pub struct Board {
    dir: tempfile::TempDir,
    pub runtime: Runtime,
    report: unsafe extern "C" fn(*mut c_char, usize) -> usize,
    reset: unsafe extern "C" fn(),
    alive: unsafe extern "C" fn() -> c_int,
    configure: unsafe extern "C" fn(*const c_char) -> c_int,
    _library: libloading::Library,
}

impl Board {
    pub fn new(fake: Fake) -> Self {
        let name = match fake {
            Fake::V1_2 => "libfake_rkllmrt_1_2.so",
            Fake::V1_3 => "libfake_rkllmrt_1_3.so",
        };
        // Cargo builds it with the tests, into their directory.
        let beside = std::env::current_exe().unwrap().parent().unwrap().join(name);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("librkllmrt.so");
        fs::copy(&beside, &file).unwrap_or_else(|e| panic!("{}: {e}", beside.display()));
        let runtime = Runtime::open(&file).unwrap();
        // SAFETY: a fake of this project; these are its functions.
        unsafe {
            let library = libloading::Library::new(&file).unwrap();
            Self {
                runtime,
                report: *library.get("rkllm_fake_report\0").unwrap(),
                reset: *library.get("rkllm_fake_reset\0").unwrap(),
                alive: *library.get("rkllm_fake_alive\0").unwrap(),
                configure: *library.get("rkllm_fake_configure\0").unwrap(),
                _library: library,
                dir,
            }
        }
    }

    /// A model file for which the fake behaves by `words`.
    pub fn model(&self, words: &str) -> PathBuf {
        let file = self.dir.path().join(format!("m fake={words}.rkllm"));
        if !file.exists() {
            fs::write(&file, "a model").unwrap();
        }
        file
    }

    /// Another file there.
    pub fn file(&self, name: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        fs::write(&file, name).unwrap();
        file
    }

    pub fn load(&self, words: &str) -> NpuModel {
        self.load_with(words, NpuOptions::default())
    }

    pub fn load_with(&self, words: &str, options: NpuOptions) -> NpuModel {
        self.try_load(words, options).unwrap()
    }

    pub fn try_load(&self, words: &str, options: NpuOptions) -> rkllm::Result<NpuModel> {
        options.with_runtime(self.runtime.clone()).load(self.model(words))
    }

    /// How the fake behaves for every model from now on.
    pub fn configure(&self, words: &str) {
        let words = CString::new(words).unwrap();
        // SAFETY: a C string.
        assert_eq!(unsafe { (self.configure)(words.as_ptr()) }, 0, "{words:?}");
    }

    /// What the fake has seen.
    pub fn record(&self) -> Vec<String> {
        // SAFETY: a buffer of the size that was asked for.
        let text = unsafe {
            let mut text = vec![0u8; (self.report)(std::ptr::null_mut(), 0) + 65536];
            let length = (self.report)(text.as_mut_ptr().cast(), text.len());
            text.truncate(length);
            text
        };
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    pub fn forget(&self) {
        // SAFETY: takes nothing.
        unsafe { (self.reset)() }
    }

    /// Handles that were not destroyed.
    pub fn alive(&self) -> i32 {
        // SAFETY: takes nothing.
        unsafe { (self.alive)() }
    }

    /// The fake saw these lines, and nothing a caller may never do.
    #[track_caller]
    pub fn assert_saw(&self, lines: &[&str]) {
        let record = self.record();
        for line in lines {
            assert!(record.iter().any(|seen| seen == line), "no {line:?} in {record:#?}");
        }
        self.assert_clean();
    }

    #[track_caller]
    pub fn assert_clean(&self) {
        let record = self.record();
        let bad: Vec<_> = record.iter().filter(|line| line.starts_with("VIOLATION")).collect();
        assert!(bad.is_empty(), "{bad:?}");
    }

    /// Lines that begin so.
    pub fn count(&self, line: &str) -> usize {
        self.record().iter().filter(|seen| *seen == line).count()
    }
}

/// Fails after half a minute in which a test should have taken less than a second.
pub fn soon<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = channel();
    let worker = thread::spawn(move || sender.send(act()).unwrap());
    let result = done.recv_timeout(Duration::from_secs(30));
    let result = result.unwrap_or_else(|error| panic!("{what}: {error}"));
    worker.join().unwrap();
    result
}
