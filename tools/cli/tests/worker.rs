//! `rkllm worker`: the program that holds a model for another, on a fake runtime.

use std::fs;
use std::process::Command;

use rkllm::npu::worker::{LockPolicy, WorkerOptions};
use rkllm::npu::{NpuOptions, RunOptions};

const RKLLM: &str = env!("CARGO_BIN_EXE_rkllm");

#[test]
fn it_serves_a_program_that_starts_it() {
    let dir = tempfile::tempdir().unwrap();
    // Cargo builds it with the tests, into their directory.
    let tests = std::env::current_exe().unwrap();
    let library = tests.parent().unwrap().join("libfake_rkllmrt_1_3.so");
    let model = dir.path().join("m.rkllm");
    fs::write(&model, "a model").unwrap();
    let mut worker = WorkerOptions::default()
        .with_program(RKLLM, ["worker"])
        .with_library(library)
        .with_env("RKLLM_LOCK_DIR", dir.path())
        .with_lock(LockPolicy::Fail)
        .load(&model, NpuOptions::default())
        .unwrap();
    let (text, _) = worker.generate("hi", &RunOptions::default()).unwrap();
    assert_eq!(text, "t0 t1 t2 t3 ");
}

#[test]
fn by_hand_it_says_what_it_is_for() {
    let output = Command::new(RKLLM).arg("worker").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("WorkerOptions::with_program"), "{said}");
}
