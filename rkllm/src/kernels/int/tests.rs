#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod emulated;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod emulator;
mod guarded;
mod quantizers;

use std::ops::Range;

use half::f16;
use proptest::prelude::*;

use self::guarded::shifted;
use super::*;
use crate::kernels::Columns;
use crate::quant::{Scales, ZeroPoints};

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// In [-1, 1).
    fn float(&mut self) -> f32 {
        (self.below(1 << 24) as f32) / (1 << 23) as f32 - 1.0
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    group: usize,
    bits: u32,
    asymmetric: bool,
    f16_scales: bool,
    /// Values at the ends of their ranges only.
    extreme: bool,
    seed: u64,
}

impl Case {
    fn new(bits: u32, m: usize, n: usize, k: usize, group: usize) -> Self {
        let seed = (k * 31 + n) as u64;
        Self { m, n, k, group, bits, asymmetric: false, f16_scales: true, extreme: false, seed }
    }

    fn weights(&self) -> QuantizedRows {
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

    fn input(&self) -> Vec<f32> {
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
    fn run(&self, kernel: &dyn IntProducts, w: &QuantizedRows, rows: Range<usize>) -> Vec<u32> {
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
    fn check(&self) {
        let w = self.weights();
        let expected = self.run(&scalar::Scalar, &w, 0..self.n);
        for (name, kernel) in available() {
            assert_eq!(self.run(kernel, &w, 0..self.n), expected, "{name} {self:?}");
        }
    }
}

/// All of symmetric and asymmetric, f16 and f32 scales, ordinary and extreme values.
fn check_kinds(case: Case) {
    for kind in 0..8u64 {
        let (asymmetric, f16_scales, extreme) = (kind & 1 != 0, kind & 2 != 0, kind & 4 != 0);
        let seed = case.seed ^ (kind << 40);
        Case { asymmetric, f16_scales, extreme, seed, ..case }.check();
    }
}

#[test]
fn every_k_gives_the_scalar_bits() {
    for k in 1..=130 {
        for bits in [8, 4] {
            check_kinds(Case::new(bits, 1 + k % 2 * 2, 1 + k % 11, k, k));
        }
    }
}

#[test]
fn every_shape_gives_the_scalar_bits() {
    for bits in [8, 4] {
        for k in [36, 172, 896, 1031, 2050] {
            for n in [1, 2, 3, 4, 5, 6, 7, 8, 9, 33] {
                for m in [1, 2, 3, 4, 5, 17] {
                    let (odd, kind) = ((m + n) % 2 != 0, (k + m * n) % 4);
                    let (asymmetric, f16_scales) = (kind & 1 != 0, kind & 2 != 0);
                    let case = Case::new(bits, m, n, k, k);
                    Case { asymmetric, f16_scales, extreme: odd && kind == 3, ..case }.check();
                }
            }
        }
    }
}

#[test]
fn every_group_size_gives_the_scalar_bits() {
    for bits in [8, 4] {
        for (k, group) in [
            (32, 32),
            (96, 32),
            (320, 32),
            (192, 64),
            (1152, 64),
            (896, 128),
            (2304, 128),
            (768, 256),
            (2560, 512),
            (6144, 3072),
            // No multiple of 32.
            (36, 12),
            (160, 16),
            (80, 40),
        ] {
            for m in [1, 2, 3] {
                check_kinds(Case::new(bits, m, 9, k, group));
            }
        }
    }
}

#[test]
fn more_tokens_than_a_block_give_the_scalar_bits() {
    for bits in [8, 4] {
        for (k, group) in [(256, 128), (4500, 4500)] {
            Case::new(bits, 131, 13, k, group).check();
        }
    }
}

/// Tokens and rows around the edges of tiles.
const EDGES: [(usize, usize); 12] = [
    (4, 1),
    (7, 31),
    (15, 32),
    (16, 33),
    (17, 70),
    (31, 16),
    (33, 48),
    (48, 5),
    (63, 17),
    (64, 65),
    (65, 32),
    (70, 39),
];

/// K and groups around the edges of tiles and of the columns a unit takes at once.
const DEPTHS: [(usize, usize); 9] = [
    (64, 64),
    (96, 32),
    (192, 64),
    (200, 200),
    (288, 96),
    (640, 128),
    (1152, 576),
    (1091, 1091),
    (1536, 512),
];

/// Cases at the edges of tiles, of all kinds by turns.
fn tile_cases(bits: u32) -> impl Iterator<Item = Case> {
    let shapes = DEPTHS.into_iter().flat_map(|depth| EDGES.map(|edge| (depth, edge)));
    shapes.enumerate().map(move |(i, ((k, group), (m, n)))| {
        let kind = i * 5 % 8;
        let (asymmetric, f16_scales, extreme) = (kind & 1 != 0, kind & 2 != 0, kind & 4 != 0);
        Case { asymmetric, f16_scales, extreme, ..Case::new(bits, m, n, k, group) }
    })
}

#[test]
fn tiles_of_every_shape_give_the_scalar_bits() {
    for bits in [8, 4] {
        tile_cases(bits).for_each(|case| case.check());
    }
}

#[test]
fn the_longest_group_does_not_overflow() {
    for bits in [8, 4] {
        for seed in 0..2 {
            let case = Case::new(bits, 2, 2, 65_536, 65_536);
            for asymmetric in [false, true] {
                Case { extreme: true, asymmetric, seed, ..case }.check();
            }
        }
    }
}

#[test]
fn a_range_of_rows_writes_its_columns_alone() {
    for bits in [8, 4] {
        for m in [1, 3] {
            let case = Case::new(bits, m, 21, 256, 64);
            let w = case.weights();
            let all = case.run(&scalar::Scalar, &w, 0..21);
            for (name, kernel) in available() {
                for rows in [0..1, 3..3, 5..14, 8..21, 20..21] {
                    let part = case.run(kernel, &w, rows.clone());
                    for (i, (&part, &all)) in part.iter().zip(&all).enumerate() {
                        let expected = if rows.contains(&(i % 21)) { all } else { 0x7fc0_1234 };
                        assert_eq!(part, expected, "{name}, {rows:?}, element {i}");
                    }
                }
            }
        }
    }
}

#[test]
fn columns_of_a_later_layer_are_written_where_they_belong() {
    let case = Case::new(8, 2, 5, 64, 32);
    let w = case.weights();
    let alone = case.run(&scalar::Scalar, &w, 0..5);
    for (name, kernel) in available() {
        let mut q = Activations8::default();
        kernel.quantize8(&case.input(), 64, 32, &mut q);
        let mut y = vec![0.0f32; 2 * 9];
        // SAFETY: one thread, and operands made for each other.
        unsafe { kernel.w8a8(&q, &w, 0..5, Columns::new(&mut y, 9).offset(3)) };
        let bits: Vec<u32> = y.iter().map(|y| y.to_bits()).collect();
        assert_eq!([&bits[3..8], &bits[12..17]], [&alone[..5], &alone[5..]], "{name}");
        assert!(bits[..3].iter().chain(&bits[8..12]).chain(&bits[17..]).all(|&b| b == 0), "{name}");
    }
}

/// The scalar kernel against sums taken column by column in i64.
#[test]
fn scalar_sums_are_the_definition() {
    for bits in [8, 4] {
        for (m, n, k, group) in [(2, 3, 37, 37), (1, 4, 96, 32), (3, 2, 128, 64)] {
            for asymmetric in [false, true] {
                let case = Case { asymmetric, ..Case::new(bits, m, n, k, group) };
                let w = case.weights();
                let (mut x8, mut x16) = (Activations8::default(), Activations16::default());
                scalar::Scalar.quantize8(&case.input(), k, group, &mut x8);
                scalar::Scalar.quantize16(&case.input(), k, group, &mut x16);
                let mut expected = Vec::new();
                for token in 0..m {
                    for row in 0..n {
                        expected.push(defined(&w, &x8, &x16, token, row).to_bits());
                    }
                }
                assert_eq!(case.run(&scalar::Scalar, &w, 0..n), expected, "{case:?}");
            }
        }
    }
}

fn defined(w: &QuantizedRows, x8: &Activations8, x16: &Activations16, m: usize, n: usize) -> f32 {
    let mut y = 0.0f32;
    for g in 0..w.groups() {
        let at = n * w.groups() + g;
        let zero = match &w.zero_points {
            None => 0,
            Some(ZeroPoints::I8(z)) => i64::from(z[at]),
            Some(ZeroPoints::U4(z)) => i64::from(z[at]) - 8,
        };
        let scale_w = match &w.scales {
            Scales::F32(s) => f32::from_le_bytes(s[4 * at..4 * at + 4].try_into().unwrap()),
            Scales::F16(s) => f16::from_le_bytes([s[2 * at], s[2 * at + 1]]).to_f32(),
        };
        let mut sums = [0i64; 2];
        for column in g * w.group..(g + 1) * w.group {
            let byte = w.data[n * w.row_bytes() + if w.bits == 8 { column } else { column / 2 }];
            let q = match w.bits {
                8 => i64::from(byte as i8),
                _ => i64::from(byte >> (4 * (column % 2)) & 15) - 8,
            };
            let plane = |p: usize| {
                let array = 4 * m + 2 * p + column % 2;
                i64::from(x16.planes[array * x16.half + column / 2])
            };
            if w.bits == 8 {
                sums[0] += (q - zero) * i64::from(x8.q[m * x8.stride + column]);
            } else {
                sums[0] += (q - zero) * plane(0);
                sums[1] += (q - zero) * plane(1);
            }
        }
        let (s, scale_x) = if w.bits == 8 {
            (sums[0] as f32, x8.scales[m * w.groups() + g])
        } else {
            ((sums[1] as f32).mul_add(256.0, sums[0] as f32), x16.scales[m * w.groups() + g])
        };
        y = s.mul_add(scale_w * scale_x, y);
    }
    y
}

#[test]
fn what_is_not_finite_stays_visible() {
    for bits in [8, 4] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let case = Case::new(bits, 1, 9, 64, 32);
            let w = case.weights();
            let mut x = case.input();
            x[40] = bad;
            for (name, kernel) in available() {
                let mut y = vec![0.0f32; 9];
                let columns = Columns::new(&mut y, 9).offset(0);
                let (mut q8, mut q16) = (Activations8::default(), Activations16::default());
                // SAFETY: one thread, and operands made for each other.
                unsafe {
                    if bits == 8 {
                        kernel.quantize8(&x, 64, 32, &mut q8);
                        kernel.w8a8(&q8, &w, 0..9, columns);
                    } else {
                        kernel.quantize16(&x, 64, 32, &mut q16);
                        kernel.w4a16(&q16, &w, 0..9, columns);
                    }
                }
                assert!(y.iter().all(|y| !y.is_finite()), "{name} {bad} {y:?}");
            }
        }
    }
}

#[test]
fn kernels_are_found_by_name() {
    let names: Vec<&str> = available().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[0], "scalar");
    assert!(names.iter().all(|name| by_name(name).is_some()));
    assert!(by_name("avx1024").is_none());
    #[cfg(target_arch = "x86_64")]
    {
        assert_eq!(names.contains(&"avx2"), is_x86_feature_detected!("avx2"));
        assert_eq!(names.contains(&"avxvnni"), is_x86_feature_detected!("avxvnni"));
        assert_eq!(names.contains(&"avx512vnni"), is_x86_feature_detected!("avx512vnni"));
        assert!(refusal("amx").is_none() || !names.contains(&"amx"));
    }
    #[cfg(target_arch = "aarch64")]
    {
        assert_eq!(names.contains(&"neon"), std::arch::is_aarch64_feature_detected!("dotprod"));
        assert_eq!(names.contains(&"neon-i8mm"), std::arch::is_aarch64_feature_detected!("i8mm"));
    }
    println!("this CPU runs {}", names.join(", "));
}

#[test]
#[should_panic(expected = "rows 0..6 of 5")]
fn rows_beyond_the_matrix_are_refused() {
    let case = Case::new(8, 1, 5, 64, 32);
    let mut q = Activations8::default();
    scalar::Scalar.quantize8(&case.input(), 64, 32, &mut q);
    let mut y = vec![0.0; 6];
    let (_, best) = available().pop().unwrap();
    // SAFETY: one thread.
    unsafe { best.w8a8(&q, &case.weights(), 0..6, Columns::new(&mut y, 6).offset(0)) };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_cases_give_the_scalar_bits(
        bits in prop::sample::select(vec![8u32, 4]),
        m in 1usize..6,
        n in 1usize..20,
        // 0 is a group that is the whole row.
        group in prop::sample::select(vec![0usize, 32, 64, 128, 256, 512]),
        size in 1usize..700,
        asymmetric: bool,
        f16_scales: bool,
        extreme: bool,
        seed: u64,
    ) {
        let k = if group == 0 { size } else { size.div_ceil(100) * group };
        let group = if group == 0 { k } else { group };
        Case { m, n, k, group, bits, asymmetric, f16_scales, extreme, seed }.check();
    }
}

/// Fields that were changed after quantising cannot make a kernel write where it should not.
#[test]
fn activations_of_other_shapes_are_refused() {
    for (name, kernel) in available().into_iter().filter(|(name, _)| *name != "scalar") {
        let case = Case::new(8, 20, 5, 64, 64);
        let w = case.weights();
        let mut q = Activations8::default();
        kernel.quantize8(&case.input(), 64, 64, &mut q);
        q.m = 4;
        let mut y = vec![0.0; 4 * 5];
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let y = Columns::new(&mut y, 5).offset(0);
            // SAFETY: one thread.
            unsafe { kernel.w8a8(&q, &w, 0..5, y) };
        }));
        assert!(refused.is_err(), "{name}");
    }
}
