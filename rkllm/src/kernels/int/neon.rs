//! NEON with the dot product instructions: Cortex-A76 and A55 of the RK3588, and every Arm server.
//!
//! `sdot` is spelled in assembler because its intrinsic is not stable.

mod w4a16;
mod w8a8;

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use super::blocks::{BLOCK, GroupBlock};
use super::quantize;
use super::scalar::Scalar;
use super::weights::Weights;
use super::{Activations8, Activations16, IntProducts};
use crate::kernels::ColumnsAt;
use crate::quant::QuantizedRows;

/// Exists only where [`Neon::detect`] found the instructions.
#[derive(Debug)]
pub(super) struct Neon(());

impl Neon {
    /// The kernel, if this CPU runs it.
    pub(super) fn detect() -> Option<&'static Self> {
        let runs = std::arch::is_aarch64_feature_detected!("neon")
            && std::arch::is_aarch64_feature_detected!("dotprod");
        runs.then_some(&Self(()))
    }
}

impl IntProducts for Neon {
    fn quantize8(&self, x: &[f32], k: usize, group: usize, out: &mut Activations8) {
        // NEON belongs to the baseline, so this is vector code as it is.
        quantize::quantize8(x, k, group, out);
    }

    fn quantize16(&self, x: &[f32], k: usize, group: usize, out: &mut Activations16) {
        quantize::quantize16(x, k, group, out);
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

/// Adds the products of four neighbouring bytes to each lane.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the instruction reads and writes these registers alone.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Four f16, the bits of which are in the low half of each pair of bytes, as f32.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn f16_to_f32(halves: uint16x4_t) -> float32x4_t {
    let floats: float32x4_t;
    // SAFETY: the instruction reads and writes these registers alone.
    unsafe {
        asm!(
            "fcvtl {floats:v}.4s, {halves:v}.4h",
            floats = lateout(vreg) floats,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    floats
}

/// 16 bytes from memory.
///
/// # Safety
/// `from` is valid for reading 16 bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn load(from: *const i8) -> int8x16_t {
    // SAFETY: the caller's contract.
    unsafe { vld1q_s8(from) }
}

/// The next `count` bytes, at most 16, then zeros.
///
/// # Safety
/// `from` is valid for reading `count` bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn load_part(from: *const i8, count: usize) -> int8x16_t {
    if count >= 16 {
        // SAFETY: the caller's contract.
        return unsafe { load(from) };
    }
    let mut bytes = [0i8; 16];
    // SAFETY: `count` bytes are valid and fit.
    unsafe {
        bytes.as_mut_ptr().copy_from_nonoverlapping(from, count);
        load(bytes.as_ptr())
    }
}

/// Lane `i` of the result is the sum of the lanes of `v[i]`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sum_each(v: [int32x4_t; 4]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]))
}

/// `fma(f32(sums - zeros * activations), scales, total)`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn accumulate(
    sums: int32x4_t,
    zeros: int32x4_t,
    activations: i32,
    scales: float32x4_t,
    total: float32x4_t,
) -> float32x4_t {
    let sums = vmlsq_n_s32(sums, zeros, activations);
    vfmaq_f32(total, vcvtq_f32_s32(sums), scales)
}

/// The same for the low and the high plane: `fma(fma(f32(high), 256, f32(low)), scales, total)`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn accumulate16(
    [low, high]: [int32x4_t; 2],
    zeros: int32x4_t,
    activations: [i32; 2],
    scales: float32x4_t,
    total: float32x4_t,
) -> float32x4_t {
    let low = vcvtq_f32_s32(vmlsq_n_s32(low, zeros, activations[0]));
    let high = vcvtq_f32_s32(vmlsq_n_s32(high, zeros, activations[1]));
    vfmaq_f32(total, vfmaq_f32(low, high, vdupq_n_f32(256.0)), scales)
}

/// Writes the first `count` lanes.
///
/// # Safety
/// `to` is valid for writing `count` f32.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn store(to: *mut f32, lanes: float32x4_t, count: usize) {
    let mut all = [0.0f32; 4];
    // SAFETY: four f32 fit `all`, `count` of them `to` by the caller's contract.
    unsafe {
        vst1q_f32(all.as_mut_ptr(), lanes);
        to.copy_from_nonoverlapping(all.as_ptr(), count.min(4));
    }
}

impl GroupBlock {
    /// Fetches groups `g0..g0 + count` of the eight rows.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn fetch(&mut self, w: &Weights<'_>, rows: &[usize; 8], g0: usize, count: usize) {
        self.fetch_with(w, rows, g0, count, |starts, scales| {
            // SAFETY: `fetch_with` checked that 16 bytes are left.
            unsafe { transpose(starts, scales) };
        });
    }

    /// The scales of outputs `4 * half` to `4 * half + 3` for group `g` of the block, times `factor`.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn scales(&self, g: usize, half: usize, factor: f32) -> float32x4_t {
        // SAFETY: four f32.
        vmulq_n_f32(unsafe { vld1q_f32(self.scales[g][4 * half..][..4].as_ptr()) }, factor)
    }

    /// The zero points of the same outputs.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn zeros(&self, g: usize, half: usize) -> int32x4_t {
        // SAFETY: four i32.
        unsafe { vld1q_s32(self.zeros[g][4 * half..][..4].as_ptr()) }
    }
}

/// Eight f16 of each row, as f32, transposed.
///
/// # Safety
/// Every pointer is valid for reading 16 bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn transpose(rows: &[*const u8; 8], scales: &mut [[f32; 8]; BLOCK]) {
    for (half, rows) in rows.chunks_exact(4).enumerate() {
        let mut low = [vdupq_n_f32(0.0); 4];
        let mut high = low;
        for (i, row) in rows.iter().enumerate() {
            // SAFETY: the caller's contract.
            let halves = vreinterpretq_u16_u8(unsafe { vld1q_u8(*row) });
            low[i] = f16_to_f32(vget_low_u16(halves));
            high[i] = f16_to_f32(vget_high_u16(halves));
        }
        for (first, v) in [(0, low), (4, high)] {
            let (a, b) = (vtrn1q_f32(v[0], v[1]), vtrn2q_f32(v[0], v[1]));
            let (c, d) = (vtrn1q_f32(v[2], v[3]), vtrn2q_f32(v[2], v[3]));
            let wide = |a, b| (vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b));
            let ((a, c), (b, d)) = (wide(a, c), wide(b, d));
            let columns = [vtrn1q_f64(a, c), vtrn1q_f64(b, d), vtrn2q_f64(a, c), vtrn2q_f64(b, d)];
            for (i, column) in columns.into_iter().enumerate() {
                let to = scales[first + i][4 * half..][..4].as_mut_ptr();
                // SAFETY: four f32.
                unsafe { vst1q_f32(to, vreinterpretq_f32_f64(column)) };
            }
        }
    }
}
