//! The reference: `NUMERICS.md`, statement by statement. It judges every other kernel.

use std::ops::Range;

use super::quantize::{MAX16, MIN_SCALE};
use super::weights::Weights;
use super::{Activations8, Activations16, IntProducts, Places8, Places16};
use crate::kernels::ColumnsAt;
use crate::quant::QuantizedRows;

/// Plain Rust for any CPU.
#[derive(Debug)]
pub(super) struct Scalar;

impl IntProducts for Scalar {
    fn prefill_bytes(&self, _bits: u32, _k: usize, _group: usize) -> usize {
        0
    }

    unsafe fn quantize8_block(&self, x: &[f32], places: &Places8<'_>, block: usize) {
        let (k, group, stride) = (places.k, places.group, places.stride);
        // SAFETY: the caller's contract.
        let out = unsafe { places.block(block) };
        out.q.fill(0);
        for (m, token) in x[out.tokens.start * k..out.tokens.end * k].chunks_exact(k).enumerate() {
            for (g, values) in token.chunks_exact(group).enumerate() {
                let scale = at_least_min(amax(values) / 127.5);
                let mut sum = 0;
                for (i, value) in values.iter().enumerate() {
                    let q = (value / scale).round_ties_even().clamp(-128.0, 127.0) as i8;
                    out.q[m * stride + g * group + i] = q;
                    sum += i32::from(q);
                }
                out.scales[m * (k / group) + g] = scale;
                out.sums[m * (k / group) + g] = sum;
            }
        }
    }

    unsafe fn quantize16_block(&self, x: &[f32], places: &Places16<'_>, block: usize) {
        let (k, group, half) = (places.k, places.group, places.half);
        // SAFETY: the caller's contract.
        let out = unsafe { places.block(block) };
        out.planes.fill(0);
        for (m, token) in x[out.tokens.start * k..out.tokens.end * k].chunks_exact(k).enumerate() {
            for (g, values) in token.chunks_exact(group).enumerate() {
                let scale = at_least_min(amax(values) / MAX16);
                let mut sums = [0; 2];
                for (i, value) in values.iter().enumerate() {
                    let q = (value / scale).round_ties_even().clamp(-MAX16, MAX16) as i32;
                    let low = q as i8;
                    let high = ((q - i32::from(low)) / 256) as i8;
                    let column = g * group + i;
                    let even = m * 4 * half + column % 2 * half + column / 2;
                    out.planes[even] = low;
                    out.planes[even + 2 * half] = high;
                    sums[0] += i32::from(low);
                    sums[1] += i32::from(high);
                }
                out.scales[m * (k / group) + g] = scale;
                out.sums[m * (k / group) + g] = sums;
            }
        }
    }

    unsafe fn w8a8(
        &self,
        x: &Activations8,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    ) {
        let w = Weights::w8a8(x, w, &rows, &y);
        for n in rows {
            for m in 0..x.m {
                let token = &x.q[m * x.stride..][..x.k];
                let mut total = 0.0f32;
                for (g, (row, token)) in
                    w.row(n).chunks_exact(w.group).zip(token.chunks_exact(w.group)).enumerate()
                {
                    let at = m * w.groups + g;
                    let s = sum8(row, token) - w.zero(n, g) * x.sums[at];
                    total = (s as f32).mul_add(w.scale(n, g) * x.scales[at], total);
                }
                // SAFETY: in bounds as `Weights::w8a8` checked; the caller keeps the columns unshared.
                unsafe { y.write(m, n, total) };
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
        let w = Weights::w4a16(x, w, &rows, &y);
        for n in rows {
            for m in 0..x.m {
                let mut total = 0.0f32;
                for g in 0..w.groups {
                    let at = m * w.groups + g;
                    // Stored values and zero points are both 8 too high, so their difference is right.
                    let plane = |p: usize| {
                        let sum = sum4(&w, n, g, &x.planes[(4 * m + 2 * p) * x.half..], x.half);
                        sum - w.zero(n, g) * x.sums[at][p]
                    };
                    let (low, high) = (plane(0), plane(1));
                    let s = (high as f32).mul_add(256.0, low as f32);
                    total = s.mul_add(w.scale(n, g) * x.scales[at], total);
                }
                // SAFETY: in bounds as `Weights::w4a16` checked; the caller keeps the columns unshared.
                unsafe { y.write(m, n, total) };
            }
        }
    }
}

fn sum8(row: &[u8], token: &[i8]) -> i32 {
    row.iter().zip(token).map(|(&w, &x)| i32::from(w as i8) * i32::from(x)).sum()
}

/// The products of group `g` of row `n` with one plane: `half` even columns, then the odd ones.
fn sum4(w: &Weights<'_>, n: usize, g: usize, plane: &[i8], half: usize) -> i32 {
    // A group begins in the low nibble of a byte; one that ends there is the row's last.
    let (first, end) = (g * w.group / 2, ((g + 1) * w.group).div_ceil(2));
    let (even, odd) = (&plane[first..end], &plane[half + first..half + end]);
    let bytes = w.row(n)[first..end].iter();
    let pairs = bytes.zip(even.iter().zip(odd));
    // Beyond an odd K the plane holds a zero.
    pairs
        .map(|(&u, (&even, &odd))| {
            i32::from(u & 15) * i32::from(even) + i32::from(u >> 4) * i32::from(odd)
        })
        .sum()
}

/// The largest magnitude; NaN if a value is NaN.
fn amax(values: &[f32]) -> f32 {
    values.iter().fold(
        0.0f32,
        |max, value| {
            if value.abs() > max || value.is_nan() { value.abs() } else { max }
        },
    )
}

fn at_least_min(scale: f32) -> f32 {
    if scale < MIN_SCALE { MIN_SCALE } else { scale }
}
