//! A product of one shape and kind, its operands made of pseudo-random bits.

use std::ops::Range;

use half::f16;

use super::super::*;
use super::guarded::shifted;
use crate::kernels::Columns;
use crate::quant::{Scales, ZeroPoints};

/// SplitMix64.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// In [-1, 1).
    pub(super) fn float(&mut self) -> f32 {
        (self.below(1 << 24) as f32) / (1 << 23) as f32 - 1.0
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) group: usize,
    pub(super) bits: u32,
    pub(super) asymmetric: bool,
    pub(super) f16_scales: bool,
    /// Values at the ends of their ranges only.
    pub(super) extreme: bool,
    pub(super) seed: u64,
}

impl Case {
    pub(super) fn new(bits: u32, m: usize, n: usize, k: usize, group: usize) -> Self {
        let seed = (k * 31 + n) as u64;
        Self { m, n, k, group, bits, asymmetric: false, f16_scales: true, extreme: false, seed }
    }

    pub(super) fn weights(&self) -> QuantizedRows {
        let rng = &mut Rng(self.seed);
        let row_bytes = if self.bits == 8 { self.k } else { self.k.div_ceil(8) * 4 };
        let mut data: Vec<u8> = (0..self.n * row_bytes).map(|_| rng.next() as u8).collect();
        if self.extreme {
            let ends: [u8; 2] = if self.bits == 8 { [0x80, 0x7f] } else { [0xff, 0x00] };
            data.iter_mut().for_each(|byte| *byte = ends[usize::from(*byte >= 240)]);
        }
        if self.bits == 4 {
            for row in data.chunks_exact_mut(row_bytes) {
                row[self.k.div_ceil(2)..].fill(0);
                if !self.k.is_multiple_of(2) {
                    row[self.k / 2] &= 15;
                }
            }
        }
        let count = self.n * (self.k / self.group);
        let scales: Vec<f32> =
            (0..count).map(|_| (rng.float() + 1.5) * [1e-3, 1e-2][rng.below(2) as usize]).collect();
        let offset = rng.below(8) as usize;
        let scales = if self.f16_scales {
            let halves = scales.iter().flat_map(|&s| f16::from_f32(s).to_le_bytes());
            Scales::F16(shifted(&halves.collect::<Vec<u8>>(), offset))
        } else {
            let floats = scales.iter().flat_map(|s| s.to_le_bytes());
            Scales::F32(shifted(&floats.collect::<Vec<u8>>(), offset))
        };
        let zero_points = self.asymmetric.then(|| {
            let mut ends = |low: i32, high: i32| {
                if self.extreme {
                    [low, high][rng.below(2) as usize]
                } else {
                    low + rng.below((high - low + 1) as u64) as i32
                }
            };
            match self.bits {
                8 => ZeroPoints::I8((0..count).map(|_| ends(-128, 127) as i8).collect()),
                _ => ZeroPoints::U4((0..count).map(|_| ends(0, 15) as u8).collect()),
            }
        });
        QuantizedRows {
            n: self.n,
            k: self.k,
            group: self.group,
            bits: self.bits,
            data: shifted(&data, rng.below(8) as usize),
            scales,
            zero_points,
        }
    }

    pub(super) fn input(&self) -> Vec<f32> {
        let rng = &mut Rng(!self.seed);
        (0..self.m * self.k)
            .map(|i| match (self.extreme, rng.below(16)) {
                // The scale is 1, and the low plane -128 but for the first column of a group.
                (true, _) if self.bits == 4 => {
                    if (i % self.k).is_multiple_of(self.group) {
                        32639.0
                    } else {
                        -128.0
                    }
                }
                // -1 rounds to -128 where the group holds nothing larger.
                (true, 0) => 0.998,
                (true, _) => -1.0,
                (false, 0) => rng.float() * 20.0,
                (false, 1) => 0.0,
                _ => rng.float(),
            })
            .collect()
    }

    /// The outputs of `rows`; a marker everywhere else.
    pub(super) fn run(
        &self,
        kernel: &dyn IntProducts,
        w: &QuantizedRows,
        rows: Range<usize>,
    ) -> Vec<u32> {
        let x = self.input();
        let mut y = vec![f32::from_bits(0x7fc0_1234); self.m * self.n];
        let columns = Columns::new(&mut y, self.n).offset(0);
        // Stale contents of a larger layer must not matter.
        // SAFETY: one thread, and operands made for each other.
        unsafe {
            if self.bits == 8 {
                let mut q = Activations8::default();
                kernel.quantize8(&vec![3.0; 7 * 130 * (self.m + 1)], 130, 130, &mut q);
                kernel.quantize8(&x, self.k, self.group, &mut q);
                kernel.w8a8(&q, w, rows, columns);
            } else {
                let mut q = Activations16::default();
                kernel.quantize16(&vec![3.0; 7 * 130 * (self.m + 1)], 130, 130, &mut q);
                kernel.quantize16(&x, self.k, self.group, &mut q);
                kernel.w4a16(&q, w, rows, columns);
            }
        }
        y.into_iter().map(f32::to_bits).collect()
    }

    /// Every kernel against the scalar one.
    pub(super) fn check(&self) {
        let w = self.weights();
        let expected = self.run(&scalar::Scalar, &w, 0..self.n);
        for (name, kernel) in available() {
            assert_eq!(self.run(kernel, &w, 0..self.n), expected, "{name} {self:?}");
        }
    }
}
