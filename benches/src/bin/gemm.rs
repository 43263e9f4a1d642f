//! `bench-gemm`: one linear layer by one kernel on several threads, as JSON.
//!
//! Activations are quantised before, and packed for many tokens as part of that, and not timed with the product but
//! apart, on one thread (`quantize_s`); weights are prepared within the product. N is split over the threads, which wait for each other by spinning: no thread is started or woken within a run.

use std::hint::{black_box, spin_loop};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rkllm::kernels::{Columns, Kernel};
use rkllm::quant::QuantizedRows;
use rkllm_benches::{Product, Times, options, weights};
use serde_json::json;

/// Told to the threads in place of a run.
const STOP: usize = usize::MAX;

fn main() -> ExitCode {
    match report() {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("bench-gemm: {message}");
            ExitCode::from(2)
        }
    }
}

fn report() -> Result<serde_json::Value, String> {
    let options = options(&[
        ("kernel", "best"),
        ("scheme", "w8a8"),
        ("threads", "2"),
        ("m", "128"),
        ("k", "896"),
        ("n", "4864"),
        ("seconds", "0.5"),
    ])?;
    let size = |name: &str| match options[name].parse::<usize>() {
        Ok(value) if (1..=1 << 20).contains(&value) => Ok(value),
        _ => Err(format!("--{name} {}: expected a number from 1 to 2^20", options[name])),
    };
    let seconds = match options["seconds"].parse::<f64>() {
        Ok(value) if (0.0..=600.0).contains(&value) => Duration::from_secs_f64(value),
        _ => return Err(format!("--seconds {}: expected 0 to 600", options["seconds"])),
    };
    let kernel = match options["kernel"].as_str() {
        "best" => Kernel::active(),
        name => Kernel::by_name(name),
    }
    .map_err(|error| error.to_string())?;
    let scheme: rkllm::quant::QuantScheme =
        options["scheme"].parse().map_err(|error: rkllm::Error| error.to_string())?;
    let (m, k, n, threads) = (size("m")?, size("k")?, size("n")?, size("threads")?);
    if scheme.is_float() || scheme.group_size(k).is_err() {
        return Err(format!("--scheme {scheme} is no integer scheme for K = {k}"));
    }
    let w = weights(scheme, n, k);
    let times = measure(kernel, &w, m, threads.min(n), seconds);
    let x = Product::inputs(&w, m);
    let quantize_s = (0..5)
        .map(|_| {
            let start = Instant::now();
            black_box(Product::of(kernel.int(), &w, &x));
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    let operations = 2.0 * (m * n * k) as f64;
    Ok(json!({
        "kernel": kernel.name(), "scheme": scheme.to_string(), "threads": threads,
        "m": m, "k": k, "n": n, "ops_per_s": times.rates(operations), "quantize_s": quantize_s,
    }))
}

/// Runs for at least `seconds` and five times, after one run that is not measured.
fn measure(
    kernel: Kernel,
    w: &QuantizedRows,
    m: usize,
    threads: usize,
    seconds: Duration,
) -> Times {
    let product = Product::new(kernel.int(), w, m);
    let mut y = vec![0.0f32; m * w.n()];
    let y = Columns::new(&mut y, w.n());
    let ranges = split(w.n(), threads);
    let (run, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let part = |rows: Range<usize>| {
        // SAFETY: the ranges do not overlap, and each belongs to one thread.
        unsafe { product.rows(kernel.int(), w, rows, y) }
    };
    let mut times = Times::default();
    std::thread::scope(|scope| {
        for rows in &ranges[1..] {
            scope.spawn(|| {
                for next in 1.. {
                    let told = wait(|| Some(run.load(Ordering::Acquire)).filter(|&at| at >= next));
                    if told == STOP {
                        return;
                    }
                    part(rows.clone());
                    done.fetch_add(1, Ordering::Release);
                }
            });
        }
        let started = Instant::now();
        for number in 1.. {
            let start = Instant::now();
            run.store(number, Ordering::Release);
            part(ranges[0].clone());
            let all = number * (ranges.len() - 1);
            wait(|| (done.load(Ordering::Acquire) == all).then_some(()));
            if number > 1 {
                times.push(start.elapsed().as_secs_f64());
            }
            if number > 5 && started.elapsed() >= seconds {
                break;
            }
        }
        run.store(STOP, Ordering::Release);
    });
    black_box(&y);
    times
}

/// Equal parts of `0..n`, each but the last a multiple of 64 rows where there are enough.
fn split(n: usize, threads: usize) -> Vec<Range<usize>> {
    let unit = if n >= 64 * threads { 64 } else { 1 };
    let edge = |i: usize| if i == threads { n } else { n * i / threads / unit * unit };
    (0..threads).map(|i| edge(i)..edge(i + 1)).collect()
}

fn wait<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    loop {
        match ready() {
            Some(value) => return value,
            None => spin_loop(),
        }
    }
}
