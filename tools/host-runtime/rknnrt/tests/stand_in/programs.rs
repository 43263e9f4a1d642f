//! Programs in other languages, as a client would build them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lib_under_test::{emulated, file};

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand_in/programs")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}{errors}", output.status);
    said
}

/// Linked against the library's file with `cc` (or `CC`), as against the vendor's.
#[test]
fn a_c_program() {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("librknnrt.so");
    std::fs::copy(file(), &library).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../rkllm-sys/include");
    let program = dir.path().join("matmul");
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    run(Command::new(cc)
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(include)
        .arg(programs().join("matmul.c"))
        .arg(&library)
        .arg("-o")
        .arg(&program));
    let said = run(emulated(&program).env("LD_LIBRARY_PATH", dir.path()));
    assert_eq!(said, "2.3.2\n3 types right\n");
}

#[test]
fn a_python_program() {
    let python = std::env::var_os("RKLLM_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let said = run(Command::new(python).arg(programs().join("matmul.py")).arg(file()));
    assert_eq!(said, "4 threads right\n");
}
