//! int8 weights, int8 activations.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::Activations8;
use super::super::blocks::{BLOCK, GroupBlock};
use super::super::weights::{PREFETCH_AHEAD, Streams, Weights, tile_rows};
use super::super::x86::{accumulate, lanes, store, sum_each, without_zeros};
use crate::kernels::ColumnsAt;

/// One token: eight rows at once, each its own stream from memory.
///
/// # Safety
/// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
/// `rows` of `y`.
#[target_feature(enable = "avx2,fma,f16c")]
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
                    let columns = at * w.group..(at + 1) * w.group;
                    let products = dots(starts, token, columns);
                    let sum = _mm256_set1_epi32(*sums.add(at));
                    let products = without_zeros(products, block.zeros(g), sum);
                    let scale = _mm256_mul_ps(block.scales(g), _mm256_set1_ps(*scales.add(at)));
                    total = accumulate(products, scale, total);
                }
            }
        }
        // SAFETY: `rows` lie in `y`, which has at least one row.
        unsafe { streams.store(&y, i, &lanes(total)) };
    }
}

/// The products of `columns` of eight rows with one token, a sum in each lane.
///
/// # Safety
/// Every row holds `columns`; `token` is padded to a multiple of 64, and `columns` starts at one of 32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dots(rows: [*const u8; 8], token: *const i8, columns: Range<usize>) -> __m256i {
    let mut sums = [_mm256_setzero_si256(); 8];
    let mut c = columns.start;
    while c + 32 <= columns.end {
        // SAFETY: 32 columns are left; a prefetch may name any address.
        unsafe {
            let x = [widen(token.add(c)), widen(token.add(c + 16))];
            for (sum, row) in sums.iter_mut().zip(rows) {
                _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(c + PREFETCH_AHEAD).cast());
                let row = row.add(c).cast();
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(widen(row), x[0]));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(widen(row.add(16)), x[1]));
            }
        }
        c += 32;
    }
    if c < columns.end {
        // SAFETY: fewer than 32 columns are left and copied; the token is padded.
        unsafe {
            let x = [widen(token.add(c)), widen(token.add(c + 16))];
            for (sum, row) in sums.iter_mut().zip(rows) {
                let mut tail = [0i8; 32];
                tail.as_mut_ptr().copy_from_nonoverlapping(row.add(c).cast(), columns.end - c);
                let row = tail.as_ptr();
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(widen(row), x[0]));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(widen(row.add(16)), x[1]));
            }
        }
    }
    sum_each(sums)
}

/// 16 bytes as 16-bit integers.
///
/// # Safety
/// `from` is valid for reading 16 bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen(from: *const i8) -> __m256i {
    // SAFETY: the caller's contract.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(from.cast()) })
}

/// Rows of a prefill tile.
const ROWS: usize = 4;
/// Columns of weights that are widened at once: with two tokens' bytes they fit the first-level cache.
const CHUNK: usize = 2048;
/// Tokens that pass by one widened chunk; even. Their bytes fit the second-level cache.
const TOKENS: usize = 64;

/// Four rows' columns as 16-bit integers: 16 columns of each row in turn.
#[repr(align(64))]
struct Panel([MaybeUninit<__m256i>; ROWS * CHUNK / 16]);

/// Sums and totals of four rows by two tokens between chunks.
#[derive(Clone, Copy)]
struct Partial {
    sums: __m256i,
    total: __m256,
}

/// Several tokens: four rows are widened once, then two tokens at a time pass by.
///
/// # Safety
/// As [`decode`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn prefill(
    x: &Activations8,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    let mut panel = Panel([const { MaybeUninit::uninit() }; ROWS * CHUNK / 16]);
    // Whole groups, or a part of one.
    let chunk = if w.group <= CHUNK { CHUNK / w.group * w.group } else { CHUNK };
    for m0 in (0..x.m).step_by(TOKENS) {
        let tokens = m0..x.m.min(m0 + TOKENS);
        let mut n = rows.start;
        while n < rows.end {
            let tile = tile_rows::<ROWS>(n, rows.end);
            let nothing = Partial { sums: _mm256_setzero_si256(), total: _mm256_setzero_ps() };
            let mut partials = [nothing; TOKENS / 2];
            for c0 in (0..x.k).step_by(chunk) {
                let columns = c0..x.k.min(c0 + chunk);
                // SAFETY: the columns lie in every row, and are at most CHUNK.
                unsafe {
                    fill(&mut panel, tile.map(|n| w.row(n).as_ptr()), columns.clone());
                    chunk_products(x, w, &tile, &panel, tokens.clone(), columns, &mut partials);
                }
            }
            for (pair, partial) in partials[..tokens.len().div_ceil(2)].iter().enumerate() {
                let m = tokens.start + 2 * pair;
                let halves = [
                    _mm256_castps256_ps128(partial.total),
                    _mm256_extractf128_ps(partial.total, 1),
                ];
                for (m, half) in (m..tokens.end).zip(halves) {
                    // SAFETY: `rows` and all tokens lie in `y`.
                    unsafe {
                        store(y.at(m, n), _mm256_castps128_ps256(half), ROWS.min(rows.end - n));
                    }
                }
            }
            n += ROWS;
        }
    }
}

/// Widens `columns` of four rows, with zeros up to a multiple of 16.
///
/// # Safety
/// Every row holds `columns`, which are at most [`CHUNK`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn fill(panel: &mut Panel, rows: [*const u8; ROWS], columns: Range<usize>) {
    for (step, c) in columns.clone().step_by(16).enumerate() {
        for (r, row) in rows.iter().enumerate() {
            let left = columns.end - c;
            // SAFETY: `left` columns lie in the row.
            let wide = unsafe {
                if left >= 16 {
                    widen(row.add(c).cast())
                } else {
                    let mut tail = [0i8; 16];
                    tail.as_mut_ptr().copy_from_nonoverlapping(row.add(c).cast(), left);
                    widen(tail.as_ptr())
                }
            };
            panel.0[step * ROWS + r].write(wide);
        }
    }
}

/// Adds the products of a filled panel with all `tokens`.
///
/// # Safety
/// `panel` was filled with `columns` of the rows `tile`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn chunk_products(
    x: &Activations8,
    w: &Weights<'_>,
    tile: &[usize; ROWS],
    panel: &Panel,
    tokens: Range<usize>,
    columns: Range<usize>,
    partials: &mut [Partial; TOKENS / 2],
) {
    let lanes = std::array::from_fn(|i| tile[i % ROWS]);
    let mut block = GroupBlock::new(w);
    let mut c = columns.start;
    while c < columns.end {
        // Up to a block of groups, or the rest of the chunk within one group.
        let (g0, end) = (c / w.group, columns.end.min((c / w.group + BLOCK) * w.group));
        block.fetch(w, &lanes, g0, (end - g0 * w.group).div_ceil(w.group));
        for (pair, partial) in partials[..tokens.len().div_ceil(2)].iter_mut().enumerate() {
            let m = tokens.start + 2 * pair;
            // An odd last token is its own partner.
            let ms = [m, (m + 1).min(tokens.end - 1)];
            let token = ms.map(|m| x.q[m * x.stride..].as_ptr());
            let mut from = c;
            while from < end {
                let g = from / w.group;
                let to = end.min((g + 1) * w.group);
                let first = (from - columns.start) / 16 * ROWS;
                // SAFETY: the panel holds these columns and the tokens are padded.
                let sums = unsafe {
                    pair_dots(panel.0[first..].as_ptr().cast(), token, from..to, partial.sums)
                };
                if to < (g + 1) * w.group {
                    partial.sums = sums;
                    break;
                }
                partial.sums = _mm256_setzero_si256();
                let at = ms.map(|m| m * w.groups + g);
                let activations =
                    _mm256_set_m128i(_mm_set1_epi32(x.sums[at[1]]), _mm_set1_epi32(x.sums[at[0]]));
                let sums = without_zeros(sums, block.zeros(g - g0), activations);
                let scales =
                    _mm256_set_m128(_mm_set1_ps(x.scales[at[1]]), _mm_set1_ps(x.scales[at[0]]));
                let scales = _mm256_mul_ps(block.scales(g - g0), scales);
                partial.total = accumulate(sums, scales, partial.total);
                from = to;
            }
        }
        c = end;
    }
}

/// `sums` plus the products of four widened rows with two tokens: lanes 0 to 3 are the rows with the first
/// token, 4 to 7 with the second.
///
/// # Safety
/// `panel` holds four rows from `columns.start` to `columns.end` rounded up to 16, and so do the tokens.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pair_dots(
    panel: *const __m256i,
    tokens: [*const i8; 2],
    columns: Range<usize>,
    sums: __m256i,
) -> __m256i {
    let mut acc = [_mm256_setzero_si256(); 8];
    for (step, c) in columns.step_by(16).enumerate() {
        // SAFETY: the caller's contract.
        unsafe {
            let x = [widen(tokens[0].add(c)), widen(tokens[1].add(c))];
            for r in 0..ROWS {
                let row = _mm256_load_si256(panel.add(step * ROWS + r));
                acc[r] = _mm256_add_epi32(acc[r], _mm256_madd_epi16(row, x[0]));
                acc[r + 4] = _mm256_add_epi32(acc[r + 4], _mm256_madd_epi16(row, x[1]));
            }
        }
    }
    _mm256_add_epi32(sums, sum_each(acc))
}
