//! int4 weights, 16-bit activations in two planes.
//!
//! A vector holds 16 packed bytes of one row and the same 16 of the fourth row after it, so that four vectors
//! serve eight rows, groups of 32 columns fill them, and a group's sums need no exchange of halves.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::Activations16;
use super::super::blocks::{BLOCK, GroupBlock};
use super::super::weights::{PREFETCH_AHEAD, Streams, Weights};
use super::super::x86::{accumulate16, lanes, without_zeros};
use crate::kernels::ColumnsAt;

/// Packed bytes of a row in one vector.
const PIECE: usize = 16;
/// Pieces whose products fit i16: two of at most 3840 each, 8 * 3840 = 30720.
const I16_PIECES: usize = 4;
/// Vectors, of two rows each.
const PAIRS: usize = 4;

/// Sums of the low and of the high plane for each pair of rows, spread over the lanes.
type Sums = [[__m256i; 2]; PAIRS];

/// Token `m`: eight rows at once, each its own stream from memory.
///
/// # Safety
/// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
/// `rows` of `y`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in super::super) unsafe fn decode(
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
/// # Safety
/// As [`decode`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
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
        let starts = tile.map(|n| w.row(n).as_ptr());
        let mut total = _mm256_setzero_ps();
        for g0 in (0..w.groups).step_by(BLOCK) {
            let count = BLOCK.min(w.groups - g0);
            block.fetch(w, &tile, g0, count);
            for g in 0..count {
                let at = g0 + g;
                let bytes = at * w.group / 2..((at + 1) * w.group).div_ceil(2);
                // SAFETY: the bytes of a group lie in every row, its sums and scale in the activations.
                unsafe {
                    let products = dots::<PIECES>(starts, planes, x.half, bytes);
                    let scale = _mm256_set1_ps(*scales.add(at));
                    let scale = _mm256_mul_ps(block.scales(g), scale);
                    total = finish(products, block.zeros(g), *sums.add(at), scale, total);
                }
            }
        }
        // SAFETY: `rows` and the token lie in `y`.
        unsafe { streams.store(&y, m, i, &lanes(total)) };
    }
}

/// Products of both planes with eight rows: zero points taken off, planes joined, scaled, added.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn finish(
    [low, high]: [__m256i; 2],
    zeros: __m256i,
    activations: [i32; 2],
    scales: __m256,
    total: __m256,
) -> __m256 {
    let low = without_zeros(low, zeros, _mm256_set1_epi32(activations[0]));
    let high = without_zeros(high, zeros, _mm256_set1_epi32(activations[1]));
    accumulate16(low, high, scales, total)
}

/// The products of `bytes` of eight rows with both planes of one token.
///
/// # Safety
/// Every row holds `bytes`, which are `PIECES` of them unless that is 0; `planes` begins a token's four
/// arrays of `half` bytes, padded with zeros.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dots<const PIECES: usize>(
    rows: [*const u8; 8],
    planes: *const i8,
    half: usize,
    bytes: Range<usize>,
) -> [__m256i; 2] {
    let mut at = bytes.start;
    // SAFETY: the caller's contract.
    unsafe {
        if PIECES != 0 {
            return row_sums::<PIECES>(pieces::<PIECES>(rows, planes.add(at), half, at));
        }
        let mut wide = [[_mm256_setzero_si256(); 2]; PAIRS];
        while at + I16_PIECES * PIECE <= bytes.end {
            widen(&mut wide, &pieces::<I16_PIECES>(rows, planes.add(at), half, at));
            at += I16_PIECES * PIECE;
        }
        while at < bytes.end {
            let x = planes_at(planes.add(at), half);
            let mut sums = [[_mm256_setzero_si256(); 2]; PAIRS];
            for (pair, sums) in sums.iter_mut().enumerate() {
                *sums = products(unpack(load_pair(&rows, pair, at, bytes.end)), x);
            }
            widen(&mut wide, &sums);
            at += PIECE;
        }
        wide_row_sums(wide)
    }
}

/// The i16 sums of `PIECES` whole pieces from `at` on, of which there are at most [`I16_PIECES`].
///
/// # Safety
/// The rows hold these bytes, and the four arrays that lie `half` apart from `token` on too.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pieces<const PIECES: usize>(
    rows: [*const u8; 8],
    token: *const i8,
    half: usize,
    at: usize,
) -> Sums {
    let mut sums = [[_mm256_setzero_si256(); 2]; PAIRS];
    if PIECES > 2 || at.is_multiple_of(64) {
        for row in rows {
            _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(at + PREFETCH_AHEAD).cast());
        }
    }
    for i in 0..PIECES {
        // SAFETY: the caller's contract.
        unsafe {
            let x = planes_at(token.add(PIECE * i), half);
            for (pair, sums) in sums.iter_mut().enumerate() {
                let from =
                    [rows[pair], rows[pair + PAIRS]].map(|row| row.add(at + PIECE * i).cast());
                let packed = _mm256_loadu2_m128i(from[1], from[0]);
                add(sums, products(unpack(packed), x), i == 0);
            }
        }
    }
    sums
}

/// Adds i16 products to sums, or replaces them where they are the first.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add(sums: &mut [__m256i; 2], products: [__m256i; 2], first: bool) {
    *sums = if first {
        products
    } else {
        [_mm256_add_epi16(sums[0], products[0]), _mm256_add_epi16(sums[1], products[1])]
    };
}

/// A piece of rows `pair` and `pair + 4` from `at` on, with zeros where it ends before.
///
/// # Safety
/// Every row holds the bytes from `at` to `end`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load_pair(rows: &[*const u8; 8], pair: usize, at: usize, end: usize) -> __m256i {
    let mut bytes = [0u8; 2 * PIECE];
    for (to, row) in bytes.chunks_exact_mut(PIECE).zip([rows[pair], rows[pair + PAIRS]]) {
        // SAFETY: at most a piece, which the row holds.
        unsafe { to.as_mut_ptr().copy_from_nonoverlapping(row.add(at), PIECE.min(end - at)) };
    }
    // SAFETY: 32 bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// A piece of the four arrays of a token, twice: low even, low odd, high even, high odd.
///
/// # Safety
/// The arrays lie `half` bytes apart and hold 16 more bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn planes_at(token: *const i8, half: usize) -> [__m256i; 4] {
    let mut x = [_mm256_setzero_si256(); 4];
    for (i, x) in x.iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        let piece = unsafe { _mm_loadu_si128(token.add(i * half).cast()) };
        *x = _mm256_broadcastsi128_si256(piece);
    }
    x
}

/// The even and the odd columns of packed bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(packed: __m256i) -> [__m256i; 2] {
    let mask = _mm256_set1_epi8(15);
    [_mm256_and_si256(packed, mask), _mm256_and_si256(_mm256_srli_epi16::<4>(packed), mask)]
}

/// Products of an unpacked piece with the low and the high plane: i16 sums of four, at most 7680.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn products([even, odd]: [__m256i; 2], x: [__m256i; 4]) -> [__m256i; 2] {
    [
        _mm256_add_epi16(_mm256_maddubs_epi16(even, x[0]), _mm256_maddubs_epi16(odd, x[1])),
        _mm256_add_epi16(_mm256_maddubs_epi16(even, x[2]), _mm256_maddubs_epi16(odd, x[3])),
    ]
}

/// Adds neighbouring i16 sums to i32 sums.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen(wide: &mut Sums, sums: &Sums) {
    let ones = _mm256_set1_epi16(1);
    for (wide, sums) in wide.iter_mut().zip(sums) {
        wide[0] = _mm256_add_epi32(wide[0], _mm256_madd_epi16(sums[0], ones));
        wide[1] = _mm256_add_epi32(wide[1], _mm256_madd_epi16(sums[1], ones));
    }
}

/// The sums of both planes for rows 0 to 7 of i32 sums.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn wide_row_sums(wide: Sums) -> [__m256i; 2] {
    let pair = |a, b| _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let plane = |p: usize| {
        let (ab, cd) = (pair(wide[0][p], wide[1][p]), pair(wide[2][p], wide[3][p]));
        _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd))
    };
    [plane(0), plane(1)]
}

/// The sums of both planes for rows 0 to 7 of i16 sums of `PIECES`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn row_sums<const PIECES: usize>(sums: Sums) -> [__m256i; 2] {
    if PIECES > I16_PIECES / 2 {
        let mut wide = [[_mm256_setzero_si256(); 2]; PAIRS];
        widen(&mut wide, &sums);
        return wide_row_sums(wide);
    }
    // Two sums together still fit i16, which saves half of the widening.
    let ones = _mm256_set1_epi16(1);
    let pair = |a, b| {
        let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        _mm256_madd_epi16(_mm256_add_epi16(low, high), ones)
    };
    let plane = |p: usize| {
        let (ab, cd) = (pair(sums[0][p], sums[1][p]), pair(sums[2][p], sums[3][p]));
        _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd))
    };
    [plane(0), plane(1)]
}
