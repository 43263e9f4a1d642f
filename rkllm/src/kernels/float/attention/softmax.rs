//! Softmax in two steps: exponentials and their sum, then the quotients.

use crate::kernels::float::lanes::Lanes;
use crate::kernels::float::ops::exp_below;

/// Softmax in place of a row whose first element stands at a multiple of 16, for what `-inf` marks
/// as unseen becomes 0, and adds nothing to the sum: adding +0 to a sum of positive terms leaves it as it is.
///
/// # Safety
/// `row` is a whole number of lines; the processor has the instructions of `L`.
#[inline(always)]
pub(crate) unsafe fn softmax<L: Lanes>(row: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe {
        let total = exponentials::<L>(row);
        Divisor::new(total).divide::<L>(row);
    }
}

/// Replaces each element by `exp(x - max)`, and gives their `sum16`.
///
/// # Safety
/// As [`softmax`].
#[inline(always)]
pub(super) unsafe fn exponentials<L: Lanes>(row: &mut [f32]) -> f32 {
    let (blocks, _) = row.as_chunks_mut::<16>();
    // SAFETY: blocks have 16 elements.
    unsafe {
        let minus = L::splat(-largest::<L>(blocks));
        let mut sum = L::splat(0.0);
        for block in blocks {
            let e = exp_below(L::load(block.as_ptr()).add(minus));
            e.store(block.as_mut_ptr());
            sum = sum.add(e);
        }
        sum.sum()
    }
}

/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
unsafe fn largest<L: Lanes>(blocks: &[[f32; 16]]) -> f32 {
    let (fours, rest) = blocks.as_chunks::<4>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    // SAFETY: blocks have 16 elements.
    unsafe {
        let mut most = [L::load(lanes.as_ptr()); 4];
        for four in fours {
            for (most, block) in most.iter_mut().zip(four) {
                *most = most.max(L::load(block.as_ptr()));
            }
        }
        for block in rest {
            most[0] = most[0].max(L::load(block.as_ptr()));
        }
        let [a, b, c, d] = most;
        a.max(b).max(c.max(d)).store(lanes.as_mut_ptr());
    }
    lanes.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m })
}

/// A divisor of many numbers, each quotient rounded as a division rounds it.
///
/// With `y` the reciprocal, correctly rounded, `q = e * y` is within 1.5 units in the last place of `e / t`.
/// One step `q + y * (e - q * t)` makes it one of the two neighbours of `e / t`; then the remainder
/// `e - q * t` is exact, and by Markstein's theorem a second step gives `e / t` correctly rounded. This holds
/// while nothing underflows: for quotients and remainders of `e >= 2^-96` by `1 <= t <= 2^24`.
/// Everything else is divided.
#[derive(Clone, Copy)]
pub(super) struct Divisor {
    total: f32,
    /// The smallest dividend of the two steps; NaN for a divisor that they do not suit.
    least: f32,
}

/// 2^-96.
const LEAST: f32 = f32::from_bits((127 - 96) << 23);
/// 2^24.
const MOST: f32 = 16_777_216.0;

impl Divisor {
    #[inline(always)]
    pub(super) fn new(total: f32) -> Self {
        let suits = (1.0..=MOST).contains(&total);
        Self { total, least: if suits { LEAST } else { f32::NAN } }
    }

    /// Divides whole lines of numbers that are 0 or more in place.
    ///
    /// # Safety
    /// `row` is a whole number of lines; the processor has the instructions of `L`.
    #[inline(always)]
    pub(super) unsafe fn divide<L: Lanes>(self, row: &mut [f32]) {
        let (blocks, _) = row.as_chunks_mut::<16>();
        let (fours, rest) = blocks.as_chunks_mut::<4>();
        // SAFETY: blocks have 16 elements.
        unsafe {
            for four in fours {
                self.divide_lines::<L, 4>(four);
            }
            for block in rest {
                self.divide_lines::<L, 1>(std::array::from_mut(block));
            }
        }
    }

    /// # Safety
    /// The processor has the instructions of `L`.
    #[inline(always)]
    unsafe fn divide_lines<L: Lanes, const N: usize>(self, lines: &mut [[f32; 16]; N]) {
        // SAFETY: lines have 16 elements.
        unsafe {
            let total = L::splat(self.total);
            let mut e = [total; N];
            for (e, line) in e.iter_mut().zip(lines.iter()) {
                *e = L::load(line.as_ptr());
            }
            let mut least = e[0];
            for &e in &e[1..] {
                least = least.min(e);
            }
            if least.any_below(self.least) {
                for (&e, line) in e.iter().zip(lines) {
                    e.div(total).store(line.as_mut_ptr());
                }
                return;
            }
            let (reciprocal, minus) = (L::splat(1.0 / self.total), L::splat(-self.total));
            for (&e, line) in e.iter().zip(lines) {
                let q = e.mul(reciprocal);
                let q = q.fma(minus, e).fma(reciprocal, q);
                let q = q.fma(minus, e).fma(reciprocal, q);
                q.store(line.as_mut_ptr());
            }
        }
    }
}
