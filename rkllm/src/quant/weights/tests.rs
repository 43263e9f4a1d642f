//! Weights to integers against a second, slow reading of `NUMERICS.md`, and in literal examples.

use half::f16;
use proptest::prelude::*;

use super::*;
use crate::quant::MAX_GROUP;
use crate::quant::clip::RATIOS;

fn spec(scheme: &str) -> WeightSpec {
    WeightSpec::new(scheme.parse().unwrap())
}

fn scales(rows: &QuantizedRows) -> Vec<f32> {
    (0..rows.scales().len()).map(|i| rows.scales().get(i).unwrap()).collect()
}

fn values(rows: &QuantizedRows) -> Vec<i8> {
    let mut q = vec![0; rows.n() * rows.k()];
    for (row, q) in q.chunks_exact_mut(rows.k()).enumerate() {
        rows.unpack_row(row, q);
    }
    q
}

/// Deterministic weights with a wide spread of magnitudes between rows.
fn weights(n: usize, k: usize, mut state: u64) -> Vec<f32> {
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 16_777_216.0 - 0.5
    };
    (0..n * k).map(|i| (next() + next() + next()) * (1 + i / k % 3) as f32).collect()
}

#[test]
fn int8_rows_as_bytes() {
    let w = [127.5, -127.5, 0.5, 1.5, 0.0, 0.0, 0.0, 0.0];
    let rows = quantize(&w, 2, 4, &spec("w8a8"), 1).unwrap();
    assert_eq!(&rows.data()[..], &[127, 128, 0, 2, 0, 0, 0, 0]);
    assert_eq!(scales(&rows), [1.0, 1.0]);
    assert_eq!(rows.scales().scale_type(), ScaleType::F32);
    assert_eq!(rows.dequantize(), [127.0, -128.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!((rows.n(), rows.k(), rows.group(), rows.bits(), rows.groups()), (2, 4, 4, 8, 1));
}

#[test]
fn int4_rows_as_nibbles() {
    let w = [-7.5, -6.5, -5.5, 7.5, 0.5, -0.5, 1.5, 2.5, 3.0];
    let rows = quantize(&w, 1, 9, &spec("w4a16"), 1).unwrap();
    assert_eq!(&rows.data()[..], &[0x20, 0xf2, 0x88, 0xaa, 0x0b, 0, 0, 0]);
    assert_eq!(rows.row_bytes(), 8);
    assert_eq!(rows.dequantize(), [-8.0, -6.0, -6.0, 7.0, 0.0, 0.0, 2.0, 2.0, 3.0]);
}

#[test]
fn asymmetric_rows_hold_the_ends() {
    let w = [-1.0, 14.0, 0.4, 6.5];
    let rows = quantize(&w, 1, 4, &spec("w4a16").with_zero_points(), 1).unwrap();
    assert_eq!(rows.zero_points(), Some(&ZeroPoints::U4(vec![1])));
    assert_eq!(&rows.data()[..], &[0xf0, 0x71, 0, 0]);
    assert_eq!(rows.dequantize(), [-1.0, 14.0, 0.0, 6.0]);

    let w = [-55.0, 200.0, 72.5];
    let rows = quantize(&w, 1, 3, &spec("w8a8").with_zero_points(), 1).unwrap();
    assert_eq!(rows.zero_points(), Some(&ZeroPoints::I8(vec![-73])));
    assert_eq!(values(&rows), [-128, 127, -1]);
    assert_eq!(rows.dequantize(), [-55.0, 200.0, 72.0]);
}

#[test]
fn one_tiny_group_makes_every_scale_f32() {
    let mut w = weights(3, 64, 1);
    let spec = spec("w4a16_g32");
    assert_eq!(quantize(&w, 3, 64, &spec, 1).unwrap().scales().scale_type(), ScaleType::F16);
    for w in &mut w[96..128] {
        *w *= 1e-4;
    }
    let rows = quantize(&w, 3, 64, &spec, 1).unwrap();
    assert_eq!(rows.scales().scale_type(), ScaleType::F32);
    let amax = w[..32].iter().fold(0.0f32, |amax, w| amax.max(w.abs()));
    assert_eq!(rows.scales().get(0), Some(amax / 7.5), "not rounded to f16 first");

    // The converter finds out block by block.
    let block = |i: usize| {
        quantize_block(&w[i * 64..][..64], 64, i, &spec, ScaleType::F16).unwrap().f16_range
    };
    assert_eq!([block(0), block(1), block(2)], [true, false, true]);
    let huge = [6e5f32; 64];
    assert!(!quantize_block(&huge, 64, 0, &spec, ScaleType::F16).unwrap().f16_range);
    // All zeros are no reason: their scale is 1.
    assert!(quantize_block(&[0.0; 64], 64, 0, &spec, ScaleType::F16).unwrap().f16_range);
}

#[test]
fn bad_weights_are_named() {
    for threads in [1, 2, 3, 100] {
        for (bad, text) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")]
        {
            for clip in [Clip::AbsMax, Clip::Mse] {
                let mut w = weights(8, 64, 2);
                w[5 * 64 + 33] = bad;
                w[7 * 64 + 1] = f32::NAN;
                w[4 * 64] = 1e7; // f32 scales needed: the second pass must say the same
                let error =
                    quantize(&w, 8, 64, &spec("w4a16_g32").with_clip(clip), threads).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NonFinite);
                let message = error.to_string();
                assert!(message.contains(&format!("row 5, column 33 is {text}")), "{message}");
            }
        }
    }
    let error = quantize_block(&[f32::NAN], 1, 40, &spec("w8a8"), ScaleType::F32).unwrap_err();
    assert!(error.to_string().contains("row 40, column 0"), "{error}");
    let wide = [-3e38, 3e38];
    let error = quantize(&wide, 1, 2, &spec("w8a8").with_zero_points(), 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NonFinite);
    assert!(error.to_string().contains("row 0, group 0"), "{error}");
}

#[test]
fn impossible_shapes_are_refused() {
    let kind = |n, k, len: usize, scheme: &str| {
        quantize(&vec![0.5; len], n, k, &spec(scheme), 1).unwrap_err().kind()
    };
    assert_eq!(kind(0, 4, 0, "w8a8"), ErrorKind::Shape);
    assert_eq!(kind(4, 0, 0, "w8a8"), ErrorKind::Shape);
    assert_eq!(kind(4, 0, 0, "w4a16_g32"), ErrorKind::Shape);
    assert_eq!(kind(2, 4, 7, "w8a8"), ErrorKind::Shape);
    assert_eq!(kind(usize::MAX, 4, 4, "w8a8"), ErrorKind::Shape);
    assert_eq!(kind(1, 8, 8, "f16"), ErrorKind::Quantization);
    let error = quantize(&[0.5; 172], 1, 172, &spec("w4a16_g128"), 1).unwrap_err().to_string();
    assert!(error.contains("128") && error.contains("172"), "{error}");

    let k = MAX_GROUP + 2;
    assert_eq!(kind(1, k, k, "w8a8"), ErrorKind::Quantization);
    let row = vec![1.0; MAX_GROUP];
    assert!(quantize(&row, 1, MAX_GROUP, &spec("w4a16"), 1).is_ok());
    let odd = WeightSpec::new(QuantScheme::W4A16(Group::Columns(3)));
    assert_eq!(quantize(&[0.5; 9], 1, 9, &odd, 1).unwrap_err().kind(), ErrorKind::Quantization);

    let block = |len: usize| quantize_block(&vec![0.5; len], 4, 0, &spec("w8a8"), ScaleType::F32);
    assert_eq!(block(0).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(block(6).unwrap_err().kind(), ErrorKind::Shape);
}

#[test]
fn rows_from_files_must_agree() {
    let new = |n, k, group, bits, data: usize, scales: usize, zero_points| {
        let (data, scales) = (Bytes::new(vec![0; data]), Scales::F16(Bytes::new(vec![0; scales])));
        QuantizedRows::new((n, k), group, bits, data, scales, zero_points)
    };
    let kind = |rows: Result<QuantizedRows>| rows.unwrap_err().kind();
    assert!(new(2, 12, 12, 4, 16, 4, None).is_ok());
    assert!(new(2, 12, 4, 4, 16, 12, Some(ZeroPoints::U4(vec![15; 6]))).is_ok());
    assert!(new(2, 12, 4, 8, 24, 12, Some(ZeroPoints::I8(vec![-128; 6]))).is_ok());
    for (n, k, data, scale_bytes) in
        [(2, 12, 15, 4), (2, 12, 16, 5), (2, 12, 16, 2), (0, 12, 0, 0), (2, 0, 0, 0)]
    {
        assert_eq!(
            kind(new(n, k, k, 4, data, scale_bytes, None)),
            ErrorKind::Shape,
            "{n} {k} {data}"
        );
    }
    assert_eq!(kind(new(usize::MAX, 12, 12, 8, 24, 4, None)), ErrorKind::Shape);
    for group in [0, 5, 24, 3] {
        assert_eq!(kind(new(2, 12, group, 4, 16, 8, None)), ErrorKind::Quantization, "{group}");
    }
    assert_eq!(kind(new(2, 12, 12, 5, 24, 4, None)), ErrorKind::Quantization);
    assert_eq!(kind(new(2, 12, 12, 4, 16, 4, Some(ZeroPoints::U4(vec![0])))), ErrorKind::Shape);
    for wrong in [ZeroPoints::U4(vec![0, 16]), ZeroPoints::I8(vec![0, 0])] {
        assert_eq!(kind(new(2, 12, 12, 4, 16, 4, Some(wrong))), ErrorKind::Quantization);
    }

    let infinite: Vec<u8> = [1.0, f32::INFINITY].iter().flat_map(|s| s.to_le_bytes()).collect();
    let rows = QuantizedRows::new(
        (2, 2),
        2,
        8,
        Bytes::new(vec![0; 4]),
        Scales::F32(Bytes::new(infinite)),
        None,
    );
    let error = rows.unwrap().check_scales().unwrap_err();
    assert!(error.to_string().contains("row 1, group 0"), "{error}");
}

#[test]
fn stored_bytes_count_everything() {
    let w = weights(10, 64, 3);
    assert_eq!(
        quantize(&w, 10, 64, &spec("w4a16_g32"), 1).unwrap().stored_bytes(),
        10 * 32 + 20 * 2
    );
    let asymmetric = quantize(&w, 10, 64, &spec("w4a16_g32").with_zero_points(), 1).unwrap();
    assert_eq!(asymmetric.stored_bytes(), 10 * 32 + 20 * 2 + 2 * 2 * 4);
    assert_eq!(quantize(&w, 10, 64, &spec("w8a8"), 1).unwrap().stored_bytes(), 640 + 40);
}

#[test]
fn the_ratios_are_those_of_the_page() {
    let mut expected = vec![64.0];
    expected.extend((65..=72).rev().chain((32..=63).rev()).map(|r| r as f32));
    assert_eq!(RATIOS.map(|r| r * 64.0)[..], expected);
}

/// (scale, z, q) of a group.
type SlowGroup = (f32, i32, Vec<i32>);

/// `NUMERICS.md`, Weights, read once more without lanes, tricks or early exits, for one group.
/// `None` where a scale is outside f16's range.
fn slow(w: &[f32], bits: u32, spec: &WeightSpec, f16_scale: bool) -> Option<SlowGroup> {
    let (qmin, qmax, steps) = if bits == 8 { (-128.0, 127.0, 255.0) } else { (-8.0, 7.0, 15.0f32) };
    let all_zero = w.iter().all(|&w| w == 0.0);
    let ratios = if spec.clip == Clip::Mse && !all_zero { &RATIOS[..] } else { &[1.0] };
    let mut best: Option<(f64, SlowGroup)> = None;
    for ratio in ratios {
        let lo = w.iter().fold(0.0f32, |lo, &w| lo.min(w)) * ratio;
        let hi = w.iter().fold(0.0f32, |hi, &w| hi.max(w)) * ratio;
        let mut scale =
            if spec.symmetric { hi.max(-lo) / (steps / 2.0) } else { (hi - lo) / steps };
        scale = if all_zero { 1.0 } else { scale.max(f32::MIN_POSITIVE) };
        if f16_scale {
            scale = f16::from_f32(scale).to_f32();
            if !(libm::ldexpf(1.0, -14)..=65504.0).contains(&scale) {
                return None;
            }
        }
        let z = if spec.symmetric {
            0.0
        } else {
            (qmin - lo / scale).round_ties_even().clamp(qmin, qmax)
        };
        let q: Vec<f32> =
            w.iter().map(|&w| ((w / scale).round_ties_even() + z).clamp(qmin, qmax)).collect();
        let mut lanes = [0.0f64; 16];
        for (i, (&w, &q)) in w.iter().zip(&q).enumerate() {
            let d = f64::from(w) - f64::from(q - z) * f64::from(scale);
            lanes[i % 16] += d * d;
        }
        let eight: Vec<f64> = (0..8).map(|j| lanes[j] + lanes[j + 8]).collect();
        let four: Vec<f64> = (0..4).map(|j| eight[j] + eight[j + 4]).collect();
        let error = (four[0] + four[2]) + (four[1] + four[3]);
        if best.as_ref().is_none_or(|(smallest, _)| error < *smallest) {
            best = Some((error, (scale, z as i32, q.iter().map(|&q| q as i32).collect())));
        }
    }
    best.map(|(_, group)| group)
}

fn any_spec() -> impl Strategy<Value = WeightSpec> {
    let groups =
        prop_oneof![Just(Group::Channel), Just(Group::Columns(16)), Just(Group::Columns(22))];
    (groups, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(group, wide, symmetric, mse)| {
            let scheme = if wide { QuantScheme::W8A8(group) } else { QuantScheme::W4A16(group) };
            WeightSpec { scheme, symmetric, clip: if mse { Clip::Mse } else { Clip::AbsMax } }
        },
    )
}

/// (K, weights of whole rows, how to quantise them). K suits the groups; without groups it is anything.
fn any_case() -> impl Strategy<Value = (usize, Vec<f32>, WeightSpec)> {
    let weight = prop_oneof![
        8 => -1.0f32..1.0,
        1 => Just(0.0),
        1 => (-20i32..20).prop_map(|i| i as f32 / 8.0),
    ];
    let size = prop_oneof![4 => Just(1.0f32), 1 => 1e-5f32..1e5, 1 => Just(1e-43), 1 => Just(1e38)];
    let any_k = prop_oneof![1usize..50, Just(176), Just(352)];
    let weights = prop::collection::vec(weight, 352 * 5);
    (any_spec(), any_k, 1usize..6, size, weights).prop_map(|(spec, k, n, size, w)| {
        let k = if spec.scheme.group() == Some(Group::Channel) { k } else { k.div_ceil(100) * 176 };
        let w = w.into_iter().take(n * k).map(|w| w * size).collect::<Vec<_>>();
        (k, w[..w.len() / k * k].to_vec(), spec)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whole_tensors_match_the_slow_reading((k, w, spec) in any_case()) {
        let n = w.len() / k;
        let (group, bits) = spec.check(k).unwrap();
        let f16_scales = spec.scale_type() == ScaleType::F16
            && w.chunks(group).all(|w| slow(w, bits, &spec, true).is_some());
        let expected: Vec<_> = w.chunks(group).map(|w| slow(w, bits, &spec, f16_scales).unwrap()).collect();
        let rows = match quantize(&w, n, k, &spec, 2) {
            Ok(rows) => rows,
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::NonFinite);
                prop_assert!(w.iter().any(|w| w.abs() > 1e38), "{}", error);
                return Ok(());
            }
        };
        prop_assert_eq!(rows.scales().scale_type() == ScaleType::F16, f16_scales);
        let q = values(&rows);
        for (i, (scale, z, expected)) in expected.iter().enumerate() {
            prop_assert_eq!(rows.scales().get(i), Some(*scale));
            prop_assert_eq!(rows.zero_points().map_or(0, |z| z.get(i).unwrap()), *z);
            let found: Vec<i32> = q[i * group..][..group].iter().map(|&q| i32::from(q)).collect();
            prop_assert_eq!(&found, expected);
        }
    }

    #[test]
    fn neither_threads_nor_blocks_matter((k, w, spec) in any_case(), block in 1usize..4) {
        let n = w.len() / k;
        let Ok(rows) = quantize(&w, n, k, &spec, 1) else { return Ok(()) };
        for threads in [2, 3, 8] {
            let other = quantize(&w, n, k, &spec, threads).unwrap();
            prop_assert_eq!(&rows.data()[..], &other.data()[..]);
            prop_assert_eq!(&rows.scales().bytes()[..], &other.scales().bytes()[..]);
            prop_assert_eq!(rows.zero_points(), other.zero_points());
        }
        let scale_type = rows.scales().scale_type();
        let blocks: Vec<_> = w
            .chunks(block * k)
            .enumerate()
            .map(|(i, w)| quantize_block(w, k, i * block, &spec, scale_type).unwrap())
            .collect();
        prop_assert!(blocks.iter().all(|b| b.f16_range));
        prop_assert_eq!(&blocks.iter().flat_map(|b| b.data.clone()).collect::<Vec<_>>(), &rows.data()[..]);
        prop_assert_eq!(&blocks.iter().flat_map(|b| b.scales.clone()).collect::<Vec<_>>(), &rows.scales().bytes()[..]);
        prop_assert_eq!(blocks[0].zero_points.is_some(), rows.zero_points().is_some());
    }

    #[test]
    fn errors_are_half_a_step_unless_clamped((k, w, spec) in any_case()) {
        let n = w.len() / k;
        let Ok(rows) = quantize(&w, n, k, &spec, 1) else { return Ok(()) };
        let (q, back) = (values(&rows), rows.dequantize());
        let (qmin, qmax) = if rows.bits() == 8 { (-128, 127) } else { (-8, 7) };
        for (i, (&w, &back)) in w.iter().zip(&back).enumerate() {
            let scale = rows.scales().get(i / rows.group()).unwrap();
            let error = (f64::from(w) - f64::from(back)).abs();
            let clamped = q[i] == qmin || q[i] == qmax;
            // The quotient and the product are each rounded: a few units in the last place.
            let slack = (f64::from(w).abs() + f64::from(back).abs()) * 2f64.sqrt() * 1e-7;
            prop_assert!(clamped || error <= f64::from(scale) * 0.5 + slack, "{w} {back} {scale}");
            prop_assert!((w >= 0.0) == (back >= 0.0) || back == 0.0);
        }
    }

    #[test]
    fn symmetric_maps_mirror((k, w, spec) in any_case()) {
        let spec = WeightSpec { symmetric: true, clip: Clip::AbsMax, ..spec };
        let n = w.len() / k;
        let mirrored: Vec<f32> = w.iter().map(|w| -w).collect();
        let (rows, mirror) = (quantize(&w, n, k, &spec, 1).unwrap(), quantize(&mirrored, n, k, &spec, 1).unwrap());
        prop_assert_eq!(scales(&rows), scales(&mirror));
        let qmax = if rows.bits() == 8 { 127 } else { 7 };
        for (q, m) in values(&rows).into_iter().zip(values(&mirror)) {
            prop_assert_eq!(i32::from(m).clamp(-qmax, qmax), (-i32::from(q)).clamp(-qmax, qmax));
        }
    }

    #[test]
    fn larger_weights_never_get_smaller_integers((k, w, spec) in any_case()) {
        let n = w.len() / k;
        let Ok(rows) = quantize(&w, n, k, &spec, 1) else { return Ok(()) };
        for (w, q) in w.chunks(rows.group()).zip(values(&rows).chunks(rows.group())) {
            let mut order: Vec<usize> = (0..w.len()).collect();
            order.sort_by(|&a, &b| w[a].total_cmp(&w[b]));
            prop_assert!(order.windows(2).all(|pair| q[pair[0]] <= q[pair[1]]));
        }
    }
}

/// What the clip search is for, on a trained model: tinystories-656k, every linear layer.
#[test]
fn clip_search_lowers_the_error_of_a_trained_model() {
    let Some(path) = crate::testing::shared("models/tinystories-656k/model.safetensors") else {
        return;
    };
    let file = std::fs::read(path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
    let error = |spec: &WeightSpec| -> f64 {
        let mut sum = 0.0;
        for (name, tensor) in tensors.iter().filter(|(name, _)| name.contains("_proj")) {
            let [n, k] = tensor.shape()[..] else { panic!("{name}: {:?}", tensor.shape()) };
            let w: Vec<f32> =
                tensor.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
            let back = quantize(&w, n, k, spec, 1).unwrap().dequantize();
            sum +=
                w.iter().zip(&back).map(|(w, b)| f64::from(w - b) * f64::from(w - b)).sum::<f64>();
        }
        sum
    };
    for (scheme, at_most) in [
        ("w4a16_g32", 0.83),
        ("w4a16_g64", 0.86),
        ("w4a16_g128", 0.84),
        ("w4a16", 0.82),
        ("w8a8", 0.97),
        ("w8a8_g128", 0.96),
    ] {
        let spec = spec(scheme);
        let (absmax, mse) = (error(&spec), error(&spec.with_clip(Clip::Mse)));
        println!(
            "{scheme}: squared error {absmax:.4} absmax, {mse:.4} mse, ratio {:.4}",
            mse / absmax
        );
        assert!(mse / absmax <= at_most, "{scheme}: {absmax} {mse}");
    }
}
