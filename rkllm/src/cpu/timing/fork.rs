//! What it costs to begin work on every thread and to know that all are done.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Spread, repeat};
use crate::cpu::pool::Pool;

/// Longer than a thread looks for work before it sleeps.
const SLEEP: Duration = Duration::from_millis(2);

/// How often a task looks whether the others have begun before it offers its processor.
const SPINS: u32 = 10_000;

/// A fork whose tasks end when all have begun, so that no thread can do two of them: every thread has to come.
fn meet(pool: &Pool) {
    let arrived = AtomicUsize::new(0);
    pool.run(pool.threads(), &|_, _| {
        arrived.fetch_add(1, Ordering::AcqRel);
        let mut looks = 0;
        while arrived.load(Ordering::Acquire) < pool.threads() {
            looks += 1;
            match looks % SPINS {
                0 => std::thread::yield_now(),
                _ => std::hint::spin_loop(),
            }
        }
    });
}

/// Microseconds of a fork to every thread and its end, one after another and after a pause.
pub(super) fn measure(pool: &Pool, time: Duration) -> (Spread, Spread) {
    let empty = || meet(pool);
    // Threads that have just been started come first.
    repeat(Duration::from_millis(1), 100, empty);
    let micros = |seconds: Vec<f64>| Spread::of(seconds.into_iter().map(|s| s * 1e6).collect());
    let hot = micros(repeat(time, 20_000, empty));
    let mut pauses = Vec::new();
    let begun = Instant::now();
    while pauses.len() < 3 || (pauses.len() < 200 && begun.elapsed() < time) {
        std::thread::sleep(SLEEP);
        let started = Instant::now();
        empty();
        pauses.push(started.elapsed().as_secs_f64());
    }
    (hot, micros(pauses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_comes() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
            let (hot, asleep) = measure(&pool, Duration::from_millis(2));
            assert!(hot.min > 0.0 && hot.min <= hot.median && hot.p99 <= hot.max);
            assert!(asleep.median > 0.0);
        }
    }
}
