//! Activation quantisers, portable: the kernels compile them under their own target features, where
//! the loops become vector code.

use std::ops::Range;
use std::slice::from_raw_parts_mut;

#[cfg(all(test, target_arch = "x86_64"))]
use super::gemm::turn_portable;
use super::gemm::{LANES, MIN_TOKENS, PackedBlock, PackedPlaces, Square, Turned};
use super::{Activations8, Activations16};
use crate::kernels::exact;

/// The smallest scale, 2^-23.
pub(super) const MIN_SCALE: f32 = f32::EPSILON;
/// The largest magnitude of a 16-bit activation: 127 * 256 + 127, so that both planes fit int8.
pub(super) const MAX16: f32 = 32639.0;

impl Activations8 {
    /// Gives every array the size for `m` tokens of `k` values; what they hold is stale until each block
    /// of the places was quantised.
    ///
    /// # Panics
    /// If `group` does not divide `k`.
    pub fn prepare(&mut self, m: usize, k: usize, group: usize) -> Places8<'_> {
        assert!(k != 0 && group != 0 && k.is_multiple_of(group), "groups of {group} in {k}");
        (self.m, self.k, self.group) = (m, k, group);
        self.stride = k.next_multiple_of(64);
        exact::resize(&mut self.q, m * self.stride, 0);
        exact::resize(&mut self.scales, m * (k / group), 0.0);
        exact::resize(&mut self.sums, m * (k / group), 0);
        self.packed.resize(if m < MIN_TOKENS { 0 } else { m }, k, k / group, 1);
        Places8 {
            m,
            k,
            group,
            stride: self.stride,
            q: self.q.as_mut_ptr(),
            scales: self.scales.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
            packed: self.packed.places(),
        }
    }
}

impl Activations16 {
    /// Gives every array the size for `m` tokens of `k` values; what they hold is stale until each block
    /// of the places was quantised.
    ///
    /// # Panics
    /// If `group` does not divide `k`, or is odd and not `k`.
    pub fn prepare(&mut self, m: usize, k: usize, group: usize) -> Places16<'_> {
        assert!(k != 0 && group != 0 && k.is_multiple_of(group), "groups of {group} in {k}");
        assert!(
            group.is_multiple_of(2) || group == k,
            "a group of {group} columns ends inside a byte"
        );
        (self.m, self.k, self.group) = (m, k, group);
        self.half = k.div_ceil(2).next_multiple_of(64);
        exact::resize(&mut self.planes, m * 4 * self.half, 0);
        exact::resize(&mut self.scales, m * (k / group), 0.0);
        exact::resize(&mut self.sums, m * (k / group), [0; 2]);
        self.packed.resize(if m < MIN_TOKENS { 0 } else { m }, k, k / group, 2);
        Places16 {
            m,
            k,
            group,
            half: self.half,
            planes: self.planes.as_mut_ptr(),
            scales: self.scales.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
            packed: self.packed.places(),
        }
    }
}

/// [`Activations8`] while its blocks of sixteen tokens are filled, each by one thread.
#[derive(Debug, Clone, Copy)]
pub struct Places8<'a> {
    m: usize,
    pub(super) k: usize,
    pub(super) group: usize,
    pub(super) stride: usize,
    q: *mut i8,
    scales: *mut f32,
    sums: *mut i32,
    packed: PackedPlaces<'a>,
}

/// [`Activations16`] while its blocks of sixteen tokens are filled, each by one thread.
#[derive(Debug, Clone, Copy)]
pub struct Places16<'a> {
    m: usize,
    pub(super) k: usize,
    pub(super) group: usize,
    pub(super) half: usize,
    planes: *mut i8,
    scales: *mut f32,
    sums: *mut [i32; 2],
    packed: PackedPlaces<'a>,
}

// SAFETY: the only way to write is the unsafe `block`, whose contract forbids races.
unsafe impl Send for Places8<'_> {}
// SAFETY: as above.
unsafe impl Sync for Places8<'_> {}
// SAFETY: as above.
unsafe impl Send for Places16<'_> {}
// SAFETY: as above.
unsafe impl Sync for Places16<'_> {}

/// One block of [`Activations8`] to fill.
pub(super) struct Block8<'a> {
    pub(super) tokens: Range<usize>,
    pub(super) q: &'a mut [i8],
    pub(super) scales: &'a mut [f32],
    pub(super) sums: &'a mut [i32],
    pub(super) packed: Option<PackedBlock<'a>>,
}

/// One block of [`Activations16`] to fill.
pub(super) struct Block16<'a> {
    pub(super) tokens: Range<usize>,
    pub(super) planes: &'a mut [i8],
    pub(super) scales: &'a mut [f32],
    pub(super) sums: &'a mut [[i32; 2]],
    pub(super) packed: Option<PackedBlock<'a>>,
}

impl<'a> Places8<'a> {
    /// How many blocks there are to fill.
    pub fn blocks(&self) -> usize {
        self.m.div_ceil(LANES)
    }

    /// Block `index`.
    ///
    /// # Safety
    /// No other borrow of this block lives.
    pub(super) unsafe fn block(&self, index: usize) -> Block8<'a> {
        let (first, tokens) = tokens(index, self.m);
        let (count, groups) = (tokens.len(), self.k / self.group);
        // SAFETY: the tokens lie in the arrays as `prepare` made them; nobody else has them.
        unsafe {
            Block8 {
                q: from_raw_parts_mut(self.q.add(first * self.stride), count * self.stride),
                scales: from_raw_parts_mut(self.scales.add(first * groups), count * groups),
                sums: from_raw_parts_mut(self.sums.add(first * groups), count * groups),
                packed: self.packed.block(index),
                tokens,
            }
        }
    }
}

impl<'a> Places16<'a> {
    /// How many blocks there are to fill.
    pub fn blocks(&self) -> usize {
        self.m.div_ceil(LANES)
    }

    /// Block `index`.
    ///
    /// # Safety
    /// No other borrow of this block lives.
    pub(super) unsafe fn block(&self, index: usize) -> Block16<'a> {
        let (first, tokens) = tokens(index, self.m);
        let (count, groups, row) = (tokens.len(), self.k / self.group, 4 * self.half);
        // SAFETY: the tokens lie in the arrays as `prepare` made them; nobody else has them.
        unsafe {
            Block16 {
                planes: from_raw_parts_mut(self.planes.add(first * row), count * row),
                scales: from_raw_parts_mut(self.scales.add(first * groups), count * groups),
                sums: from_raw_parts_mut(self.sums.add(first * groups), count * groups),
                packed: self.packed.block(index),
                tokens,
            }
        }
    }
}

/// The first token of a block, and all of them.
///
/// # Panics
/// If there is no such block.
fn tokens(block: usize, m: usize) -> (usize, Range<usize>) {
    let first = block * LANES;
    assert!(first < m, "block {block} of {m} tokens");
    (first, first..m.min(first + LANES))
}

/// [`super::IntProducts::quantize8_block`].
///
/// # Safety
/// No other borrow of this block of `places` lives.
#[cfg(all(test, target_arch = "x86_64"))]
#[inline(always)]
pub(super) unsafe fn quantize8(x: &[f32], places: &Places8<'_>, block: usize) {
    // SAFETY: the caller's contract.
    unsafe { quantize8_by(x, places, block, turn_portable) };
}

/// [`quantize8`] where `turn` packs.
///
/// # Safety
/// As [`quantize8`].
#[inline(always)]
pub(super) unsafe fn quantize8_by(
    x: &[f32],
    places: &Places8<'_>,
    block: usize,
    turn: impl Fn(&Square, &mut Turned),
) {
    let (k, group, stride) = (places.k, places.group, places.stride);
    // SAFETY: the caller's contract.
    let out = unsafe { places.block(block) };
    let groups = k / group;
    let x = &x[out.tokens.start * k..out.tokens.end * k];
    for (m, token) in x.chunks_exact(k).enumerate() {
        let row = &mut out.q[m * stride..(m + 1) * stride];
        row[k..].fill(0);
        for (g, values) in token.chunks_exact(group).enumerate() {
            let scale = scale_for(values, 127.5);
            let row = &mut row[g * group..(g + 1) * group];
            out.scales[m * groups + g] = scale;
            out.sums[m * groups + g] = match scale.is_finite() {
                true => group8::<true>(values, scale, row),
                false => group8::<false>(values, scale, row),
            };
        }
    }
    if let Some(mut packed) = out.packed {
        packed.fill8(out.q, stride, out.scales, out.sums, turn);
    }
}

/// [`super::IntProducts::quantize16_block`].
///
/// # Safety
/// No other borrow of this block of `places` lives.
#[cfg(all(test, target_arch = "x86_64"))]
#[inline(always)]
pub(super) unsafe fn quantize16(x: &[f32], places: &Places16<'_>, block: usize) {
    // SAFETY: the caller's contract.
    unsafe { quantize16_by(x, places, block, turn_portable) };
}

/// [`quantize16`] where `turn` packs.
///
/// # Safety
/// As [`quantize16`].
#[inline(always)]
pub(super) unsafe fn quantize16_by(
    x: &[f32],
    places: &Places16<'_>,
    block: usize,
    turn: impl Fn(&Square, &mut Turned),
) {
    let (k, group, half) = (places.k, places.group, places.half);
    // SAFETY: the caller's contract.
    let out = unsafe { places.block(block) };
    let groups = k / group;
    let x = &x[out.tokens.start * k..out.tokens.end * k];
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
    if let Some(mut packed) = out.packed {
        packed.fill16(out.planes, half, out.scales, out.sums, turn);
    }
}

/// Quantises one group and gives the sum of its values. `FINITE` values have a finite scale.
#[inline(always)]
fn group8<const FINITE: bool>(values: &[f32], scale: f32, to: &mut [i8]) -> i32 {
    let reciprocal = 1.0 / scale;
    let mut sum = 0;
    for (q, &value) in to.iter_mut().zip(values) {
        let rounded = round_within(quotient::<FINITE>(value, scale, reciprocal), -128.0, 127.0);
        *q = rounded as i8;
        sum += i32::from(rounded as i8);
    }
    sum
}

/// `value / scale` as a division rounds it if it is a quarter or more, else less than a half; of finite operands
/// (`FINITE`) by multiplications with the correctly rounded `reciprocal`. Splitting planes takes as long as dividing, so
/// 16-bit values are divided.
///
/// As in the softmax's divisor: the product is within 1.5 units in the last place, one step makes it one of the
/// two neighbours of the quotient, and by Markstein's theorem a second one makes it the rounded quotient, as long as
/// no remainder underflows. Scales are 2^-23 or more and the remainders of quotients of a quarter or more are
/// multiples of 2^-72 at least. Smaller quotients become 0 whatever their last places are.
#[inline(always)]
fn quotient<const FINITE: bool>(value: f32, scale: f32, reciprocal: f32) -> f32 {
    if !FINITE {
        return value / scale;
    }
    let q = value * reciprocal;
    let q = (-scale).mul_add(q, value).mul_add(reciprocal, q);
    (-scale).mul_add(q, value).mul_add(reciprocal, q)
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
