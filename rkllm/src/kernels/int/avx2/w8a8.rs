//! int8 weights, int8 activations.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::Activations8;
use super::super::blocks::{BLOCK, GroupBlock};
use super::super::weights::{PREFETCH_AHEAD, Streams, Weights};
use super::super::x86::{accumulate, lanes, sum_each, without_zeros};
use crate::kernels::ColumnsAt;

/// Token `m`: eight rows at once, each its own stream from memory.
///
/// # Safety
/// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
/// `rows` of `y`.
#[target_feature(enable = "avx2,fma,f16c")]
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
                    let columns = at * w.group..(at + 1) * w.group;
                    let products = dots(starts, token, columns);
                    let sum = _mm256_set1_epi32(*sums.add(at));
                    let products = without_zeros(products, block.zeros(g), sum);
                    let scale = _mm256_mul_ps(block.scales(g), _mm256_set1_ps(*scales.add(at)));
                    total = accumulate(products, scale, total);
                }
            }
        }
        // SAFETY: `rows` and the token lie in `y`.
        unsafe { streams.store(&y, m, i, &lanes(total)) };
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
