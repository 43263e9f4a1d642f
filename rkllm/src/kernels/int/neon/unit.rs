//! The driver's unit: `sdot` of four tokens' columns with four columns of a row.

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use super::super::gemm::{self, LANES, PANEL, Panels, Tile, Unit, VECTORS};
use super::super::needs::Needs;
use super::NeonUnit;
use super::outputs::NeonOutputs;
use super::vectors::load;

/// The part of NEON's dot products in the product of many tokens.
#[derive(Debug)]
pub(super) struct SdotUnit;

/// Rows whose sums of sixteen tokens are in registers together.
const ROWS: usize = 4;
/// Vectors of four tokens.
const FOURS: usize = LANES / 4;
/// Columns of a row in one register.
const STEP: usize = 16;

impl NeonUnit for SdotUnit {
    const NAME: &'static str = "neon";
    const NEEDS: Needs = super::NEEDS;
}

impl Unit for SdotUnit {
    type Outputs = NeonOutputs;
    const BIAS8: i32 = 0;
    const BIAS4: i32 = -8;
    // A Cortex-A76 of the RK3588 has 512 KB.
    const CACHE: usize = 256 << 10;

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn prepare(bits: u32, row: &[u8], to: &mut [u8]) {
        prepare(bits, row, to);
    }
}

impl Panels for SdotUnit {
    // 16 KB of activations, and 1 KB of weights at a time, in the 32 KB that even the small cores have.
    const COLUMNS: usize = 256;

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn dots(
        _bits: u32,
        weights: *const u8,
        stride: usize,
        rows: usize,
        x: [*const i8; VECTORS],
        vectors: usize,
        columns: Range<usize>,
        sums: &mut Tile<i32>,
        fresh: bool,
    ) {
        debug_assert!(rows <= PANEL && columns.len() <= Self::COLUMNS);
        for r in (0..rows).step_by(ROWS) {
            for (v, x) in x.iter().enumerate().take(vectors) {
                // SAFETY: the rows and columns are there by the caller's contract; a tile holds whole panels.
                unsafe {
                    let weights = weights.add(r * stride + columns.start).cast();
                    let x = x.add(columns.start * LANES);
                    let out = sums.0[r..].as_mut_ptr().cast::<i32>().add(v * LANES);
                    sdot_tile(weights, stride, x, columns.len(), out, fresh);
                }
            }
        }
    }
}

/// Writes a row of weights as signed bytes, nibbles in the order of packed activations: of each four columns first
/// the even, then the odd ones.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn prepare(bits: u32, row: &[u8], to: &mut [u8]) {
    if bits == 8 {
        return gemm::copy_row(row, to);
    }
    let (pieces, rest) = row.as_chunks::<16>();
    let (to, last) = to[..2 * row.len()].split_at_mut(32 * pieces.len());
    let eight = vdupq_n_u8(8);
    for (piece, to) in pieces.iter().zip(to.as_chunks_mut::<32>().0) {
        // SAFETY: 16 bytes to read, 32 to write.
        unsafe {
            let packed = vld1q_u8(piece.as_ptr());
            let even = vreinterpretq_u16_u8(vandq_u8(packed, vdupq_n_u8(15)));
            let odd = vreinterpretq_u16_u8(vshrq_n_u8::<4>(packed));
            let first = vreinterpretq_u8_u16(vzip1q_u16(even, odd));
            let second = vreinterpretq_u8_u16(vzip2q_u16(even, odd));
            vst1q_u8(to.as_mut_ptr(), vsubq_u8(first, eight));
            vst1q_u8(to[16..].as_mut_ptr(), vsubq_u8(second, eight));
        }
    }
    gemm::signed_nibbles_row(rest, last);
}

/// Four rows with sixteen tokens.
///
/// A function of its own, by whose name `benches/mca/arm.sh` finds the loop.
///
/// # Safety
/// `columns`, a multiple of 32, lie in four rows `stride` bytes apart and in `x`; `out` holds the sums of a vector
/// in rows `VECTORS * LANES` apart.
#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sdot_tile(
    weights: *const i8,
    stride: usize,
    x: *const i8,
    columns: usize,
    out: *mut i32,
    fresh: bool,
) {
    let mut sums = [[vdupq_n_s32(0); FOURS]; ROWS];
    for c in (0..columns).step_by(STEP) {
        // SAFETY: the columns lie in rows and tokens.
        unsafe {
            let x = x.add(c * LANES);
            let mut w = [vdupq_n_s8(0); ROWS];
            for (r, w) in w.iter_mut().enumerate() {
                *w = load(weights.add(r * stride + c));
            }
            four_columns::<0>(&mut sums, w, x);
            four_columns::<1>(&mut sums, w, x.add(4 * LANES));
            four_columns::<2>(&mut sums, w, x.add(8 * LANES));
            four_columns::<3>(&mut sums, w, x.add(12 * LANES));
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (i, sum) in sums.into_iter().enumerate() {
            // SAFETY: four sums of a row.
            unsafe {
                let out = out.add(r * VECTORS * LANES + 4 * i);
                vst1q_s32(out, if fresh { sum } else { vaddq_s32(sum, vld1q_s32(out)) });
            }
        }
    }
}

/// Adds the products of columns `4 * PART..4 * PART + 4` of four rows with those of sixteen tokens.
///
/// # Safety
/// `x` is valid for reading 64 bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn four_columns<const PART: u32>(
    sums: &mut [[int32x4_t; FOURS]; ROWS],
    w: [int8x16_t; ROWS],
    x: *const i8,
) {
    let mut tokens = [vdupq_n_s8(0); FOURS];
    for (i, tokens) in tokens.iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        *tokens = unsafe { load(x.add(16 * i)) };
    }
    for (sums, w) in sums.iter_mut().zip(w) {
        for (sum, x) in sums.iter_mut().zip(tokens) {
            *sum = sdot_part::<PART>(*sum, x, w);
        }
    }
}

/// Adds the products of four neighbouring bytes of `a` with bytes `4 * PART..4 * PART + 4` of `b` to each lane.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot_part<const PART: u32>(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the instruction reads and writes these registers alone.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.4b[{part}]",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            part = const PART,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
