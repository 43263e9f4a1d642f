//! C = A x B.
//!
//! | A x B | rule |
//! |---|---|
//! | integers | sums in int32, exact; then by the type of C, see [`finish`] |
//! | floats | products are exact in float32; they are added in float32, k ascending, and the sum is rounded once to C's type |
//! | float x integer | as floats with (b - zero point), per group of k; y = fma(sum of group, scale, y), groups ascending, from y = 0; rounded once to C's type |

use half::{bf16, f16};

use super::element::Element;
use super::quant::{Granularity, Params};
use super::{Answer, zeros};

/// What to compute.
pub(super) struct Product<'a> {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) b: Element,
    pub(super) c: Element,
    pub(super) granularity: Granularity,
    /// Of A, B and C.
    pub(super) params: &'a [Params; 3],
}

/// Rows of B that are multiplied by every row of A before the next: they stay in the cache.
const ROWS: usize = 16;
/// Columns of C that are summed at a time: they stay in registers.
const COLUMNS: usize = 32;

impl Product<'_> {
    fn group(&self) -> usize {
        match self.granularity {
            Granularity::Group(size) => size,
            _ => self.k,
        }
    }

    /// Where the scale of column `n` and group `g` stands.
    fn place(&self, n: usize, g: usize) -> usize {
        match self.granularity {
            Granularity::Layer => 0,
            Granularity::Channel => n,
            Granularity::Group(_) => g * self.n + n,
        }
    }

    /// Of A (M, K) and B (N, K): C (M, N), each value in the low bits of a word.
    pub(super) fn integers(&self, a: &[i8], b: &[i8]) -> Answer<Vec<u32>> {
        let Self { m, k, n, .. } = *self;
        let mut c = zeros(m * n)?;
        let largest = self.params[1].scales.iter().fold(0.0_f32, |most, s| most.max(s.abs()));
        for from in (0..n).step_by(ROWS) {
            for row in 0..m {
                let a = &a[row * k..][..k];
                for column in from..(from + ROWS).min(n) {
                    let b = &b[column * k..][..k];
                    c[row * n + column] = match self.c {
                        Element::I32 | Element::I16 => self.raw(dot(a, b), column, largest),
                        _ => self.scaled(a, b, column),
                    };
                }
            }
        }
        Ok(c)
    }

    /// int32: the sum, with int8's scales per channel weighed by the largest of them, half to even. int16: its
    /// low bits.
    fn raw(&self, sum: i32, column: usize, largest: f32) -> u32 {
        let weighed = self.b == Element::I8
            && self.c == Element::I32
            && self.granularity == Granularity::Channel;
        if !weighed || largest == 0.0 {
            return sum.cast_unsigned();
        }
        let weight = self.params[1].scale(column) / largest;
        ((f64::from(sum) * f64::from(weight)).round_ties_even() as i32).cast_unsigned()
    }

    /// int8, float32 and float16: sums without zero points, scales, zero point and rounding of C.
    fn scaled(&self, a: &[i8], b: &[i8], column: usize) -> u32 {
        let [of_a, of_b, of_c] = self.params;
        let (size, scale_a, zero_a) = (self.group(), of_a.scale(0), of_a.zero(0));
        let groups = a.chunks(size).zip(b.chunks(size)).enumerate();
        let sums = groups.map(|(g, (a, b))| {
            let place = self.place(column, g);
            let zero_b = of_b.zero(place);
            let sum =
                if (zero_a, zero_b) == (0, 0) { dot(a, b) } else { dot_from(a, zero_a, b, zero_b) };
            (sum, of_b.scale(place))
        });
        if self.c == Element::I8 {
            let real: f64 = sums
                .map(|(sum, scale)| f64::from(sum) * (f64::from(scale_a) * f64::from(scale)))
                .sum();
            let q = (real / f64::from(of_c.scale(0))).round_ties_even() + f64::from(of_c.zero(0));
            return (q.clamp(-128.0, 127.0) as i8).cast_unsigned().into();
        }
        let real = sums.fold(0.0_f32, |y, (sum, scale)| (sum as f32).mul_add(scale * scale_a, y));
        finish(real, self.c)
    }

    /// Of A (M, K) and B (K, N), floats already: C (M, N), each value in the low bits of a word.
    pub(super) fn floats(&self, a: &[f32], b: &mut [f32], scaled: bool) -> Answer<Vec<u32>> {
        let Self { m, k, n, .. } = *self;
        let [of_a, of_b, _] = self.params;
        let size = self.group();
        if scaled && !of_b.zeros.is_empty() {
            for (row, b) in b.chunks_exact_mut(n).enumerate() {
                for (column, b) in b.iter_mut().enumerate() {
                    *b -= of_b.zero(self.place(column, row / size)) as f32;
                }
            }
        }
        let mut c = zeros(m * n)?;
        for from in (0..n).step_by(COLUMNS) {
            let width = COLUMNS.min(n - from);
            for row in 0..m {
                let mut y = [0.0_f32; COLUMNS];
                for (g, a) in a[row * k..][..k].chunks(size).enumerate() {
                    let sums = columns(a, &b[g * size * n + from..], n, width);
                    for (i, (y, sum)) in y.iter_mut().zip(sums).take(width).enumerate() {
                        *y = match scaled {
                            true => {
                                let scale = of_b.scale(self.place(from + i, g)) * of_a.scale(0);
                                sum.mul_add(scale, *y)
                            }
                            false => sum,
                        };
                    }
                }
                for (c, y) in c[row * n + from..][..width].iter_mut().zip(y) {
                    *c = finish(y, self.c);
                }
            }
        }
        Ok(c)
    }
}

/// A float32 as C's type, half to even.
fn finish(value: f32, c: Element) -> u32 {
    match c {
        Element::F16 => f16::from_f32(value).to_bits().into(),
        Element::Bf16 => bf16::from_f32(value).to_bits().into(),
        _ => value.to_bits(),
    }
}

/// At most 10240 products of int8: never beyond int32.
fn dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// The same with zero points of int8.
fn dot_from(a: &[i8], zero_a: i32, b: &[i8], zero_b: i32) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| (i32::from(a) - zero_a) * (i32::from(b) - zero_b)).sum()
}

/// Sums over k of `a[k] * b[k * n + i]` for `width` columns i, k ascending.
fn columns(a: &[f32], b: &[f32], n: usize, width: usize) -> [f32; COLUMNS] {
    let mut sums = [0.0_f32; COLUMNS];
    for (a, b) in a.iter().zip(b.chunks(n)) {
        if let Some(b) = b.first_chunk::<COLUMNS>().filter(|_| width == COLUMNS) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += a * b;
            }
        } else {
            for (sum, b) in sums.iter_mut().zip(&b[..width]) {
                *sum += a * b;
            }
        }
    }
    sums
}
