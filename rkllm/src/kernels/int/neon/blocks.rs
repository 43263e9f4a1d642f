//! Scales and zero points of eight rows, several groups at a time.

use std::arch::aarch64::*;

use super::super::blocks::{BLOCK, GroupBlock};
use super::super::scales::ScaleBytes;
use super::super::weights::{Weights, Zeros};
use super::vectors::f16_to_f32;

/// Where the scales of eight rows are, looked up once for all their groups.
pub(super) struct ScaleRows {
    starts: [*const u8; 8],
    /// Groups before this one may be fetched eight at a time.
    end: usize,
}

impl ScaleRows {
    #[inline]
    pub(super) fn new(w: &Weights<'_>, rows: &[usize; 8]) -> Self {
        let (ScaleBytes::F16(bytes), Zeros::All(_)) = (w.scales, w.zeros) else {
            return Self { starts: [std::ptr::null(); 8], end: 0 };
        };
        let starts = rows.map(|n| bytes[2 * n * w.groups..].as_ptr());
        let last = rows.iter().max().expect("eight rows") * w.groups;
        // Eight from there on are 16 bytes, which the end of the tensor may cut off.
        let end = (bytes.len() / 2).saturating_sub(last + 7).min(w.groups);
        Self { starts, end }
    }
}

impl GroupBlock {
    /// Fetches groups `g0..g0 + count` of the eight rows.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    pub(super) fn fetch(
        &mut self,
        w: &Weights<'_>,
        rows: &[usize; 8],
        scale_rows: &ScaleRows,
        g0: usize,
        count: usize,
    ) {
        if count > 1 && g0 < scale_rows.end {
            // SAFETY: before `end` there are 16 bytes.
            unsafe { turn_scales(&scale_rows.starts, 2 * g0, &mut self.scales) };
        } else {
            self.fetch_with(w, rows, g0, count, |starts, scales| {
                // SAFETY: `fetch_with` checked that 16 bytes are left.
                unsafe { turn_scales(starts, 0, scales) };
            });
        }
    }

    /// The scales of outputs `4 * half` to `4 * half + 3` for group `g` of the block, times `factor`.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    pub(super) fn scales(&self, g: usize, half: usize, factor: f32) -> float32x4_t {
        debug_assert!(g < BLOCK && half < 2);
        // SAFETY: four f32 of the block.
        vmulq_n_f32(
            unsafe { vld1q_f32(self.scales.as_ptr().cast::<f32>().add(8 * g + 4 * half)) },
            factor,
        )
    }

    /// The zero points of the same outputs.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    pub(super) fn zeros(&self, g: usize, half: usize) -> int32x4_t {
        debug_assert!(g < BLOCK && half < 2);
        // SAFETY: four i32 of the block.
        unsafe { vld1q_s32(self.zeros.as_ptr().cast::<i32>().add(8 * g + 4 * half)) }
    }
}

/// Eight f16 at byte `at` of each row, as f32, transposed: as f16, half as many to turn.
///
/// A function of its own, by whose name `benches/mca/arm.sh` finds it.
///
/// # Safety
/// Every pointer is valid for reading 16 bytes at `at`.
#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn turn_scales(rows: &[*const u8; 8], at: usize, scales: &mut [[f32; 8]; BLOCK]) {
    let mut pairs = [vdupq_n_u32(0); 8];
    for (i, two) in rows.as_chunks::<2>().0.iter().enumerate() {
        // SAFETY: the caller's contract.
        let (a, b) = unsafe { (vld1q_u8(two[0].add(at)), vld1q_u8(two[1].add(at))) };
        let (a, b) = (vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b));
        // Groups 0, 2, 4, 6 and 1, 3, 5, 7 of two rows.
        pairs[i] = vreinterpretq_u32_u16(vtrn1q_u16(a, b));
        pairs[4 + i] = vreinterpretq_u32_u16(vtrn2q_u16(a, b));
    }
    for (odd, pairs) in pairs.as_chunks::<4>().0.iter().enumerate() {
        let wide = |four| vreinterpretq_u64_u32(four);
        let ends = |a, b| (wide(vtrn1q_u32(a, b)), wide(vtrn2q_u32(a, b)));
        let ((g0, g2), (h0, h2)) = (ends(pairs[0], pairs[1]), ends(pairs[2], pairs[3]));
        for (g, a, b) in [(0, g0, h0), (2, g2, h2)] {
            for (g, eight) in [(g, vtrn1q_u64(a, b)), (g + 4, vtrn2q_u64(a, b))] {
                let eight = vreinterpretq_u16_u64(eight);
                let to = scales[g + odd].as_mut_ptr();
                // SAFETY: eight f32.
                unsafe {
                    vst1q_f32(to, f16_to_f32(vget_low_u16(eight)));
                    vst1q_f32(to.add(4), f16_to_f32(vget_high_u16(eight)));
                }
            }
        }
    }
}
