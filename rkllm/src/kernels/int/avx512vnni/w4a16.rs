//! int4 weights, 16-bit activations in two planes.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::Activations16;
use super::super::blocks::{BLOCK, GroupBlock};
use super::super::weights::{PREFETCH_AHEAD, Streams, Weights};
use super::super::x86::{accumulate16, lanes, without_zeros};
use super::{bytes_left, sum_each16};
use crate::kernels::ColumnsAt;

/// i32 sums, spread over lanes, of eight outputs: of the low plane, of the high one.
type Sums = [[__m512i; 8]; 2];

/// Token `m`: eight rows at once, each its own stream from memory.
///
/// # Safety
/// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
/// `rows` of `y`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn decode(
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
        unsafe { streams.store(&y, m, i, &lanes(total)) };
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
