//! int8 weights, int8 activations, one token.

use std::arch::aarch64::*;
use std::ops::Range;

use super::super::Activations8;
use super::super::blocks::{BLOCK, GroupBlock};
use super::super::weights::{Streams, Weights};
use super::blocks::ScaleRows;
use super::vectors::{
    LINE, PREFETCH_AHEAD, accumulate, load, load_part, prefetch, sdot, sums_of_eight,
};
use crate::kernels::ColumnsAt;

/// Token `m`: eight rows at once, each its own stream from memory.
///
/// A function of its own, by whose name `benches/mca/arm.sh` finds the loop.
///
/// # Safety
/// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
/// `rows` of `y`.
#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn decode(
    x: &Activations8,
    m: usize,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    let mut block = GroupBlock::new(w);
    let (token, scales, sums) = x.token(m, w.groups);
    let streams = Streams::<8>::new(rows);
    for i in 0..streams.length {
        let tile = streams.at(i);
        let starts = tile.map(|n| w.row(n).as_ptr().cast());
        let scale_rows = ScaleRows::new(w, &tile);
        let mut totals = [vdupq_n_f32(0.0); 2];
        for g0 in (0..w.groups).step_by(BLOCK) {
            let count = BLOCK.min(w.groups - g0);
            block.fetch(w, &tile, &scale_rows, g0, count);
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
        // SAFETY: eight f32; `rows` lie in `y`, which has token `m`.
        unsafe {
            vst1q_f32(outputs.as_mut_ptr(), totals[0]);
            vst1q_f32(outputs[4..].as_mut_ptr(), totals[1]);
            streams.store(&y, m, i, &outputs);
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
    while c + LINE <= columns.end {
        for row in rows {
            prefetch(row, c + PREFETCH_AHEAD);
        }
        // SAFETY: a line of columns is left.
        unsafe {
            sixteen(&mut sums, rows, token, c);
            sixteen(&mut sums, rows, token, c + 16);
            sixteen(&mut sums, rows, token, c + 32);
            sixteen(&mut sums, rows, token, c + 48);
        }
        c += LINE;
    }
    while c < columns.end {
        // SAFETY: 16 columns, or the rest of them.
        unsafe {
            let x = load(token.add(c));
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = sdot(*sum, load_part(row.add(c), columns.end - c), x);
            }
        }
        c += 16;
    }
    sums_of_eight(sums)
}

/// Adds the products of sixteen columns from `c` on.
///
/// # Safety
/// As [`dots`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sixteen(sums: &mut [int32x4_t; 8], rows: [*const i8; 8], token: *const i8, c: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        let x = load(token.add(c));
        // All loads first: small cores do not reorder.
        let mut w = [x; 8];
        for (w, row) in w.iter_mut().zip(rows) {
            *w = load(row.add(c));
        }
        for (sum, w) in sums.iter_mut().zip(w) {
            *sum = sdot(*sum, w, x);
        }
    }
}
