mod case;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod emulated;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod emulator;
mod guarded;
mod quantizers;

use half::f16;
use proptest::prelude::*;

use self::case::Case;
use super::*;
use crate::kernels::Columns;
use crate::quant::{Scales, ZeroPoints};

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
    }
    #[cfg(target_arch = "aarch64")]
    {
        assert_eq!(names.contains(&"neon"), std::arch::is_aarch64_feature_detected!("dotprod"));
        assert_eq!(names.contains(&"neon-i8mm"), std::arch::is_aarch64_feature_detected!("i8mm"));
    }
    for &name in crate::kernels::Kernel::names() {
        assert_eq!(names.contains(&name), refusal(name).is_none(), "{name}: {:?}", refusal(name));
    }
    let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    assert!(refusal(foreign).unwrap().starts_with("it is for"));
    assert!(refusal("mmx").is_some());
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
