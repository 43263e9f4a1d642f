//! int4 weights, 16-bit activations in two planes.

use std::arch::aarch64::*;
use std::ops::Range;

use super::super::Activations16;
use super::super::blocks::{BLOCK, GroupBlock};
use super::super::weights::{Streams, Weights, tile_rows};
use super::{accumulate16, load, load_part, sdot, store, sum_each};
use crate::kernels::ColumnsAt;

/// i32 sums, spread over lanes, of four rows: of the low plane, of the high one.
type Sums = [[int32x4_t; 4]; 2];

/// One token: eight rows at once, each its own stream from memory.
///
/// # Safety
/// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
/// `rows` of `y`.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn decode(
    x: &Activations16,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    let mut block = GroupBlock::new(w);
    let (planes, scales, sums) = (x.planes.as_ptr(), x.scales.as_ptr(), x.sums.as_ptr());
    let streams = Streams::<8>::new(rows);
    for i in 0..streams.length {
        let tile = streams.at(i);
        let [a, b, c, d, e, f, g, h] = tile.map(|n| w.row(n).as_ptr().cast());
        let starts = [[a, b, c, d], [e, f, g, h]];
        let mut totals = [vdupq_n_f32(0.0); 2];
        for g0 in (0..w.groups).step_by(BLOCK) {
            let count = BLOCK.min(w.groups - g0);
            block.fetch(w, &tile, g0, count);
            for group in 0..count {
                let at = g0 + group;
                let bytes = at * w.group / 2..((at + 1) * w.group).div_ceil(2);
                // SAFETY: the bytes of a group lie in every row, its sums and scale in the activations.
                unsafe {
                    let products = dots(starts, planes, x.half, bytes);
                    let (sums, scale) = (*sums.add(at), *scales.add(at));
                    for (half, total) in totals.iter_mut().enumerate() {
                        let zeros = block.zeros(group, half);
                        let scales = block.scales(group, half, scale);
                        *total = accumulate16(products[half], zeros, sums, scales, *total);
                    }
                }
            }
        }
        let mut outputs = [0.0; 8];
        // SAFETY: eight f32; `rows` lie in `y`, which has at least one row.
        unsafe {
            vst1q_f32(outputs.as_mut_ptr(), totals[0]);
            vst1q_f32(outputs[4..].as_mut_ptr(), totals[1]);
            streams.store(&y, i, &outputs);
        }
    }
}

/// The products of `bytes` of two times four rows with both planes of one token.
///
/// # Safety
/// Every row holds `bytes`; `planes` begins a token's four arrays of `half` bytes, padded with zeros.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn dots(
    rows: [[*const i8; 4]; 2],
    planes: *const i8,
    half: usize,
    bytes: Range<usize>,
) -> [[int32x4_t; 2]; 2] {
    let mut sums = [[[vdupq_n_s32(0); 4]; 2]; 2];
    for at in bytes.clone().step_by(16) {
        // SAFETY: 16 bytes, or the rest of them.
        unsafe {
            let x = planes_at(planes.add(at), half);
            for (rows, sums) in rows.iter().zip(&mut sums) {
                for (r, row) in rows.iter().enumerate() {
                    add(sums, r, unpack(load_part(row.add(at), bytes.end - at)), x);
                }
            }
        }
    }
    sums.map(|sums| sums.map(|sums| sum_each(sums)))
}

/// 16 bytes of the four arrays of a token: low even, low odd, high even, high odd.
///
/// # Safety
/// The arrays lie `half` bytes apart and hold 16 more bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn planes_at(token: *const i8, half: usize) -> [int8x16_t; 4] {
    // SAFETY: the caller's contract.
    unsafe {
        [load(token), load(token.add(half)), load(token.add(2 * half)), load(token.add(3 * half))]
    }
}

/// The even and the odd columns of packed bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn unpack(packed: int8x16_t) -> [int8x16_t; 2] {
    let packed = vreinterpretq_u8_s8(packed);
    let even = vandq_u8(packed, vdupq_n_u8(15));
    [vreinterpretq_s8_u8(even), vreinterpretq_s8_u8(vshrq_n_u8::<4>(packed))]
}

/// Adds the products of one row and token to their sums of both planes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add(sums: &mut Sums, row: usize, [even, odd]: [int8x16_t; 2], x: [int8x16_t; 4]) {
    for (plane, sums) in sums.iter_mut().enumerate() {
        sums[row] = sdot(sdot(sums[row], even, x[2 * plane]), odd, x[2 * plane + 1]);
    }
}

/// Rows of a prefill tile.
const ROWS: usize = 4;
/// Tokens of a prefill tile.
const PAIR: usize = 2;
/// Tokens that pass by a tile of rows while their bytes stay in the second-level cache.
const TOKENS: usize = 64;

/// Several tokens: tiles of four rows by two tokens.
///
/// # Safety
/// As [`decode`].
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn prefill(
    x: &Activations16,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    for m0 in (0..x.m).step_by(TOKENS) {
        let tokens = m0..x.m.min(m0 + TOKENS);
        for n in rows.clone().step_by(ROWS) {
            for m in tokens.clone().step_by(PAIR) {
                // Where tokens or rows run out the last one stands in.
                let ms = tile_rows::<PAIR>(m, tokens.end);
                let ns = tile_rows::<ROWS>(n, rows.end);
                // SAFETY: the caller's contract.
                let totals = unsafe { tile(x, w, ms, ns) };
                for (m, total) in (m..tokens.end).zip(totals) {
                    // SAFETY: `rows` and all tokens lie in `y`.
                    unsafe { store(y.at(m, n), total, rows.end - n) };
                }
            }
        }
    }
}

/// The outputs of four rows for each of two tokens.
///
/// # Safety
/// As [`decode`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn tile(
    x: &Activations16,
    w: &Weights<'_>,
    ms: [usize; PAIR],
    ns: [usize; ROWS],
) -> [float32x4_t; PAIR] {
    let mut block = GroupBlock::new(w);
    let rows = [ns[0], ns[1], ns[2], ns[3], ns[0], ns[1], ns[2], ns[3]];
    let tokens = ms.map(|m| x.planes[m * 4 * x.half..].as_ptr());
    let starts = ns.map(|n| w.row(n).as_ptr().cast());
    let mut totals = [vdupq_n_f32(0.0); PAIR];
    for g0 in (0..w.groups).step_by(BLOCK) {
        let count = BLOCK.min(w.groups - g0);
        block.fetch(w, &rows, g0, count);
        for g in 0..count {
            let bytes = (g0 + g) * w.group / 2..((g0 + g + 1) * w.group).div_ceil(2);
            // SAFETY: the bytes of a group lie in every row and token.
            let products = unsafe { tile_dots(starts, tokens, x.half, bytes) };
            for (t, total) in totals.iter_mut().enumerate() {
                let at = ms[t] * w.groups + g0 + g;
                let (zeros, scales) = (block.zeros(g, 0), block.scales(g, 0, x.scales[at]));
                *total = accumulate16(products[t], zeros, x.sums[at], scales, *total);
            }
        }
    }
    totals
}

/// The products of `bytes` of four rows with both planes of each of two tokens.
///
/// # Safety
/// Every row holds `bytes`; each token's four arrays of `half` bytes are padded with zeros.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn tile_dots(
    rows: [*const i8; ROWS],
    tokens: [*const i8; PAIR],
    half: usize,
    bytes: Range<usize>,
) -> [[int32x4_t; 2]; PAIR] {
    let mut sums = [[[vdupq_n_s32(0); ROWS]; 2]; PAIR];
    for at in bytes.clone().step_by(16) {
        // SAFETY: 16 bytes, or the rest of them.
        unsafe {
            let x = [planes_at(tokens[0].add(at), half), planes_at(tokens[1].add(at), half)];
            for (r, row) in rows.iter().enumerate() {
                let weights = unpack(load_part(row.add(at), bytes.end - at));
                add(&mut sums[0], r, weights, x[0]);
                add(&mut sums[1], r, weights, x[1]);
            }
        }
    }
    sums.map(|sums| sums.map(|sums| sum_each(sums)))
}
