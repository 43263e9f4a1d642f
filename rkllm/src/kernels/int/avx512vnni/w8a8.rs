//! int8 weights, int8 activations.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::weights::PREFETCH_AHEAD;
use super::super::x86::decode_int8;
use super::{bytes_left, sum_each8};

decode_int8!("avx512f,avx512bw,avx512vl,avx512vnni", bias: 128);

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
