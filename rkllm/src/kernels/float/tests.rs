use super::*;
use crate::kernels::Columns;
use half::{bf16, f16};
use proptest::prelude::*;

pub(super) const NAMES: [&str; 7] =
    ["scalar", "avx2", "avxvnni", "avx512vnni", "amx", "neon", "neon-i8mm"];

fn others() -> impl Iterator<Item = (&'static str, &'static dyn FloatOps)> {
    NAMES[1..].iter().filter_map(|&name| by_name(name).map(|ops| (name, ops)))
}

pub(super) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// A plain reading of the rule, one lane at a time.
pub(super) fn dot16(a: &[f32], b: &[f32]) -> f32 {
    let mut acc = [0.0f32; 16];
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        acc[i % 16] = a.mul_add(*b, acc[i % 16]);
    }
    for half in [8, 4, 2, 1] {
        for j in 0..half {
            acc[j] += acc[j + half];
        }
    }
    acc[0]
}

pub(super) fn noise(seed: u64, len: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
        })
        .collect()
}

#[test]
fn portable_fma_is_portable() {
    let scalar = by_name("scalar").unwrap();
    let x = noise(1, 1000, 30.0);
    let (mut a, mut b) = (vec![0.0; 1000], vec![0.0; 1000]);
    scalar.exp(&x, &mut a);
    Portable.exp(&x, &mut b);
    assert_eq!(bits(&a), bits(&b));
}

#[test]
fn exp_is_within_one_ulp_and_bounded() {
    let scalar = by_name("scalar").unwrap();
    let x: Vec<f32> = (-104_000..=88_722).step_by(7).map(|i| i as f32 / 1000.0).collect();
    let mut y = vec![0.0; x.len()];
    scalar.exp(&x, &mut y);
    for (&x, &y) in x.iter().zip(&y) {
        let exact = libm::exp(f64::from(x));
        let ulp = f64::from(f32::from_bits((exact as f32).to_bits() + 1)) - f64::from(exact as f32);
        assert!((f64::from(y) - exact).abs() <= 1.5 * ulp, "exp({x}) = {y}, not {exact}");
    }
    let edges = [-104.1, f32::NEG_INFINITY, 88.8, f32::INFINITY, 0.0, -0.0];
    let mut y = [0.0; 6];
    scalar.exp(&edges, &mut y);
    assert_eq!(y, [0.0, 0.0, f32::INFINITY, f32::INFINITY, 1.0, 1.0]);
    for (name, ops) in others() {
        let mut z = [9.0; 6];
        ops.exp(&edges, &mut z);
        assert_eq!(bits(&y), bits(&z), "{name}");
    }
}

#[test]
fn rows_are_dot16_for_every_type_and_shape() {
    for (m, n, k) in [(1, 1, 1), (1, 5, 16), (3, 4, 17), (7, 9, 31), (5, 3, 172), (16, 6, 64)] {
        let x = noise(3, m * k, 2.0);
        let w = noise(4, n * k, 1.0);
        let stored: [(Dtype, Vec<u8>, Vec<f32>); 3] = [
            (Dtype::F32, w.iter().flat_map(|v| v.to_le_bytes()).collect(), w.clone()),
            (
                Dtype::F16,
                w.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
                w.iter().map(|&v| f16::from_f32(v).to_f32()).collect(),
            ),
            (
                Dtype::Bf16,
                w.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
                w.iter().map(|&v| bf16::from_f32(v).to_f32()).collect(),
            ),
        ];
        for (dtype, bytes, exact) in &stored {
            // An odd address: tensors in a file have any alignment.
            let mut shifted = vec![0u8];
            shifted.extend_from_slice(bytes);
            let expected: Vec<f32> =
                (0..m * n).map(|i| dot16(&x[i / n * k..][..k], &exact[i % n * k..][..k])).collect();
            for name in NAMES {
                let Some(ops) = by_name(name) else { continue };
                let mut y = vec![0.0; m * n];
                // SAFETY: one thread.
                unsafe {
                    let out = Columns::new(&mut y, n).offset(0);
                    ops.rows(&x, k, *dtype, &shifted[1..], 0..n / 2, out);
                    ops.rows(&x, k, *dtype, &shifted[1..], n / 2..n, out);
                }
                assert_eq!(bits(&y), bits(&expected), "{name} {dtype} {m}x{n}x{k}");
            }
        }
    }
}

#[test]
fn softmax_lanes_follow_absolute_positions() {
    let scalar = by_name("scalar").unwrap();
    for first in [0, 1, 7, 15, 16, 33] {
        for len in [1, 2, 15, 16, 17, 40] {
            let x = noise(len as u64, len, 5.0);
            let m = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut e = vec![0.0; len];
            let shifted: Vec<f32> = x.iter().map(|v| v - m).collect();
            scalar.exp(&shifted, &mut e);
            let mut acc = [0.0f32; 16];
            for (i, e) in e.iter().enumerate() {
                acc[(first + i) % 16] += e;
            }
            let total = lanes::halving_tree(acc);
            let expected: Vec<f32> = e.iter().map(|e| e / total).collect();
            for name in NAMES {
                let Some(ops) = by_name(name) else { continue };
                let mut got = x.clone();
                ops.softmax(&mut got, first);
                assert_eq!(bits(&got), bits(&expected), "{name} first {first} len {len}");
            }
        }
    }
}

#[test]
fn gates_are_close_to_their_definitions() {
    let scalar = by_name("scalar").unwrap();
    let g = noise(8, 100, 12.0);
    let u = noise(9, 100, 3.0);
    let (mut silu, mut gelu) = (vec![0.0; 100], vec![0.0; 100]);
    scalar.silu_gate(&g, &u, &mut silu);
    scalar.gelu_tanh_gate(&g, &u, &mut gelu);
    for i in 0..100 {
        let (g, u) = (f64::from(g[i]), f64::from(u[i]));
        let exact = g / (1.0 + libm::exp(-g)) * u;
        assert!((f64::from(silu[i]) - exact).abs() <= 1e-6 * (1.0 + exact.abs()));
        let inner = libm::sqrt(2.0 / std::f64::consts::PI) * (g + 0.044715 * g * g * g);
        let exact = 0.5 * g * (1.0 + libm::tanh(inner)) * u;
        assert!((f64::from(gelu[i]) - exact).abs() <= 2e-6 * (1.0 + exact.abs()));
    }
}

#[test]
fn a_sum_and_its_norm_are_what_they_are_one_after_the_other() {
    for len in [1, 15, 16, 17, 64, 896, 905] {
        let (x, h, w) = (noise(1, len, 9.0), noise(2, len, 1.0), noise(3, len, 1.0));
        let sum: Vec<f32> = x.iter().zip(&h).map(|(x, h)| x + h).collect();
        for name in NAMES {
            let Some(ops) = by_name(name) else { continue };
            let mut expected = vec![0.0; len];
            ops.rms_norm(&sum, &w, 1e-5, &mut expected);
            let (mut x, mut h) = (x.clone(), h.clone());
            ops.add_rms_norm(&mut x, &w, 1e-5, &mut h);
            assert_eq!((bits(&x), bits(&h)), (bits(&sum), bits(&expected)), "{name} {len}");
        }
    }
}

/// Every `STEP`th float that is no NaN, every one around the edges, and both infinities.
fn floats(step: usize) -> Vec<f32> {
    let edges = [0.0f32, 5.96e-8, 20.0, 30.0, 87.0, 88.37, 88.72284, 89.07, 100.0, 104.0, f32::MAX];
    let around = edges.into_iter().flat_map(|edge| {
        let bits = edge.to_bits();
        bits.saturating_sub(2000)..=bits + 2000
    });
    let all = (0..=f32::INFINITY.to_bits()).step_by(step).chain(around);
    let all = all.map(f32::from_bits).filter(|value| !value.is_nan());
    all.chain([f32::INFINITY]).flat_map(|value| [value, -value]).collect()
}

/// The gates' `1 + exp` is another computation than the rule's `exp`, with the same result.
fn gates_keep_the_rule(x: &[f32]) {
    let (ones, mut e) = (vec![1.0; x.len()], vec![0.0; x.len()]);
    let scalar = by_name("scalar").unwrap();
    let by_rule = |inner: &dyn Fn(f32) -> f32, e: &mut [f32]| -> Vec<f32> {
        let inner: Vec<f32> = x.iter().map(|&g| inner(g)).collect();
        scalar.exp(&inner, e);
        x.iter().zip(&*e).map(|(&g, &e)| g / (1.0 + e)).collect()
    };
    let silu = by_rule(&|g| -g, &mut e);
    let gelu = by_rule(
        &|g| {
            let t = 0.044715 * g * g;
            -2.0 * (0.797_884_6 * t.mul_add(g, g))
        },
        &mut e,
    );
    let mut y = vec![0.0; x.len()];
    let check = |name: &str, gate: &str, y: &[f32], expected: &[f32]| {
        for ((x, y), expected) in x.iter().zip(y).zip(expected) {
            let same = y.to_bits() == expected.to_bits() || y.is_nan() && expected.is_nan();
            assert!(same, "{name}: {gate} of {x:e} is {y:e}, not {expected:e}");
        }
    };
    for name in NAMES {
        let Some(ops) = by_name(name) else { continue };
        ops.silu_gate(x, &ones, &mut y);
        check(name, "silu", &y, &silu);
        ops.gelu_tanh_gate(x, &ones, &mut y);
        check(name, "gelu", &y, &gelu);
    }
}

#[test]
fn gates_of_every_kind_of_float_keep_the_rule() {
    gates_keep_the_rule(&floats(10_007));
}

/// Softmax has an `exp` of its own, for what is at most 0.
#[test]
fn exp_of_softmax_keeps_the_rule() {
    let scalar = by_name("scalar").unwrap();
    for x in floats(10_007).into_iter().filter(|&x| x <= 0.0) {
        let mut e = [0.0; 2];
        scalar.exp(&[0.0, x], &mut e);
        let total = e[0] + e[1];
        let expected = bits(&e.map(|e| e / total));
        for name in NAMES {
            let Some(ops) = by_name(name) else { continue };
            let mut pair = [0.0, x];
            ops.softmax(&mut pair, 0);
            assert_eq!(bits(&pair), expected, "{name} {x:e}");
        }
    }
}

#[test]
#[ignore = "every float there is: a minute"]
fn gates_of_every_float_keep_the_rule() {
    for first in (0..=f32::INFINITY.to_bits()).step_by(1 << 20) {
        let part = (first..=f32::INFINITY.to_bits()).take(1 << 20).map(f32::from_bits);
        gates_keep_the_rule(&part.flat_map(|value| [value, -value]).collect::<Vec<f32>>());
    }
}

proptest! {
    #[test]
    fn every_instruction_set_agrees(seed in any::<u64>(), len in 1usize..100, scale in 0.01f32..40.0) {
        let scalar = by_name("scalar").unwrap();
        let x = noise(seed, len, scale);
        let w = noise(seed ^ 1, len, 1.0);
        let half = len.div_ceil(2);
        let (cos, sin) = (noise(seed ^ 2, half, 1.0), noise(seed ^ 3, half, 1.0));
        let all = |ops: &dyn FloatOps| {
            let mut out = Vec::new();
            let mut y = vec![0.0; len];
            ops.rms_norm(&x, &w, 1e-6, &mut y);
            out.extend(bits(&y));
            let mut sum = w.clone();
            ops.add_rms_norm(&mut sum, &x, 1e-6, &mut y);
            out.extend(bits(&sum).into_iter().chain(bits(&y)));
            ops.silu_gate(&x, &w, &mut y);
            out.extend(bits(&y));
            ops.gelu_tanh_gate(&x, &w, &mut y);
            out.extend(bits(&y));
            y.copy_from_slice(&x);
            ops.softmax(&mut y, seed as usize % 40);
            out.extend(bits(&y));
            let mut pairs = noise(seed ^ 6, 2 * half, 2.0);
            ops.rotate(&mut pairs, &cos, &sin);
            out.extend(bits(&pairs));
            let mut halves = vec![0u16; len];
            ops.to_f16(&x, &mut halves);
            out.extend(halves.iter().map(|&h| u32::from(h)));
            let (m, t) = ops.exp_sum(&x);
            out.push(m.to_bits());
            out.extend([t.to_bits() as u32, (t.to_bits() >> 32) as u32]);
            out
        };
        let expected = all(scalar);
        for (name, ops) in others() {
            prop_assert_eq!(&all(ops), &expected, "{}", name);
        }
    }
}
