//! `rkllm doctor` on recorded trees: what a person reads, what a program reads, exit codes.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use common::{failure_of, rkllm};
use serde_json::Value;

/// A tree that the library's tests have, too.
fn tree(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rkllm/tests/data/boards").join(name)
}

/// `rkllm doctor --root` on a tree.
fn doctor(name: &str) -> Command {
    let mut command = rkllm();
    command.arg("doctor").arg("--root").arg(tree(name));
    command
}

/// Exit code, standard output and standard error.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, errors) = (text(output.stdout), text(output.stderr));
    assert!(!errors.contains("panicked"), "{errors}");
    (output.status.code(), out, errors)
}

fn json(name: &str) -> (Option<i32>, Value) {
    let (code, out, errors) = run(doctor(name).arg("--json"));
    let value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{name}: {e}: {out}"));
    assert_eq!(errors.is_empty(), code == Some(0), "{errors}");
    (code, value)
}

#[test]
fn a_healthy_board_is_one_page_and_code_0() {
    let (code, out, errors) = run(&mut doctor("rk3588"));
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{out}");
    assert_eq!(out, include_str!("doctor/rk3588.txt"));
}

#[test]
fn what_is_wrong_comes_with_why_fix_and_source() {
    let (code, out, errors) = run(&mut doctor("rk3588-no-permission"));
    assert_eq!(code, Some(1));
    assert_eq!(errors, "error: the NPU cannot be used: 1 error; do what stands beside `fix`\n");
    assert_eq!(out, include_str!("doctor/rk3588-no-permission.txt"));
    let (code, out, errors) = run(&mut doctor("rk3566"));
    assert_eq!(code, Some(1));
    assert!(errors.contains("3 errors"), "{errors}");
    assert!(out.contains("rknpu 0.7.2 is too old") && out.contains("rknn-llm/issues/416"), "{out}");
}

#[test]
fn warnings_do_not_fail() {
    let (code, out, _) = run(&mut doctor("rk3588-powersave"));
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("WARNING  npu-clock") && out.contains("(0 errors, 3 warnings, 3 notes)"));
    assert!(out.contains("fix  echo performance | sudo tee /sys/class/devfreq/fdab0000.npu"));
}

#[test]
fn a_laptop_is_told_plainly_that_it_has_none_and_what_works() {
    let (code, out, errors) = run(&mut doctor("laptop"));
    assert_eq!(code, Some(1));
    assert_eq!(errors, "error: there is no Rockchip NPU on this machine\n");
    assert_eq!(out, include_str!("doctor/laptop.txt"));
}

#[test]
fn a_container_says_what_it_hides() {
    let (code, out, _) = run(&mut doctor("container"));
    assert_eq!(code, Some(1));
    assert_eq!(out, include_str!("doctor/container.txt"));
}

#[test]
fn json_has_the_fields_that_help_promises() {
    for (name, code, verdict) in [
        ("rk3588", 0, "ready"),
        ("rk3588-busy", 0, "ready"),
        ("rk3588-rocket", 1, "blocked"),
        ("laptop", 1, "no_npu"),
    ] {
        let (found, report) = json(name);
        assert_eq!((found, report["verdict"].as_str()), (Some(code), Some(verdict)), "{name}");
        assert_eq!(report["format"], 1);
        assert!(report["root"].as_str().unwrap().ends_with(name));
        for finding in report["findings"].as_array().unwrap() {
            let ok = finding["severity"] == "ok";
            for key in ["id", "area", "severity", "what"] {
                assert!(finding[key].is_string(), "{key} in {finding}");
            }
            for key in ["cause", "fix", "reference"] {
                assert_eq!(finding[key].is_null(), ok, "{key} in {finding}");
            }
        }
    }
    let (_, report) = json("rk3588-no-permission");
    assert_eq!(report["unread"][0], "/sys/kernel/debug/rknpu/load: permission denied");
    let board = &report["board"];
    assert_eq!(board["chip"]["soc"], "rk3588");
    assert_eq!(board["driver"]["kind"], "vendor");
    assert_eq!(board["driver"]["version"]["is"], "0.9.8");
    let why = board["driver"]["load"]["unknown"].as_str().unwrap();
    assert!(why.contains("permission denied"), "{why}");
    assert_eq!(board["nodes"][0]["access"], "no");
    assert_eq!(board["runtimes"][0]["abi"], "1.2");
    assert_eq!(board["memory"]["swap_total"]["is"], 0);
    assert_eq!(json("rk3588-rocket").1["board"]["driver"]["version"], "absent");
    let refusal = &json("rk3588-runtime-1.1").1["board"]["runtimes"][0]["refusal"];
    assert!(refusal["what"].as_str().unwrap().contains("found 1.1.4"), "{refusal}");
}

/// Two runs give the same bytes: nothing depends on the time or on this machine.
#[test]
fn a_tree_gives_the_same_report_every_time() {
    for name in ["rk3576", "rk3588-tinkered"] {
        let first = run(doctor(name).arg("--json"));
        let variables = [("RKLLM_LIB_DIR", "/usr/lib"), ("LD_LIBRARY_PATH", "/lib")];
        assert_eq!(run(doctor(name).arg("--json").envs(variables)), first, "{name}");
    }
}

#[test]
fn this_machine_gets_a_report() {
    let (code, out, errors) = run(rkllm().arg("doctor"));
    assert!(matches!(code, Some(0 | 1)), "{out}{errors}");
    assert!(out.starts_with("board\n") && out.ends_with(".\n"), "{out}");
}

#[test]
fn a_root_that_is_none_is_wrong_usage_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    for root in [dir.path().join("absent"), dir.path().to_owned(), tree("rk3588/.modes")] {
        let said = failure_of(rkllm().arg("doctor").arg("--root").arg(&root), 2);
        assert!(said.contains("copies of /proc and /sys"), "{said}");
    }
    fs::create_dir(dir.path().join("proc")).unwrap();
    fs::write(dir.path().join(".modes"), "what is this\n").unwrap();
    let said = failure_of(rkllm().arg("doctor").arg("--root").arg(dir.path()), 1);
    assert!(said.contains(".modes: line 1") && said.contains("TYPE MODE UID GID PATH"), "{said}");
    failure_of(rkllm().args(["doctor", "--root"]), 2);
    failure_of(rkllm().args(["doctor", "now"]), 2);
}

#[test]
fn help_documents_the_exit_codes() {
    let (code, out, _) = run(rkllm().args(["doctor", "--help"]));
    assert_eq!(code, Some(0));
    for words in
        ["--root <DIR>", "--json", "Exit codes: 0", "1 a finding of severity error", "2 wrong"]
    {
        assert!(out.contains(words), "{words} in {out}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    for arguments in [&[][..], &["--json"]] {
        let mut child = Process::new(env!("CARGO_BIN_EXE_rkllm"))
            .args(["doctor", "--root"])
            .arg(tree("rk3588-tinkered"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code().is_some() && !said.contains("panicked"), "{said}");
    }
}
