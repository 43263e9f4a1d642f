//! From a panel's integer sums to its outputs, eight tokens in a vector. Spelled out: whether the compiler makes
//! vectors of the portable loops depends on what it inlines them into.

use std::arch::x86_64::*;

use super::super::gemm::{LANES, Outputs, PANEL, PackedTokens, Rows, Tile, VECTORS};
use super::super::scales::ScaleBytes;
use super::super::x86::{self, accumulate, accumulate16, transpose8, without_zeros};

/// The part of AVX2 that units with vectors of eight share.
pub(in super::super) struct Avx2Outputs;

impl Outputs for Avx2Outputs {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scales(scales: &ScaleBytes<'_>, first: usize, count: usize, to: &mut [f32; 16]) {
        x86::scales(scales, first, count, to);
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add<const BITS: u32>(
        sums: &Tile<i32>,
        rows: &Rows<'_>,
        tokens: &PackedTokens<'_>,
        first: bool,
        totals: &mut Tile<f32>,
    ) {
        assert!(rows.scales.len() == rows.zeros.len() && rows.scales.len() <= PANEL);
        let any = rows.zeros.iter().any(|&zero| zero != 0);
        match (any, first) {
            (true, true) => add_kind::<BITS, true, true>(sums, rows, tokens, totals),
            (true, false) => add_kind::<BITS, true, false>(sums, rows, tokens, totals),
            (false, true) => add_kind::<BITS, false, true>(sums, rows, tokens, totals),
            (false, false) => add_kind::<BITS, false, false>(sums, rows, tokens, totals),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn transpose(
        from: *const [f32; LANES * VECTORS],
        rows: usize,
        tokens: usize,
        to: *mut f32,
        stride: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe { transpose8(from, rows, tokens, to, stride) };
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_kind<const BITS: u32, const ZEROS: bool, const FIRST: bool>(
    sums: &Tile<i32>,
    rows: &Rows<'_>,
    tokens: &PackedTokens<'_>,
    totals: &mut Tile<f32>,
) {
    let planes = if BITS == 4 { 2 } else { 1 };
    for block in 0..tokens.blocks {
        let at = block * planes;
        for half in [0, LANES / 2] {
            let factors = floats(tokens.scales[block], half);
            let x = [tokens.sums[at], tokens.sums[at + planes - 1]].map(|x| integers(x, half));
            let factors_of_rows = rows.scales.iter().zip(rows.zeros);
            let lanes = sums.0.iter().zip(&mut totals.0);
            for ((&scale, &zero), (sums, totals)) in factors_of_rows.zip(lanes) {
                let plane = |p: usize| {
                    let sums = integers(&sums[at + p], half);
                    match ZEROS {
                        true => without_zeros(sums, _mm256_set1_epi32(zero), x[p]),
                        false => sums,
                    }
                };
                let scale = _mm256_mul_ps(_mm256_set1_ps(scale), factors);
                let total = &mut totals[block];
                let before = if FIRST { _mm256_setzero_ps() } else { floats(total, half) };
                let after = match BITS {
                    4 => accumulate16(plane(0), plane(1), scale, before),
                    _ => accumulate(plane(0), scale, before),
                };
                // SAFETY: eight f32.
                unsafe { _mm256_storeu_ps(total[half..half + 8].as_mut_ptr(), after) };
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn floats(lanes: &[f32; LANES], half: usize) -> __m256 {
    // SAFETY: eight f32.
    unsafe { _mm256_loadu_ps(lanes[half..half + 8].as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn integers(lanes: &[i32; LANES], half: usize) -> __m256i {
    // SAFETY: eight i32.
    unsafe { _mm256_loadu_si256(lanes[half..half + 8].as_ptr().cast()) }
}
