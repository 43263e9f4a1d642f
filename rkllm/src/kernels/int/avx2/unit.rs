//! The driver's unit: int8 as 16-bit integers by `vpmaddwd`, nibbles by `vpmaddubsw`.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::gemm::{LANES, PANEL, Panels, Tile, Unit, VECTORS, nibbles_row};
use super::super::x86::put;
use super::outputs::Avx2Outputs;

/// AVX2's part of the product of many tokens.
pub(super) struct Avx2Unit;

/// Rows whose sums are in registers together.
const ROWS: usize = 4;
/// Columns whose nibble products fit i16: eight times 3840.
const I16_COLUMNS: usize = 32;

impl Unit for Avx2Unit {
    type Outputs = Avx2Outputs;
    const BIAS8: i32 = 0;
    const BIAS4: i32 = 0;
    const CACHE: usize = 256 << 10;

    fn width(bits: u32) -> usize {
        if bits == 8 { 2 } else { 1 }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn prepare(bits: u32, row: &[u8], to: &mut [u8]) {
        if bits == 4 {
            nibbles_row(row, to);
        } else {
            for (to, &byte) in to.chunks_exact_mut(2).zip(row) {
                to.copy_from_slice(&i16::from(byte as i8).to_le_bytes());
            }
        }
    }
}

impl Panels for Avx2Unit {
    const COLUMNS: usize = 256;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn dots(
        bits: u32,
        weights: *const u8,
        stride: usize,
        rows: usize,
        x: [*const i8; VECTORS],
        vectors: usize,
        columns: Range<usize>,
        sums: &mut Tile<i32>,
        fresh: bool,
    ) {
        debug_assert!(rows <= PANEL && columns.len() <= Self::COLUMNS);
        for r in (0..rows).step_by(ROWS) {
            for (v, x) in x.iter().enumerate().take(vectors) {
                let out = sums.0[r..].as_mut_ptr().cast::<[[i32; LANES]; VECTORS]>();
                // SAFETY: the rows and columns are there by the caller's contract; a tile holds whole panels.
                unsafe {
                    let weights = weights.add(r * stride);
                    let out = out.cast::<i32>().add(v * LANES);
                    if bits == 4 {
                        nibbles(weights, stride, *x, columns.clone(), out, fresh);
                    } else {
                        bytes(weights, stride, *x, columns.clone(), out, fresh);
                    }
                }
            }
        }
    }
}

/// Four widened rows with sixteen tokens, eight at a time.
///
/// # Safety
/// As [`Panels::dots`]; `out` holds the sums of a vector in rows `VECTORS * LANES` apart.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn bytes(
    weights: *const u8,
    stride: usize,
    x: *const i8,
    columns: Range<usize>,
    out: *mut i32,
    fresh: bool,
) {
    for half in 0..2 {
        let mut acc = [[_mm256_setzero_si256(); 2]; ROWS];
        let mut c = columns.start;
        while c < columns.end {
            // SAFETY: the columns lie in rows and vectors.
            unsafe {
                let x = x.add(c * LANES + half * 32).cast::<__m128i>();
                let x = [
                    _mm256_cvtepi8_epi16(_mm_loadu_si128(x)),
                    _mm256_cvtepi8_epi16(_mm_loadu_si128(x.add(1))),
                ];
                for (r, acc) in acc.iter_mut().enumerate() {
                    let four = weights.add(r * stride + 2 * c).cast::<i64>().read_unaligned();
                    let w = _mm256_set1_epi64x(four);
                    acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(w, x[0]));
                    acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(w, x[1]));
                }
            }
            c += 4;
        }
        for (r, [a, b]) in acc.into_iter().enumerate() {
            // A sum is in two neighbouring lanes; the pairs of tokens come out as 0, 2, 1, 3.
            let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(a, b));
            // SAFETY: eight sums of a row.
            unsafe { put(out.add(r * VECTORS * LANES + half * 8), sums, fresh) };
        }
    }
}

/// Four rows of nibbles with sixteen tokens of one plane.
///
/// # Safety
/// As [`bytes`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn nibbles(
    weights: *const u8,
    stride: usize,
    x: *const i8,
    columns: Range<usize>,
    out: *mut i32,
    fresh: bool,
) {
    let ones = _mm256_set1_epi16(1);
    let mut fresh = fresh;
    for from in columns.clone().step_by(I16_COLUMNS) {
        let mut acc = [[_mm256_setzero_si256(); 2]; ROWS];
        for c in (from..columns.end.min(from + I16_COLUMNS)).step_by(4) {
            // SAFETY: the columns lie in rows and vectors.
            unsafe {
                let x = x.add(c * LANES).cast::<__m256i>();
                let x = [_mm256_loadu_si256(x), _mm256_loadu_si256(x.add(1))];
                for (r, acc) in acc.iter_mut().enumerate() {
                    let four = weights.add(r * stride + c).cast::<i32>().read_unaligned();
                    let w = _mm256_set1_epi32(four);
                    acc[0] = _mm256_add_epi16(acc[0], _mm256_maddubs_epi16(w, x[0]));
                    acc[1] = _mm256_add_epi16(acc[1], _mm256_maddubs_epi16(w, x[1]));
                }
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            for (half, acc) in acc.into_iter().enumerate() {
                // SAFETY: eight sums of a row.
                unsafe {
                    let out = out.add(r * VECTORS * LANES + half * 8);
                    put(out, _mm256_madd_epi16(acc, ones), fresh);
                }
            }
        }
        fresh = false;
    }
}
