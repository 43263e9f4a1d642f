//! Every fault of `RKLLM_HOST_FAULT`, seen by a program from outside.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Board, Speaks, said, tutor_nano};

const SIGILL: i32 = 4;
const SIGABRT: i32 = 6;
const SIGSEGV: i32 = 11;

fn ask(board: &Board, program: &std::path::Path, fault: &str) -> Command {
    let mut command = board.command(program);
    command.arg(tutor_nano()).env("RKLLM_HOST_FAULT", fault);
    command
}

#[test]
fn each_fault_is_what_it_says() {
    let board = Board::new(Speaks::V1_3);
    let program = board.program("ask_1_3.c");
    let well = said(&ask(&board, &program, "").output().unwrap());
    assert!(well.contains("init 0 handle") && well.contains("FINISH\nrun 0"), "{well}");

    let malloc = "failed to malloc npu memory";
    for (fault, code, signal, out, err) in [
        ("init-null", Some(3), None, "init 0 null", ""),
        ("init-fail", Some(3), None, "init -1 null", ""),
        ("oom", Some(3), None, "init -1 null", malloc),
        ("init-segv", None, Some(SIGSEGV), "", ""),
        ("segv-run", None, Some(SIGSEGV), "init 0 handle", ""),
        ("segv-run:2", None, Some(SIGSEGV), "init 0 handle", ""),
        ("ill-run", None, Some(SIGILL), "init 0 handle", ""),
        ("abort-run:1", None, Some(SIGABRT), "init 0 handle", ""),
        ("exit-run", Some(70), None, "init 0 handle", ""),
        ("error-state:2", Some(0), None, "\nERROR\nrun -1", "run failed"),
        ("oom-run", Some(0), None, "\nERROR\nrun -1", malloc),
        ("fail-run", Some(0), None, "run -1", ""),
        ("exclamation", Some(0), None, "!!!!!!!!\nFINISH\nrun 0", ""),
        ("pad", Some(0), None, "[PAD151935][PAD151935]", ""),
        ("no-such-fault", Some(0), None, "FINISH\nrun 0", "no-such-fault"),
    ] {
        let output = ask(&board, &program, fault).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), code, "{fault}: {said} {log}");
        assert_eq!(output.status.signal(), signal, "{fault}");
        assert!(said.contains(out), "{fault}: {said}");
        assert!(log.contains(err), "{fault}: {log}");
        assert!(fault != "fail-run" || !said.contains("ERROR"), "{said}");
    }
    let garbage = ask(&board, &program, "garbage").output().unwrap();
    assert!(garbage.status.success() && String::from_utf8(garbage.stdout).is_err());

    let begun = Instant::now();
    said(&ask(&board, &program, "slow-tokens:60").output().unwrap());
    assert!(begun.elapsed() > Duration::from_millis(60 * 5), "{:?}", begun.elapsed());
}

#[test]
fn a_run_that_hangs_does_not_end() {
    let board = Board::new(Speaks::V1_3);
    let program = board.program("ask_1_3.c");
    for (fault, last) in [("hang-run:1", "init 0 handle"), ("init-hang", "")] {
        let mut command = ask(&board, &program, fault);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        if !last.is_empty() {
            said.read_line(&mut text).unwrap();
        }
        std::thread::sleep(Duration::from_secs(2));
        assert!(child.try_wait().unwrap().is_none(), "{fault}");
        child.kill().unwrap();
        said.read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        assert!(text.starts_with(last) && !text.contains("run 0"), "{fault}: {text}");
    }
}

#[test]
fn a_fault_can_happen_once() {
    let board = Board::new(Speaks::V1_3);
    let program = board.program("ask_1_3.c");
    let once = board.dir().join("happened");
    let run = || {
        let mut command = ask(&board, &program, "segv-run:1");
        command.env("RKLLM_HOST_FAULT_ONCE", &once).output().unwrap()
    };
    assert_eq!(run().status.signal(), Some(SIGSEGV));
    assert!(once.exists());
    assert!(said(&run()).contains("FINISH\nrun 0"));
}

/// The log: a banner always, figures at 1, what was decoded at 2.
#[test]
fn the_log_says_as_much_as_is_asked_for() {
    let board = Board::new(Speaks::V1_3);
    let program = board.program("ask_1_3.c");
    let log = |level: &str| {
        let output = ask(&board, &program, "").env("RKLLM_LOG_LEVEL", level).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let (quiet, figures, all) = (log("0"), log("1"), log("2"));
    assert!(quiet.contains("I rkllm: rkllm-runtime version: 1.3.0"), "{quiet}");
    assert!(!quiet.contains("Prefill") && !figures.contains("Top-K"), "{quiet}{figures}");
    assert!(figures.contains("Prefill") && figures.contains("memory usage"), "{figures}");
    assert!(all.contains("Top-K: 1\n") && all.contains("N Keep: -1"), "{all}");
}

/// A program whose model path cannot be changed.
#[test]
fn a_variable_takes_the_model_paths_place() {
    let board = Board::new(Speaks::V1_3);
    let program = board.program("ask_1_3.c");
    let mut command = board.command(&program);
    command.arg("/nowhere/model.rkllm");
    let output = command.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/model.rkllm"));
    let output = command.env("RKLLM_HOST_MODEL", tutor_nano()).output().unwrap();
    assert!(said(&output).contains("FINISH"));
}
