//! Every fault becomes a typed error, and the next request is answered.

use std::time::{Duration, Instant};

use rkllm::npu::worker::{Cause, Failure, WorkerOptions};
use rkllm::npu::{NpuOptions, RunOptions};
use rkllm::session::{NpuChat, Stop};
use rkllm::{Error, ErrorKind};

use crate::bench::{BOTH, Bench, Fake, SOON, assert_answers, exists, soon};

crate::tests![
    runs_that_kill_the_process,
    loads_that_kill_the_process,
    a_hang_that_hears_is_aborted_and_the_worker_lives,
    a_hang_that_does_not_hear_is_killed,
    slow_tokens_are_not_a_hang,
    what_the_runtime_refuses_carries_its_lines,
    the_dead_say_why_until_they_are_restarted,
    programs_that_are_no_workers,
    a_flood_of_exclamation_marks_ends,
];

/// What a fault does, and what is to come of it.
struct Expected {
    fault: &'static str,
    kind: ErrorKind,
    cause: Cause,
    line: Option<&'static str>,
    hint: &'static str,
}

fn expected() -> Vec<Expected> {
    use ErrorKind::{Crashed, Memory};
    let fault = |fault, kind, cause, line, hint| Expected { fault, kind, cause, line, hint };
    let malloc = Some("E RKNN: failed to malloc npu memory, size: 4096, flags: 0x2");
    vec![
        fault("segv", Crashed, Cause::Signal(libc::SIGSEGV), None, "driver"),
        fault("ill", Crashed, Cause::Signal(libc::SIGILL), None, "SVE"),
        fault("abort", Crashed, Cause::Signal(libc::SIGABRT), Some("GGML_ASSERT"), "convert"),
        fault("bus", Crashed, Cause::Signal(libc::SIGBUS), None, "whole"),
        fault("kill", Crashed, Cause::Signal(libc::SIGKILL), None, "memory runs out"),
        fault("exit", Crashed, Cause::Exit(3), None, "last lines"),
        fault("malloc_segv", Memory, Cause::Signal(libc::SIGSEGV), malloc, "with_base_domain"),
        fault("malloc", Memory, Cause::Runtime, malloc, "with_base_domain"),
    ]
}

#[track_caller]
fn assert_is(error: &Error, wanted: &Expected, fake: Fake, lives: bool) {
    let what = format!("{fake:?} {}: {error}", wanted.fault);
    assert_eq!(error.kind(), wanted.kind, "{what}");
    assert!(error.hint().unwrap().contains(wanted.hint), "{what}");
    let failure = Failure::of(error).unwrap_or_else(|| panic!("no failure: {what}"));
    assert_eq!(failure.cause, wanted.cause, "{what}");
    assert_eq!(failure.is_alive, lives, "{what}");
    if let Some(line) = wanted.line {
        assert!(failure.last_lines.iter().any(|one| one.contains(line)), "{failure:?}");
        assert!(error.to_string().contains(line), "{what}");
    }
}

fn runs_that_kill_the_process() {
    for fake in BOTH {
        let bench = Bench::new(fake);
        for wanted in expected() {
            bench.behave("");
            let mut worker = bench.load("");
            assert_answers(&mut worker);
            bench.behave(&format!("run_{}", wanted.fault));
            let pid = worker.pid().unwrap();
            let mut text = String::new();
            let error = worker
                .run("hi", &RunOptions::default(), |output| {
                    text += output.text;
                    rkllm::npu::Flow::Continue
                })
                .unwrap_err();
            assert_is(&error, &wanted, fake, wanted.cause == Cause::Runtime);
            assert_eq!(text, "t0 ", "what was told before the fault");
            assert_eq!(worker.is_alive(), wanted.cause == Cause::Runtime);
            assert_eq!(exists(pid), wanted.cause == Cause::Runtime, "no zombie");
            bench.behave("");
            let begun = Instant::now();
            worker.restart().unwrap();
            assert_answers(&mut worker);
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            assert_ne!(worker.pid().unwrap(), pid);
        }
    }
}

fn loads_that_kill_the_process() {
    for fake in BOTH {
        let bench = Bench::new(fake);
        let load = |words: &str| {
            bench.behave(words);
            bench.options().load(bench.model(""), NpuOptions::default())
        };
        for wanted in expected() {
            let error = load(&format!("init_{}", wanted.fault)).unwrap_err();
            assert_is(&error, &wanted, fake, false);
        }
        let null = load("init_null").unwrap_err();
        assert_eq!(Failure::of(&null).unwrap().cause, Cause::NullHandle, "{null}");
        assert_eq!(null.kind(), ErrorKind::Runtime);
        // A worker whose restart fails, and whose next one does not.
        let mut worker = load("").unwrap();
        bench.behave("init_segv");
        assert_eq!(worker.restart().unwrap_err().kind(), ErrorKind::Crashed);
        assert!(!worker.is_alive());
        bench.behave("");
        worker.restart().unwrap();
        assert_answers(&mut worker);
    }
}

fn a_hang_that_hears_is_aborted_and_the_worker_lives() {
    for fake in BOTH {
        for ending in ["", "+abort_silent", "+abort_error"] {
            let bench = Bench::new(fake);
            let limit = Duration::from_secs(3);
            let mut worker = bench.load_with("", bench.options().with_first_token_limit(limit));
            bench.behave(&format!("hang{ending}"));
            let error = worker.generate("hi", &RunOptions::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            let failure = Failure::of(&error).unwrap();
            assert!(matches!(failure.cause, Cause::Timeout(after) if after >= limit));
            assert!(failure.is_alive && worker.is_alive(), "{error}");
            bench.behave("");
            assert_answers(&mut worker);
        }
    }
}

fn a_hang_that_does_not_hear_is_killed() {
    let bench = Bench::new(Fake::V1_3);
    let options = bench
        .options()
        .with_token_limit(Duration::from_secs(2))
        .with_load_limit(Duration::from_secs(5))
        .with_grace(Duration::from_millis(500));
    let mut worker = bench.load_with("", options.clone());
    let pid = worker.pid().unwrap();
    bench.behave("run_deaf");
    let begun = Instant::now();
    let error = worker.generate("hi", &RunOptions::default()).unwrap_err();
    assert!(begun.elapsed() < SOON);
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(!Failure::of(&error).unwrap().is_alive);
    assert!(error.to_string().contains("was killed"), "{error}");
    assert!(!exists(pid));
    // A stream of it that is dropped does not wait for the limit of its first token.
    bench.behave("");
    worker.restart().unwrap();
    bench.behave("run_deaf");
    let begun = Instant::now();
    let mut stream = worker.stream("hi", &RunOptions::default()).unwrap();
    assert_eq!(stream.next().unwrap().unwrap().text, "t0 ");
    // Until it has gone deaf: before its second token it would still hear.
    std::thread::sleep(Duration::from_secs(3));
    drop(stream);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(!worker.is_alive());
    bench.behave("init_deaf");
    let error = worker.restart().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    bench.behave("");
    worker.restart().unwrap();
    assert_answers(&mut worker);
}

fn slow_tokens_are_not_a_hang() {
    let bench = Bench::new(Fake::V1_3);
    let limit = Duration::from_secs(4);
    let options = bench.options().with_first_token_limit(limit).with_token_limit(limit);
    let mut worker = bench.load_with("slow=100+tokens=45", options);
    let begun = Instant::now();
    // Nor is what the caller does between two tokens.
    let report = worker
        .run("hi", &RunOptions::default(), |output| {
            if output.token == Some(100) {
                std::thread::sleep(limit + limit / 5);
            }
            rkllm::npu::Flow::Continue
        })
        .unwrap();
    assert!(begun.elapsed() > 2 * limit, "{:?}", begun.elapsed());
    assert_eq!(report.tokens, 45);
}

fn what_the_runtime_refuses_carries_its_lines() {
    let bench = Bench::new(Fake::V1_3);
    let mut worker = bench.load("");
    bench.behave("error");
    let error = worker.generate("hi", &RunOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runtime);
    assert_eq!(Failure::of(&error).unwrap().cause, Cause::Runtime);
    // What is the caller's fault is no failure of the worker's.
    bench.behave("");
    let error = worker.generate("nul\0", &RunOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    assert!(Failure::of(&error).is_none());
    assert_answers(&mut worker);
}

fn the_dead_say_why_until_they_are_restarted() {
    let bench = Bench::new(Fake::V1_3);
    let mut worker = bench.load("");
    let pid = worker.pid().unwrap();
    // SAFETY: takes numbers; a process of this test's.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    assert!(soon(|| !worker.is_alive()));
    let error = worker.generate("hi", &RunOptions::default()).unwrap_err();
    assert_eq!(Failure::of(&error).unwrap().cause, Cause::Signal(libc::SIGKILL), "{error}");
    for _ in 0..2 {
        let error = worker.kv_cache_sizes().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Crashed);
        assert!(error.to_string().contains("SIGKILL"), "{error}");
        assert!(error.hint().unwrap().contains("restart"));
    }
    assert!(!worker.abort_handle().abort());
    worker.restart().unwrap();
    assert_answers(&mut worker);
}

fn programs_that_are_no_workers() {
    let bench = Bench::new(Fake::V1_3);
    let start = |options: WorkerOptions| {
        options.load(bench.model(""), NpuOptions::default()).map(drop).unwrap_err()
    };
    let shell = |script: &str| bench.options().with_program("/bin/sh", ["-c", script]);
    let error = start(shell("exit 5"));
    assert_eq!(Failure::of(&error).unwrap().cause, Cause::Exit(5), "{error}");
    for script in
        ["echo hello >&0; exec sleep 60", r"printf 'RKW1\377\377\377\377' >&0; exec sleep 60"]
    {
        let error = start(shell(script));
        assert!(matches!(Failure::of(&error).unwrap().cause, Cause::Protocol(_)), "{error}");
        assert_eq!(error.kind(), ErrorKind::Crashed);
    }
    let silent = shell("exec sleep 60").with_start_limit(Duration::from_millis(200));
    let error = start(silent);
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let error = start(bench.options().with_program("/nonexistent/worker", [""]));
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

fn a_flood_of_exclamation_marks_ends() {
    for fake in BOTH {
        let bench = Bench::new(fake);
        let mut chat = NpuChat::new(bench.load("bang"));
        let mut answer = chat.ask("hi").unwrap();
        let text: String = answer.by_ref().map(Result::unwrap).collect();
        assert_eq!(text, "!".repeat(64));
        let statistics = *answer.statistics();
        assert_eq!(statistics.stop, Some(Stop::Degenerate));
        let degenerate = statistics.degenerate.unwrap().to_string();
        assert!(degenerate.contains("driver older than 0.9.8"), "{degenerate}");
        drop(answer);
        let mut chat = chat.with_allow_degenerate(true);
        let statistics = chat.ask("hi").unwrap().finish().unwrap();
        assert_eq!((statistics.stop, statistics.new_tokens), (Some(Stop::Eos), 300));
        assert_eq!(statistics.degenerate, None);
    }
}
