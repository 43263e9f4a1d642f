//! Every fault of the stand-ins through `rkllm::npu::worker`: a typed error in time, this process unharmed, the
//! next request answered after a restart.
//!
//! A program with a `main` of its own: its workers are itself, as they are of an application.

mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::{BOTH, Board, Speaks};
use rkllm::npu::worker::{Cause, Failure, LockPolicy, Worker, WorkerOptions, serve_if_asked};
use rkllm::npu::{NpuOptions, NpuSampling, RunOptions};
use rkllm::session::{NpuChat, Stop};
use rkllm::{Error, ErrorKind};

const SIGILL: i32 = 4;
const SIGABRT: i32 = 6;
const SIGSEGV: i32 = 11;

/// What a hang may last before the worker gives up, and how long it then waits for an abort.
const LIMIT: Duration = Duration::from_secs(4);
const GRACE: Duration = Duration::from_millis(500);
/// What hangs otherwise. No more: other tenants of a machine may stop it for seconds. Measured are some hundred
/// milliseconds, which are printed.
const SOON: Duration = Duration::from_secs(60);
const QUESTION: &str = "What is the unit of pressure?";

fn main() {
    serve_if_asked();
    if std::env::args().any(|argument| argument == "--list") {
        println!(
            "every_fault: test\nfloods: test\nas_without_a_worker: test\nas_if_not_asked: test"
        );
        return;
    }
    // A worker is another program, which a processor that is emulated for one process cannot start.
    if std::env::var_os("RKLLM_TEST_EMULATOR").is_some() {
        println!("skipped: workers are programs, and RKLLM_TEST_EMULATOR emulates one");
        return;
    }
    for speaks in BOTH {
        loads_that_fail(speaks);
        runs_that_fail(speaks);
        floods(speaks);
        as_without_a_worker(speaks);
        as_if_not_asked(speaks);
    }
    println!("ok: every fault on both ABIs");
}

/// A stand-in, its model, and the file that tells it that the fault has happened.
struct Bench {
    board: Board,
    model: PathBuf,
}

impl Bench {
    fn new(speaks: Speaks) -> Self {
        let board = Board::new(speaks);
        let model = board.pointer();
        Self { board, model }
    }

    /// A worker's options whose runtime fails so, once.
    fn failing(&self, fault: &str) -> WorkerOptions {
        let once = self.board.dir().join("happened");
        let _ = std::fs::remove_file(&once);
        let limit = |hangs| if fault.starts_with(hangs) { LIMIT } else { SOON };
        WorkerOptions::default()
            .with_library(self.board.library())
            .with_env("RKLLM_LOCK_DIR", self.board.dir())
            .with_lock(LockPolicy::Fail)
            .with_env("RKLLM_HOST_FAULT", fault)
            .with_env("RKLLM_HOST_FAULT_ONCE", once)
            .with_load_limit(limit("init-hang"))
            .with_first_token_limit(SOON)
            .with_token_limit(limit("hang-run"))
            .with_grace(GRACE)
    }

    fn load(&self, options: WorkerOptions) -> rkllm::Result<Worker> {
        let greedy = NpuOptions::default().with_sampling(NpuSampling::greedy());
        options.load(&self.model, greedy.with_max_new_tokens(24))
    }
}

fn assert_answers(worker: &mut Worker) -> String {
    let (text, report) = worker.generate(QUESTION, &RunOptions::default()).unwrap();
    assert!(!text.is_empty() && report.tokens > 0);
    text
}

#[track_caller]
fn assert_is(fault: &str, error: &Error, kind: ErrorKind, cause: &Cause) {
    let failure = Failure::of(error).unwrap_or_else(|| panic!("{fault}: no failure: {error}"));
    assert_eq!(error.kind(), kind, "{fault}: {error}");
    let alike = match (&failure.cause, cause) {
        (Cause::Timeout(found), Cause::Timeout(least)) => found >= least,
        (found, wanted) => found == wanted,
    };
    assert!(alike, "{fault}: {:?}: {error}", failure.cause);
    assert!(error.hint().is_some(), "{fault}: {error}");
    if kind == ErrorKind::Memory {
        assert!(error.to_string().contains("failed to malloc npu memory"), "{fault}: {error}");
    }
}

fn loads_that_fail(speaks: Speaks) {
    let bench = Bench::new(speaks);
    for (fault, kind, cause) in [
        ("init-null", ErrorKind::Runtime, Cause::NullHandle),
        ("init-fail", ErrorKind::Runtime, Cause::Runtime),
        ("oom", ErrorKind::Memory, Cause::Runtime),
        ("init-segv", ErrorKind::Crashed, Cause::Signal(SIGSEGV)),
        ("init-hang", ErrorKind::Timeout, Cause::Timeout(LIMIT)),
    ] {
        let options = bench.failing(fault);
        let begun = Instant::now();
        let error = bench.load(options.clone()).map(drop).unwrap_err();
        assert_is(fault, &error, kind, &cause);
        assert!(begun.elapsed() < LIMIT + GRACE + SOON, "{fault}: {:?}", begun.elapsed());
        let begun = Instant::now();
        assert_answers(&mut bench.load(options.with_load_limit(SOON)).unwrap());
        assert!(begun.elapsed() < SOON, "{fault}: {:?}", begun.elapsed());
    }
}

fn runs_that_fail(speaks: Speaks) {
    let bench = Bench::new(speaks);
    let mut answers = Vec::new();
    for (fault, kind, cause) in [
        ("segv-run:2", ErrorKind::Crashed, Cause::Signal(SIGSEGV)),
        ("ill-run", ErrorKind::Crashed, Cause::Signal(SIGILL)),
        ("abort-run:1", ErrorKind::Crashed, Cause::Signal(SIGABRT)),
        ("exit-run:1", ErrorKind::Crashed, Cause::Exit(70)),
        ("hang-run:1", ErrorKind::Timeout, Cause::Timeout(LIMIT)),
        ("oom-run:1", ErrorKind::Memory, Cause::Runtime),
        ("error-state:2", ErrorKind::Runtime, Cause::Runtime),
        ("fail-run", ErrorKind::Runtime, Cause::Runtime),
    ] {
        let mut worker = bench.load(bench.failing(fault)).unwrap();
        let begun = Instant::now();
        let error = worker.generate(QUESTION, &RunOptions::default()).unwrap_err();
        assert_is(fault, &error, kind, &cause);
        assert!(begun.elapsed() < LIMIT + GRACE + SOON, "{fault}: {:?}", begun.elapsed());
        let begun = Instant::now();
        worker.restart().unwrap();
        answers.push(assert_answers(&mut worker));
        let took = begun.elapsed();
        println!("{speaks:?} {fault}: restarted and answered in {} ms", took.as_millis());
        assert!(took < SOON, "{fault}: {took:?}");
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "a greedy answer is one answer: {answers:?}");
}

/// What is no language ends, and says why it may be.
fn floods(speaks: Speaks) {
    for fault in ["exclamation", "pad", "garbage"] {
        let bench = Bench::new(speaks);
        let model = bench
            .failing(fault)
            .load(&bench.model, NpuOptions::default().with_max_new_tokens(400).with_context(1024))
            .unwrap();
        let mut chat = NpuChat::new(model);
        let mut answer = chat.ask(QUESTION).unwrap();
        for piece in &mut answer {
            piece.unwrap();
        }
        let statistics = *answer.statistics();
        assert_eq!(statistics.stop, Some(Stop::Degenerate), "{fault}: {statistics:?}");
        let told = statistics.degenerate.unwrap().to_string();
        assert!(told.contains("driver older than 0.9.8"), "{fault}: {told}");
    }
}

/// A process between changes nothing of what is said.
fn as_without_a_worker(speaks: Speaks) {
    let bench = Bench::new(speaks);
    let mut worker = bench.load(bench.failing("")).unwrap();
    let said = assert_answers(&mut worker);
    drop(worker);
    let runtime = rkllm::npu::Runtime::open(bench.board.library()).unwrap();
    let mut here = NpuOptions::default()
        .with_runtime(runtime)
        .with_sampling(NpuSampling::greedy())
        .with_max_new_tokens(24)
        .load(&bench.model)
        .unwrap();
    assert_eq!(here.generate(QUESTION, &RunOptions::default()).unwrap().0, said);
}

/// What fails before it says anything leaves no question without an answer in the conversation.
fn as_if_not_asked(speaks: Speaks) {
    let bench = Bench::new(speaks);
    let history = RunOptions::default().with_history(true);
    let ask = |worker: &mut Worker, text: &str| worker.generate(text, &history).map(|said| said.0);
    for fault in ["error-state", "fail-run", "oom-run"] {
        let mut worker = bench.load(bench.failing(fault)).unwrap();
        let happened = bench.board.dir().join("happened");
        std::fs::write(&happened, "").unwrap();
        let first = ask(&mut worker, "Hola").unwrap();
        let before = worker.kv_cache_sizes().unwrap();
        std::fs::remove_file(&happened).unwrap();
        ask(&mut worker, QUESTION).unwrap_err();
        assert_eq!(worker.kv_cache_sizes().unwrap(), before, "{fault}");
        let second = ask(&mut worker, QUESTION).unwrap();
        let after = worker.kv_cache_sizes().unwrap();
        worker.clear_kv_cache(false).unwrap();
        assert_eq!(ask(&mut worker, "Hola").unwrap(), first);
        assert_eq!(ask(&mut worker, QUESTION).unwrap(), second, "{fault}");
        assert_eq!(worker.kv_cache_sizes().unwrap(), after, "{fault}");
    }
}
