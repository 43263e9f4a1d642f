//! AVX2, FMA and F16C: x86 processors since 2013.
//!
//! -128 occurs in weights and activations, so int8 products widen to i16 first (`vpmovsxbw`, `vpmaddwd`);
//! `vpmaddubsw` would saturate. Nibbles are small enough for it: 2 * 15 * 128 = 3840.

pub(super) mod w4a16;
mod w8a8;

use std::ops::Range;

use super::quantize;
use super::scalar::Scalar;
use super::weights::Weights;
use super::{Activations8, Activations16, IntProducts};
use crate::kernels::ColumnsAt;
use crate::quant::QuantizedRows;

/// Exists only where [`Avx2::detect`] found the instructions.
#[derive(Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The kernel, if this CPU runs it.
    pub(super) fn detect() -> Option<&'static Self> {
        let runs = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        runs.then_some(&Self(()))
    }
}

impl IntProducts for Avx2 {
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
                1 => w4a16::decode(x, &weights, rows, y),
                _ => w4a16::prefill(x, &weights, rows, y),
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn quantize8(x: &[f32], k: usize, group: usize, out: &mut Activations8) {
    quantize::quantize8(x, k, group, out);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn quantize16(x: &[f32], k: usize, group: usize, out: &mut Activations16) {
    quantize::quantize16(x, k, group, out);
}
