//! Loops of eight sums over one instruction each, on registers alone.

use std::arch::asm;

use super::Loop;

pub(super) fn find(name: &str) -> Option<Loop> {
    Some(match name {
        // The compiler may use what every aarch64 processor has.
        "scalar" => (smlal, 8, 4),
        "neon" => (
            |rounds| {
                // SAFETY: this kernel runs here, so the processor has the instruction.
                unsafe { sdot(rounds) }
            },
            8,
            16,
        ),
        "neon-i8mm" => (
            |rounds| {
                // SAFETY: as above.
                unsafe { smmla(rounds) }
            },
            8,
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
