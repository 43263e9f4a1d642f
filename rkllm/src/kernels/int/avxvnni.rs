//! AVX-VNNI beside AVX2: client processors without AVX-512, since Alder Lake.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes, so int8 weights get their sign bit flipped, as in
//! [`super::avx512vnni`].

mod unit;
mod w8a8;

use std::ops::Range;

use self::unit::AvxVnniUnit;
use super::avx2::Avx2;
use super::gemm::{self, MIN_TOKENS};
use super::weights::Weights;
use super::{Activations8, Activations16, IntProducts, Packed, Places8, Places16};
use crate::kernels::ColumnsAt;
use crate::quant::QuantizedRows;

/// Exists only where [`AvxVnni::detect`] found the instructions, or a test emulates them.
#[derive(Debug)]
pub(super) struct AvxVnni(());

impl AvxVnni {
    /// The kernel, if this CPU runs it.
    pub(super) fn detect() -> Option<&'static Self> {
        (Avx2::detect().is_some() && is_x86_feature_detected!("avxvnni")).then_some(&Self(()))
    }

    /// The kernel for tests that emulate `vpdpbusd` where the processor lacks it.
    #[cfg(test)]
    pub(super) fn emulated() -> Option<&'static Self> {
        Avx2::detect().map(|_| &Self(()))
    }

    fn avx2() -> &'static Avx2 {
        Avx2::detect().expect("`detect` found it")
    }
}

impl IntProducts for AvxVnni {
    fn prefill_bytes(&self, bits: u32, k: usize, group: usize) -> usize {
        gemm::scratch_bytes::<AvxVnniUnit>(bits, k, group)
    }

    unsafe fn quantize8_block(&self, x: &[f32], places: &Places8<'_>, block: usize) {
        // SAFETY: the caller's contract.
        unsafe { Self::avx2().quantize8_block(x, places, block) }
    }

    unsafe fn quantize16_block(&self, x: &[f32], places: &Places16<'_>, block: usize) {
        // SAFETY: the caller's contract.
        unsafe { Self::avx2().quantize16_block(x, places, block) }
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
                _ if !weights.has_vector_groups() => Self::avx2().w8a8(x, w, rows, y),
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
                MIN_TOKENS.. if weights.has_vector_groups() => {
                    prefill::<4>(x.packed(), &weights, rows, y)
                }
                // Decoding nibbles is as fast with `vpmaddubsw`: both planes' sums fit 16 bits.
                _ => Self::avx2().w4a16(x, w, rows, y),
            }
        }
    }
}

/// # Safety
/// As [`gemm::product`].
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn prefill<const BITS: u32>(
    x: &Packed,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    // SAFETY: the caller's contract.
    unsafe { gemm::product::<AvxVnniUnit, BITS>(x, w, rows, y) };
}
