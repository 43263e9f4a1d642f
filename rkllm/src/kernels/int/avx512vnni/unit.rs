//! The driver's unit: unsigned weights times signed activations by `vpdpbusd`, four columns at once.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::gemm::{LANES, PANEL, Panels, Tile, Unit, VECTORS, flip_row, nibbles_row};
use super::Avx512Outputs;

/// AVX-512 VNNI's part of the product of many tokens.
pub(super) struct Avx512Unit;

impl Unit for Avx512Unit {
    type Outputs = Avx512Outputs;
    const BIAS8: i32 = 128;
    const BIAS4: i32 = 0;
    const CACHE: usize = 1 << 20;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn prepare(bits: u32, row: &[u8], to: &mut [u8]) {
        if bits == 4 {
            nibbles_row(row, to);
        } else {
            flip_row(row, to);
        }
    }
}

impl Panels for Avx512Unit {
    const COLUMNS: usize = 512;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
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
        let out = sums.0.as_mut_ptr().cast::<[i32; LANES]>();
        // SAFETY: the rows and columns are there by the caller's contract; a tile holds whole panels.
        unsafe {
            match vectors {
                1 => blocks::<8, 1>(weights, stride, rows, x, columns, out, fresh),
                2 => blocks::<8, 2>(weights, stride, rows, x, columns, out, fresh),
                3 => blocks::<4, 3>(weights, stride, rows, x, columns, out, fresh),
                _ => blocks::<4, 4>(weights, stride, rows, x, columns, out, fresh),
            }
        }
    }
}

/// A panel with `V` vectors, `R` rows at a time: sixteen sums in registers hide the latency of `vpdpbusd`, and eight
/// loads feed sixteen of them.
///
/// # Safety
/// As [`Panels::dots`]; `out` holds the sums of a panel, [`VECTORS`] vectors a row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn blocks<const R: usize, const V: usize>(
    weights: *const u8,
    stride: usize,
    rows: usize,
    x: [*const i8; VECTORS],
    columns: Range<usize>,
    out: *mut [i32; LANES],
    fresh: bool,
) {
    for r in (0..rows).step_by(R) {
        let mut acc = [[_mm512_setzero_si512(); V]; R];
        let mut c = columns.start;
        while c < columns.end {
            let mut tokens = [_mm512_setzero_si512(); V];
            for (tokens, x) in tokens.iter_mut().zip(x) {
                // SAFETY: four columns of sixteen tokens.
                *tokens = unsafe { _mm512_loadu_si512(x.add(c * LANES).cast()) };
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                // SAFETY: four columns of a row.
                let four =
                    unsafe { weights.add((r + i) * stride + c).cast::<i32>().read_unaligned() };
                let four = _mm512_set1_epi32(four);
                for (acc, tokens) in acc.iter_mut().zip(tokens) {
                    *acc = _mm512_dpbusd_epi32(*acc, four, tokens);
                }
            }
            c += 4;
        }
        for (i, acc) in acc.into_iter().enumerate() {
            for (v, acc) in acc.into_iter().enumerate() {
                // SAFETY: the sums of a row and vector.
                unsafe {
                    let out = out.add((r + i) * VECTORS + v).cast::<__m512i>();
                    let acc =
                        if fresh { acc } else { _mm512_add_epi32(_mm512_loadu_si512(out), acc) };
                    _mm512_storeu_si512(out, acc);
                }
            }
        }
    }
}
