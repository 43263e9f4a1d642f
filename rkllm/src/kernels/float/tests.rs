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
