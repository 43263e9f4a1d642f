//! `RKLLM_THREADS` and `RKLLM_KERNEL` are asked where nothing else says, and only there.

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rkllm::Want;
use rkllm::cpu::cores::{Cores, THREADS_VARIABLE};
use rkllm::cpu::{Engine, EngineOptions, MemoryPlan};
use rkllm::kernels::{KERNEL_VARIABLE, Kernel};
use rkllm::session::ModelOptions;

/// Names the check that a child process makes: a process cannot change its own variables safely.
const CHECK: &str = "RKLLM_TEST_CHECK";

const OPTIONS: EngineOptions = EngineOptions { threads: 2, context: 8, prefill_chunk: 4 };

fn engine(options: EngineOptions) -> rkllm::Result<Engine> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tutor-nano");
    Engine::new(Arc::clone(&common::weights(&dir, None)), options)
}

/// This program, started as `RKLLM_TEST_EMULATOR` says where its processor is emulated.
fn this_program() -> Command {
    let program = std::env::current_exe().unwrap();
    let words = std::env::var("RKLLM_TEST_EMULATOR").unwrap_or_default();
    let mut words = words.split_whitespace();
    let Some(emulator) = words.next() else { return Command::new(program) };
    let mut command = Command::new(emulator);
    command.args(words).arg(program);
    command
}

/// What `test` says of itself in a process with these variables, after it has succeeded there.
fn in_child(test: &str, variables: &[(&str, &str)]) {
    let mut command = this_program();
    command.env_remove(THREADS_VARIABLE).env_remove(KERNEL_VARIABLE).env(CHECK, "1");
    command.envs(variables.iter().copied()).args(["--exact", test, "--nocapture"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{variables:?}: {said}{errors}");
}

fn is_child() -> bool {
    std::env::var_os(CHECK).is_some()
}

#[test]
fn a_wrong_number_of_threads_is_an_error_where_it_counts() {
    if !is_child() {
        let test = "a_wrong_number_of_threads_is_an_error_where_it_counts";
        for wrong in ["many", "0", "-1", "100000"] {
            in_child(test, &[(THREADS_VARIABLE, wrong)]);
        }
        return;
    }
    let chosen = EngineOptions { threads: 0, ..OPTIONS };
    for options in [chosen, EngineOptions::default()] {
        let error = engine(options).err().expect("an error").to_string();
        assert!(error.contains(THREADS_VARIABLE) && error.contains("1 to 1024"), "{error}");
    }
    // Where the number is given, nobody asks.
    assert_eq!(engine(OPTIONS).unwrap().options(), OPTIONS);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tutor-nano");
    ModelOptions::default().with_threads(1).open(&dir).unwrap();
    let error = ModelOptions::default().open(&dir).unwrap_err().to_string();
    assert!(error.contains(THREADS_VARIABLE), "{error}");
    // A plan has no error to give; it is that of the machine's number.
    let weights = common::weights(&dir, None);
    let suits = EngineOptions { threads: Cores::system().placement(None).threads, ..OPTIONS };
    let plan = |options| MemoryPlan::new(&weights, options, Want::Last);
    assert_eq!(plan(&chosen), plan(&suits));
}

#[test]
fn threads_are_the_environments_where_none_are_given() {
    if !is_child() {
        let test = "threads_are_the_environments_where_none_are_given";
        in_child(test, &[(THREADS_VARIABLE, "3")]);
        return;
    }
    let chosen = EngineOptions { threads: 0, ..OPTIONS };
    let three = EngineOptions { threads: 3, ..OPTIONS };
    let found = engine(chosen).unwrap();
    assert_eq!((found.options(), found.placement().threads), (three, 3));
    let plan = MemoryPlan::new(found.weights(), &chosen, Want::Last);
    assert_eq!(plan, MemoryPlan::new(found.weights(), &three, Want::Last));
    assert_eq!(engine(OPTIONS).unwrap().options(), OPTIONS);
}

#[test]
fn a_wrong_kernel_is_an_error_where_it_counts() {
    if !is_child() {
        let test = "a_wrong_kernel_is_an_error_where_it_counts";
        in_child(test, &[(KERNEL_VARIABLE, "mmx")]);
        return;
    }
    let error = engine(OPTIONS).err().expect("an error").to_string();
    assert!(error.contains(KERNEL_VARIABLE) && error.contains("mmx"), "{error}");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tutor-nano");
    let (weights, kernel) = (common::weights(&dir, None), Kernel::by_name("scalar").unwrap());
    assert_eq!(Engine::with_kernel(weights, OPTIONS, kernel).unwrap().kernel_name(), "scalar");
}
