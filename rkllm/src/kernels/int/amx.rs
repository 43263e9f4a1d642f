//! AMX int8 (Sapphire Rapids and later) beside AVX-512 VNNI, which decodes and takes the groups that are no
//! multiple of a tile's 64 columns.
//!
//! A thread has tiles only while it multiplies: a task configures them when it begins and gives them back when it
//! ends, so that no thread carries 8 KB of state through the scheduler.

mod detect;
pub(super) mod tiles;

use std::ops::Range;

use super::avx512vnni::{self, Avx512Vnni};
use super::gemm::{
    self, LANES, MIN_TOKENS, PackedTokens, Rows, Tile, Unit, VECTORS, copy_row, signed_nibbles_row,
};
use super::scales::ScaleBytes;
use super::weights::Weights;
use super::x86;
use super::{Activations8, Activations16, IntProducts, Packed, Places8, Places16};
use crate::kernels::ColumnsAt;
use crate::quant::QuantizedRows;

pub(super) use self::detect::refusal;

/// Exists only where [`Amx::detect`] found the instructions and has the permission to use them.
#[derive(Debug)]
pub(super) struct Amx(());

impl Amx {
    /// The kernel, if this CPU runs it and the system lets this process.
    pub(super) fn detect() -> Option<&'static Self> {
        (Avx512Vnni::detect().is_some() && detect::tiles()).then_some(&Self(()))
    }

    /// The kernel where the tile instructions are emulated.
    #[cfg(test)]
    pub(super) fn emulated() -> Option<&'static Self> {
        Avx512Vnni::detect().map(|_| &Self(()))
    }

    fn vectors() -> &'static Avx512Vnni {
        Avx512Vnni::detect().expect("`detect` found it")
    }
}

impl IntProducts for Amx {
    fn prefill_bytes(&self, bits: u32, k: usize, group: usize) -> usize {
        gemm::scratch_bytes::<AmxUnit>(bits, k, group)
    }

    unsafe fn quantize8_block(&self, x: &[f32], places: &Places8<'_>, block: usize) {
        // SAFETY: the caller's contract.
        unsafe { Self::vectors().quantize8_block(x, places, block) }
    }

    unsafe fn quantize16_block(&self, x: &[f32], places: &Places16<'_>, block: usize) {
        // SAFETY: the caller's contract.
        unsafe { Self::vectors().quantize16_block(x, places, block) }
    }

    unsafe fn w8a8(
        &self,
        x: &Activations8,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    ) {
        // SAFETY: `detect` found the features; `Weights` checked every bound; the caller keeps the
        // columns unshared.
        unsafe {
            if x.m < MIN_TOKENS || !tiles::fit(w) {
                return Self::vectors().w8a8(x, w, rows, y);
            }
            let weights = Weights::w8a8(x, w, &rows, &y);
            prefill::<8>(x.packed(), &weights, rows, y);
        }
    }

    unsafe fn w4a16(
        &self,
        x: &Activations16,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    ) {
        // SAFETY: as in `w8a8`.
        unsafe {
            if x.m < MIN_TOKENS || !tiles::fit(w) {
                return Self::vectors().w4a16(x, w, rows, y);
            }
            let weights = Weights::w4a16(x, w, &rows, &y);
            prefill::<4>(x.packed(), &weights, rows, y);
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
    unsafe { gemm::product::<AmxUnit, BITS>(x, w, rows, y) };
}

/// Products by tiles, everything else by AVX-512.
struct AmxUnit;

impl Unit for AmxUnit {
    const BIAS8: i32 = 0;
    const BIAS4: i32 = -8;
    const COLUMNS: usize = tiles::COLUMNS;
    const CACHE: usize = 1 << 20;

    #[inline(always)]
    unsafe fn begin() {
        // SAFETY: the caller's contract.
        unsafe { tiles::begin() };
    }

    #[inline(always)]
    unsafe fn end() {
        // SAFETY: the caller's contract.
        unsafe { tiles::end() };
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn prepare(bits: u32, row: &[u8], to: &mut [u8]) {
        if bits == 4 {
            signed_nibbles_row(row, to);
        } else {
            copy_row(row, to);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn scales(scales: &ScaleBytes<'_>, first: usize, count: usize, to: &mut [f32; 16]) {
        x86::scales(scales, first, count, to);
    }

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
        // SAFETY: the caller's contract; `fit` let no other columns pass.
        unsafe { tiles::dots(weights, stride, rows, x, vectors, columns, sums, fresh) };
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn add<const BITS: u32>(
        sums: &Tile<i32>,
        rows: &Rows<'_>,
        tokens: &PackedTokens<'_>,
        first: bool,
        totals: &mut Tile<f32>,
    ) {
        avx512vnni::add_tile::<BITS>(sums, rows, tokens, first, totals);
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn transpose(
        from: *const [f32; LANES * VECTORS],
        rows: usize,
        tokens: usize,
        to: *mut f32,
        stride: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe { avx512vnni::transpose16(from, rows, tokens, to, stride) };
    }
}
