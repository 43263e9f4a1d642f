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
pub(super) use self::outputs::{Avx512Outputs, add_square, transpose16};
use self::unit::Avx512Unit;
use super::needs::{Needs, needs};
use super::products::{quantizers, vector_products};
use super::weights::Weights;
use super::{Activations16, avx2};
use crate::kernels::ColumnsAt;

/// What a processor has to have.
pub(super) const NEEDS: Needs =
    needs!["avx512f", "avx512bw", "avx512vl", "avx512vnni", "fma", "f16c"];

/// Exists only where [`Avx512Vnni::detect`] found the instructions.
#[derive(Debug)]
pub(super) struct Avx512Vnni(());

impl Avx512Vnni {
    /// The kernel, if this CPU runs it.
    pub(super) fn detect() -> Option<&'static Self> {
        NEEDS.met().then_some(&Self(()))
    }
}

quantizers!("avx512f,avx512bw,avx512vl,avx512vnni", turn16);

vector_products!(
    for Avx512Vnni, "avx512f,avx512bw,avx512vl,avx512vnni",
    unit: Avx512Unit,
    decode8: w8a8::decode,
    decode16: decode16,
    quantize8: quantize8,
    quantize16: quantize16,
);

/// Token `m` of w4a16.
///
/// # Safety
/// As [`w4a16::decode`].
#[inline]
unsafe fn decode16(
    x: &Activations16,
    m: usize,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    // SAFETY: the caller's contract; these processors have AVX2.
    unsafe {
        match w.group {
            // Short groups would leave most of a 64-byte vector empty.
            ..128 => avx2::w4a16::decode(x, m, w, rows, y),
            _ => w4a16::decode(x, m, w, rows, y),
        }
    }
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
