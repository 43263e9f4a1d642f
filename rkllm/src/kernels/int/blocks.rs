//! Scales and zero points of eight outputs for several groups at once, turned so that a group's lie side by
//! side.

use super::scales::ScaleBytes;
use super::weights::{Weights, Zeros};

/// Groups whose scales are fetched at once.
pub(super) const BLOCK: usize = 8;

/// The scales and zero points of eight outputs for up to [`BLOCK`] groups, `[group][output]`.
#[derive(Debug)]
#[repr(C, align(32))]
pub(super) struct GroupBlock {
    pub(super) scales: [[f32; 8]; BLOCK],
    pub(super) zeros: [[i32; 8]; BLOCK],
}

impl GroupBlock {
    pub(super) fn new(w: &Weights<'_>) -> Self {
        let zero = if let Zeros::All(zero) = w.zeros { zero } else { 0 };
        Self { scales: [[0.0; 8]; BLOCK], zeros: [[zero; 8]; BLOCK] }
    }

    /// Fetches groups `g0..g0 + count` of the eight rows. `transpose` turns eight f16 at each of eight pointers
    /// into f32 `[f16][pointer]`.
    #[inline(always)]
    pub(super) fn fetch_with(
        &mut self,
        w: &Weights<'_>,
        rows: &[usize; 8],
        g0: usize,
        count: usize,
        transpose: impl FnOnce(&[*const u8; 8], &mut [[f32; 8]; BLOCK]),
    ) {
        // An 8 x 8 block is read 16 bytes a row; only the end of the tensor can forbid that.
        let mut last = 0;
        for &n in rows {
            last = last.max(n * w.groups + g0);
        }
        match w.scales {
            ScaleBytes::F16(bytes) if count > 1 && bytes.len() >= 2 * last + 16 => {
                let mut starts = [bytes.as_ptr(); 8];
                for (start, n) in starts.iter_mut().zip(rows) {
                    *start = start.wrapping_add(2 * (n * w.groups + g0));
                }
                transpose(&starts, &mut self.scales);
            }
            _ => {
                for (g, scales) in self.scales[..count].iter_mut().enumerate() {
                    for (scale, &n) in scales.iter_mut().zip(rows) {
                        *scale = w.scale(n, g0 + g);
                    }
                }
            }
        }
        if !matches!(w.zeros, Zeros::All(_)) {
            for (g, zeros) in self.zeros[..count].iter_mut().enumerate() {
                for (zero, &n) in zeros.iter_mut().zip(rows) {
                    *zero = w.zero(n, g0 + g);
                }
            }
        }
    }
}
