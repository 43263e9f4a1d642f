//! `rkllm::npu::worker` on the fake runtimes of rkllm-sys, really loaded, in processes of their own.
//!
//! A program with a `main` of its own: its workers are itself, as they are of an application. Takes words that
//! the names of the tests to run contain.
#![allow(clippy::single_range_in_vec_init)] // a range for each place of a batch of one

mod api;
mod bench;
mod ends;
mod faults;
mod sharing;

use std::panic::{AssertUnwindSafe, catch_unwind};

use rkllm::npu::worker::serve_if_asked;

fn main() {
    serve_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == ends::PARENT) {
        return ends::parent(&arguments[1..]);
    }
    let all: Vec<_> =
        [api::TESTS, ends::TESTS, faults::TESTS, sharing::TESTS].into_iter().flatten().collect();
    if arguments.iter().any(|argument| argument == "--list") {
        all.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    // A worker is another program, which a processor that is emulated for one process cannot start.
    if std::env::var_os("RKLLM_TEST_EMULATOR").is_some() {
        println!("skipped: workers are programs, and RKLLM_TEST_EMULATOR emulates one");
        return;
    }
    let locks = tempfile::tempdir().unwrap();
    // SAFETY: there is no other thread yet.
    unsafe { std::env::set_var(rkllm::npu::worker::LOCK_DIR, locks.path()) };
    let words: Vec<_> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(*word));
    let mut failed = Vec::new();
    for (name, test) in all {
        if !chosen(name) {
            continue;
        }
        let begun = std::time::Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        let seconds = begun.elapsed().as_secs_f64();
        println!("test {name} ... {} ({seconds:.1} s)", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Tests by their names.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[(&str, fn())] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use tests;
