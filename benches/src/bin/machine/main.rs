//! `bench-machine`: what this machine allows, as JSON: memory read bandwidth and int8 arithmetic, and which kernels run.
//!
//! Both on `--threads` threads at once. `--bytes` is the buffer, the size of the weights a decode step reads;
//! `--only read` or `--only int8` measures one of the two, `--only kernels` neither.

mod peak;
mod read;

use std::process::ExitCode;
use std::sync::Barrier;
use std::time::Instant;

use rkllm::kernels::Kernel;
use rkllm_benches::options;
use serde_json::{Value, json};

fn main() -> ExitCode {
    match report() {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("bench-machine: {message}");
            ExitCode::from(2)
        }
    }
}

fn report() -> Result<Value, String> {
    let options =
        options(&[("threads", "2"), ("bytes", "500000000"), ("repeat", "5"), ("only", "all")])?;
    let number = |name: &str, most: usize| match options[name].parse::<usize>() {
        Ok(value) if (1..=most).contains(&value) => Ok(value),
        _ => Err(format!("--{name} {}: expected 1 to {most}", options[name])),
    };
    let (threads, bytes) = (number("threads", 1024)?, number("bytes", 1 << 36)?);
    let repeat = number("repeat", 1000)?;
    let only = options["only"].as_str();
    if !["all", "read", "int8", "kernels"].contains(&only) {
        return Err(format!("--only {only}: expected all, read, int8 or kernels"));
    }
    // The preferred one last.
    let kernels: Vec<&str> = Kernel::available().iter().map(Kernel::name).collect();
    let mut report = json!({ "threads": threads, "kernels": kernels });
    if ["all", "read"].contains(&only) {
        report["read"] = read::measure(threads, bytes, repeat)?;
    }
    if ["all", "int8"].contains(&only) {
        report["int8"] = peak::measure(threads, repeat);
    }
    Ok(report)
}

/// Seconds from the first thread's start to the last one's end of `part(thread)` on every thread.
fn together(threads: usize, part: &(dyn Fn(usize) + Sync)) -> f64 {
    let barrier = Barrier::new(threads);
    let timed = |thread: usize| {
        barrier.wait();
        let start = Instant::now();
        part(thread);
        (start, Instant::now())
    };
    let spans: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let timed = &timed;
        let others: Vec<_> =
            (1..threads).map(|thread| scope.spawn(move || timed(thread))).collect();
        let own = timed(0);
        others.into_iter().map(|other| other.join().expect("no panic")).chain([own]).collect()
    });
    let start = spans.iter().map(|span| span.0).min().expect("a thread");
    let end = spans.iter().map(|span| span.1).max().expect("a thread");
    (end - start).as_secs_f64()
}
