//! int4 weights, 16-bit activations in two planes.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::Activations16;
use super::super::blocks::{BLOCK, GroupBlock};
use super::super::weights::{PREFETCH_AHEAD, Streams, Weights, tile_rows};
use super::super::x86::{accumulate16, lanes, store, without_zeros};
use super::{bytes_left, sum_each16};
use crate::kernels::ColumnsAt;

/// i32 sums, spread over lanes, of eight outputs: of the low plane, of the high one.
type Sums = [[__m512i; 8]; 2];

/// One token: eight rows at once, each its own stream from memory.
///
/// # Safety
/// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
/// `rows` of `y`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
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
                    let [low, high] = dots(starts, planes, x.half, bytes);
                    let [low_sum, high_sum] = (*sums.add(at)).map(|sum| _mm256_set1_epi32(sum));
                    let low = without_zeros(low, block.zeros(g), low_sum);
                    let high = without_zeros(high, block.zeros(g), high_sum);
                    let scale = _mm256_mul_ps(block.scales(g), _mm256_set1_ps(*scales.add(at)));
                    total = accumulate16(low, high, scale, total);
                }
            }
        }
        // SAFETY: `rows` lie in `y`, which has at least one row.
        unsafe { streams.store(&y, i, &lanes(total)) };
    }
}

/// The products of `bytes` of eight rows with both planes of one token.
///
/// # Safety
/// Every row holds `bytes`, and so do the four arrays that lie `half` apart from `planes` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn dots(
    rows: [*const u8; 8],
    planes: *const i8,
    half: usize,
    bytes: Range<usize>,
) -> [__m256i; 2] {
    let mut sums = [[_mm512_setzero_si512(); 8]; 2];
    let mut at = bytes.start;
    while at + 64 <= bytes.end {
        // SAFETY: 64 bytes are left; a prefetch may name any address.
        unsafe {
            let x = planes_at(planes.add(at), half);
            for (r, row) in rows.iter().enumerate() {
                _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(at + PREFETCH_AHEAD).cast());
                add(&mut sums, r, unpack(_mm512_loadu_si512(row.add(at).cast())), x);
            }
        }
        at += 64;
    }
    if at < bytes.end {
        let mask = bytes_left(at, bytes.end);
        // SAFETY: the mask keeps all loads within the bytes.
        unsafe {
            let x = planes_masked(mask, planes.add(at), half);
            for (r, row) in rows.iter().enumerate() {
                let packed = _mm512_maskz_loadu_epi8(mask, row.add(at).cast());
                add(&mut sums, r, unpack(packed), x);
            }
        }
    }
    sum_each16(sums[0], sums[1])
}

/// 64 bytes of the four arrays of a token: low even, low odd, high even, high odd.
///
/// # Safety
/// The arrays lie `half` bytes apart and hold 64 more bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn planes_at(token: *const i8, half: usize) -> [__m512i; 4] {
    let mut x = [_mm512_setzero_si512(); 4];
    for (i, x) in x.iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        *x = unsafe { _mm512_loadu_si512(token.add(i * half).cast()) };
    }
    x
}

/// The bytes of `mask` of the same arrays, and zeros.
///
/// # Safety
/// The arrays lie `half` bytes apart and hold the bytes of `mask`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn planes_masked(mask: __mmask64, token: *const i8, half: usize) -> [__m512i; 4] {
    let mut x = [_mm512_setzero_si512(); 4];
    for (i, x) in x.iter_mut().enumerate() {
        // SAFETY: the caller's contract; masked bytes are not accessed.
        *x = unsafe { _mm512_maskz_loadu_epi8(mask, token.add(i * half)) };
    }
    x
}

/// The even and the odd columns of packed bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn unpack(packed: __m512i) -> [__m512i; 2] {
    let mask = _mm512_set1_epi8(15);
    [_mm512_and_si512(packed, mask), _mm512_and_si512(_mm512_srli_epi16::<4>(packed), mask)]
}

/// Adds the products of one row and token to their sums of both planes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn add(sums: &mut Sums, output: usize, [even, odd]: [__m512i; 2], x: [__m512i; 4]) {
    for (plane, sums) in sums.iter_mut().enumerate() {
        let sum = _mm512_dpbusd_epi32(sums[output], even, x[2 * plane]);
        sums[output] = _mm512_dpbusd_epi32(sum, odd, x[2 * plane + 1]);
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn prefill(
    x: &Activations16,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    for m0 in (0..x.m).step_by(TOKENS) {
        let tokens = m0..x.m.min(m0 + TOKENS);
        for n in rows.clone().step_by(ROWS) {
            let count = ROWS.min(rows.end - n);
            for m in tokens.clone().step_by(PAIR) {
                // Where tokens or rows run out the last one stands in.
                let ms = tile_rows::<PAIR>(m, tokens.end);
                let ns = tile_rows::<ROWS>(n, rows.end);
                // SAFETY: the caller's contract.
                let total = unsafe { tile(x, w, ms, ns) };
                let halves = [_mm256_castps256_ps128(total), _mm256_extractf128_ps::<1>(total)];
                for (m, half) in (m..tokens.end).zip(halves) {
                    // SAFETY: `rows` and all tokens lie in `y`.
                    unsafe { store(y.at(m, n), _mm256_castps128_ps256(half), count) };
                }
            }
        }
    }
}

/// The outputs of four rows with the first token, then with the second.
///
/// # Safety
/// As [`decode`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile(x: &Activations16, w: &Weights<'_>, ms: [usize; PAIR], ns: [usize; ROWS]) -> __m256 {
    let mut block = GroupBlock::new(w);
    let outputs = [ns[0], ns[1], ns[2], ns[3], ns[0], ns[1], ns[2], ns[3]];
    let tokens = ms.map(|m| x.planes[m * 4 * x.half..].as_ptr());
    let starts = ns.map(|n| w.row(n).as_ptr());
    let mut total = _mm256_setzero_ps();
    for g0 in (0..w.groups).step_by(BLOCK) {
        let count = BLOCK.min(w.groups - g0);
        block.fetch(w, &outputs, g0, count);
        for g in 0..count {
            let bytes = (g0 + g) * w.group / 2..((g0 + g + 1) * w.group).div_ceil(2);
            // SAFETY: the bytes of a group lie in every row and token.
            let products = unsafe { tile_dots(starts, tokens, x.half, bytes) };
            let at = ms.map(|m| m * w.groups + g0 + g);
            let plane = |p: usize| {
                let sums = _mm256_set_m128i(
                    _mm_set1_epi32(x.sums[at[1]][p]),
                    _mm_set1_epi32(x.sums[at[0]][p]),
                );
                without_zeros(products[p], block.zeros(g), sums)
            };
            let scales =
                _mm256_set_m128(_mm_set1_ps(x.scales[at[1]]), _mm_set1_ps(x.scales[at[0]]));
            let scales = _mm256_mul_ps(block.scales(g), scales);
            total = accumulate16(plane(0), plane(1), scales, total);
        }
    }
    total
}

/// The products of `bytes` of four rows with the first token, then with the second, for both planes.
///
/// # Safety
/// Every row holds `bytes`, and so do the four arrays that lie `half` apart from each token on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile_dots(
    rows: [*const u8; ROWS],
    tokens: [*const i8; PAIR],
    half: usize,
    bytes: Range<usize>,
) -> [__m256i; 2] {
    let mut sums = [[_mm512_setzero_si512(); ROWS * PAIR]; 2];
    let mut at = bytes.start;
    while at + 64 <= bytes.end {
        // SAFETY: 64 bytes are left.
        unsafe {
            let x = [planes_at(tokens[0].add(at), half), planes_at(tokens[1].add(at), half)];
            for (r, row) in rows.iter().enumerate() {
                let weights = unpack(_mm512_loadu_si512(row.add(at).cast()));
                add(&mut sums, r, weights, x[0]);
                add(&mut sums, ROWS + r, weights, x[1]);
            }
        }
        at += 64;
    }
    if at < bytes.end {
        let mask = bytes_left(at, bytes.end);
        // SAFETY: the mask keeps all loads within the bytes.
        unsafe {
            let x = [
                planes_masked(mask, tokens[0].add(at), half),
                planes_masked(mask, tokens[1].add(at), half),
            ];
            for (r, row) in rows.iter().enumerate() {
                let weights = unpack(_mm512_maskz_loadu_epi8(mask, row.add(at).cast()));
                add(&mut sums, r, weights, x[0]);
                add(&mut sums, ROWS + r, weights, x[1]);
            }
        }
    }
    sum_each16(sums[0], sums[1])
}
