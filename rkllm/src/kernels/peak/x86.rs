//! Loops over one instruction each, on registers alone.

use std::arch::asm;

use super::Loop;
use crate::kernels::int::amx_peak;

pub(super) fn find(name: &str) -> Option<Loop> {
    Some(match name {
        // The compiler may use what every x86-64 processor has.
        "scalar" => (sse2, 8, 8),
        "avx2" => (avx2, 8, 16),
        "avxvnni" => (avxvnni, 12, 32),
        "avx512vnni" => (avx512vnni, 12, 64),
        // 16 rows by 16 columns by 64.
        "amx" => (
            |rounds| {
                // SAFETY: this kernel runs here, so the processor has tiles and this process may use them.
                unsafe { amx_peak(rounds) }
            },
            8,
            16 * 16 * 64,
        ),
        _ => return None,
    })
}

/// `rounds` times the instructions, each into a register of its own.
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

/// Five cycles of latency on two ports: ten sums at least.
fn avxvnni(rounds: u64) {
    rounds!(
        rounds,
        "{{vex}} vpdpbusd ymm0, ymm14, ymm15", "{{vex}} vpdpbusd ymm1, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm2, ymm14, ymm15", "{{vex}} vpdpbusd ymm3, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm4, ymm14, ymm15", "{{vex}} vpdpbusd ymm5, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm6, ymm14, ymm15", "{{vex}} vpdpbusd ymm7, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm8, ymm14, ymm15", "{{vex}} vpdpbusd ymm9, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm10, ymm14, ymm15", "{{vex}} vpdpbusd ymm11, ymm14, ymm15";
        "vzeroupper"
    );
}

/// As many.
fn avx512vnni(rounds: u64) {
    rounds!(
        rounds,
        "vpdpbusd zmm0, zmm14, zmm15", "vpdpbusd zmm1, zmm14, zmm15",
        "vpdpbusd zmm2, zmm14, zmm15", "vpdpbusd zmm3, zmm14, zmm15",
        "vpdpbusd zmm4, zmm14, zmm15", "vpdpbusd zmm5, zmm14, zmm15",
        "vpdpbusd zmm6, zmm14, zmm15", "vpdpbusd zmm7, zmm14, zmm15",
        "vpdpbusd zmm8, zmm14, zmm15", "vpdpbusd zmm9, zmm14, zmm15",
        "vpdpbusd zmm10, zmm14, zmm15", "vpdpbusd zmm11, zmm14, zmm15";
        "vzeroupper"
    );
}
