//! int8 weights, int8 activations.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::weights::PREFETCH_AHEAD;
use super::super::x86::{decode_int8, sum_each};

decode_int8!("avx2,fma,f16c,avxvnni", bias: 128);

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
