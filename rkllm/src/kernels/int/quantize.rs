//! Activation quantisers, portable: the kernels compile them under their own target features, where
//! the loops become vector code.

use super::{Activations8, Activations16};

/// The smallest scale, 2^-23.
pub(super) const MIN_SCALE: f32 = f32::EPSILON;
/// The largest magnitude of a 16-bit activation: 127 * 256 + 127, so that both planes fit int8.
pub(super) const MAX16: f32 = 32639.0;

impl Activations8 {
    /// Gives every array the size for `m` tokens; what they hold is stale.
    pub(super) fn resize(&mut self, values: usize, k: usize, group: usize) {
        assert!(k != 0 && values.is_multiple_of(k), "{values} values are no rows of {k}");
        assert!(group != 0 && k.is_multiple_of(group), "groups of {group} do not divide {k}");
        (self.m, self.k, self.group) = (values / k, k, group);
        self.stride = k.next_multiple_of(64);
        self.q.resize(self.m * self.stride, 0);
        self.scales.resize(self.m * (k / group), 0.0);
        self.sums.resize(self.m * (k / group), 0);
    }
}

impl Activations16 {
    /// Gives every array the size for `m` tokens; what they hold is stale.
    pub(super) fn resize(&mut self, values: usize, k: usize, group: usize) {
        assert!(k != 0 && values.is_multiple_of(k), "{values} values are no rows of {k}");
        assert!(group != 0 && k.is_multiple_of(group), "groups of {group} do not divide {k}");
        assert!(
            group.is_multiple_of(2) || group == k,
            "a group of {group} columns ends inside a byte"
        );
        (self.m, self.k, self.group) = (values / k, k, group);
        self.half = k.div_ceil(2).next_multiple_of(64);
        self.planes.resize(self.m * 4 * self.half, 0);
        self.scales.resize(self.m * (k / group), 0.0);
        self.sums.resize(self.m * (k / group), [0; 2]);
    }
}

/// [`super::IntProducts::quantize8`].
#[inline(always)]
pub(super) fn quantize8(x: &[f32], k: usize, group: usize, out: &mut Activations8) {
    out.resize(x.len(), k, group);
    let groups = k / group;
    for (m, token) in x.chunks_exact(k).enumerate() {
        let row = &mut out.q[m * out.stride..(m + 1) * out.stride];
        row[k..].fill(0);
        for (g, values) in token.chunks_exact(group).enumerate() {
            let scale = scale_for(values, 127.5);
            let mut sum = 0;
            for (q, &value) in row[g * group..].iter_mut().zip(values) {
                let rounded = round_within(value / scale, -128.0, 127.0);
                *q = rounded as i8;
                sum += i32::from(rounded as i8);
            }
            out.scales[m * groups + g] = scale;
            out.sums[m * groups + g] = sum;
        }
    }
}

/// [`super::IntProducts::quantize16`].
#[inline(always)]
pub(super) fn quantize16(x: &[f32], k: usize, group: usize, out: &mut Activations16) {
    out.resize(x.len(), k, group);
    let (groups, half) = (k / group, out.half);
    for (m, token) in x.chunks_exact(k).enumerate() {
        let row = &mut out.planes[m * 4 * half..(m + 1) * 4 * half];
        let (low, high) = row.split_at_mut(2 * half);
        let (low_even, low_odd) = low.split_at_mut(half);
        let (high_even, high_odd) = high.split_at_mut(half);
        for array in [&mut *low_even, &mut *high_even] {
            array[k.div_ceil(2)..].fill(0);
        }
        for array in [&mut *low_odd, &mut *high_odd] {
            array[k / 2..].fill(0);
        }
        for (g, values) in token.chunks_exact(group).enumerate() {
            let scale = scale_for(values, MAX16);
            let mut sums = [0i32; 2];
            let mut split = |value: f32| {
                let rounded = round_within(value / scale, -MAX16, MAX16);
                let low = rounded as i8;
                let high = ((rounded - i32::from(low)) >> 8) as i8;
                sums[0] += i32::from(low);
                sums[1] += i32::from(high);
                (low, high)
            };
            let first = g * group / 2;
            let pairs = group / 2;
            let even = low_even[first..first + pairs].iter_mut();
            let even = even.zip(&mut high_even[first..first + pairs]);
            let odd = low_odd[first..first + pairs].iter_mut();
            let odd = odd.zip(&mut high_odd[first..first + pairs]);
            for ((even, odd), pair) in even.zip(odd).zip(values.chunks_exact(2)) {
                (*even.0, *even.1) = split(pair[0]);
                (*odd.0, *odd.1) = split(pair[1]);
            }
            if !group.is_multiple_of(2) {
                (low_even[first + pairs], high_even[first + pairs]) = split(values[group - 1]);
            }
            out.scales[m * groups + g] = scale;
            out.sums[m * groups + g] = sums;
        }
    }
}

/// The scale that maps the largest magnitude to `limit`. It is NaN or infinite if a value is.
#[inline(always)]
fn scale_for(values: &[f32], limit: f32) -> f32 {
    // Magnitudes order like their bit patterns, and an integer maximum may be taken in any order.
    let amax =
        values.iter().fold(0i32, |max, value| max.max((value.to_bits() & 0x7fff_ffff) as i32));
    let scale = f32::from_bits(amax as u32) / limit;
    if scale < MIN_SCALE { MIN_SCALE } else { scale }
}

/// `value` clamped to `[low, high]`, then rounded half to even. The bounds are integers, so the order of
/// the two does not matter.
#[inline(always)]
fn round_within(value: f32, low: f32, high: f32) -> i32 {
    let value = if value < low { low } else { value };
    let value = if value > high { high } else { value };
    // Above 2^23 a float has no fraction bits left: adding 1.5 * 2^23 rounds, half to even, and leaves
    // the integer in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    ((value + MAGIC).to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32)
}
