//! The program as its user drives it: through a pseudo-terminal.

use std::path::{Path, PathBuf};
use std::process::Command;

use rexpect::session::{PtySession, spawn_command};

fn tutor_nano() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tutor-nano")
}

fn spawn(model: &Path, args: &[&str]) -> PtySession {
    spawn_with(model, args, &[])
}

fn spawn_with(model: &Path, args: &[&str], environment: &[(&str, &str)]) -> PtySession {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engineering-tutor"));
    command.arg(model).args(args).env("LC_ALL", "C.UTF-8").envs(environment.iter().copied());
    let mut session = spawn_command(command, Some(120_000)).expect("a pseudo-terminal");
    session.exp_string("> ").expect("the first prompt");
    session
}

/// Sends a line and returns what comes before the next prompt. The terminal does not echo.
fn say(session: &mut PtySession, line: &str) -> String {
    session.send_line(line).unwrap();
    text(&session.exp_string("\n> ").expect("the next prompt"))
}

/// The terminal's bytes, which rexpect gives as one character each.
fn text(bytes: &str) -> String {
    let bytes: Vec<u8> = bytes.chars().map(|byte| byte as u8).collect();
    String::from_utf8(bytes).expect("whole characters only")
}

fn leave(mut session: PtySession) {
    session.send_line("/exit").unwrap();
    session.exp_eof().expect("the end");
    let status = session.process().wait().unwrap();
    assert!(format!("{status:?}").ends_with(", 0)"), "{status:?}");
}

#[test]
fn answers_in_the_language_of_the_question() {
    let mut session = spawn(&tutor_nano(), &[]);
    let spanish = say(&mut session, "¿Cuál es la unidad de la presión?");
    assert!(spanish.to_lowercase().contains("pascal"), "{spanish}");
    let english = say(&mut session, "Which symbol do we use for the frequency?");
    assert!(!english.trim().is_empty());
    // The words of the tutor follow the language of the last question.
    assert!(say(&mut session, "/nonsense").contains("no such command"));
    say(&mut session, "¿Cuál es la unidad de la fuerza?");
    assert!(say(&mut session, "/nonsense").contains("no conozco esa orden"));
    leave(session);
}

#[test]
fn statistics_schemes_and_saving() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk");
    let file = file.to_str().unwrap();
    let question = "¿Cuál es la unidad de la fuerza?";
    let mut session = spawn(&tutor_nano(), &["--lang", "es", "--scheme", "w8a8"]);
    assert!(say(&mut session, "/stats").contains("todavía no hay respuesta"));
    let answer = say(&mut session, question);
    assert!(answer.to_lowercase().contains("newton"), "{answer}");
    let statistics = say(&mut session, "/stats");
    for expected in ["scheme         w8a8", "tokens/s", "ended by       Eos", "0 reused"] {
        assert!(statistics.contains(expected), "{expected} in {statistics}");
    }
    assert!(say(&mut session, "/scheme").contains("* w8a8"));
    assert!(say(&mut session, "/scheme w4a16_g512").contains("error:"));
    assert!(say(&mut session, "/scheme").contains("* w8a8"), "a wrong scheme changes nothing");
    assert!(say(&mut session, &format!("/save {file}")).contains("guardado"));
    leave(session);

    let mut resumed = spawn(&tutor_nano(), &["--scheme", "w8a8", "--resume", file]);
    say(&mut resumed, question);
    let statistics = say(&mut resumed, "/stats");
    assert!(!statistics.contains(" 0 reused"), "nothing was reused: {statistics}");
    say(&mut resumed, "/scheme w4a16_g32");
    assert!(say(&mut resumed, "/scheme").contains("* w4a16_g32"));
    say(&mut resumed, question);
    assert!(say(&mut resumed, &format!("/load {file}")).contains("error:"), "of another scheme");
    leave(resumed);
}

#[test]
fn ctrl_c_stops_the_answer_and_not_the_program() {
    let folder = tempfile::tempdir().unwrap();
    never_ending(folder.path());
    let slow = [("RKLLM_THREADS", "1"), ("RKLLM_KERNEL", "scalar")];
    let endless = ["--lang", "en", "--max-tokens", "100000"];
    let mut session = spawn_with(folder.path(), &endless, &slow);
    for question in ["Convert 5 m to mm.", "Which symbol do we use for the frequency?"] {
        session.send_line(question).unwrap();
        // Streaming: something is there long before the context of a thousand tokens is full.
        session.exp_regex("[A-Za-z0-9]+").expect("the first words");
        session.send_control('c').unwrap();
        session.exp_string("[interrupted]").expect("the end of the answer");
        session.exp_string("\n> ").expect("the next prompt");
        assert!(say(&mut session, "/stats").contains("ended by       Cancelled"));
    }
    // Between answers it only tells how to leave.
    session.send_control('c').unwrap();
    session.exp_string("(/exit)").unwrap();
    leave(session);
}

#[test]
fn a_wrong_command_line_says_what_is_right() {
    let run = |args: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_engineering-tutor")).args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, message) = run(&["--lang", "fr"]);
    assert_eq!(code, Some(2));
    assert!(message.contains("es or en") && message.contains("--scheme"), "{message}");
    let (code, message) = run(&["no/such/model"]);
    assert_eq!(code, Some(1));
    assert!(message.contains("no/such/model"), "{message}");
}

/// The same model with an end token it does not know: it talks until the context is full.
fn never_ending(folder: &Path) {
    for file in ["model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"] {
        std::fs::copy(tutor_nano().join(file), folder.join(file)).unwrap();
    }
    let change = |file: &str, key: &str, value: serde_json::Value| {
        let path = folder.join(file);
        let mut json: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        json[key] = value;
        std::fs::write(&path, json.to_string()).unwrap();
    };
    let last = 2047; // padding of the vocabulary, never learnt
    change("config.json", "eos_token_id", last.into());
    change("tokenizer_config.json", "eos_token", serde_json::Value::Null);
}
