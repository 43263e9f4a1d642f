//! int8 weights, int8 activations.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::Activations8;
use super::super::blocks::{BLOCK, GroupBlock};
use super::super::weights::{PREFETCH_AHEAD, Streams, Weights, tile_rows};
use super::super::x86::{accumulate, lanes, store, without_zeros};
use super::{bytes_left, sum_each8, sum_each16};
use crate::kernels::ColumnsAt;

/// One token: eight rows at once, each its own stream from memory.
///
/// # Safety
/// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
/// `rows` of `y`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
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
        let starts = tile.map(|n| w.row(n).as_ptr());
        let mut total = _mm256_setzero_ps();
        for g0 in (0..w.groups).step_by(BLOCK) {
            let count = BLOCK.min(w.groups - g0);
            block.fetch(w, &tile, g0, count);
            for g in 0..count {
                let at = g0 + g;
                // SAFETY: the columns of a group lie in every row, its sum and scale in the activations.
                unsafe {
                    let products = dots(starts, token, at * w.group..(at + 1) * w.group);
                    let sum = _mm256_set1_epi32(*sums.add(at));
                    let products = without_zeros(products, flipped(block.zeros(g)), sum);
                    let scale = _mm256_mul_ps(block.scales(g), _mm256_set1_ps(*scales.add(at)));
                    total = accumulate(products, scale, total);
                }
            }
        }
        // SAFETY: `rows` lie in `y`, which has at least one row.
        unsafe { streams.store(&y, i, &lanes(total)) };
    }
}

/// Zero points of weights whose sign bit is flipped.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn flipped(zeros: __m256i) -> __m256i {
    _mm256_add_epi32(zeros, _mm256_set1_epi32(128))
}

/// The products of `columns` of eight rows, sign bits flipped, with one token.
///
/// # Safety
/// Every row and the token hold `columns`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn dots(rows: [*const u8; 8], token: *const i8, columns: Range<usize>) -> __m256i {
    let mut sums = [_mm512_setzero_si512(); 8];
    let mut c = columns.start;
    while c + 64 <= columns.end {
        // SAFETY: 64 columns are left; a prefetch may name any address.
        unsafe {
            let x = _mm512_loadu_si512(token.add(c).cast());
            for (sum, row) in sums.iter_mut().zip(rows) {
                _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(c + PREFETCH_AHEAD).cast());
                *sum = _mm512_dpbusd_epi32(*sum, load(row.add(c)), x);
            }
        }
        c += 64;
    }
    if c < columns.end {
        let mask = bytes_left(c, columns.end);
        // SAFETY: the mask keeps both loads within the columns.
        unsafe {
            let x = _mm512_maskz_loadu_epi8(mask, token.add(c));
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = _mm512_dpbusd_epi32(*sum, load_masked(mask, row.add(c)), x);
            }
        }
    }
    sum_each8(sums)
}

/// 64 weights with their sign bits flipped.
///
/// # Safety
/// `from` is valid for reading 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn load(from: *const u8) -> __m512i {
    // SAFETY: the caller's contract.
    _mm512_xor_si512(unsafe { _mm512_loadu_si512(from.cast()) }, _mm512_set1_epi8(-128))
}

/// The weights of `mask` with their sign bits flipped; the others meet activations of zero.
///
/// # Safety
/// `from` is valid for reading the bytes of `mask`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn load_masked(mask: __mmask64, from: *const u8) -> __m512i {
    // SAFETY: the caller's contract; masked bytes are not accessed.
    let weights = unsafe { _mm512_maskz_loadu_epi8(mask, from.cast()) };
    _mm512_xor_si512(weights, _mm512_set1_epi8(-128))
}

/// Rows and tokens of a prefill tile.
const TILE: usize = 4;
/// Tokens that pass by a tile of rows while their bytes stay in the second-level cache.
const TOKENS: usize = 64;

/// Several tokens: tiles of four rows by four tokens.
///
/// # Safety
/// As [`decode`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn prefill(
    x: &Activations8,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    for m0 in (0..x.m).step_by(TOKENS) {
        let tokens = m0..x.m.min(m0 + TOKENS);
        for n in rows.clone().step_by(TILE) {
            let count = TILE.min(rows.end - n);
            for m in tokens.clone().step_by(TILE) {
                // Where tokens or rows run out the last one stands in.
                let ms = tile_rows::<TILE>(m, tokens.end);
                let ns = tile_rows::<TILE>(n, rows.end);
                // SAFETY: the caller's contract.
                let totals = unsafe { tile(x, w, ms, ns) };
                for (i, m) in (m..tokens.end).take(TILE).enumerate() {
                    let total = totals[i / 2];
                    let half = if i % 2 == 0 {
                        _mm256_castps256_ps128(total)
                    } else {
                        _mm256_extractf128_ps::<1>(total)
                    };
                    // SAFETY: `rows` and all tokens lie in `y`.
                    unsafe { store(y.at(m, n), _mm256_castps128_ps256(half), count) };
                }
            }
        }
    }
}

/// The outputs of four rows and four tokens: rows of tokens 0 and 1, rows of tokens 2 and 3.
///
/// # Safety
/// As [`decode`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile(
    x: &Activations8,
    w: &Weights<'_>,
    ms: [usize; TILE],
    ns: [usize; TILE],
) -> [__m256; 2] {
    let mut block = GroupBlock::new(w);
    let outputs = [ns[0], ns[1], ns[2], ns[3], ns[0], ns[1], ns[2], ns[3]];
    let tokens = ms.map(|m| x.q[m * x.stride..].as_ptr());
    let starts = ns.map(|n| w.row(n).as_ptr());
    let mut totals = [_mm256_setzero_ps(); 2];
    for g0 in (0..w.groups).step_by(BLOCK) {
        let count = BLOCK.min(w.groups - g0);
        block.fetch(w, &outputs, g0, count);
        for g in 0..count {
            let columns = (g0 + g) * w.group..(g0 + g + 1) * w.group;
            // SAFETY: the columns of a group lie in every row and token.
            let products = unsafe { tile_dots(starts, tokens, columns) };
            let zeros = flipped(block.zeros(g));
            let at = ms.map(|m| m * w.groups + g0 + g);
            for (pair, total) in totals.iter_mut().enumerate() {
                let at = [at[2 * pair], at[2 * pair + 1]];
                let sums =
                    _mm256_set_m128i(_mm_set1_epi32(x.sums[at[1]]), _mm_set1_epi32(x.sums[at[0]]));
                let scales =
                    _mm256_set_m128(_mm_set1_ps(x.scales[at[1]]), _mm_set1_ps(x.scales[at[0]]));
                let products = without_zeros(products[pair], zeros, sums);
                *total = accumulate(products, _mm256_mul_ps(block.scales(g), scales), *total);
            }
        }
    }
    totals
}

/// The products of `columns` of four rows, sign bits flipped, with four tokens: the rows with tokens 0 and 1,
/// with tokens 2 and 3.
///
/// # Safety
/// Every row and token holds `columns`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile_dots(
    rows: [*const u8; TILE],
    tokens: [*const i8; TILE],
    columns: Range<usize>,
) -> [__m256i; 2] {
    let mut sums = [[_mm512_setzero_si512(); 2 * TILE]; 2];
    let mut c = columns.start;
    while c + 64 <= columns.end {
        // SAFETY: 64 columns are left.
        unsafe {
            let weights = [
                load(rows[0].add(c)),
                load(rows[1].add(c)),
                load(rows[2].add(c)),
                load(rows[3].add(c)),
            ];
            for (t, token) in tokens.iter().enumerate() {
                let x = _mm512_loadu_si512(token.add(c).cast());
                for (r, weights) in weights.iter().enumerate() {
                    let sum = &mut sums[t / 2][t % 2 * TILE + r];
                    *sum = _mm512_dpbusd_epi32(*sum, *weights, x);
                }
            }
        }
        c += 64;
    }
    if c < columns.end {
        let mask = bytes_left(c, columns.end);
        // SAFETY: the mask keeps all loads within the columns.
        unsafe {
            for (t, token) in tokens.iter().enumerate() {
                let x = _mm512_maskz_loadu_epi8(mask, token.add(c));
                for (r, row) in rows.iter().enumerate() {
                    let sum = &mut sums[t / 2][t % 2 * TILE + r];
                    *sum = _mm512_dpbusd_epi32(*sum, load_masked(mask, row.add(c)), x);
                }
            }
        }
    }
    sum_each16(sums[0], sums[1])
}
