//! The grammar of the command line: help, wrong usage, completions.

mod common;

use std::io::Read;
use std::process::{Command as Process, Stdio};

use common::{failure_of, rkllm};

const COMMANDS: [&str; 11] = [
    "convert",
    "inspect",
    "verify",
    "eval",
    "compare",
    "bench",
    "logits",
    "generate",
    "models",
    "doctor",
    "completions",
];

#[test]
fn help_names_every_command_and_each_has_its_own() {
    let output = rkllm().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && help.contains("RKLLM_KERNEL"), "{help}");
    for name in COMMANDS {
        assert!(help.contains(&format!("\n  {name} ")), "{name} in {help}");
        let output = rkllm().args([name, "--help"]).output().unwrap();
        assert!(output.status.success(), "{name}");
        let own = String::from_utf8(output.stdout).unwrap();
        assert!(own.contains("Usage: rkllm ") && own.contains(name), "{own}");
    }
}

#[test]
fn the_fixed_spellings_are_there() {
    let help = |command: &str| {
        let output = rkllm().args([command, "--help"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for (command, flags) in [
        ("convert", &["--dtype", "--clip", "-o", "--threads", "--json"][..]),
        ("eval", &["--text", "--window", "--method", "--dtype", "--max-chars", "--json"]),
        ("logits", &["--tokens", "--dtype", "-o"]),
        (
            "bench",
            &[
                "--dtype",
                "--prompt",
                "--generate",
                "--threads",
                "--repeat",
                "--json",
                "--context",
                "--kernels",
                "--quick",
                "--tokenizer",
            ],
        ),
        ("compare", &["--text", "--target", "--terms", "--no-terms", "--report", "--json"]),
        (
            "generate",
            &[
                "--prompt",
                "--max-tokens",
                "--greedy",
                "--temperature",
                "--top-k",
                "--top-p",
                "--min-p",
                "--repeat-penalty",
                "--frequency-penalty",
                "--presence-penalty",
                "--seed",
                "--stop",
                "--json-schema",
                "--regex",
            ],
        ),
    ] {
        let help = help(command);
        for flag in flags {
            assert!(help.contains(flag), "{flag} of {command} in {help}");
        }
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_is_possible() {
    failure_of(&mut common::rkllm(), 2);
    for args in [
        &["quantise"][..],
        &["eval"],
        &["eval", "model"],
        &["eval", "model", "--text", "t", "--window", "0"],
        &["eval", "model", "--text", "t", "--window", "-3"],
        &["eval", "model", "--text", "t", "--method", "strided"],
        &["eval", "model", "--text", "t", "--max-chars", "0"],
        &["eval", "model", "--text", "t", "--threads", "0"],
        &["logits", "model", "--tokens", "1,x", "-o", "l"],
        &["logits", "model", "--tokens", "1,-2", "-o", "l"],
        &["logits", "model", "--tokens", "", "-o", "l"],
        &["logits", "model", "-o", "l"],
        &["bench"],
        &["bench", "model", "--quick"],
        &["bench", "model", "--kernels"],
        &["bench", "--kernels", "--repeat", "3"],
        &["bench", "--kernels", "--warmup", "0"],
        &["bench", "--kernels", "--load", "copy"],
        &["bench", "--kernels", "--clip", "mse"],
        &["bench", "--kernels", "--asymmetric"],
        &["bench", "--kernels", "--prompt", "512"],
        &["bench", "--kernels", "--generate", "64"],
        &["bench", "--kernels", "--prefill-chunk", "128"],
        &["bench", "--kernels", "--dtype", "w8a8"],
        &["bench", "--kernels", "--context", "512"],
        &["bench", "--kernels", "--tokenizer"],
        &["bench", "model", "--limits"],
        &["bench", "model", "--buffer", "1048576"],
        &["bench", "--kernels", "--buffer", "1000"],
        &["bench", "--kernels", "--limits", "--quick"],
        &["bench", "--kernels", "--profile"],
        &["bench", "model", "--repeat", "0"],
        &["bench", "model", "--prompt", "0", "--generate", "0"],
        &["compare", "model", "--text", "t", "--target", "rk3399"],
        &["compare", "model", "--text", "t", "--max-loss", "much"],
        &["compare", "model", "--max-terms-loss", "-1"],
        &["compare", "model", "--terms", "t", "--no-terms"],
        &["convert", "model", "-o", "out"],
        &["convert", "model", "--dtype", "w8a8"],
        &["convert", "model", "--dtype", "f32", "-o", "out"],
        &["convert", "model", "--dtype", "w8a8", "--clip", "gptq", "-o", "out"],
        &["generate", "model"],
        &["completions", "tcsh"],
        &["completions", "bash", "--verbose"],
        &["--verbose", "models"],
        &["inspect", "model", "-v"],
        &["verify", "model", "--verbose"],
        &["doctor", "--verbose"],
    ] {
        let said = failure_of(rkllm().args(args), 2);
        assert!(said.starts_with("error: "), "{args:?}: {said}");
    }
    let said = failure_of(rkllm().args(["bench", "model", "--dtype", "w5a5"]), 2);
    assert!(said.contains("w5a5") && said.contains("w4a16_g128"), "{said}");
    let said = failure_of(rkllm().args(["compare", "m", "--text", "t", "--target", "rk1"]), 2);
    assert!(said.contains("rk3588") && said.contains("rv1126b"), "{said}");
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = rkllm().args(["completions", shell]).output().unwrap();
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("w4a16_g128") && script.contains("max-chars"), "{shell}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let output = rkllm().arg("--version").output().unwrap();
    let expected = format!("rkllm {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Process::new(env!("CARGO_BIN_EXE_rkllm"))
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(said, "");
}
