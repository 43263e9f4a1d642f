//! The stand-ins beside the tests, as files that programs load.
#![allow(dead_code, reason = "no test uses all of it")]

use std::ffi::{OsStr, c_int};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Which ABI a stand-in speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    V1_2,
    V1_3,
}

pub(crate) const BOTH: [Speaks; 2] = [Speaks::V1_2, Speaks::V1_3];

/// The small model in the repository.
pub(crate) fn tutor_nano() -> PathBuf {
    repository().join("models/tutor-nano").canonicalize().unwrap()
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// The stand-in in a directory of its own, named as programs expect it.
pub(crate) struct Board {
    dir: tempfile::TempDir,
}

impl Board {
    pub(crate) fn new(speaks: Speaks) -> Self {
        let name = match speaks {
            Speaks::V1_2 => "librkllmrt_1_2.so",
            Speaks::V1_3 => "librkllmrt.so",
        };
        // Cargo builds it with the tests, into their directory.
        let beside = std::env::current_exe().unwrap().parent().unwrap().join(name);
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(&beside, dir.path().join("librkllmrt.so"))
            .unwrap_or_else(|e| panic!("{}: {e}", beside.display()));
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn library(&self) -> PathBuf {
        self.dir.path().join("librkllmrt.so")
    }

    /// A file beside the library.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A file that points to the small model: `rkllm::npu` wants a file.
    pub(crate) fn pointer(&self) -> PathBuf {
        self.write("tutor-nano.rkllm", &format!("model = {}\n", tutor_nano().display()))
    }

    /// A program of tests/programs, linked against the library as programs for the board are.
    pub(crate) fn program(&self, source: &str) -> PathBuf {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
        let (variable, usual) = if source.ends_with(".c") { ("CC", "cc") } else { ("CXX", "c++") };
        let compiler = std::env::var(variable).unwrap_or_else(|_| usual.to_owned());
        let out = self.dir.path().join(source.replace('.', "_"));
        let built = Command::new(&compiler)
            .args(["-g", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&out)
            .arg(programs.join(source))
            .arg("-I")
            .arg(repository().join("rkllm-sys/include"))
            .arg("-L")
            .arg(self.dir())
            .args(["-lrkllmrt", "-lpthread"])
            .output()
            .unwrap_or_else(|e| panic!("{compiler}: {e}"));
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        out
    }

    /// A command that finds the library, with greedy tests' noise off.
    ///
    /// `RKLLM_TEST_EMULATOR` has the words before a program where its processor is not the computer's own.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let words = std::env::var("RKLLM_TEST_EMULATOR").unwrap_or_default();
        let mut words =
            words.split_whitespace().map(OsStr::new).chain([program.as_ref().as_os_str()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        self.prepare(command)
    }

    /// A command that runs a script in Python, by the interpreter that `RKLLM_TEST_PYTHON` names.
    pub(crate) fn python(&self, script: impl AsRef<Path>) -> Command {
        let python = std::env::var_os("RKLLM_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let mut command = Command::new(python);
        command.arg(script.as_ref());
        self.prepare(command)
    }

    fn prepare(&self, mut command: Command) -> Command {
        command.env("LD_LIBRARY_PATH", self.dir()).current_dir(self.dir());
        for name in
            ["RKLLM_HOST_FAULT", "RKLLM_HOST_FAULT_ONCE", "RKLLM_HOST_MODEL", "RKLLM_LOG_LEVEL"]
        {
            command.env_remove(name);
        }
        command
    }
}

/// Standard output of a program that succeeded.
pub(crate) fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Memory in KiB: what the process holds, not what the system keeps resident, which is the system's choice, and the
/// emulator's where there is one.
#[derive(Debug)]
pub(crate) struct Memory {
    /// In use of the heap: 0 where the C library does not tell.
    heap: usize,
    /// Mapped files, those of the libraries among them.
    files: usize,
}

impl Memory {
    /// More than allocators keep for later is a leak: a session's memory on the heap, or a model's file.
    const HEAP: usize = 1 << 10;
    const FILES: usize = 4 << 10;

    pub(crate) fn now() -> Self {
        Self { heap: heap_kib(), files: files_kib() }
    }

    /// When no run is under way: one whose own callback destroyed its handle holds its model until it has ended.
    pub(crate) fn at_rest() -> Self {
        let begun = std::time::Instant::now();
        while runs() > 0 {
            assert!(begun.elapsed().as_secs() < 60, "a run of a destroyed handle goes on");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self::now()
    }

    pub(crate) fn assert_not_beyond(&self, early: &Self) {
        assert!(self.heap < early.heap + Self::HEAP, "the heap: {early:?} became {self:?}");
        assert!(self.files < early.files + Self::FILES, "mapped files: {early:?} became {self:?}");
    }
}

/// What threads of `rkllm_run_async` are called.
pub(crate) const RUNS: &str = "rkllm-host-run";

fn runs() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let name = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm"));
    threads.filter_map(|thread| name(thread).ok()).filter(|n| n.trim() == RUNS).count()
}

#[cfg(not(target_env = "gnu"))]
fn heap_kib() -> usize {
    0
}

/// In every arena, and what malloc maps. What is free in the middle of the heap goes back to the system.
#[cfg(target_env = "gnu")]
fn heap_kib() -> usize {
    /// `struct mallinfo` of malloc.h; its counts wrap at 4 GiB.
    #[repr(C)]
    struct Info {
        arena_blocks: [c_int; 4],
        mapped: c_int,
        highest_and_fast: [c_int; 2],
        used: c_int,
        free_and_top: [c_int; 2],
    }
    unsafe extern "C" {
        safe fn malloc_trim(pad: usize) -> c_int;
        safe fn mallinfo() -> Info;
    }
    malloc_trim(0);
    let info = mallinfo();
    (info.mapped as u32 as usize + info.used as u32 as usize) >> 10
}

/// As `/proc/self/maps` lists them: addresses, permissions, offset, device, inode, path.
fn files_kib() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let bytes = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (first, end) = fields[0].split_once('-').unwrap();
        let address = |text| usize::from_str_radix(text, 16).unwrap();
        if fields[4] == "0" { 0 } else { address(end) - address(first) }
    };
    maps.lines().map(bytes).sum::<usize>() >> 10
}
