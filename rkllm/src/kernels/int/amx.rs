//! AMX int8 (Sapphire Rapids and later) beside AVX-512 VNNI, which decodes and takes the groups that are no
//! multiple of a tile's 64 columns.
//!
//! A thread has tiles only while it multiplies: a task configures them when it begins and gives them back when it
//! ends, so that no thread carries 8 KB of state through the scheduler.

mod detect;
pub(super) mod tiles;

use std::ops::Range;

use super::avx512vnni::{self, Avx512Outputs, Avx512Vnni};
use super::gemm::{
    self, LANES, MIN_TOKENS, PackedTokens, Rows, Squares, Sums, Unit, copy_row, signed_nibbles_row,
};
use super::needs;
use super::weights::Weights;
use super::{Activations8, Activations16, IntProducts, Packed, Places8, Places16};
use crate::kernels::ColumnsAt;
use crate::quant::QuantizedRows;

/// Exists only where [`Amx::detect`] found the instructions, or a test emulates the tiles.
#[derive(Debug)]
pub(super) struct Amx {
    /// Whether this process may use tiles, asked before their first use.
    permitted: fn() -> bool,
}

/// Why the kernel does not run here; `None` if it does. Asks the system for the tiles.
pub(super) fn refusal() -> Option<String> {
    let mut missing = avx512vnni::NEEDS.missing();
    if !detect::has_instructions() {
        missing.push("amx-int8");
    }
    needs::refusal(&missing).or_else(|| detect::permission().err().map(str::to_owned))
}

impl Amx {
    /// The kernel, if this CPU runs it and the system offers tiles. Does not ask for them: only a
    /// process that uses them should.
    pub(super) fn detect() -> Option<&'static Self> {
        let here = avx512vnni::NEEDS.met() && detect::offered();
        here.then_some(&Self { permitted: || detect::permission().is_ok() })
    }

    /// The kernel where the tile instructions are emulated.
    #[cfg(test)]
    pub(super) fn emulated() -> Option<&'static Self> {
        avx512vnni::NEEDS.met().then_some(&Self { permitted: || true })
    }

    fn vectors() -> &'static Avx512Vnni {
        Avx512Vnni::detect().expect("`detect` found it")
    }

    /// True where tiles compute the product of `tokens` with `w`.
    fn takes(&self, tokens: usize, w: &QuantizedRows) -> bool {
        tokens >= MIN_TOKENS && tiles::fit(w) && (self.permitted)()
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
            if !self.takes(x.m, w) {
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
            if !self.takes(x.m, w) {
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
    unsafe { gemm::product_by_squares::<AmxUnit, BITS>(x, w, rows, y) };
}

/// Products by tiles, everything else by AVX-512.
struct AmxUnit;

impl Unit for AmxUnit {
    type Outputs = Avx512Outputs;
    const BIAS8: i32 = 0;
    const BIAS4: i32 = -8;
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
}

impl Squares for AmxUnit {
    #[inline(always)]
    unsafe fn square(
        weights: *const u8,
        stride: usize,
        x: [*const i8; 2],
        columns: usize,
        sums: &mut Sums,
        fresh: bool,
    ) {
        // SAFETY: the caller's contract; `fit` let no other groups pass.
        unsafe { tiles::square(weights, stride, x, columns, sums, fresh) };
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn add_square<const BITS: u32>(
        sums: &Sums,
        rows: &Rows<'_>,
        tokens: &PackedTokens<'_>,
        first: bool,
        totals: *mut [f32; LANES],
    ) {
        // SAFETY: the caller's contract.
        unsafe { avx512vnni::add_square::<BITS>(sums, rows, tokens, first, totals) };
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn write<const BITS: u32>(
        totals: *const [f32; LANES],
        rows: usize,
        tokens: usize,
        to: *mut f32,
        stride: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            match BITS {
                4 => avx512vnni::transpose16::<16>(totals, rows, tokens, to, stride),
                _ => avx512vnni::transpose16::<32>(totals.cast(), rows, tokens, to, stride),
            }
        }
    }
}
