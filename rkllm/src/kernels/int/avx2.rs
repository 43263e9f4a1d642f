//! AVX2, FMA and F16C: x86 processors since 2013.
//!
//! -128 occurs in weights and activations, so int8 products widen to i16 first (`vpmovsxbw`, `vpmaddwd`);
//! `vpmaddubsw` would saturate. Nibbles are small enough for it: 2 * 15 * 128 = 3840.

mod outputs;
mod unit;
pub(super) mod w4a16;
mod w8a8;

use std::ops::Range;

pub(super) use self::outputs::add_tile;
use self::unit::Avx2Unit;
use super::gemm::{self, MIN_TOKENS};
use super::quantize;
use super::scalar::Scalar;
use super::weights::Weights;
use super::x86::turn8;
use super::{Activations8, Activations16, IntProducts, Packed, Places8, Places16};
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
    fn prefill_bytes(&self, bits: u32, k: usize, group: usize) -> usize {
        gemm::scratch_bytes::<Avx2Unit>(bits, k, group)
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
                0..MIN_TOKENS => {
                    (0..x.m).for_each(|m| w4a16::decode(x, m, &weights, rows.clone(), y))
                }
                _ => prefill::<4>(x.packed(), &weights, rows, y),
            }
        }
    }
}

/// # Safety
/// As [`gemm::product`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn prefill<const BITS: u32>(
    x: &Packed,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    // SAFETY: the caller's contract.
    unsafe { gemm::product::<Avx2Unit, BITS>(x, w, rows, y) };
}

/// # Safety
/// No other borrow of this block of `places` lives.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn quantize8(x: &[f32], places: &Places8<'_>, block: usize) {
    // SAFETY: the caller's contract.
    unsafe { quantize::quantize8_by(x, places, block, |from, to| turn8(from, to)) };
}

/// # Safety
/// No other borrow of this block of `places` lives.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn quantize16(x: &[f32], places: &Places16<'_>, block: usize) {
    // SAFETY: the caller's contract.
    unsafe { quantize::quantize16_by(x, places, block, |from, to| turn8(from, to)) };
}
