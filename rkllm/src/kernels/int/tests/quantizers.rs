//! Every kernel's quantisers against the scalar ones.

use proptest::prelude::*;

use super::super::*;

fn same8(a: &Activations8, b: &Activations8) -> bool {
    let bits = |x: &Activations8| x.scales.iter().map(|s| s.to_bits()).collect::<Vec<_>>();
    (a.m, a.k, a.group, a.stride) == (b.m, b.k, b.group, b.stride)
        && (&a.q, &a.sums) == (&b.q, &b.sums)
        && bits(a) == bits(b)
}

fn same16(a: &Activations16, b: &Activations16) -> bool {
    let bits = |x: &Activations16| x.scales.iter().map(|s| s.to_bits()).collect::<Vec<_>>();
    (a.m, a.k, a.group, a.half) == (b.m, b.k, b.group, b.half)
        && (&a.planes, &a.sums) == (&b.planes, &b.sums)
        && bits(a) == bits(b)
}

fn check_quantizers(x: &[f32], k: usize, group: usize) {
    let (mut expected8, mut expected16) = (Activations8::default(), Activations16::default());
    scalar::Scalar.quantize8(x, k, group, &mut expected8);
    scalar::Scalar.quantize16(x, k, group, &mut expected16);
    for (name, kernel) in available() {
        let (mut out8, mut out16) = (Activations8::default(), Activations16::default());
        // Stale contents must not shine through the padding.
        kernel.quantize8(
            &vec![7.0; 3 * x.len().max(64)],
            x.len().max(64),
            x.len().max(64),
            &mut out8,
        );
        kernel.quantize16(
            &vec![7.0; 3 * x.len().max(64)],
            x.len().max(64),
            x.len().max(64),
            &mut out16,
        );
        kernel.quantize8(x, k, group, &mut out8);
        kernel.quantize16(x, k, group, &mut out16);
        assert!(same8(&out8, &expected8), "{name}: K {k}, groups of {group}");
        assert!(same16(&out16, &expected16), "{name}: K {k}, groups of {group}");
    }
}

#[test]
fn quantizers_agree_on_ties_and_tiny_values() {
    // Scale 1: halves are ties. 127.5 itself is one that the clamp meets.
    let ties: Vec<f32> = (-255..=255).map(|i| i as f32 * 0.5).collect();
    check_quantizers(&ties, ties.len(), ties.len());
    // The same for 16 bits.
    let wide: Vec<f32> = (-32639..=32639).map(|i| i as f32 - 0.5 * (i % 2) as f32).collect();
    check_quantizers(&wide, wide.len(), wide.len());
    let tiny: Vec<f32> = (0..96).map(|i| f32::from_bits(1 + (i << 18))).collect();
    check_quantizers(&tiny, 96, 32);
    check_quantizers(&[0.0; 64], 32, 32);
    check_quantizers(&[-0.0, f32::MAX, -f32::MAX, 1.0], 2, 2);
    let mut out = Activations8::default();
    scalar::Scalar.quantize8(&ties, ties.len(), ties.len(), &mut out);
    assert_eq!((out.q[0], out.q[1], out.q[3], out.q[510]), (-128, -127, -126, 127));
}

/// Quotients beside a half, where a wrong last place changes the integer.
#[test]
fn quantizers_agree_beside_ties() {
    let mut bits = 0x3f80_0000u32;
    for i in 0..62 {
        // Mantissas all over, exponents from 2^-23 to 2^100.
        bits = 0x3400_0000 + (i << 24) + (bits.wrapping_mul(1_664_525) >> 9 & 0x7f_ffff);
        let scale = f32::from_bits(bits);
        for (limit, step) in [(127.5f32, 1), (32639.0, 97)] {
            let amax = scale * limit;
            // What the quantiser makes of it.
            let scale = amax / limit;
            let mut x = vec![amax];
            for half in (0..limit as i32).step_by(step) {
                let tie = (half as f32 + 0.5) * scale;
                let beside = [-1i32, 0, 1].map(|step| tie.to_bits().wrapping_add_signed(step));
                x.extend(beside.map(f32::from_bits).iter().flat_map(|&x| [x, -x]));
            }
            x.retain(|x| x.abs() <= amax);
            check_quantizers(&x, x.len(), x.len());
        }
    }
}

#[test]
fn quantizers_split_both_planes() {
    let x: Vec<f32> = (-32639..=32639).map(|i| i as f32).collect();
    let mut out = Activations16::default();
    for (name, kernel) in available() {
        kernel.quantize16(&x, x.len(), x.len(), &mut out);
        for (column, x) in x.iter().enumerate() {
            let at = column % 2 * out.half + column / 2;
            let (low, high) = (out.planes[at], out.planes[at + 2 * out.half]);
            assert_eq!(256.0 * f32::from(high) + f32::from(low), *x, "{name}");
        }
        let sum = |p: usize| {
            out.planes[2 * p * out.half..2 * (p + 1) * out.half]
                .iter()
                .map(|&v| i32::from(v))
                .sum::<i32>()
        };
        assert_eq!(out.sums, [[sum(0), sum(1)]], "{name}");
    }
}

#[test]
fn the_steady_state_allocates_nothing() {
    for (name, kernel) in available() {
        let (mut q8, mut q16) = (Activations8::default(), Activations16::default());
        kernel.quantize8(&[1.0; 4 * 256], 256, 128, &mut q8);
        kernel.quantize16(&[1.0; 4 * 256], 256, 128, &mut q16);
        let before = (q8.q.as_ptr(), q8.scales.as_ptr(), q16.planes.as_ptr(), q16.sums.as_ptr());
        kernel.quantize8(&[1.0; 2 * 172], 172, 172, &mut q8);
        kernel.quantize16(&[1.0; 2 * 172], 172, 172, &mut q16);
        let after = (q8.q.as_ptr(), q8.scales.as_ptr(), q16.planes.as_ptr(), q16.sums.as_ptr());
        assert_eq!(before, after, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_floats_quantise_alike(
        x in prop::collection::vec(-100.0f32..100.0, 1..300),
        exponent in -40i32..30,
        outlier: prop::sample::Index,
    ) {
        let factor = (0..exponent.abs()).fold(1.0f32, |f, _| f * if exponent < 0 { 0.5 } else { 2.0 });
        let mut x: Vec<f32> = x.into_iter().map(|x| x * factor).collect();
        let at = outlier.index(x.len());
        x[at] *= 1000.0;
        check_quantizers(&x, x.len(), x.len());
        let whole = x.len() / 32 * 32;
        if whole != 0 {
            check_quantizers(&x[..whole], whole, 32);
        }
    }
}
