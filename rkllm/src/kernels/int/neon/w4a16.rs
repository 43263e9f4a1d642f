//! int4 weights, 16-bit activations in two planes, one token.

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use super::super::Activations16;
use super::super::blocks::{BLOCK, GroupBlock};
use super::super::weights::{Streams, Weights};
use super::blocks::ScaleRows;
use super::vectors::{
    LINE, PREFETCH_AHEAD, load, load_part, prefetch, sdot, sum_each, sums_of_eight, without_zeros,
};
use crate::kernels::ColumnsAt;

/// Packed bytes of a row in one register.
const PIECE: usize = 16;

/// Token `m`: eight rows at once, each its own stream from memory.
///
/// # Safety
/// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
/// `rows` of `y`.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn decode(
    x: &Activations16,
    m: usize,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    // SAFETY: the caller's contract; the number of pieces is that of the group.
    unsafe {
        match w.group {
            32 => decode_pieces::<1>(x, m, w, rows, y),
            64 => decode_pieces::<2>(x, m, w, rows, y),
            128 => decode_pieces::<4>(x, m, w, rows, y),
            _ => decode_pieces::<0>(x, m, w, rows, y),
        }
    }
}

/// [`decode`] for groups of `PIECES`, or any where `PIECES` is 0.
///
/// A function of its own, by whose name `benches/mca/arm.sh` finds the loop.
///
/// # Safety
/// As [`decode`].
#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn decode_pieces<const PIECES: usize>(
    x: &Activations16,
    m: usize,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    let mut block = GroupBlock::new(w);
    let (planes, scales, sums) = x.token(m, w.groups);
    let streams = Streams::<8>::new(rows);
    for i in 0..streams.length {
        let tile = streams.at(i);
        let starts: [*const i8; 8] = tile.map(|n| w.row(n).as_ptr().cast());
        let scale_rows = ScaleRows::new(w, &tile);
        let mut totals = [vdupq_n_f32(0.0); 2];
        for g0 in (0..w.groups).step_by(BLOCK) {
            let count = BLOCK.min(w.groups - g0);
            block.fetch(w, &tile, &scale_rows, g0, count);
            for g in 0..count {
                let at = g0 + g;
                let bytes = at * w.group / 2..((at + 1) * w.group).div_ceil(2);
                // SAFETY: the bytes of a group lie in every row, its sums and scale in the activations.
                unsafe {
                    let (sums, scale) = (*sums.add(at), *scales.add(at));
                    let parts = match PIECES {
                        0 => any_group(starts, planes, x.half, bytes, sums, &block, g),
                        _ => group::<PIECES>(starts, planes, x.half, bytes.start, sums, &block, g),
                    };
                    for (half, total) in totals.iter_mut().enumerate() {
                        *total = vfmaq_f32(*total, parts[half], block.scales(g, half, scale));
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

/// The weighted sums `S` of group `g` of `block`, which has `PIECES` pieces at byte `at` of every row.
///
/// The planes are joined as integers, `256 * high + low`, and rounded once. `NUMERICS.md` has
/// `fma(f32(high), 256, f32(low))`: the same, where either sum fits the 24 bits of f32 and all of it an i32, so up to
/// 4096 columns: 15 * 32639 * 4096 < 2^31.
///
/// # Safety
/// Every row holds the group; `planes` begins a token's four arrays of `half` bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn group<const PIECES: usize>(
    rows: [*const i8; 8],
    planes: *const i8,
    half: usize,
    at: usize,
    [low, high]: [i32; 2],
    block: &GroupBlock,
    g: usize,
) -> [float32x4_t; 2] {
    // SAFETY: the caller's contract.
    let products = unsafe {
        if PIECES < 4 {
            few_pieces::<PIECES>(rows, planes.add(at), half, at)
        } else {
            four_pieces(rows, planes.add(at), half, at)
        }
    };
    let activations = (high << 8) + low;
    let mut parts = [vdupq_n_f32(0.0); 2];
    for (half, part) in parts.iter_mut().enumerate() {
        let sums = without_zeros(products[half], block.zeros(g, half), activations);
        *part = vcvtq_f32_s32(sums);
    }
    parts
}

/// Joined planes with all pieces of a row in registers: the high plane first, shifted, then the low one on top.
///
/// # Safety
/// As [`group`], `planes` at the group.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn few_pieces<const PIECES: usize>(
    rows: [*const i8; 8],
    planes: *const i8,
    half: usize,
    at: usize,
) -> [int32x4_t; 2] {
    let mut x = [[vdupq_n_s8(0); 4]; PIECES];
    for (p, x) in x.iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        *x = unsafe { planes_at(planes.add(p * PIECE), half) };
    }
    let [a, b, c, d, e, f, g, h] = rows;
    // Spelled out: the compiler would make it a loop with sums in memory.
    // SAFETY: the caller's contract.
    let (first, last) = unsafe {
        (
            [
                joined_row(a, at, &x),
                joined_row(b, at, &x),
                joined_row(c, at, &x),
                joined_row(d, at, &x),
            ],
            [
                joined_row(e, at, &x),
                joined_row(f, at, &x),
                joined_row(g, at, &x),
                joined_row(h, at, &x),
            ],
        )
    };
    [sum_each(first), sum_each(last)]
}

/// The products of all pieces of a row, planes joined, spread over lanes.
///
/// # Safety
/// The row holds the pieces from `at` on.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn joined_row<const PIECES: usize>(
    row: *const i8,
    at: usize,
    x: &[[int8x16_t; 4]; PIECES],
) -> int32x4_t {
    prefetch(row, at + PREFETCH_AHEAD);
    let mut w = [[vdupq_n_s8(0); 2]; PIECES];
    for (p, w) in w.iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        *w = unsafe { unpack_at(row, at + p * PIECE) };
    }
    let mut sum = vdupq_n_s32(0);
    for (w, x) in w.iter().zip(x) {
        sum = sdot(sdot(sum, w[0], x[2]), w[1], x[3]);
    }
    sum = vshlq_n_s32::<8>(sum);
    for (w, x) in w.iter().zip(x) {
        sum = sdot(sdot(sum, w[0], x[0]), w[1], x[1]);
    }
    sum
}

/// Adds the products of the piece at byte `$at` of eight rows, of which `$planes` begins the token's. A macro, for
/// the compiler inlines no such long function.
macro_rules! piece {
    ($sums:expr, $rows:expr, $planes:expr, $half:expr, $at:expr) => {{
        let x = planes_at($planes, $half);
        for (r, row) in $rows.into_iter().enumerate() {
            add($sums, r, unpack_at(row, $at), x);
        }
    }};
}

/// Joined planes of four pieces, more than registers hold: each plane has its sums.
///
/// # Safety
/// As [`few_pieces`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn four_pieces(
    rows: [*const i8; 8],
    planes: *const i8,
    half: usize,
    at: usize,
) -> [int32x4_t; 2] {
    let mut sums = [[vdupq_n_s32(0); 8]; 2];
    for row in rows {
        prefetch(row, at + PREFETCH_AHEAD);
    }
    // Spelled out: a loop would end up inside that over groups, and pay for its end each time.
    // SAFETY: the caller's contract.
    unsafe {
        piece!(&mut sums, rows, planes, half, at);
        piece!(&mut sums, rows, planes.add(PIECE), half, at + PIECE);
        piece!(&mut sums, rows, planes.add(2 * PIECE), half, at + 2 * PIECE);
        piece!(&mut sums, rows, planes.add(3 * PIECE), half, at + 3 * PIECE);
    }
    let [[low, low_last], [high, high_last]] = sums.map(|sums| sums_of_eight(sums));
    [vmlaq_n_s32(low, high, 256), vmlaq_n_s32(low_last, high_last, 256)]
}

/// The weighted sums `S` of group `g` of `block`, whatever its length: `bytes` of every row.
///
/// # Safety
/// As [`group`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn any_group(
    rows: [*const i8; 8],
    planes: *const i8,
    half: usize,
    bytes: Range<usize>,
    activations: [i32; 2],
    block: &GroupBlock,
    g: usize,
) -> [float32x4_t; 2] {
    // SAFETY: the caller's contract.
    let [low, high] = unsafe { any_pieces(rows, planes, half, bytes) };
    let mut parts = [vdupq_n_f32(0.0); 2];
    for (half, part) in parts.iter_mut().enumerate() {
        let zeros = block.zeros(g, half);
        let low = vcvtq_f32_s32(without_zeros(low[half], zeros, activations[0]));
        let high = vcvtq_f32_s32(without_zeros(high[half], zeros, activations[1]));
        *part = vfmaq_f32(low, high, vdupq_n_f32(256.0));
    }
    parts
}

/// The products of `bytes` of eight rows with each plane of one token.
///
/// # Safety
/// As [`group`]; the arrays are padded with zeros to a multiple of 16.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn any_pieces(
    rows: [*const i8; 8],
    planes: *const i8,
    half: usize,
    bytes: Range<usize>,
) -> [[int32x4_t; 2]; 2] {
    let mut sums = [[vdupq_n_s32(0); 8]; 2];
    let mut at = bytes.start;
    while at + LINE <= bytes.end {
        for row in rows {
            prefetch(row, at + PREFETCH_AHEAD);
        }
        for at in (at..at + LINE).step_by(PIECE) {
            // SAFETY: a line of bytes is left.
            unsafe { piece!(&mut sums, rows, planes.add(at), half, at) };
        }
        at += LINE;
    }
    while at < bytes.end {
        // SAFETY: 16 bytes, or the rest of them.
        unsafe {
            let x = planes_at(planes.add(at), half);
            for (r, row) in rows.iter().enumerate() {
                add(&mut sums, r, unpack(load_part(row.add(at), bytes.end - at)), x);
            }
        }
        at += PIECE;
    }
    sums.map(|sums| sums_of_eight(sums))
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

/// [`unpack`] of 16 bytes from `at` on, in its place among the products, like [`sdot`].
///
/// # Safety
/// The row holds the bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn unpack_at(row: *const i8, at: usize) -> [int8x16_t; 2] {
    let (even, odd): (int8x16_t, int8x16_t);
    // SAFETY: the caller's contract; the instructions write these registers alone.
    unsafe {
        asm!(
            "ldr {odd:q}, [{row}, {at}]",
            "and {even:v}.16b, {odd:v}.16b, {low:v}.16b",
            "ushr {odd:v}.16b, {odd:v}.16b, #4",
            row = in(reg) row,
            at = in(reg) at,
            low = in(vreg) vdupq_n_u8(15),
            even = out(vreg) even,
            odd = out(vreg) odd,
            options(readonly, nostack, preserves_flags),
        );
    }
    [even, odd]
}

/// Adds the products of a piece of one row to its sums of the low and of the high plane.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add(sums: &mut [[int32x4_t; 8]; 2], row: usize, [even, odd]: [int8x16_t; 2], x: [int8x16_t; 4]) {
    for (plane, sums) in sums.iter_mut().enumerate() {
        sums[row] = sdot(sdot(sums[row], even, x[2 * plane]), odd, x[2 * plane + 1]);
    }
}
