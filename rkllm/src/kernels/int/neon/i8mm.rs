//! The driver's unit where matrix products of bytes are: `smmla` of two rows with two tokens, eight columns each.
//!
//! Its operands are pairs, so [`Panels::dots`] puts rows and tokens together two by two before it multiplies: each
//! row then serves up to four vectors of tokens, each token up to 32 rows.

use std::arch::aarch64::*;
use std::arch::asm;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::gemm::{LANES, PANEL, Panels, Tile, Unit, VECTORS};
use super::super::needs::Needs;
use super::NeonUnit;
use super::outputs::NeonOutputs;
use super::unit::prepare;
use super::vectors::load;

/// The part of `smmla` in the product of many tokens.
#[derive(Debug)]
pub(super) struct SmmlaUnit;

/// Pairs of rows whose sums of sixteen tokens are in registers together.
const ROW_PAIRS: usize = 2;
/// Pairs of tokens in a vector.
const TOKEN_PAIRS: usize = LANES / 2;
/// Columns of one `smmla`.
const STEP: usize = 8;
/// [`Panels::COLUMNS`].
const COLUMNS: usize = 256;

/// Two rows, or two tokens, of eight columns.
type Pair = [i8; 2 * STEP];

/// The operands of one call of [`Panels::dots`], 24 KB.
#[repr(C, align(64))]
struct Pairs {
    /// `[four rows][columns / 8][pair]`.
    rows: [[[Pair; ROW_PAIRS]; COLUMNS / STEP]; PANEL / 4],
    /// `[vector][columns / 8][pair]`.
    tokens: [[[Pair; TOKEN_PAIRS]; COLUMNS / STEP]; VECTORS],
}

impl NeonUnit for SmmlaUnit {
    const NAME: &'static str = "neon-i8mm";
    const NEEDS: Needs = super::NEEDS_I8MM;
}

impl Unit for SmmlaUnit {
    type Outputs = NeonOutputs;
    const BIAS8: i32 = 0;
    const BIAS4: i32 = -8;
    const CACHE: usize = 256 << 10;

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn prepare(bits: u32, row: &[u8], to: &mut [u8]) {
        prepare(bits, row, to);
    }
}

impl Panels for SmmlaUnit {
    const COLUMNS: usize = COLUMNS;

    #[inline]
    #[target_feature(enable = "neon,dotprod,i8mm")]
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
        assert!(rows <= PANEL && vectors <= VECTORS && columns.len() <= COLUMNS);
        let mut pairs = MaybeUninit::<Pairs>::uninit();
        let pairs = pairs.as_mut_ptr();
        let steps = columns.len() / STEP;
        // SAFETY: rows, up to the next multiple of four, and columns are there by the caller's contract; the pairs
        // of what was just asserted fit, and are written before they are read; a tile holds whole panels.
        unsafe {
            for (v, x) in x.iter().enumerate().take(vectors) {
                let x = x.add(columns.start * LANES);
                pair_tokens(x, steps, (&raw mut (*pairs).tokens[v]).cast());
            }
            for r in (0..rows).step_by(4) {
                let to = (&raw mut (*pairs).rows[r / 4]).cast::<Pair>();
                let row = weights.add(r * stride + columns.start).cast();
                pair_rows(row, stride, steps, to);
                for v in 0..vectors {
                    let x = (&raw const (*pairs).tokens[v]).cast();
                    let out = sums.0[r..].as_mut_ptr().cast::<i32>().add(v * LANES);
                    smmla_tile(to, x, steps, out, fresh);
                }
            }
        }
    }
}

/// Packed activations of sixteen tokens as pairs of tokens.
///
/// # Safety
/// `x` holds `8 * steps` columns, `to` has room for `8 * steps` pairs.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn pair_tokens(x: *const i8, steps: usize, to: *mut Pair) {
    for step in 0..steps {
        for four in 0..LANES / 4 {
            // SAFETY: the caller's contract.
            unsafe {
                let x = x.add(step * STEP * LANES + 16 * four);
                let first = vreinterpretq_s32_s8(load(x));
                let last = vreinterpretq_s32_s8(load(x.add(4 * LANES)));
                let to = to.add(step * TOKEN_PAIRS + 2 * four);
                vst1q_s32(to.cast(), vzip1q_s32(first, last));
                vst1q_s32(to.add(1).cast(), vzip2q_s32(first, last));
            }
        }
    }
}

/// Four rows as two pairs of rows.
///
/// # Safety
/// The rows lie `stride` bytes apart and hold `8 * steps` bytes, a multiple of 16; `to` has room for `2 * steps`
/// pairs.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn pair_rows(rows: *const i8, stride: usize, steps: usize, to: *mut Pair) {
    for step in (0..steps).step_by(2) {
        for pair in 0..ROW_PAIRS {
            // SAFETY: the caller's contract.
            unsafe {
                let row = rows.add(2 * pair * stride + step * STEP);
                let first = vreinterpretq_s64_s8(load(row));
                let last = vreinterpretq_s64_s8(load(row.add(stride)));
                let to = to.add(step * ROW_PAIRS + pair);
                vst1q_s64(to.cast(), vzip1q_s64(first, last));
                vst1q_s64(to.add(ROW_PAIRS).cast(), vzip2q_s64(first, last));
            }
        }
    }
}

/// Four rows with sixteen tokens.
///
/// A function of its own, by whose name `benches/mca/arm.sh` finds the loop.
///
/// # Safety
/// `w` and `x` hold `steps` times the pairs of four rows and of sixteen tokens; `out` holds the sums of a vector in
/// rows `VECTORS * LANES` apart.
#[inline(never)]
#[target_feature(enable = "neon,dotprod,i8mm")]
unsafe fn smmla_tile(w: *const Pair, x: *const Pair, steps: usize, out: *mut i32, fresh: bool) {
    let mut sums = [[vdupq_n_s32(0); TOKEN_PAIRS]; ROW_PAIRS];
    for step in 0..steps {
        let mut rows = [vdupq_n_s8(0); ROW_PAIRS];
        for (r, row) in rows.iter_mut().enumerate() {
            // SAFETY: the caller's contract.
            *row = unsafe { load(w.add(step * ROW_PAIRS + r).cast()) };
        }
        for t in 0..TOKEN_PAIRS {
            // SAFETY: the caller's contract.
            let token = unsafe { load(x.add(step * TOKEN_PAIRS + t).cast()) };
            for (sums, row) in sums.iter_mut().zip(rows) {
                sums[t] = smmla(sums[t], row, token);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for t in (0..TOKEN_PAIRS).step_by(2) {
            let wide = |sum| vreinterpretq_s64_s32(sum);
            let (a, b) = (wide(sums[t]), wide(sums[t + 1]));
            for (row, sum) in [(2 * r, vzip1q_s64(a, b)), (2 * r + 1, vzip2q_s64(a, b))] {
                let sum = vreinterpretq_s32_s64(sum);
                // SAFETY: four sums of a row.
                unsafe {
                    let out = out.add(row * VECTORS * LANES + 2 * t);
                    vst1q_s32(out, if fresh { sum } else { vaddq_s32(sum, vld1q_s32(out)) });
                }
            }
        }
    }
}

/// Adds the products of two rows with two tokens: `sum` is `[row][token]`.
#[inline]
#[target_feature(enable = "neon,dotprod,i8mm")]
fn smmla(sum: int32x4_t, rows: int8x16_t, tokens: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the instruction reads and writes these registers alone.
    unsafe {
        asm!(
            "smmla {sum:v}.4s, {rows:v}.16b, {tokens:v}.16b",
            sum = inout(vreg) sum,
            rows = in(vreg) rows,
            tokens = in(vreg) tokens,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
