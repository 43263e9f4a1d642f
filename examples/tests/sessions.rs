//! The examples that open a model, run as their users run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn tutor_nano() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tutor-nano")
}

/// Cargo puts examples beside the folder of the tests.
fn run(example: &str, args: &[&str]) -> Output {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(2).unwrap();
    Command::new(target.join("examples").join(example)).args(args).output().unwrap()
}

#[test]
fn quickstart_answers() {
    let model = tutor_nano();
    let output =
        run("quickstart", &[model.to_str().unwrap(), "Which unit does the force have in the SI?"]);
    assert!(output.status.success(), "{output:?}");
    let answer = String::from_utf8(output.stdout).unwrap();
    assert!(answer.to_lowercase().contains("newton"), "{answer}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("tokens/s"));
}

#[test]
fn an_asynchronous_answer_is_that_of_a_thread_and_ends_in_time() {
    let model = tutor_nano();
    let (model, question) = (model.to_str().unwrap(), "Which unit does the force have in the SI?");
    let whole = run("asynchronous", &[model, question, "600000"]);
    let said = String::from_utf8(whole.stderr).unwrap();
    assert!(whole.status.success() && said.contains("Some(Eos); 2 messages"), "{said}");
    assert_eq!(whole.stdout, run("quickstart", &[model, question]).stdout);
    // A process that stands still for long enough finds the whole answer there.
    let cancelled = (0..10).any(|_| {
        let stopped = run("asynchronous", &[model, question, "0"]);
        let said = String::from_utf8(stopped.stderr).unwrap();
        assert!(stopped.status.success() && said.contains("in the chat"), "{said}");
        said.contains("Some(Cancelled)")
    });
    assert!(cancelled);
    let wrong = run("asynchronous", &[model, question, "soon"]);
    assert!(!wrong.status.success());
}

#[test]
fn perplexity_compares_a_scheme_with_float() {
    let model = tutor_nano();
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.txt");
    let whole = std::fs::read_to_string(model.join("eval.en.txt")).unwrap();
    std::fs::write(&text, whole.chars().take(3000).collect::<String>()).unwrap();
    let args = [model.to_str().unwrap(), text.to_str().unwrap(), "w4a16_g32"];
    let output = run("perplexity", &args);
    assert!(output.status.success(), "{output:?}");
    let report = String::from_utf8(output.stdout).unwrap();
    let figure = |name: &str| -> f64 {
        let line = report.lines().find(|line| line.starts_with(name)).unwrap();
        let number = line.strip_prefix(name).unwrap().trim().trim_end_matches('%').trim();
        number.parse().unwrap()
    };
    assert!(figure("tokens scored") > 500.0, "{report}");
    let loss = (figure("w4a16_g32") / figure("f32") - 1.0) * 100.0;
    assert!((loss - figure("loss")).abs() < 0.05, "{report}");
}
