//! `rkllm eval model.rkllm`, on a fake runtime that the program really loads.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;

/// A tokenizer of sixteen letters, as many as the fake's vocabulary has.
const TOKENIZER: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "unk_token": "p", "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4,
        "f": 5, "g": 6, "h": 7, "i": 8, "j": 9, "k": 10, "l": 11, "m": 12, "n": 13, "o": 14, "p": 15}}
}"#;

fn rkllm(dir: &Path) -> Command {
    let mut command = Command::cargo_bin("rkllm").unwrap();
    command.env("RKLLM_LIB_DIR", dir).current_dir(dir);
    command
}

fn board() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    // Cargo builds it with the tests, into their directory.
    let tests = std::env::current_exe().unwrap();
    let fake = tests.parent().unwrap().join("libfake_rkllmrt_1_3.so");
    fs::copy(fake, dir.path().join("librkllmrt.so")).unwrap();
    fs::write(dir.path().join("tokenizer.json"), TOKENIZER).unwrap();
    fs::write(dir.path().join("text.txt"), "a b c d e f g h i j k l m n o p a b c d").unwrap();
    fs::write(dir.path().join("m.rkllm"), "a model").unwrap();
    fs::write(dir.path().join("m fake=calls_fail.rkllm"), "a model").unwrap();
    dir
}

#[test]
fn perplexity_of_a_vendor_file() {
    let dir = board();
    let arguments = ["eval", "m.rkllm", "--text", "text.txt", "--tokenizer", ".", "--window", "8"];
    let found = rkllm(dir.path()).args(arguments).args(["--json", "-q"]).assert().success();
    let found: serde_json::Value = serde_json::from_slice(&found.get_output().stdout).unwrap();
    assert_eq!((&found["tokens"], &found["tokens_scored"]), (&20.into(), &19.into()));
    assert_eq!((&found["runtime_version"], &found["stand_in"]), (&"1.3.0".into(), &false.into()));
    // The fake gives the next letter a logit of 2 and letter v one of v / 64.
    let perplexity = found["perplexity"].as_f64().unwrap();
    assert!((3.0..3.3).contains(&perplexity), "{perplexity}");
    let people = rkllm(dir.path()).args(arguments).arg("-q").assert().success();
    people.stdout(predicate::str::contains("librkllmrt 1.3.0"));
}

#[test]
fn what_it_cannot_do_says_what_to_do() {
    let dir = board();
    let text = ["--text", "text.txt"];
    let tokenizer = ["--tokenizer", "."];
    for (model, more, said) in [
        ("m.rkllm", vec![], "--tokenizer DIR"),
        ("m.rkllm", [&tokenizer[..], &["--record"]].concat(), "--record"),
        ("m.rkllm", [&tokenizer[..], &["--baseline"]].concat(), "--baseline=DIR"),
        ("none.rkllm", tokenizer.to_vec(), "none.rkllm"),
        ("m fake=calls_fail.rkllm", tokenizer.to_vec(), "returned -1"),
    ] {
        let run = rkllm(dir.path()).args(["eval", model]).args(text).args(&more).assert();
        run.failure().code(1).stderr(predicate::str::contains(said));
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let run = rkllm(dir.path())
        .env("RKLLM_LIB_DIR", elsewhere.path())
        .env_remove("LD_LIBRARY_PATH")
        .args(["eval", "m.rkllm"])
        .args(text)
        .args(tokenizer)
        .assert();
    run.failure().code(1).stderr(predicate::str::contains("RKLLM_LIB_DIR"));
}
