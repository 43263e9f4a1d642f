//! AVX-512 F, BW, VL and VNNI: servers since 2019, Zen 4.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes. Nibbles are unsigned as they are; int8 weights get their
//! sign bit flipped, which adds 128 to each, and that comes off with the zero points.

mod w4a16;
mod w8a8;

use std::arch::x86_64::*;
use std::ops::Range;

use super::scalar::Scalar;
use super::weights::Weights;
use super::{Activations8, Activations16, IntProducts};
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
    fn quantize8(&self, x: &[f32], k: usize, group: usize, out: &mut Activations8) {
        // SAFETY: `detect` found the features.
        unsafe { quantize8(x, k, group, out) }
    }

    fn quantize16(&self, x: &[f32], k: usize, group: usize, out: &mut Activations16) {
        // SAFETY: `detect` found the features.
        unsafe { quantize16(x, k, group, out) }
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
                1 => w8a8::decode(x, &weights, rows, y),
                _ => w8a8::prefill(x, &weights, rows, y),
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
                // Short groups would leave most of a 64-byte vector empty.
                1 if w.group < 128 => avx2::w4a16::decode(x, &weights, rows, y),
                _ if w.group < 128 => avx2::w4a16::prefill(x, &weights, rows, y),
                1 => w4a16::decode(x, &weights, rows, y),
                _ => w4a16::prefill(x, &weights, rows, y),
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn quantize8(x: &[f32], k: usize, group: usize, out: &mut Activations8) {
    quantize::quantize8(x, k, group, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn quantize16(x: &[f32], k: usize, group: usize, out: &mut Activations16) {
    quantize::quantize16(x, k, group, out);
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
