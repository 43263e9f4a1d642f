//! int8 weights, int8 activations.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::weights::PREFETCH_AHEAD;
use super::super::x86::{decode_int8, sum_each};

decode_int8!("avx2,fma,f16c", bias: 0);

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
