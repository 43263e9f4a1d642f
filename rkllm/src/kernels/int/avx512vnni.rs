//! AVX-512 F, BW, VL and VNNI: servers since 2019, Zen 4.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes. Nibbles are unsigned as they are; int8 weights get their
//! sign bit flipped, which adds 128 to each, and that comes off with the zero points.

mod outputs;
mod unit;
mod w4a16;
mod w8a8;

use std::arch::x86_64::*;
use std::ops::Range;

use self::outputs::turn16;
pub(super) use self::outputs::{add_tile, transpose16};
use self::unit::Avx512Unit;
use super::gemm::{self, MIN_TOKENS};
use super::scalar::Scalar;
use super::weights::Weights;
use super::{Activations8, Activations16, IntProducts, Packed, Places8, Places16};
use super::{avx2, quantize};
use crate::kernels::ColumnsAt;
use crate::quant::QuantizedRows;

/// Exists only where [`Avx512Vnni::detect`] found the instructions.
#[derive(Debug)]
pub(super) struct Avx512Vnni(());

impl Avx512Vnni {
    /// The kernel, if this CPU runs it.
    pub(super) fn detect() -> Option<&'static Self> {
        let runs = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        runs.then_some(&Self(()))
    }
}

impl IntProducts for Avx512Vnni {
    fn prefill_bytes(&self, bits: u32, k: usize, group: usize) -> usize {
        gemm::scratch_bytes::<Avx512Unit>(bits, k, group)
    }

    unsafe fn quantize8_block(&self, x: &[f32], places: &Places8<'_>, block: usize) {
        // SAFETY: `detect` found the features; the caller's contract.
        unsafe { quantize8(x, places, block) }
    }

    unsafe fn quantize16_block(&self, x: &[f32], places: &Places16<'_>, block: usize) {
        // SAFETY: `detect` found the features; the caller's contract.
        unsafe { quantize16(x, places, block) }
    }

    unsafe fn w8a8(
        &self,
        x: &Activations8,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    ) {
        let weights = Weights::w8a8(x, w, &rows, &y);
        // SAFETY: `detect` found the features; `weights` checked every bound; the caller keeps the
        // columns unshared.
        unsafe {
            match x.m {
                _ if !weights.has_vector_groups() => Scalar.w8a8(x, w, rows, y),
                0..MIN_TOKENS => {
                    (0..x.m).for_each(|m| w8a8::decode(x, m, &weights, rows.clone(), y))
                }
                _ => prefill::<8>(x.packed(), &weights, rows, y),
            }
        }
    }

    unsafe fn w4a16(
        &self,
        x: &Activations16,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    ) {
        let weights = Weights::w4a16(x, w, &rows, &y);
        // SAFETY: as in `w8a8`.
        unsafe {
            match x.m {
                _ if !weights.has_vector_groups() => Scalar.w4a16(x, w, rows, y),
                MIN_TOKENS.. => prefill::<4>(x.packed(), &weights, rows, y),
                // Short groups would leave most of a 64-byte vector empty.
                _ if w.group < 128 => {
                    (0..x.m).for_each(|m| avx2::w4a16::decode(x, m, &weights, rows.clone(), y))
                }
                _ => (0..x.m).for_each(|m| w4a16::decode(x, m, &weights, rows.clone(), y)),
            }
        }
    }
}

/// # Safety
/// As [`gemm::product`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn prefill<const BITS: u32>(
    x: &Packed,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    // SAFETY: the caller's contract.
    unsafe { gemm::product::<Avx512Unit, BITS>(x, w, rows, y) };
}

/// # Safety
/// No other borrow of this block of `places` lives.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn quantize8(x: &[f32], places: &Places8<'_>, block: usize) {
    // SAFETY: the caller's contract.
    unsafe { quantize::quantize8_by(x, places, block, |from, to| turn16(from, to)) };
}

/// # Safety
/// No other borrow of this block of `places` lives.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn quantize16(x: &[f32], places: &Places16<'_>, block: usize) {
    // SAFETY: the caller's contract.
    unsafe { quantize::quantize16_by(x, places, block, |from, to| turn16(from, to)) };
}

/// A mask of the next bytes up to `end`, at most 64.
#[inline(always)]
fn bytes_left(at: usize, end: usize) -> __mmask64 {
    match end - at {
        64.. => !0,
        left => (1 << left) - 1,
    }
}

/// The sums of four vectors in every quarter: lane `i` of the four quarters add up to that of `v[i]`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn quarter_sums(v: [__m512i; 4]) -> __m512i {
    let pair = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (ab, cd) = (pair(v[0], v[1]), pair(v[2], v[3]));
    _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))
}

/// Adds quarters 0 and 1, 2 and 3 of `a`, then of `b`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn fold_quarters(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi32(
        _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b),
        _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b),
    )
}

/// Lane `i` of the result is the sum of the lanes of `v[i]`: the first eight, then the others.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn sum_each16(first: [__m512i; 8], last: [__m512i; 8]) -> [__m256i; 2] {
    let [a, b, c, d, e, f, g, h] = first;
    let first = fold_quarters(quarter_sums([a, b, c, d]), quarter_sums([e, f, g, h]));
    let [a, b, c, d, e, f, g, h] = last;
    let last = fold_quarters(quarter_sums([a, b, c, d]), quarter_sums([e, f, g, h]));
    let all = fold_quarters(first, last);
    [_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64::<1>(all)]
}

/// Lane `i` of the result is the sum of the lanes of `v[i]`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn sum_each8(v: [__m512i; 8]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = v;
    let sums = fold_quarters(quarter_sums([a, b, c, d]), quarter_sums([e, f, g, h]));
    _mm512_castsi512_si256(fold_quarters(sums, sums))
}
