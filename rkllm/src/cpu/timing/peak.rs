//! The most multiply-accumulates a kernel's instruction can do: a loop on registers alone.

use std::time::Duration;

use super::repeat;
use crate::cpu::pool::Pool;

/// Rounds of a loop between two looks at the clock: some tens of microseconds.
const ROUNDS: u64 = 10_000;
/// Instructions of a round, each with a sum of its own, so that none waits for another.
const SUMS: u64 = 8;

/// A loop and the int8 multiply-accumulates of one of its instructions.
type Loop = (fn(u64), u64);

/// int8 multiply-accumulates per second that the multiply instruction of the kernel `name` reaches on one
/// thread; `None` where the kernel cannot run or no loop of its instruction is here.
pub fn peak_macs_per_s(name: &str) -> Option<f64> {
    let (run, macs) = find(name)?;
    Some(rate(macs, 1, &repeat(Duration::from_millis(20), 1000, || run(ROUNDS))))
}

/// The same on all threads of a pool together.
pub(super) fn on(pool: &Pool, name: &str, time: Duration) -> Option<f64> {
    let (run, macs) = find(name)?;
    let threads = pool.threads();
    let times = repeat(time.min(Duration::from_millis(50)), 1000, || {
        pool.run(threads, &|_, _| run(ROUNDS));
    });
    Some(rate(macs, threads, &times))
}

/// By the fastest of the runs: this is a limit, and what disturbs it only makes it seem lower.
fn rate(macs: u64, threads: usize, seconds: &[f64]) -> f64 {
    let fastest = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    (ROUNDS * SUMS * macs * threads as u64) as f64 / fastest
}

fn find(name: &str) -> Option<Loop> {
    // Only what can run is measured.
    super::unavailable::why(name).is_none().then(|| arch::find(name)).flatten()
}

/// A loop of 8 sums over one instruction each; registers of 16 lanes or fewer.
#[cfg(target_arch = "x86_64")]
mod arch {
    use std::arch::asm;

    use super::Loop;

    pub(super) fn find(name: &str) -> Option<Loop> {
        Some(match name {
            // The compiler may use what every x86-64 processor has.
            "scalar" => (sse2, 8),
            "avx2" => (avx2, 16),
            "avxvnni" => (avxvnni, 32),
            "avx512vnni" => (avx512vnni, 64),
            _ => return None,
        })
    }

    /// `rounds` times the eight instructions, each into a register of its own.
    macro_rules! rounds {
        ($rounds:ident, $($line:literal),+ $(; $end:literal)?) => {
            // SAFETY: the instructions touch registers alone, all of them named here; the caller has
            // detected that the processor has them.
            unsafe {
                asm!(
                    "2:",
                    $($line,)+
                    "sub {rounds}, 1",
                    "jnz 2b",
                    $($end,)?
                    rounds = inout(reg) $rounds => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                    out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                    out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                    options(nomem, nostack),
                );
            }
        };
    }

    /// Multiplies pairs of i16 and adds them: the product alone, since the addition has ports of its own.
    fn sse2(rounds: u64) {
        rounds!(
            rounds,
            "movdqa xmm0, xmm15",
            "pmaddwd xmm0, xmm14",
            "movdqa xmm1, xmm15",
            "pmaddwd xmm1, xmm14",
            "movdqa xmm2, xmm15",
            "pmaddwd xmm2, xmm14",
            "movdqa xmm3, xmm15",
            "pmaddwd xmm3, xmm14",
            "movdqa xmm4, xmm15",
            "pmaddwd xmm4, xmm14",
            "movdqa xmm5, xmm15",
            "pmaddwd xmm5, xmm14",
            "movdqa xmm6, xmm15",
            "pmaddwd xmm6, xmm14",
            "movdqa xmm7, xmm15",
            "pmaddwd xmm7, xmm14"
        );
    }

    /// Products of pairs and their addition to eight sums.
    fn avx2(rounds: u64) {
        rounds!(
            rounds,
            "vpmaddwd ymm8, ymm14, ymm15", "vpaddd ymm0, ymm0, ymm8",
            "vpmaddwd ymm9, ymm14, ymm15", "vpaddd ymm1, ymm1, ymm9",
            "vpmaddwd ymm10, ymm14, ymm15", "vpaddd ymm2, ymm2, ymm10",
            "vpmaddwd ymm11, ymm14, ymm15", "vpaddd ymm3, ymm3, ymm11",
            "vpmaddwd ymm12, ymm14, ymm15", "vpaddd ymm4, ymm4, ymm12",
            "vpmaddwd ymm13, ymm14, ymm15", "vpaddd ymm5, ymm5, ymm13",
            "vpmaddwd ymm8, ymm14, ymm15", "vpaddd ymm6, ymm6, ymm8",
            "vpmaddwd ymm9, ymm14, ymm15", "vpaddd ymm7, ymm7, ymm9";
            "vzeroupper"
        );
    }

    fn avxvnni(rounds: u64) {
        rounds!(
            rounds,
            "{{vex}} vpdpbusd ymm0, ymm14, ymm15", "{{vex}} vpdpbusd ymm1, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm2, ymm14, ymm15", "{{vex}} vpdpbusd ymm3, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm4, ymm14, ymm15", "{{vex}} vpdpbusd ymm5, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm6, ymm14, ymm15", "{{vex}} vpdpbusd ymm7, ymm14, ymm15";
            "vzeroupper"
        );
    }

    fn avx512vnni(rounds: u64) {
        rounds!(
            rounds,
            "vpdpbusd zmm0, zmm14, zmm15", "vpdpbusd zmm1, zmm14, zmm15",
            "vpdpbusd zmm2, zmm14, zmm15", "vpdpbusd zmm3, zmm14, zmm15",
            "vpdpbusd zmm4, zmm14, zmm15", "vpdpbusd zmm5, zmm14, zmm15",
            "vpdpbusd zmm6, zmm14, zmm15", "vpdpbusd zmm7, zmm14, zmm15";
            "vzeroupper"
        );
    }
}

#[cfg(target_arch = "aarch64")]
mod arch {
    use std::arch::asm;

    use super::Loop;

    pub(super) fn find(name: &str) -> Option<Loop> {
        Some(match name {
            // The compiler may use what every aarch64 processor has.
            "scalar" => (smlal, 4),
            "neon" => (
                |rounds| {
                    // SAFETY: this kernel runs here, so the processor has the instruction.
                    unsafe { sdot(rounds) }
                },
                16,
            ),
            "neon-i8mm" => (
                |rounds| {
                    // SAFETY: as above.
                    unsafe { smmla(rounds) }
                },
                32,
            ),
            _ => return None,
        })
    }

    /// `rounds` times the eight instructions, each into a register of its own.
    macro_rules! rounds {
        ($rounds:ident, $($line:literal),+) => {
            // SAFETY: the instructions touch registers alone, all of them named here; the caller has
            // detected that the processor has them.
            unsafe {
                asm!(
                    "2:",
                    $($line,)+
                    "subs {rounds}, {rounds}, #1",
                    "b.ne 2b",
                    rounds = inout(reg) $rounds => _,
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                    out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    options(nomem, nostack),
                );
            }
        };
    }

    fn smlal(rounds: u64) {
        rounds!(
            rounds,
            "smlal v0.4s, v30.4h, v31.4h",
            "smlal v1.4s, v30.4h, v31.4h",
            "smlal v2.4s, v30.4h, v31.4h",
            "smlal v3.4s, v30.4h, v31.4h",
            "smlal v4.4s, v30.4h, v31.4h",
            "smlal v5.4s, v30.4h, v31.4h",
            "smlal v6.4s, v30.4h, v31.4h",
            "smlal v7.4s, v30.4h, v31.4h"
        );
    }

    #[target_feature(enable = "dotprod")]
    fn sdot(rounds: u64) {
        rounds!(
            rounds,
            "sdot v0.4s, v30.16b, v31.16b",
            "sdot v1.4s, v30.16b, v31.16b",
            "sdot v2.4s, v30.16b, v31.16b",
            "sdot v3.4s, v30.16b, v31.16b",
            "sdot v4.4s, v30.16b, v31.16b",
            "sdot v5.4s, v30.16b, v31.16b",
            "sdot v6.4s, v30.16b, v31.16b",
            "sdot v7.4s, v30.16b, v31.16b"
        );
    }

    #[target_feature(enable = "i8mm")]
    fn smmla(rounds: u64) {
        rounds!(
            rounds,
            "smmla v0.4s, v30.16b, v31.16b",
            "smmla v1.4s, v30.16b, v31.16b",
            "smmla v2.4s, v30.16b, v31.16b",
            "smmla v3.4s, v30.16b, v31.16b",
            "smmla v4.4s, v30.16b, v31.16b",
            "smmla v5.4s, v30.16b, v31.16b",
            "smmla v6.4s, v30.16b, v31.16b",
            "smmla v7.4s, v30.16b, v31.16b"
        );
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod arch {
    pub(super) fn find(_: &str) -> Option<super::Loop> {
        None
    }
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
