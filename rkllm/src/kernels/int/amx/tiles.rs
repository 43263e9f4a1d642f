//! Integer sums by tiles. Nothing here needs more than the tiles themselves, so that tests run it anywhere with
//! the tile instructions emulated.

use std::arch::asm;

use super::super::gemm::Sums;
use crate::quant::QuantizedRows;

/// Columns of one tile.
const DEPTH: usize = 64;
/// True where groups are whole tiles.
pub(in super::super) fn fit(w: &QuantizedRows) -> bool {
    w.group == w.k || w.group.is_multiple_of(DEPTH)
}

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Eight tiles of 16 rows by 64 bytes.
static CONFIG: Config = Config {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Configures this thread's tiles.
///
/// # Safety
/// The processor has tiles, and this process may use them.
#[inline(always)]
pub(in super::super) unsafe fn begin() {
    // SAFETY: the caller's contract; the compiler itself never uses tiles.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(readonly, nostack, preserves_flags));
    }
}

/// Gives this thread's tiles back.
///
/// # Safety
/// After [`begin`] on the same thread.
#[inline(always)]
pub(in super::super) unsafe fn end() {
    // SAFETY: the caller's contract. Nothing lives in tiles between two pieces of assembly.
    unsafe { asm!("tilerelease", options(nostack, preserves_flags)) };
}

/// [`Squares::square`](super::super::gemm::Squares::square) for signed weights: 32 rows with 32 tokens, four tiles of
/// sums, two of weights, two of activations.
///
/// # Safety
/// As there.
#[inline(always)]
pub(in super::super) unsafe fn square(
    weights: *const u8,
    stride: usize,
    x: [*const i8; 2],
    columns: usize,
    sums: &mut Sums,
    fresh: bool,
) {
    const PITCH: usize = size_of::<Sums>() / 32;
    debug_assert!(columns != 0 && columns.is_multiple_of(DEPTH));
    // SAFETY: the caller's contract. A tile takes 16 rows of 64 bytes; packed activations are such rows, one after
    // the other. All sums are written.
    unsafe {
        asm!(
            "test {fresh:e}, {fresh:e}",
            "jnz 2f",
            "tileloadd tmm0, [{sums} + {pitch}]",
            "tileloadd tmm1, [{sums} + {pitch} + 64]",
            "tileloadd tmm2, [{sums} + {pitch} + {half}]",
            "tileloadd tmm3, [{sums} + {pitch} + {half} + 64]",
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "3:",
            "tileloadd tmm4, [{first} + {stride}]",
            "tileloadd tmm6, [{x0} + {line}]",
            "tdpbssd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{x1} + {line}]",
            "tdpbssd tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{last} + {stride}]",
            "tdpbssd tmm2, tmm5, tmm6",
            "tdpbssd tmm3, tmm5, tmm7",
            "add {first}, 64",
            "add {last}, 64",
            "add {x0}, 1024",
            "add {x1}, 1024",
            "dec {steps}",
            "jnz 3b",
            "tilestored [{sums} + {pitch}], tmm0",
            "tilestored [{sums} + {pitch} + 64], tmm1",
            "tilestored [{sums} + {pitch} + {half}], tmm2",
            "tilestored [{sums} + {pitch} + {half} + 64], tmm3",
            fresh = in(reg) u32::from(fresh),
            first = inout(reg) weights => _,
            last = inout(reg) weights.add(16 * stride) => _,
            stride = in(reg) stride,
            x0 = inout(reg) x[0] => _,
            x1 = inout(reg) x[1] => _,
            line = in(reg) 64usize,
            steps = inout(reg) columns / DEPTH => _,
            sums = in(reg) sums,
            pitch = in(reg) PITCH,
            half = const 16 * PITCH,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// `rounds` times, at least once, eight products of tiles in the squares of four that [`square`] computes, and nothing
/// loaded: the unit's limit.
///
/// # Safety
/// The processor has tiles, and this process may use them.
pub(crate) unsafe fn peak(rounds: u64) {
    // SAFETY: the caller's contract; tiles alone are touched, and given back.
    unsafe {
        begin();
        asm!(
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "tilezero tmm4", "tilezero tmm5", "tilezero tmm6", "tilezero tmm7",
            "2:",
            "tdpbssd tmm0, tmm4, tmm6",
            "tdpbssd tmm1, tmm4, tmm7",
            "tdpbssd tmm2, tmm5, tmm6",
            "tdpbssd tmm3, tmm5, tmm7",
            "tdpbssd tmm0, tmm4, tmm6",
            "tdpbssd tmm1, tmm4, tmm7",
            "tdpbssd tmm2, tmm5, tmm6",
            "tdpbssd tmm3, tmm5, tmm7",
            "dec {rounds}",
            "jnz 2b",
            rounds = inout(reg) rounds => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nomem, nostack),
        );
        end();
    }
}
