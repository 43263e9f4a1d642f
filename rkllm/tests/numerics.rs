//! The Rust code against the vectors of `tests/numerics/reference.py`, bit for bit.
#![cfg(feature = "cpu")]

mod common;
#[cfg(feature = "eval")]
#[path = "numerics/measures.rs"]
mod measures;
#[path = "numerics/vectors.rs"]
mod vectors;

use common::{Run, data, logits};
use half::f16;
use rkllm::Dtype;
use rkllm::kernels::float::{AttentionTile, FloatOps, KEY_BLOCK, KvRows, TileScratch};
use rkllm::kernels::int::{Activations8, Activations16, IntProducts};
use rkllm::kernels::{Columns, Kernel};
use rkllm::model::{RopeConfig, RopeScaling};
use rkllm::quant::activation::{quantize8, quantize16};
use rkllm::quant::{Clip, Group, QuantScheme, QuantizedRows, Scales, WeightSpec, quantize};
use vectors::{Case, assert_same, cases};

/// A group that no test reads judges nothing.
#[test]
fn every_group_is_read() {
    let source = concat!(include_str!("numerics.rs"), include_str!("numerics/measures.rs"));
    let unread: Vec<_> =
        vectors::groups().filter(|group| !source.contains(&format!("(\"{group}\""))).collect();
    assert!(unread.is_empty(), "no test reads {unread:?}");
}

#[test]
fn f16_conversion() {
    for case in cases("f16") {
        let (x, expected) = (case.floats("x"), case.words16("y"));
        let found: Vec<u16> = x.iter().map(|&v| f16::from_f32(v).to_bits()).collect();
        assert_eq!(found, expected, "{}", case.label);
        for kernel in Kernel::available() {
            let mut found = vec![0; x.len()];
            kernel.float().to_f16(&x, &mut found);
            assert_eq!(found, expected, "{} by {}", case.label, kernel.name());
        }
    }
}

/// The one thing the rules ask of the machine beyond IEEE 754's basic operations.
#[test]
fn fused_multiply_add() {
    for case in cases("fma") {
        let (a, b, c) = (case.floats("a"), case.floats("b"), case.floats("c"));
        let found: Vec<f32> = (0..a.len()).map(|i| a[i].mul_add(b[i], c[i])).collect();
        case.expect("y", &found);
    }
}

/// The weights of a case, quantised as it says.
fn quantized(case: &Case, clip: Clip, threads: usize) -> QuantizedRows {
    let k = case.size("k");
    let group = case.number("group").map_or(Group::Channel, Group::Columns);
    let scheme = match case.size("bits") {
        8 => QuantScheme::W8A8(group),
        4 => QuantScheme::W4A16(group),
        bits => panic!("{}: {bits} bits", case.label),
    };
    let mut spec = WeightSpec::new(scheme).with_clip(clip);
    if !case.flag("symmetric") {
        spec = spec.with_zero_points();
    }
    let w = case.floats("w");
    quantize(&w, w.len() / k, k, &spec, threads).unwrap_or_else(|e| panic!("{}: {e}", case.label))
}

#[test]
fn weights() {
    check_weights("weights", Clip::AbsMax);
}

#[test]
fn clip_rule_mse() {
    check_weights("clip", Clip::Mse);
}

fn check_weights(group: &str, clip: Clip) {
    for case in cases(group) {
        let what = format!("{} ({})", case.label, case.str("name"));
        let found = quantized(&case, clip, 1);
        match found.scales() {
            Scales::F16(bytes) => {
                assert_eq!(case.str("scale_type"), "f16", "{what}");
                let found: Vec<u16> =
                    bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
                assert_eq!(found, case.words16("scales"), "{what}");
            }
            Scales::F32(bytes) => {
                assert_eq!(case.str("scale_type"), "f32", "{what}");
                let found: Vec<f32> =
                    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                case.expect("scales", &found);
            }
        }
        assert_eq!(&found.data()[..], case.bytes("data"), "{what}");
        if case.flag("symmetric") {
            assert!(found.zero_points().is_none(), "{what}");
        } else {
            let z = found.zero_points().unwrap_or_else(|| panic!("{what}: no zero points"));
            for (i, expected) in case.integers("z").into_iter().enumerate() {
                assert_eq!(z.get(i).map(i64::from), Some(expected), "{what}: zero point {i}");
            }
            assert_eq!(z.get(case.integers("z").len()), None, "{what}");
        }
    }
}

/// What quantises one activation row in each place that can: scales and values.
type Quantiser<'a> = Box<dyn Fn(&[f32], usize) -> (Vec<f32>, Vec<i64>) + 'a>;

fn check_activations(group: &str, quantisers: Vec<(&str, Quantiser)>) {
    for case in cases(group) {
        let k = case.size("k");
        for (name, quantise) in &quantisers {
            let (mut scales, mut values) = (Vec::new(), Vec::new());
            for token in case.floats("x").chunks_exact(k) {
                let found = quantise(token, case.number("group").unwrap_or(k));
                scales.extend(found.0);
                values.extend(found.1);
            }
            assert_same(
                &format!("{} scales by {name}", case.label),
                &case.floats("scales"),
                &scales,
            );
            assert_eq!(values, case.integers("q"), "{} by {name}", case.label);
        }
    }
}

#[test]
fn activations8() {
    let mut quantisers: Vec<(&str, Quantiser)> = vec![(
        "quant",
        Box::new(|x, group| {
            let token = quantize8(x, group);
            (token.scales, token.q.into_iter().map(i64::from).collect())
        }),
    )];
    for kernel in Kernel::available() {
        let (name, kernel) = (kernel.name(), kernel.int());
        let quantise = move |x: &[f32], group| {
            let mut out = Activations8::default();
            kernel.quantize8(x, x.len(), group, &mut out);
            let q: Vec<i64> = out.q[..x.len()].iter().copied().map(i64::from).collect();
            let sums: Vec<i64> = q.chunks(group).map(|part| part.iter().sum()).collect();
            assert_eq!(out.sums.iter().copied().map(i64::from).collect::<Vec<_>>(), sums, "{name}");
            (out.scales, q)
        };
        quantisers.push((name, Box::new(quantise)));
    }
    check_activations("activations8", quantisers);
}

#[test]
fn activations16() {
    let join = |lo: i8, hi: i8| 256 * i64::from(hi) + i64::from(lo);
    let mut quantisers: Vec<(&str, Quantiser)> = vec![(
        "quant",
        Box::new(|x, group| {
            let token = quantize16(x, group);
            (token.scales, token.lo.iter().zip(&token.hi).map(|(&lo, &hi)| join(lo, hi)).collect())
        }),
    )];
    for kernel in Kernel::available() {
        let (name, kernel) = (kernel.name(), kernel.int());
        let quantise = move |x: &[f32], group| {
            let mut out = Activations16::default();
            kernel.quantize16(x, x.len(), group, &mut out);
            // Four arrays: low even, low odd, high even, high odd.
            let at = |plane: usize, i: usize| out.planes[(2 * plane + i % 2) * out.half + i / 2];
            let values: Vec<i64> = (0..x.len()).map(|i| join(at(0, i), at(1, i))).collect();
            for (g, sums) in out.sums.iter().enumerate() {
                let columns = g * group..(g + 1) * group;
                let sum = |plane| columns.clone().map(|i| i32::from(at(plane, i))).sum::<i32>();
                assert_eq!(*sums, [sum(0), sum(1)], "{name}");
            }
            assert_eq!(out.sums.len(), x.len() / group, "{name}");
            (out.scales, values)
        };
        quantisers.push((name, Box::new(quantise)));
    }
    check_activations("activations16", quantisers);
}

/// Activations `x` times weights `w`, without bias, by one kernel.
fn product(kernel: &dyn IntProducts, x: &[f32], w: &QuantizedRows) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.len() / w.k() * w.n()];
    let columns = Columns::new(&mut y, w.n()).offset(0);
    if w.bits() == 8 {
        let mut activations = Activations8::default();
        kernel.quantize8(x, w.k(), w.group(), &mut activations);
        // SAFETY: this thread alone has `y`.
        unsafe { kernel.w8a8(&activations, w, 0..w.n(), columns) };
    } else {
        let mut activations = Activations16::default();
        kernel.quantize16(x, w.k(), w.group(), &mut activations);
        // SAFETY: this thread alone has `y`.
        unsafe { kernel.w4a16(&activations, w, 0..w.n(), columns) };
    }
    y
}

#[test]
fn products() {
    for case in cases("products") {
        let (w, x) = (quantized(&case, Clip::AbsMax, 2), case.floats("x"));
        assert_eq!((w.n(), x.len() / w.k()), (case.size("n"), case.size("m")), "{}", case.label);
        for kernel in Kernel::available() {
            let mut y = product(kernel.int(), &x, &w);
            if let Some(bias) = case.optional_floats("bias") {
                y.iter_mut().zip(bias.iter().cycle()).for_each(|(y, b)| *y += b);
            }
            assert_same(&format!("{} by {}", case.label, kernel.name()), &case.floats("y"), &y);
        }
    }
}

/// Runs `compute` with every kernel and every case of a group, and compares what it makes with field `field`.
fn check_floats(group: &str, field: &str, compute: impl Fn(&dyn FloatOps, &Case, &mut Vec<f32>)) {
    for case in cases(group) {
        for kernel in Kernel::available() {
            let mut found = Vec::new();
            compute(kernel.float(), &case, &mut found);
            let what = format!("{} {field} by {}", case.label, kernel.name());
            assert_same(&what, &case.floats(field), &found);
        }
    }
}

#[test]
fn dot16() {
    let dot = |ops: &dyn FloatOps, x: &[f32], dtype, w: &[u8], found: &mut Vec<f32>| {
        found.resize(1, f32::NAN);
        // SAFETY: this thread alone has `found`.
        unsafe { ops.rows(x, x.len(), dtype, w, 0..1, Columns::new(found, 1).offset(0)) };
    };
    check_floats("dot16", "y", |ops, case, found| {
        let w: Vec<u8> = case.floats("b").into_iter().flat_map(f32::to_le_bytes).collect();
        dot(ops, &case.floats("a"), Dtype::F32, &w, found);
    });
    check_floats("dot16", "y_f16", |ops, case, found| {
        let w: Vec<u8> = case.words16("b_f16").into_iter().flat_map(u16::to_le_bytes).collect();
        dot(ops, &case.floats("a"), Dtype::F16, &w, found);
    });
}

#[test]
fn exp() {
    check_floats("exp", "y", |ops, case, found| {
        let x = case.floats("x");
        found.resize(x.len(), f32::NAN);
        ops.exp(&x, found);
    });
}

#[test]
fn rms_norm() {
    check_floats("rms_norm", "y", |ops, case, found| {
        let x = case.floats("x");
        found.resize(x.len(), f32::NAN);
        ops.rms_norm(&x, &case.floats("w"), case.float("eps"), found);
    });
}

#[test]
fn gates() {
    check_floats("gates", "silu", |ops, case, found| {
        let g = case.floats("g");
        found.resize(g.len(), f32::NAN);
        ops.silu_gate(&g, &case.floats("u"), found);
    });
    check_floats("gates", "gelu", |ops, case, found| {
        let g = case.floats("g");
        found.resize(g.len(), f32::NAN);
        ops.gelu_tanh_gate(&g, &case.floats("u"), found);
    });
}

/// The sum behind every log-probability is exact; only the logarithm is another machine's.
#[test]
fn sums_of_exponentials() {
    for case in cases("log_probabilities") {
        let logits = case.floats("logits");
        for kernel in Kernel::available() {
            let (m, t) = kernel.float().exp_sum(&logits);
            let expected = (logits.iter().copied().fold(f32::MIN, f32::max), case.doubles("t")[0]);
            assert!((m, t) == expected, "{} by {}: {:?}", case.label, kernel.name(), (m, t));
        }
    }
}

#[test]
fn softmax() {
    check_floats("softmax", "p", |ops, case, found| {
        *found = case.floats("s");
        ops.softmax(found, case.size("start"));
    });
}

#[test]
fn attention() {
    check_floats("attention", "o", |ops, case, found| {
        let (d, q, k, v) =
            (case.size("head_dim"), case.floats("q"), case.floats("k"), case.floats("v"));
        // The positions before the case's first one are not visible.
        let start = case.size("start");
        let (base, end) = (start / KEY_BLOCK * KEY_BLOCK, start + k.len() / d);
        let mut keys = vec![f32::NAN; (end - base).next_multiple_of(KEY_BLOCK) * d];
        for (at, key) in (start - base..).zip(k.chunks_exact(d)) {
            for (i, &key) in key.iter().enumerate() {
                keys[(at / KEY_BLOCK * d + i) * KEY_BLOCK + at % KEY_BLOCK] = key;
            }
        }
        let mut values = vec![f32::NAN; (start - base) * d];
        values.extend(v);
        let visible = start..end;
        let tile = AttentionTile {
            queries: &q,
            dim: d,
            keys: KvRows::F32(&keys),
            values: KvRows::F32(&values),
            base,
            visible: std::slice::from_ref(&visible),
            scale: 1.0 / (d as f32).sqrt(),
        };
        found.resize(d, f32::NAN);
        ops.attend(&tile, &mut TileScratch::default(), found);
    });
}

#[test]
fn rope() {
    for case in cases("rope") {
        let (rotary_dim, position) = (case.size("rotary_dim"), case.size("position"));
        let theta = case.doubles("theta")[0];
        let config =
            RopeConfig { theta, rotary_dim, dim: rotary_dim, scaling: RopeScaling::Default };
        let table = config.table(position + 1, position + 1);
        let row = position * rotary_dim / 2..(position + 1) * rotary_dim / 2;
        case.expect("cos", &table.cos[row.clone()]);
        case.expect("sin", &table.sin[row]);
    }
    check_floats("rope", "y", |ops, case, found| {
        *found = case.floats("x");
        let rotated = &mut found[..case.size("rotary_dim")];
        ops.rotate(rotated, &case.floats("cos"), &case.floats("sin"));
    });
}

/// The whole rule book at once: a small Qwen2 with grouped queries, biases and a sliding window.
#[test]
fn model() {
    for case in cases("model") {
        let scheme: QuantScheme = case.str("scheme").parse().unwrap();
        let weights = common::weights(&data("numerics-model"), Some(scheme));
        let tokens: Vec<u32> = case.integers("tokens").into_iter().map(|id| id as u32).collect();
        for kernel in Kernel::available() {
            let found = logits(&weights, &tokens, Run { kernel, threads: 1, chunk: usize::MAX });
            let what = format!("{} ({scheme}) by {}", case.label, kernel.name());
            assert_same(&what, &case.floats("logits"), &found);
        }
    }
}
