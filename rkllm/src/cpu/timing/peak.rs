//! The most multiply-accumulates a kernel's instruction can do on this machine.

use std::time::Duration;

use super::repeat;
use crate::cpu::pool::Pool;
use crate::kernels::Peak;

/// Rounds of a loop between two looks at the clock: some tens of microseconds, of tiles some hundreds.
const ROUNDS: u64 = 10_000;

/// int8 multiply-accumulates per second that the multiply instruction of the kernel `name` reaches on one
/// thread; `None` where the kernel cannot run or no loop of its instruction is here.
pub fn peak_macs_per_s(name: &str) -> Option<f64> {
    let peak = Peak::of(name)?;
    Some(rate(peak, 1, &repeat(Duration::from_millis(20), 1000, || peak.run(ROUNDS))))
}

/// The same on all threads of a pool together.
pub(super) fn on(pool: &Pool, name: &str, time: Duration) -> Option<f64> {
    let peak = Peak::of(name)?;
    let threads = pool.threads();
    let times = repeat(time.min(Duration::from_millis(50)), 1000, || {
        pool.run(threads, &|_, _| peak.run(ROUNDS));
    });
    Some(rate(peak, threads, &times))
}

/// By the fastest of the runs: this is a limit, and what disturbs it only makes it seem lower.
fn rate(peak: Peak, threads: usize, seconds: &[f64]) -> f64 {
    let fastest = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    (peak.macs(ROUNDS) * threads as u64) as f64 / fastest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_here_has_a_peak_and_the_unknown_none() {
        for kernel in crate::kernels::Kernel::available() {
            if let Some(peak) = peak_macs_per_s(kernel.name()) {
                assert!(peak.is_finite() && peak > 1e6, "{}: {peak}", kernel.name());
            }
        }
        assert!(!cfg!(target_arch = "x86_64") || peak_macs_per_s("scalar").is_some());
        assert_eq!(peak_macs_per_s("mmx"), None);
    }
}
