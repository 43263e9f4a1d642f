//! `rkllm chat` from a pipe and through a pseudo-terminal.

mod common;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use rexpect::session::spawn_command;

fn tutor_nano() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tutor-nano")
}

fn rkllm(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("rkllm").unwrap();
    command.arg("chat").arg(tutor_nano()).args(args);
    command
}

fn lines(output: &[u8]) -> Vec<serde_json::Value> {
    std::str::from_utf8(output).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn each_line_of_a_pipe_is_a_question() {
    let output = rkllm(&["--json"])
        .write_stdin(
            "¿Cuál es la unidad de la fuerza?\n\nWhich symbol do we use for the \\\nfrequency?\n",
        )
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let answers = lines(&output.stdout);
    assert_eq!(answers.len(), 2);
    assert!(answers[0]["answer"].as_str().unwrap().to_lowercase().contains("newton"));
    assert_eq!(answers[0]["stop"], "eos");
    assert_eq!(answers[0]["reused_tokens"], 0);
    assert!(
        answers[1]["reused_tokens"].as_u64().unwrap() > 0,
        "the first exchange is not computed again"
    );
    assert_eq!(answers[1]["question"], "Which symbol do we use for the \nfrequency?");
}

#[test]
fn a_conversation_is_saved_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk");
    let file = file.to_str().unwrap();
    let question = "Which symbol do we use for the frequency?\n";
    let first = "¿Cuál es la unidad de la fuerza?\n";
    let whole = rkllm(&["--json"]).write_stdin(format!("{first}{question}")).output().unwrap();
    let saved = rkllm(&[]).write_stdin(format!("{first}/save {file}\n")).output().unwrap();
    assert!(saved.status.success(), "{saved:?}");
    let resumed = rkllm(&["--json", "--resume", file]).write_stdin(question).output().unwrap();
    let (whole, resumed) = (lines(&whole.stdout), lines(&resumed.stdout));
    assert_eq!(resumed[0]["tokens"], whole[1]["tokens"]);
    assert_eq!(resumed[0]["reused_tokens"], whole[1]["reused_tokens"]);
}

#[test]
fn an_error_in_a_script_ends_it() {
    let unknown = rkllm(&[]).write_stdin("/nonsense\n").output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("/help"));
    let sampling = rkllm(&["--temperature", "NaN"]).write_stdin("Hola\n").output().unwrap();
    assert_eq!(sampling.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&sampling.stderr).contains("temperature"));
}

#[test]
fn answers_are_what_they_are_bound_to() {
    let args = ["--json", "--regex", "(Sí|No)\\. [A-Z][a-zñáéíóú ]{3,30}\\."];
    let output = rkllm(&args).write_stdin("¿Es el newton una fuerza?\nHola\n").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    for line in lines(&output.stdout) {
        let answer = line["answer"].as_str().unwrap();
        assert!(answer.starts_with("Sí. ") || answer.starts_with("No. "), "{answer}");
        assert!(answer.ends_with('.') && line["stop"] == "complete", "{line}");
    }
    let output = rkllm(&["--regex", "(a"]).write_stdin("Hola\n").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unclosed"));
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    let ask = |seed: &str| {
        let output =
            rkllm(&["--json", "--temperature", "1.5", "--seed", seed, "--max-tokens", "24"])
                .write_stdin("Hola\n")
                .output()
                .unwrap();
        lines(&output.stdout)[0]["tokens"].clone()
    };
    assert_eq!(ask("1"), ask("1"));
    assert!((2..10).any(|seed| ask(&seed.to_string()) != ask("1")), "seeds say nothing");
}

#[test]
fn at_a_terminal() {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("rkllm"));
    command.arg("chat").arg(tutor_nano()).arg("--stats").env("TERM", "xterm");
    let mut session = spawn_command(command, Some(120_000)).unwrap();
    session.exp_string("> ").unwrap();
    session.send_line("Which unit does the force have in the SI?").unwrap();
    session.exp_string("newton").expect("the answer");
    session.exp_string("ended by eos]").expect("its statistics");
    session.exp_string("> ").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("(/exit or Ctrl-D leaves)").expect("Ctrl-C between answers");
    session.send_line("/undo").unwrap();
    session.exp_string("taken back").unwrap();
    session.send_line("/nonsense").unwrap();
    session.exp_string("no such command").expect("an error does not end a conversation");
    session.send_control('d').unwrap();
    session.exp_eof().expect("the end");
}
