//! The map, packing and activation quantisers. Weights are tested in `weights/tests.rs`.

use proptest::prelude::*;

use super::activation::{quantize8, quantize16};
use super::affine::{limit, round_half_even, round_to_int};
use super::nibble::{pack_row, pack_zero_points, row_bytes, unpack_row, unpack_zero_points};
use super::{Affine, Clip, ScaleType};
use crate::ErrorKind;

#[test]
fn rounds_half_to_even() {
    let map = Affine { scale: 1.0, zero_point: 0, qmin: -128, qmax: 127 };
    let cases = [
        (0.5, 0),
        (1.5, 2),
        (2.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (-2.5, -2),
        (126.5, 126),
        (127.5, 127),
        (-127.5, -128),
        (-128.5, -128),
        (1e30, 127),
        (-1e30, -128),
        (1e-40, 0),
    ];
    for (x, q) in cases {
        assert_eq!(map.quantize(x).unwrap(), q, "{x}");
    }
    // The zero point is added after rounding: adding it before would turn 2.5 + 1 into 4.
    assert_eq!(Affine { zero_point: 1, ..map }.quantize(2.5).unwrap(), 3);
    for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(map.quantize(x).unwrap_err().kind(), ErrorKind::NonFinite);
    }
}

/// The probed pairs of `quantisation-numerics.md`. Its ranges are printed with five decimals, so a scale is
/// known to 1e-5 / 255, and exactly for some range that prints the same.
#[test]
fn rknn_activation_reproduces_the_probes() {
    let probes = [
        (-3.17217f32, 3.71764f32, 0.027_018_854_7_f64, -11),
        (-7.67805, 6.83205, 0.056_902_341_3, 7),
    ];
    for (min, max, scale, zero_point) in probes {
        let scale = scale as f32;
        let map = Affine::rknn_activation(min, max).unwrap();
        assert!((map.scale - scale).abs() <= 1e-5 / 255.0, "{} {scale}", map.scale);
        assert_eq!(map.zero_point, zero_point);
        assert_eq!((map.qmin, map.qmax), (-128, 127));

        let unrounded = (f64::from(min) + 255.0 * f64::from(scale)) as f32;
        assert_eq!(format!("{unrounded:.5}"), format!("{max:.5}"));
        let map = Affine::rknn_activation(min, unrounded).unwrap();
        assert_eq!((map.scale, map.zero_point), (scale, zero_point));
    }
}

#[test]
fn rknn_activation_refuses_ranges_without_a_map() {
    let kind = |min, max| Affine::rknn_activation(min, max).unwrap_err().kind();
    for (min, max) in [(0.0, 0.0), (1.0, -1.0), (0.5, 2.0), (-2.0, -0.5), (0.0, 1e-40)] {
        assert_eq!(kind(min, max), ErrorKind::Quantization, "[{min}, {max}]");
    }
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(kind(bad, 1.0), ErrorKind::NonFinite);
        assert_eq!(kind(-1.0, bad), ErrorKind::NonFinite);
    }
    // f32 would overflow: max - min is above f32::MAX.
    assert!(Affine::rknn_activation(-3e38, 3e38).unwrap().scale.is_finite());
    let relu = Affine::rknn_activation(0.0, 25.5).unwrap();
    assert_eq!((relu.zero_point, relu.quantize(25.5).unwrap()), (-128, 127));
}

#[test]
fn weight_maps_follow_the_table() {
    let f32_map = |bits, amax| Affine::symmetric(bits, amax, ScaleType::F32).unwrap();
    assert_eq!(f32_map(8, 127.5).scale, 1.0);
    assert_eq!(f32_map(4, 7.5).scale, 1.0);
    assert_eq!((f32_map(4, 1.0).qmin, f32_map(4, 1.0).qmax), (-8, 7));
    assert_eq!(f32_map(8, 0.0).scale, 1.0);
    assert_eq!(f32_map(8, 1e-45).scale, f32::MIN_POSITIVE);

    let map = Affine::asymmetric(8, -1.0, 3.0, ScaleType::F32).unwrap();
    assert_eq!((map.scale, map.zero_point), (4.0 / 255.0, -64));
    let map = Affine::asymmetric(4, 1.0, 3.0, ScaleType::F32).unwrap();
    assert_eq!((map.scale, map.zero_point), (0.2, -8), "zero is in every range");
    let map = Affine::asymmetric(4, -3.0, -1.0, ScaleType::F32).unwrap();
    assert_eq!((map.scale, map.zero_point), (0.2, 7));

    // 1 / 7.5 is no f16: the map uses what is stored.
    let map = Affine::symmetric(4, 1.0, ScaleType::F16).unwrap();
    assert_eq!(map.scale, half::f16::from_f32(1.0 / 7.5).to_f32());
}

#[test]
fn weight_maps_refuse_what_has_no_scale() {
    let symmetric =
        |bits, amax, scale_type| Affine::symmetric(bits, amax, scale_type).unwrap_err().kind();
    assert_eq!(symmetric(8, f32::NAN, ScaleType::F32), ErrorKind::NonFinite);
    assert_eq!(symmetric(8, f32::INFINITY, ScaleType::F32), ErrorKind::NonFinite);
    assert_eq!(symmetric(8, -1.0, ScaleType::F32), ErrorKind::Input);
    assert_eq!(symmetric(5, 1.0, ScaleType::F32), ErrorKind::Input);
    assert_eq!(symmetric(4, 1e-4, ScaleType::F16), ErrorKind::Quantization);
    assert_eq!(symmetric(4, 1e6, ScaleType::F16), ErrorKind::Quantization);
    let asymmetric = |lo, hi| Affine::asymmetric(8, lo, hi, ScaleType::F32).unwrap_err().kind();
    assert_eq!(asymmetric(1.0, -1.0), ErrorKind::Input);
    assert_eq!(asymmetric(f32::NAN, 1.0), ErrorKind::NonFinite);
    assert_eq!(asymmetric(-1.0, f32::NAN), ErrorKind::NonFinite);
    assert_eq!(asymmetric(-3e38, 3e38), ErrorKind::NonFinite, "hi - lo overflows");
}

#[test]
fn nibbles_match_the_format() {
    let q = [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2];
    let mut row = vec![0xff; row_bytes(q.len())];
    pack_row(&q, &mut row).unwrap();
    let words: Vec<u32> = row.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect();
    assert_eq!(words, [0x7654_3210, 0x0000_0a98]);
    let mut back = [0; 11];
    unpack_row(&row, &mut back).unwrap();
    assert_eq!(back, q);

    assert_eq!([0, 1, 8, 9, 896].map(row_bytes), [0, 4, 4, 8, 448]);
    assert_eq!(pack_row(&q, &mut [0; 6]).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(unpack_row(&row, &mut [0; 17]).unwrap_err().kind(), ErrorKind::Shape);
}

#[test]
fn zero_points_are_packed_along_the_output_rows() {
    // Rows 0..10 of group 0 hold 0..10, of group 1 hold 15, 14, ..
    let zero_points: Vec<u8> = (0..10).flat_map(|n| [n, 15 - n]).collect();
    let packed = pack_zero_points(&zero_points, 10, 2).unwrap();
    let words: Vec<u32> = packed.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect();
    assert_eq!(words, [0x7654_3210, 0x89ab_cdef, 0x0000_0098, 0x0000_0067]);
    assert_eq!(unpack_zero_points(&packed, 10, 2).unwrap(), zero_points);

    let kind =
        |bytes: &[u8], out, groups| unpack_zero_points(bytes, out, groups).unwrap_err().kind();
    assert_eq!(kind(&packed, 17, 2), ErrorKind::Shape);
    assert_eq!(kind(&packed, usize::MAX, usize::MAX), ErrorKind::Shape);
    assert_eq!(pack_zero_points(&zero_points, 5, 2).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(pack_zero_points(&[], 5, 0).unwrap_err().kind(), ErrorKind::Shape);
}

#[test]
fn activations_reach_both_ends() {
    let token = quantize8(&[127.5, -127.5, 0.5, 1.5, -0.75, 0.0], 3);
    assert_eq!(token.scales, [1.0, 1.5 / 127.5]);
    assert_eq!(token.q, [127, -128, 0, 127, -64, 0]);

    let token = quantize16(&[32639.0, -32639.0, 128.0, 127.5, -128.5, -129.0], 6);
    assert_eq!(token.scales, [1.0]);
    assert_eq!(token.lo, [127, -127, -128, -128, -128, 127]);
    assert_eq!(token.hi, [127, -127, 1, 1, 0, -1]);

    let zeros = [0.0; 4];
    assert_eq!(quantize8(&zeros, 2).scales, [f32::EPSILON; 2]);
    assert_eq!(quantize8(&zeros, 2).q, [0; 4]);
    assert_eq!(quantize16(&zeros, 4).scales, [f32::EPSILON]);
    assert_eq!((quantize16(&zeros, 4).lo, quantize16(&zeros, 4).hi), (vec![0; 4], vec![0; 4]));
}

#[test]
fn clip_names_round_trip() {
    for clip in [Clip::AbsMax, Clip::Mse] {
        assert_eq!(clip.to_string().parse::<Clip>().unwrap(), clip);
    }
    assert_eq!(format!("{:>8}", Clip::Mse), "     mse");
    let error = "max".parse::<Clip>().unwrap_err().to_string();
    assert!(error.contains("absmax") && error.contains("mse"), "{error}");
}

proptest! {
    #[test]
    fn the_rounding_addition_is_round_ties_even(x in -40000.0f32..40000.0, half in -40000i32..40000) {
        for x in [x, half as f32 / 2.0] {
            prop_assert_eq!(round_half_even(x), x.round_ties_even());
            prop_assert_eq!(round_to_int(x), x.round_ties_even() as i32);
        }
    }

    /// What the code computes is what `NUMERICS.md` says: it rounds, adds the zero point, limits last.
    #[test]
    fn limiting_first_changes_nothing(
        x in prop_oneof![-1000.0f32..1000.0, any::<f32>().prop_filter("finite", |x| x.is_finite())],
        scale in 1e-6f32..10.0,
        zero_point in -128i32..=127,
    ) {
        let map = Affine { scale, zero_point, qmin: -128, qmax: 127 };
        let direct = (f64::from((x / scale).round_ties_even()) + f64::from(zero_point)).clamp(-128.0, 127.0);
        prop_assert_eq!(map.quantize(x).unwrap(), direct as i32);
        let (lo, hi) = map.limits();
        let q = round_half_even(limit(x / scale, lo, hi));
        prop_assert_eq!(map.dequantize(direct as i32), q * scale);
    }

    #[test]
    fn maps_are_monotone(a in -10.0f32..10.0, b in -10.0f32..10.0, lo in -9.0f32..0.0, hi in 0.1f32..9.0) {
        let map = Affine::rknn_activation(lo, hi).unwrap();
        let (a, b) = (a.min(b), a.max(b));
        prop_assert!(map.quantize(a).unwrap() <= map.quantize(b).unwrap());
    }

    #[test]
    fn nibbles_round_trip(q in prop::collection::vec(-8i8..=7, 0..70)) {
        let mut row = vec![0xff; row_bytes(q.len())];
        pack_row(&q, &mut row).unwrap();
        let mut back = vec![0; q.len()];
        unpack_row(&row, &mut back).unwrap();
        prop_assert_eq!(&back, &q);
        prop_assert!(row[q.len().div_ceil(2)..].iter().all(|&byte| byte == 0));
        prop_assert!(q.len() % 2 == 0 || row[q.len() / 2] >> 4 == 0);
    }

    #[test]
    fn zero_points_round_trip(groups in 1usize..5, rows in prop::collection::vec(0u8..16, 1..120)) {
        let out = rows.len() / groups;
        let zero_points = &rows[..out * groups];
        let packed = pack_zero_points(zero_points, out, groups).unwrap();
        prop_assert_eq!(packed.len(), out.div_ceil(8) * groups * 4);
        prop_assert_eq!(unpack_zero_points(&packed, out, groups).unwrap(), zero_points);
    }

    #[test]
    fn planes_hold_the_16_bit_value(x in prop::collection::vec(-100.0f32..100.0, 1..40)) {
        let (wide, narrow) = (quantize16(&x, x.len()), quantize8(&x, x.len()));
        let amax = x.iter().fold(0.0f32, |amax, x| amax.max(x.abs()));
        prop_assert_eq!(wide.scales[0], (amax / 32639.0).max(f32::EPSILON));
        prop_assert_eq!(narrow.scales[0], (amax / 127.5).max(f32::EPSILON));
        for (i, &x) in x.iter().enumerate() {
            let value = 256 * i32::from(wide.hi[i]) + i32::from(wide.lo[i]);
            prop_assert_eq!(value, (x / wide.scales[0]).round_ties_even() as i32);
            prop_assert!(value.abs() <= 32639);
            let error = (f32::from(narrow.q[i]) * narrow.scales[0] - x).abs();
            prop_assert!(error <= 0.5001 * narrow.scales[0], "{} {}", x, error);
        }
    }
}
