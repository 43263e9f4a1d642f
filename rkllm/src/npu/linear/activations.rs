//! Quantised inputs as rows of A, and what becomes of the sums.

use std::ops::Range;

use super::Scratch;
use super::split::Slice;
use super::weights::Parts;
use crate::kernels::int::{Activations8, Activations16, IntProducts};

/// The inputs of one call, quantised as the CPU's are.
pub(super) enum Quantized {
    Eight(Activations8),
    Sixteen(Activations16),
}

impl Quantized {
    pub(super) fn new(int: &dyn IntProducts, x: &[f32], parts: &Parts) -> Self {
        if parts.bits == 8 {
            let mut eight = Activations8::default();
            int.quantize8(x, parts.k, parts.group, &mut eight);
            Self::Eight(eight)
        } else {
            let mut sixteen = Activations16::default();
            int.quantize16(x, parts.k, parts.group, &mut sixteen);
            Self::Sixteen(sixteen)
        }
    }

    pub(super) fn tokens(&self) -> usize {
        match self {
            Self::Eight(x) => x.m,
            Self::Sixteen(x) => x.m,
        }
    }

    /// Rows of A per token.
    pub(super) fn planes(&self) -> usize {
        match self {
            Self::Eight(_) => 1,
            Self::Sixteen(_) => 2,
        }
    }

    /// The columns of a slice as `a` `[rows, slice.k]`: a row per token, or its low plane and its high one;
    /// the rest zero.
    pub(super) fn rows(&self, tokens: &Range<usize>, slice: &Slice, rows: usize, a: &mut Vec<i8>) {
        a.clear();
        a.resize(rows * slice.k, 0);
        let (first, len) = (slice.columns.start, slice.columns.len());
        let planes = self.planes();
        for (token, a) in tokens.clone().zip(a.chunks_exact_mut(slice.k * planes)) {
            match self {
                Self::Eight(x) => a[..len].copy_from_slice(&x.q[token * x.stride + first..][..len]),
                Self::Sixteen(x) => {
                    let (low, high) = a.split_at_mut(slice.k);
                    let row = &x.planes[token * 4 * x.half..][..4 * x.half];
                    for (i, (low, high)) in low[..len].iter_mut().zip(high).enumerate() {
                        let column = first + i;
                        let at = column % 2 * x.half + column / 2;
                        (*low, *high) = (row[at], row[at + 2 * x.half]);
                    }
                }
            }
        }
    }

    /// `y = fma(f32(S), scale_w * scale_x, y)` for every token and output, with S made of the sums in
    /// `scratch` `[tokens * planes, n]`.
    pub(super) fn accumulate(
        &self,
        tokens: &Range<usize>,
        group: usize,
        n: usize,
        scratch: &Scratch,
        y: &mut [f32],
    ) {
        let Scratch { sums, scales, zeros, .. } = scratch;
        let rows = sums.chunks_exact(n * self.planes()).zip(y.chunks_exact_mut(scales.len()));
        for (token, (sums, y)) in tokens.clone().zip(rows) {
            let weights = scales.iter().zip(zeros);
            match self {
                Self::Eight(x) => {
                    let at = token * (x.k / x.group) + group;
                    let (scale, total) = (x.scales[at], x.sums[at]);
                    for ((y, sum), (w, z)) in y.iter_mut().zip(sums).zip(weights) {
                        let s = sum.wrapping_sub(z.wrapping_mul(total));
                        *y = (s as f32).mul_add(w * scale, *y);
                    }
                }
                Self::Sixteen(x) => {
                    let at = token * (x.k / x.group) + group;
                    let (scale, total) = (x.scales[at], x.sums[at]);
                    let (low, high) = sums.split_at(n);
                    for (((y, low), high), (w, z)) in y.iter_mut().zip(low).zip(high).zip(weights) {
                        let low = low.wrapping_sub(z.wrapping_mul(total[0]));
                        let high = high.wrapping_sub(z.wrapping_mul(total[1]));
                        // Never combined as integers: that overflows from K = 8192.
                        let s = (high as f32).mul_add(256.0, low as f32);
                        *y = s.mul_add(w * scale, *y);
                    }
                }
            }
        }
    }
}
