//! int8 weights, int8 activations.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::Activations8;
use super::super::blocks::{BLOCK, GroupBlock};
use super::super::weights::{PREFETCH_AHEAD, Streams, Weights};
use super::super::x86::{accumulate, lanes, without_zeros};
use super::{bytes_left, sum_each8};
use crate::kernels::ColumnsAt;

/// Token `m`: eight rows at once, each its own stream from memory.
///
/// # Safety
/// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
/// `rows` of `y`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
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
        unsafe { streams.store(&y, m, i, &lanes(total)) };
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
