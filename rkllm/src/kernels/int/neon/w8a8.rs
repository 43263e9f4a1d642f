//! int8 weights, int8 activations.

use std::arch::aarch64::*;
use std::ops::Range;

use super::super::Activations8;
use super::super::blocks::{BLOCK, GroupBlock};
use super::super::weights::{Streams, Weights, tile_rows};
use super::{accumulate, load, load_part, sdot, store, sum_each};
use crate::kernels::ColumnsAt;

/// One token: eight rows at once, each its own stream from memory.
///
/// # Safety
/// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
/// `rows` of `y`.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn decode(
    x: &Activations8,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    let mut block = GroupBlock::new(w);
    let (token, scales, sums) = (x.q.as_ptr(), x.scales.as_ptr(), x.sums.as_ptr());
    let streams = Streams::<8>::new(rows);
    for i in 0..streams.length {
        let tile = streams.at(i);
        let starts = tile.map(|n| w.row(n).as_ptr().cast());
        let mut totals = [vdupq_n_f32(0.0); 2];
        for g0 in (0..w.groups).step_by(BLOCK) {
            let count = BLOCK.min(w.groups - g0);
            block.fetch(w, &tile, g0, count);
            for g in 0..count {
                let at = g0 + g;
                // SAFETY: the columns of a group lie in every row, its sum and scale in the activations.
                unsafe {
                    let products = dots(starts, token, at * w.group..(at + 1) * w.group);
                    let (sum, scale) = (*sums.add(at), *scales.add(at));
                    for (half, total) in totals.iter_mut().enumerate() {
                        let (zeros, scale) = (block.zeros(g, half), block.scales(g, half, scale));
                        *total = accumulate(products[half], zeros, sum, scale, *total);
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

/// The products of `columns` of eight rows with one token.
///
/// # Safety
/// Every row holds `columns`; the token is padded with zeros to a multiple of 16.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn dots(rows: [*const i8; 8], token: *const i8, columns: Range<usize>) -> [int32x4_t; 2] {
    let mut sums = [vdupq_n_s32(0); 8];
    let mut c = columns.start;
    while c + 16 <= columns.end {
        // SAFETY: 16 columns are left.
        unsafe {
            let x = load(token.add(c));
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = sdot(*sum, load(row.add(c)), x);
            }
        }
        c += 16;
    }
    if c < columns.end {
        // SAFETY: the rest of the columns.
        unsafe {
            let x = load(token.add(c));
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = sdot(*sum, load_part(row.add(c), columns.end - c), x);
            }
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    [sum_each([a, b, c, d]), sum_each([e, f, g, h])]
}

/// Rows and tokens of a prefill tile.
const TILE: usize = 4;
/// Tokens that pass by a tile of rows while their bytes stay in the second-level cache.
const TOKENS: usize = 64;

/// Several tokens: tiles of four rows by four tokens.
///
/// # Safety
/// As [`decode`].
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn prefill(
    x: &Activations8,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    for m0 in (0..x.m).step_by(TOKENS) {
        let tokens = m0..x.m.min(m0 + TOKENS);
        for n in rows.clone().step_by(TILE) {
            for m in tokens.clone().step_by(TILE) {
                // Where tokens or rows run out the last one stands in.
                let ms = tile_rows::<TILE>(m, tokens.end);
                let ns = tile_rows::<TILE>(n, rows.end);
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

/// The outputs of four rows for each of four tokens.
///
/// # Safety
/// As [`decode`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn tile(
    x: &Activations8,
    w: &Weights<'_>,
    ms: [usize; TILE],
    ns: [usize; TILE],
) -> [float32x4_t; TILE] {
    let mut block = GroupBlock::new(w);
    let rows = [ns[0], ns[1], ns[2], ns[3], ns[0], ns[1], ns[2], ns[3]];
    let tokens = ms.map(|m| x.q[m * x.stride..].as_ptr());
    let starts = ns.map(|n| w.row(n).as_ptr().cast());
    let mut totals = [vdupq_n_f32(0.0); TILE];
    for g0 in (0..w.groups).step_by(BLOCK) {
        let count = BLOCK.min(w.groups - g0);
        block.fetch(w, &rows, g0, count);
        for g in 0..count {
            let columns = (g0 + g) * w.group..(g0 + g + 1) * w.group;
            // SAFETY: the columns of a group lie in every row and token.
            let products = unsafe { tile_dots(starts, tokens, columns) };
            for (t, total) in totals.iter_mut().enumerate() {
                let at = ms[t] * w.groups + g0 + g;
                let (zeros, scales) = (block.zeros(g, 0), block.scales(g, 0, x.scales[at]));
                *total = accumulate(products[t], zeros, x.sums[at], scales, *total);
            }
        }
    }
    totals
}

/// The products of `columns` of four rows with each of four tokens.
///
/// # Safety
/// Every row holds `columns`; the tokens are padded with zeros to a multiple of 16.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn tile_dots(
    rows: [*const i8; TILE],
    tokens: [*const i8; TILE],
    columns: Range<usize>,
) -> [int32x4_t; TILE] {
    let mut sums = [[vdupq_n_s32(0); TILE]; TILE];
    for c in columns.clone().step_by(16) {
        // SAFETY: 16 columns, or the rest of them.
        unsafe {
            let mut weights = [vdupq_n_s8(0); TILE];
            for (weights, row) in weights.iter_mut().zip(rows) {
                *weights = load_part(row.add(c), columns.end - c);
            }
            for (sums, token) in sums.iter_mut().zip(tokens) {
                let x = load(token.add(c));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = sdot(*sum, weights, x);
                }
            }
        }
    }
    sums.map(|sums| sum_each(sums))
}
