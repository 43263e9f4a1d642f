//! The driver's unit: `sdot` of four tokens' columns with four columns of a row.

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use super::super::gemm::{LANES, PANEL, Tile, Unit, VECTORS};
use super::super::scales::ScaleBytes;
use super::{NeonUnit, load, prepare, scales, transpose4};

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

    fn runs() -> bool {
        std::arch::is_aarch64_feature_detected!("neon")
            && std::arch::is_aarch64_feature_detected!("dotprod")
    }
}

impl Unit for SdotUnit {
    const BIAS8: i32 = 0;
    const BIAS4: i32 = -8;
    // 16 KB of activations, and 1 KB of weights at a time, in the 32 KB that even the small cores have.
    const COLUMNS: usize = 256;
    // A Cortex-A76 of the RK3588 has 512 KB.
    const CACHE: usize = 256 << 10;

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn prepare(bits: u32, row: &[u8], to: &mut [u8]) {
        prepare(bits, row, to);
    }

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn scales(from: &ScaleBytes<'_>, first: usize, count: usize, to: &mut [f32; 16]) {
        scales(from, first, count, to);
    }

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

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn transpose(
        from: *const [f32; LANES * VECTORS],
        rows: usize,
        tokens: usize,
        to: *mut f32,
        stride: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe { transpose4(from, rows, tokens, to, stride) };
    }
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
