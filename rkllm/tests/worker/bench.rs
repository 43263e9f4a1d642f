//! A board to work on: a fake runtime, models for it, a lock of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rkllm::npu::worker::{LockPolicy, Worker, WorkerOptions};
use rkllm::npu::{NpuOptions, RunOptions};

/// The made-up vocabulary of the fakes.
pub(crate) const VOCAB: usize = 16;

/// Which ABI a fake speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fake {
    V1_2,
    V1_3,
}

pub(crate) const BOTH: [Fake; 2] = [Fake::V1_2, Fake::V1_3];

/// What hangs otherwise. No more: other tenants of a machine may stop it for seconds. A restart measured takes some
/// ten milliseconds.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) library: PathBuf,
}

impl Bench {
    pub(crate) fn new(fake: Fake) -> Self {
        let name = match fake {
            Fake::V1_2 => "libfake_rkllmrt_1_2.so",
            Fake::V1_3 => "libfake_rkllmrt_1_3.so",
        };
        // Cargo builds it with the tests, into their directory.
        let library = std::env::current_exe().unwrap().parent().unwrap().join(name);
        Self { dir: tempfile::tempdir().unwrap(), library }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A model for which the fake behaves by `words`.
    pub(crate) fn model(&self, words: &str) -> PathBuf {
        self.file(&format!("m fake={words}.rkllm"))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        fs::write(&file, name).unwrap();
        file
    }

    /// How the fake behaves from now on, besides, in every process.
    pub(crate) fn behave(&self, words: &str) {
        fs::write(self.dir.path().join("behaviour"), words).unwrap();
    }

    pub(crate) fn options(&self) -> WorkerOptions {
        WorkerOptions::default()
            .with_library(&self.library)
            .with_env("RKLLM_FAKE_FILE", self.dir.path().join("behaviour"))
            .with_env("RKLLM_LOCK_DIR", self.dir.path())
            .with_lock(LockPolicy::Fail)
    }

    pub(crate) fn load(&self, words: &str) -> Worker {
        self.load_with(words, self.options())
    }

    pub(crate) fn load_with(&self, words: &str, options: WorkerOptions) -> Worker {
        options.load(self.model(words), NpuOptions::default()).unwrap()
    }
}

/// What the fake answers to a short prompt when nothing is wrong.
#[track_caller]
pub(crate) fn assert_answers(worker: &mut Worker) {
    let (text, _) = worker.generate("hi", &RunOptions::default()).unwrap();
    assert_eq!(text, "t0 t1 t2 t3 ");
}

/// Waits until it is so; false if it is not in time.
pub(crate) fn soon(is_so: impl Fn() -> bool) -> bool {
    let until = Instant::now() + SOON;
    while !is_so() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Whether there is such a process; a zombie counts.
pub(crate) fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
