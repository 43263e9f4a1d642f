use std::ops::Range;

use half::f16;
use proptest::prelude::*;

use super::softmax::{Divisor, exponentials};
use super::*;
use crate::kernels::float::array::Array;
use crate::kernels::float::tests::{NAMES, bits, dot16, noise};
use crate::kernels::float::{by_name, ops};

/// Queries, and keys and values position by position.
struct Case {
    d: usize,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    visible: Vec<Range<usize>>,
}

impl Case {
    fn new(seed: u64, d: usize, visible: Vec<Range<usize>>) -> Self {
        let end = visible.iter().map(|range| range.end).max().unwrap();
        let half = |values: Vec<f32>| values.iter().map(|&v| f16::from_f32(v).to_f32()).collect();
        Self {
            d,
            queries: noise(seed, visible.len() * d, 2.0),
            keys: half(noise(seed ^ 1, end * d, 2.0)),
            values: half(noise(seed ^ 2, end * d, 1.0)),
            visible,
        }
    }

    /// `NUMERICS.md`, read plainly.
    fn plain(&self, scale: f32) -> Vec<f32> {
        let (d, scalar) = (self.d, by_name("scalar").unwrap());
        let mut out = Vec::new();
        for (query, seen) in self.queries.chunks(d).zip(&self.visible) {
            let score = |j: usize| dot16(query, &self.keys[j * d..][..d]) * scale;
            let scores: Vec<f32> = seen.clone().map(score).collect();
            let m = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let shifted: Vec<f32> = scores.iter().map(|s| s - m).collect();
            let mut e = vec![0.0; scores.len()];
            scalar.exp(&shifted, &mut e);
            let mut lanes = [0.0f32; 16];
            for (j, e) in seen.clone().zip(&e) {
                lanes[j % 16] += e;
            }
            let total = crate::kernels::float::lanes::halving_tree(lanes);
            let mut sums = vec![0.0f32; d];
            for (j, e) in seen.clone().zip(&e) {
                let p = e / total;
                for (sum, v) in sums.iter_mut().zip(&self.values[j * d..]) {
                    *sum = p.mul_add(*v, *sum);
                }
            }
            out.extend(sums);
        }
        out
    }

    /// What every instruction set makes of it, from keys of the type `T`.
    fn check<T: Copy>(
        &self,
        scale: f32,
        (store, rows): (impl Fn(f32) -> T, impl Fn(&[T]) -> KvRows<'_>),
    ) -> Result<(), TestCaseError> {
        let d = self.d;
        let base = self.visible.iter().map(|range| range.start).min().unwrap() & !15;
        let end = self.keys.len() / d;
        // Nobody sees what lies behind the last position of the last block.
        let mut keys = vec![store(f32::NAN); (end - base).next_multiple_of(16) * d];
        for (at, key) in self.keys.chunks(d).skip(base).enumerate() {
            for (i, &key) in key.iter().enumerate() {
                keys[(at / 16 * d + i) * 16 + at % 16] = store(key);
            }
        }
        let values: Vec<T> = self.values[base * d..].iter().map(|&v| store(v)).collect();
        let tile = AttentionTile {
            queries: &self.queries,
            dim: d,
            keys: rows(&keys),
            values: rows(&values),
            base,
            visible: &self.visible,
            scale,
        };
        let expected = bits(&self.plain(scale));
        for name in NAMES {
            let Some(ops) = by_name(name) else { continue };
            let mut out = vec![f32::NAN; self.queries.len()];
            let mut scratch = TileScratch::default();
            // Twice: what a tile leaves in the scratch must not matter.
            for _ in 0..2 {
                ops.attend(&tile, &mut scratch, &mut out);
                prop_assert_eq!(&bits(&out), &expected, "{} d {} {:?}", name, d, &self.visible);
            }
        }
        Ok(())
    }

    fn check_f32(&self) -> Result<(), TestCaseError> {
        self.check(0.3, (|v| v, |rows| KvRows::F32(rows)))
    }

    fn check_f16(&self) -> Result<(), TestCaseError> {
        self.check(0.3, (|v| f16::from_f32(v).to_bits(), |rows| KvRows::F16(rows)))
    }
}

/// The positions that rows see of which `share` stand at a time, the first ones after `first` others.
fn causal(rows: usize, share: usize, first: usize, window: usize) -> Vec<Range<usize>> {
    let end = |row: usize| first + row / share + 1;
    (0..rows).map(|row| end(row).saturating_sub(window)..end(row)).collect()
}

#[test]
fn the_sizes_of_heads() {
    for d in [64, 80, 96, 128, 33, 1, 15, 16, 17, 256] {
        for (rows, first) in [(1, 0), (7, 70), (16, 31), (14, 129)] {
            let case = Case::new(d as u64, d, causal(rows, 3, first, usize::MAX));
            case.check_f32().unwrap();
            case.check_f16().unwrap();
        }
    }
}

#[test]
fn a_row_is_not_touched_by_what_it_does_not_see() {
    // Products that round to -0, of which adding 0 would make +0, and values that are no numbers.
    for rows in [2, 5, 6, 13, 16] {
        let mut case = Case::new(7, 20, causal(rows, 1, 64, 65));
        let end = case.values.len() / case.d;
        for row in case.values.chunks_mut(20) {
            row.iter_mut().step_by(3).for_each(|v| *v = -1e-45);
        }
        case.values[(end - 1) * 20..].fill(f32::INFINITY);
        case.values[..20].fill(f32::NAN);
        // NaN has many bit patterns: the first row, which would see it, stays out.
        case.visible[0] = 1..case.visible[0].end;
        assert!(case.plain(0.3).iter().any(|v| v.to_bits() == 1 << 31), "no -0");
        case.check_f32().unwrap();
    }
}

proptest! {
    #[test]
    fn every_instruction_set_reads_the_rules(
        seed in any::<u64>(), d in 1usize..140, rows in 1usize..17, share in 1usize..8, first in 0usize..150,
        window in prop_oneof![Just(usize::MAX), 1usize..90],
    ) {
        let case = Case::new(seed, d, causal(rows, share, first, window));
        case.check_f32()?;
        case.check_f16()?;
    }
}

#[test]
fn exponentials_are_those_of_the_rule() {
    // Every number around where the result becomes subnormal and 0, and a part of the others.
    let range = |from: f32, to: f32| from.to_bits()..=to.to_bits();
    let dense = range(-103.0, -104.5).chain(range(-86.5, -87.5)).step_by(3);
    let sparse =
        range(-1e-10, -140.0).step_by(997).chain(range(-140.0, f32::NEG_INFINITY).step_by(99_991));
    let numbers: Vec<f32> = dense.chain(sparse).map(f32::from_bits).collect();
    for numbers in numbers.chunks(1 << 12) {
        let mut row = vec![f32::NEG_INFINITY; (numbers.len() + 1).next_multiple_of(16)];
        row[0] = 0.0;
        row[1..=numbers.len()].copy_from_slice(numbers);
        // SAFETY: arrays need no instructions of their own; whole lines.
        unsafe { exponentials::<Array>(&mut row) };
        assert_eq!(row[0], 1.0);
        let mut expected = numbers.to_vec();
        // SAFETY: as above.
        unsafe { ops::exp_in_place::<Array>(&mut expected) };
        for ((x, e), expected) in numbers.iter().zip(&row[1..]).zip(&expected) {
            assert_eq!(e.to_bits(), expected.to_bits(), "exp({x:e})");
        }
    }
}

#[test]
fn quotients_are_those_of_a_division() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..40_000 {
        // Divisors of all sizes, some outside of what the steps suit, some at the ends of a binade.
        let exponent = 126 + random() as u32 % 27;
        let mantissa = match round % 4 {
            0 => random() as u32 % 4,
            1 => 0x7f_ffff - random() as u32 % 4,
            _ => random() as u32 & 0x7f_ffff,
        };
        let total = f32::from_bits(exponent << 23 | mantissa);
        let mut row = [0.0f32; 64];
        for (i, e) in row.iter_mut().enumerate() {
            let random = random();
            *e = match i % 4 {
                // Next to the middle between two quotients.
                0..=2 => {
                    let q = (random as u32 & 0x7f_ffff | 0x80_0000) as f64 + 0.5;
                    let power = f64::from_bits((1023 - 24 - (random >> 32) % 60) << 52);
                    let exact = q * power * f64::from(total);
                    f32::from_bits((exact as f32).to_bits() + (random >> 60) as u32 % 3 - 1)
                }
                // Any number of 0 to 1, subnormal ones among them.
                _ => f32::from_bits(random as u32 % 0x3f80_0001),
            };
            // Most blocks without the small numbers that make it divide.
            if round % 8 != 0 && *e < 1e-25 {
                *e = 1.0;
            }
        }
        let expected = row.map(|e| e / total);
        // SAFETY: arrays need no instructions of their own; whole lines.
        unsafe { Divisor::new(total).divide::<Array>(&mut row) };
        assert_eq!(bits(&row), bits(&expected), "by {total:e}");
    }
}

#[test]
fn rows_are_split_evenly() {
    for rows in 1..40 {
        for most in 1..7 {
            let all: Vec<Range<usize>> = groups(rows, most).collect();
            assert_eq!(all.len(), rows.div_ceil(most));
            assert_eq!((all[0].start, all[all.len() - 1].end), (0, rows));
            assert!(all.iter().all(|group| (1..=most).contains(&group.len())));
            assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }
}
