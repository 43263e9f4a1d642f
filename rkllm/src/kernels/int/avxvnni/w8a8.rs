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
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
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
                    // Weights with their sign bits flipped are 128 too high, and so are their zero points.
                    let zeros = _mm256_add_epi32(block.zeros(g), _mm256_set1_epi32(128));
                    let products = without_zeros(products, zeros, _mm256_set1_epi32(*sums.add(at)));
                    let scale = _mm256_mul_ps(block.scales(g), _mm256_set1_ps(*scales.add(at)));
                    total = accumulate(products, scale, total);
                }
            }
        }
        // SAFETY: `rows` and the token lie in `y`.
        unsafe { streams.store(&y, m, i, &lanes(total)) };
    }
}

/// The products of `columns` of eight rows, sign bits flipped, with one token, a sum in each lane.
///
/// # Safety
/// Every row holds `columns`; `token` is padded to a multiple of 64, and `columns` starts at one of 32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn dots(rows: [*const u8; 8], token: *const i8, columns: Range<usize>) -> __m256i {
    let mut sums = [_mm256_setzero_si256(); 8];
    let mut c = columns.start;
    while c + 32 <= columns.end {
        // SAFETY: 32 columns are left; a prefetch may name any address.
        unsafe {
            let x = _mm256_loadu_si256(token.add(c).cast());
            for (sum, row) in sums.iter_mut().zip(rows) {
                _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(c + PREFETCH_AHEAD).cast());
                *sum = add(*sum, _mm256_loadu_si256(row.add(c).cast()), x);
            }
        }
        c += 32;
    }
    if c < columns.end {
        // SAFETY: fewer than 32 columns are left and copied; the token is padded with zeros, which meet the rest.
        unsafe {
            let x = _mm256_loadu_si256(token.add(c).cast());
            for (sum, row) in sums.iter_mut().zip(rows) {
                let mut tail = [0u8; 32];
                tail.as_mut_ptr().copy_from_nonoverlapping(row.add(c), columns.end - c);
                *sum = add(*sum, _mm256_loadu_si256(tail.as_ptr().cast()), x);
            }
        }
    }
    sum_each(sums)
}

/// Adds the products of 32 weights, sign bits flipped, with as many activations.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn add(sum: __m256i, weights: __m256i, x: __m256i) -> __m256i {
    _mm256_dpbusd_avx_epi32(sum, _mm256_xor_si256(weights, _mm256_set1_epi8(-128)), x)
}
