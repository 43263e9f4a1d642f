//! Scales and zero points, by the rules of the README.

use rkllm_sys::rknn::*;

use crate::lib_under_test::{Context, functions, passing_child, soc};
use crate::random::Random;
use crate::reference::{Case, float};

fn case(kind: u32, b_layout: i16) -> Case {
    Case { kind, m: 5, k: 128, n: 64, b_layout, ac_layout: 1 }
}

fn open(case: &Case, quant: i16, group: i16) -> Result<Context, i32> {
    Context::create(rknn_matmul_info { B_quant_type: quant, group_size: group, ..case.info() })
}

fn scales(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).map(|_| (random.float() + 1.5) * 0.01).collect()
}

fn zeros(random: &mut Random, count: usize) -> Vec<i32> {
    (0..count).map(|_| random.below(15) as i32 - 7).collect()
}

/// Runs, and compares C with `expected(row, column)`.
fn compare(
    case: &Case,
    mut context: Context,
    values: &[Vec<f64>; 2],
    expected: impl Fn(usize, usize) -> u32,
) {
    let soc = soc();
    let [a, b] = case.bytes(&soc, values);
    context.fill(0, &a);
    context.fill(1, &b);
    assert_eq!(context.run(), 0);
    let all: Vec<u32> = (0..case.m * case.n).map(|i| expected(i / case.n, i % case.n)).collect();
    assert!(context.bytes(2) == &case.c_bytes(&soc, &all)[..], "{soc}: another C: {case:?}");
}

/// The sum over a range of k, with zero points.
fn sum(
    case: &Case,
    [a, b]: &[Vec<f64>; 2],
    (m, n): (usize, usize),
    k: std::ops::Range<usize>,
    (za, zb): (i32, i32),
) -> f64 {
    k.map(|k| (a[m * case.k + k] - f64::from(za)) * (b[k * case.n + n] - f64::from(zb))).sum()
}

/// Type 3, per layer and per channel, with zero points; half to even.
#[test]
fn int8_results() {
    let random = &mut Random(3);
    for (quant, count) in [(0, 1), (1, 1), (2, 64), (3, 64)] {
        let case = case(3, 1);
        let context = open(&case, quant, 0).unwrap();
        let (sa, sb, sc) = (0.05_f32, scales(random, count), 0.5_f32);
        let (za, zc) = (9, -11);
        let zb = if quant % 2 == 1 { zeros(random, count) } else { vec![0; count] };
        assert_eq!(context.quant("A", &[sa], &[za]), 0);
        assert_eq!(context.quant("B", &sb, &zb), 0);
        assert_eq!(context.quant("C", &[sc], &[zc]), 0);
        let values = case.random(random);
        compare(&case, context, &values, |m, n| {
            let i = if count == 1 { 0 } else { n };
            let sum = sum(&case, &values, (m, n), 0..128, (za, zb[i]));
            let real = sum * (f64::from(sa) * f64::from(sb[i])) / f64::from(sc);
            let q = real.round_ties_even() + f64::from(zc);
            u32::from(q.clamp(-128.0, 127.0) as i8 as u8)
        });
    }
}

/// Sums of 1, 3, 5, ... halved: every one a tie.
#[test]
fn ties_go_to_even() {
    let case = Case { kind: 3, m: 1, k: 32, n: 32, b_layout: 2, ac_layout: 0 };
    let mut context = Context::create(case.info()).unwrap();
    assert_eq!(context.quant("C", &[2.0], &[]), 0);
    let mut b = vec![0u8; 32 * 32];
    for n in 0..32 {
        b[n * 32] = (2 * n as i8 - 31) as u8;
    }
    let mut a = vec![0u8; 32];
    a[0] = 1;
    context.fill(0, &a);
    context.fill(1, &b);
    assert_eq!(context.run(), 0);
    let found: Vec<i8> = context.bytes(2).iter().map(|byte| *byte as i8).collect();
    let expected = [
        -16, -14, -14, -12, -12, -10, -10, -8, -8, -6, -6, -4, -4, -2, -2, 0, 0, 2, 2, 4, 4, 6, 6,
        8, 8, 10, 10, 12, 12, 14, 14, 16,
    ];
    assert_eq!(found, expected);
}

/// Type 2 per channel: weighed by the largest scale, which is handed back.
#[test]
fn int32_results_per_channel() {
    let random = &mut Random(4);
    let case = case(2, 1);
    let context = open(&case, 2, 0).unwrap();
    let sb = scales(random, 64);
    assert_eq!(context.quant("B", &sb, &[]), 0);
    let largest = sb.iter().copied().fold(0.0, f32::max);
    let mut weights = vec![0.0_f32; 64];
    let mut params =
        rknn_quant_params { scale: weights.as_mut_ptr(), scale_len: 64, ..Default::default() };
    let mut scale = 0.0;
    // SAFETY: a struct with room for the scales, and a float.
    let code =
        unsafe { (functions().rknn_matmul_get_quant_params)(context.ctx, &mut params, &mut scale) };
    assert_eq!((code, scale), (0, largest));
    assert_eq!(weights, sb.iter().map(|scale| scale / largest).collect::<Vec<_>>());
    let values = case.random(random);
    compare(&case, context, &values, |m, n| {
        let sum = sum(&case, &values, (m, n), 0..128, (0, 0));
        (sum * f64::from(weights[n])).round_ties_even() as i32 as u32
    });
    let plain = open(&case, 0, 0).unwrap();
    // SAFETY: as above.
    let code =
        unsafe { (functions().rknn_matmul_get_quant_params)(plain.ctx, &mut params, &mut scale) };
    assert_eq!(code, -5);
}

/// Type 11: int4's scales per channel are taken, and the sums are as they are.
#[test]
fn int32_results_of_int4_are_not_weighed() {
    if soc() != "rk3562" {
        let test = "quantised::int32_results_of_int4_are_not_weighed";
        passing_child(test, &[("RKLLM_HOST_SOC", "rk3562")]);
        return;
    }
    let random = &mut Random(7);
    let case = case(11, 1);
    let context = open(&case, 2, 0).unwrap();
    assert_eq!(context.quant("B", &scales(random, 64), &[]), 0);
    let values = case.random(random);
    compare(&case, context, &values, |m, n| {
        sum(&case, &values, (m, n), 0..128, (0, 0)) as i32 as u32
    });
}

/// int8 sums as floats: scales of layers and groups.
#[test]
fn scaled_float_results_of_integers() {
    let random = &mut Random(5);
    for kind in [9, 15] {
        let case = case(kind, if kind == 9 { 2 } else { 1 });
        for (quant, group, count) in [(0, 0, 1), (1, 0, 1), (4, 32, 256), (5, 64, 128)] {
            let context = match open(&case, quant, group) {
                Err(-5) if kind == 15 && soc() != "rk3562" => continue,
                context => context.unwrap(),
            };
            let (sa, sb) = (0.25_f32, scales(random, count));
            let za = 5;
            let zb = if quant % 2 == 1 { zeros(random, count) } else { vec![0; count] };
            assert_eq!(context.quant("A", &[sa], &[za]), 0);
            assert_eq!(context.quant("B", &sb, &zb), 0);
            let values = case.random(random);
            let size = if group == 0 { 128 } else { group as usize };
            compare(&case, context, &values, |m, n| {
                let mut y = 0.0_f32;
                for g in 0..128 / size {
                    let i = if count == 1 { 0 } else { g * 64 + n };
                    let sum = sum(&case, &values, (m, n), g * size..(g + 1) * size, (za, zb[i]));
                    y = (sum as f32).mul_add(sb[i] * sa, y);
                }
                float(case.types()[2], y)
            });
        }
    }
}

/// Float activations by int4 weights: per layer, channel and group.
#[test]
fn scaled_float_results_of_floats() {
    if !matches!(&soc()[..], "rk3576" | "rv1126b") {
        for soc in ["rk3576", "rv1126b"] {
            let test = "quantised::scaled_float_results_of_floats";
            passing_child(test, &[("RKLLM_HOST_SOC", soc)]);
        }
        return;
    }
    let random = &mut Random(6);
    for kind in [7, 8, 12] {
        let case = case(kind, 1);
        for (quant, group, count) in [(0, 0, 1), (3, 0, 64), (4, 32, 256), (5, 128, 64)] {
            let context = open(&case, quant, group).unwrap();
            let sb = scales(random, count);
            let zb = if quant % 2 == 1 { zeros(random, count) } else { vec![0; count] };
            assert_eq!(context.quant("B", &sb, &zb), 0);
            let values = case.random(random);
            let size = if group == 0 { 128 } else { group as usize };
            compare(&case, context, &values, |m, n| {
                let mut y = 0.0_f32;
                for g in 0..128 / size {
                    let i = match (count, quant) {
                        (1, _) => 0,
                        (_, 3) => n,
                        _ => g * 64 + n,
                    };
                    let mut sum = 0.0_f32;
                    for k in g * size..(g + 1) * size {
                        let b = values[1][k * 64 + n] as f32 - zb[i] as f32;
                        sum += values[0][m * 128 + k] as f32 * b;
                    }
                    y = sum.mul_add(sb[i], y);
                }
                float(case.types()[2], y)
            });
        }
    }
}

#[test]
fn the_rk3562_has_int8_by_int4() {
    passing_child("quantised::scaled_float_results_of_integers", &[("RKLLM_HOST_SOC", "rk3562")]);
}

#[test]
fn what_is_refused() {
    // Scales per channel are for types 2 and 3, per group for float results.
    for (kind, quant, group) in
        [(9, 2, 0), (2, 4, 32), (3, 4, 32), (1, 1, 0), (4, 2, 0), (10, 1, 0), (9, 4, 0), (9, 4, 33)]
    {
        assert_eq!(open(&case(kind, 1), quant, group).err(), Some(-5), "{kind} {quant} {group}");
    }
    let context = open(&case(3, 1), 2, 0).unwrap();
    assert_eq!(context.quant("B", &[1.0; 63], &[]), -5);
    assert_eq!(context.quant("B", &[1.0; 64], &[0; 63]), -5);
    assert_eq!(context.quant("B", &[1.0; 64], &[1; 64]), -5, "symmetric");
    assert_eq!(context.quant("C", &[0.0], &[]), -5, "C is divided by it");
    assert_eq!(context.quant("A", &[f32::NAN], &[]), -5);
    assert_eq!(context.quant("A", &[1.0], &[128]), -5);
    assert_eq!(context.quant("D", &[1.0], &[]), -5);
    assert_eq!(context.quant("", &[1.0], &[]), -5);
    assert_eq!(context.quant("A", &[], &[]), -5);
    assert_eq!(open(&case(1, 1), 0, 0).unwrap().quant("A", &[1.0], &[]), -5);
}
