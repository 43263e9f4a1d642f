//! The driver's unit: unsigned weights times signed activations by `vpdpbusd`, eight tokens at once.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::avx2::Avx2Outputs;
use super::super::gemm::{LANES, PANEL, Panels, Tile, Unit, VECTORS, flip_row, nibbles_row};
use super::super::x86::put;

/// AVX-VNNI's part of the product of many tokens.
pub(super) struct AvxVnniUnit;

impl Unit for AvxVnniUnit {
    type Outputs = Avx2Outputs;
    const BIAS8: i32 = 128;
    const BIAS4: i32 = 0;
    const CACHE: usize = 512 << 10;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
    unsafe fn prepare(bits: u32, row: &[u8], to: &mut [u8]) {
        if bits == 4 {
            nibbles_row(row, to);
        } else {
            flip_row(row, to);
        }
    }
}

impl Panels for AvxVnniUnit {
    const COLUMNS: usize = 512;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
    unsafe fn dots(
        _: u32,
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
        let out = sums.0.as_mut_ptr().cast::<i32>();
        let mut r = 0;
        while r < rows {
            // Six rows keep twelve sums in registers, enough for the latency of `vpdpbusd`; a panel is not made
            // of sixes.
            let six = PANEL - r >= 6 && PANEL - r != 8;
            for (v, x) in x.iter().enumerate().take(vectors) {
                // SAFETY: the rows and columns are there by the caller's contract; a tile holds whole panels.
                unsafe {
                    let weights = weights.add(r * stride);
                    let out = out.add((r * VECTORS + v) * LANES);
                    match six {
                        true => block::<6>(weights, stride, *x, columns.clone(), out, fresh),
                        false => block::<4>(weights, stride, *x, columns.clone(), out, fresh),
                    }
                }
            }
            r += if six { 6 } else { 4 };
        }
    }
}

/// `R` rows with sixteen tokens.
///
/// # Safety
/// As [`Panels::dots`]; `out` holds the sums of a vector in rows `VECTORS * LANES` apart.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn block<const R: usize>(
    weights: *const u8,
    stride: usize,
    x: *const i8,
    columns: Range<usize>,
    out: *mut i32,
    fresh: bool,
) {
    let mut acc = [[_mm256_setzero_si256(); 2]; R];
    let mut c = columns.start;
    while c < columns.end {
        // SAFETY: the columns lie in rows and vectors.
        unsafe {
            let x = x.add(c * LANES).cast::<__m256i>();
            let x = [_mm256_loadu_si256(x), _mm256_loadu_si256(x.add(1))];
            for (r, acc) in acc.iter_mut().enumerate() {
                let four = weights.add(r * stride + c).cast::<i32>().read_unaligned();
                let four = _mm256_set1_epi32(four);
                acc[0] = _mm256_dpbusd_avx_epi32(acc[0], four, x[0]);
                acc[1] = _mm256_dpbusd_avx_epi32(acc[1], four, x[1]);
            }
        }
        c += 4;
    }
    for (r, acc) in acc.into_iter().enumerate() {
        for (half, acc) in acc.into_iter().enumerate() {
            // SAFETY: eight sums of a row.
            unsafe { put(out.add(r * VECTORS * LANES + half * 8), acc, fresh) };
        }
    }
}
