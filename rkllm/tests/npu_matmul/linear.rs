//! `NpuLinear` against the CPU's kernels, bit for bit.

use rkllm::kernels::Columns;
use rkllm::kernels::int::{self, Activations8, Activations16};
use rkllm::layout::Chip;
use rkllm::model::{LinearData, LinearWeights};
use rkllm::npu::matmul::Core;
use rkllm::npu::{NpuDevice, NpuDeviceOptions, NpuLinear};
use rkllm::{Bytes, Dtype, ErrorKind, Linear};

use crate::common::bits;
use crate::fake::Fake;
use crate::random::{Case, Random};

/// The reference: the scalar kernel, then the bias.
fn on_cpu(parts: &[LinearWeights], x: &[f32], k: usize) -> Vec<f32> {
    let n = parts.iter().map(|part| part.n).sum();
    let mut y = vec![0.0; x.len() / k * n];
    let scalar = int::by_name("scalar").unwrap();
    let mut first = 0;
    for part in parts {
        let LinearData::Quantized(w) = &part.data else { unreachable!() };
        let columns = Columns::new(&mut y, n);
        let out = columns.offset(first);
        if w.bits() == 8 {
            let mut q = Activations8::default();
            scalar.quantize8(x, k, w.group(), &mut q);
            // SAFETY: one thread.
            unsafe { scalar.w8a8(&q, w, 0..part.n, out) };
        } else {
            let mut q = Activations16::default();
            scalar.quantize16(x, k, w.group(), &mut q);
            // SAFETY: as above.
            unsafe { scalar.w4a16(&q, w, 0..part.n, out) };
        }
        for row in y.chunks_exact_mut(n) {
            for (y, b) in row[first..].iter_mut().zip(part.bias.iter().flatten()) {
                *y += b;
            }
        }
        first += part.n;
    }
    y
}

pub(crate) fn check(device: &NpuDevice, parts: &[LinearWeights], x: &[f32], what: &str) {
    let k = parts[0].k;
    let npu = NpuLinear::new(parts, device).unwrap();
    let expected = on_cpu(parts, x, k);
    assert_eq!((npu.in_features(), npu.out_features()), (k, expected.len() / (x.len() / k)));
    let mut y = vec![f32::NAN; expected.len()];
    npu.forward(x, &mut y).unwrap();
    assert!(bits(&y) == bits(&expected), "other bits: {what}");
}

fn open(fake: &Fake, options: NpuDeviceOptions) -> NpuDevice {
    NpuDevice::open(&fake.runtime, options).unwrap()
}

fn rk3588() -> NpuDeviceOptions {
    NpuDeviceOptions::new(Chip::Rk3588)
}

#[test]
fn every_scheme_on_many_shapes() {
    let fake = Fake::new("strict_sync");
    let device = open(&fake, rk3588().with_rows(&[4, 10]));
    let random = &mut Random(1);
    let shapes = [
        (1, 1, 2, 2),
        (3, 7, 33, 33),
        (5, 40, 96, 96),
        (9, 65, 128, 32),
        (13, 100, 256, 128),
        (2, 33, 512, 256),
        (4, 31, 512, 512),
        (7, 97, 30, 6),
        (11, 64, 192, 64),
    ];
    for (m, n, k, group) in shapes {
        for bits in [8, 4] {
            for asymmetric in [false, true] {
                let case = Case { bits, n, k, group, asymmetric, bias: m % 2 == 1 };
                let x = random.inputs(m, k);
                check(&device, &[case.layer(random)], &x, &format!("M {m}, {case:?}"));
            }
        }
    }
    drop(device);
    fake.expect_clean();
}

#[test]
fn every_chip_and_number_of_cores() {
    let random = &mut Random(2);
    let case = Case { bits: 4, n: 75, k: 256, group: 128, asymmetric: true, bias: true };
    let layer = case.layer(random);
    let x = random.inputs(6, 256);
    let all = [
        ("soc=rk3588", Chip::Rk3588),
        ("soc=rk3576", Chip::Rk3576),
        ("soc=rk3562", Chip::Rk3562),
        ("soc=rk3566", Chip::Rk3566),
    ];
    for (words, chip) in all {
        let fake = Fake::new(words);
        for count in 1..=Core::of(chip).len() {
            let options = NpuDeviceOptions::new(chip).with_cores(&Core::of(chip)[..count]);
            let device = open(&fake, options.with_rows(&[8]));
            check(&device, std::slice::from_ref(&layer), &x, &format!("{chip}, {count} cores"));
        }
        fake.expect_clean();
    }
}

#[test]
fn parts_that_share_an_input_stand_side_by_side() {
    let fake = Fake::new("");
    let device = open(&fake, rk3588().with_rows(&[16]));
    let random = &mut Random(3);
    for bits in [8, 4] {
        let part = |n, bias, asymmetric, random: &mut Random| {
            Case { bits, n, k: 64, group: 32, asymmetric, bias }.layer(random)
        };
        let parts = [
            part(50, true, false, random),
            part(9, false, true, random),
            part(9, true, true, random),
        ];
        let x = random.inputs(5, 64);
        check(&device, &parts, &x, &format!("three parts of int{bits}"));
    }
    drop(device);
    fake.expect_clean();
}

/// A group longer than the NPU takes is summed in pieces, as integers.
#[test]
fn long_rows() {
    let fake = Fake::new("");
    let random = &mut Random(4);
    for (bits, k, limit) in
        [(8, 20_000, None), (4, 17_000, None), (8, 1_000, Some(96)), (4, 1_000, Some(64))]
    {
        let options = rk3588().with_rows(&[2]);
        let device =
            open(&fake, limit.map_or(options.clone(), |limit| options.with_k_limit(limit)));
        let case = Case { bits, n: 5, k, group: k, asymmetric: true, bias: false };
        let layer = case.layer(random);
        check(&device, &[layer], &random.inputs(2, k), &format!("{case:?} by {limit:?}"));
        let pieces = k.div_ceil(limit.unwrap_or(8192));
        assert!(fake.count("rknn_matmul_run") >= pieces);
    }
    let longest = fake
        .record()
        .iter()
        .filter_map(|line| {
            line.strip_prefix("rknn_matmul_create info.K=").map(|k| k.parse::<usize>().unwrap())
        })
        .max();
    assert_eq!(longest, Some(8192), "no product depends on how segments of K lie");
    fake.expect_clean();
}

/// The largest sums there are: every value at the end of its range.
#[test]
fn extremes() {
    let fake = Fake::new("");
    let device = open(&fake, rk3588().with_rows(&[4]));
    for k in [4096, 8192 + 64] {
        for bits in [8, 4] {
            let case = Case { bits, n: 3, k, group: k, asymmetric: true, bias: false };
            let layer = case.layer(&mut Random(6));
            let LinearData::Quantized(rows) = &layer.data else { unreachable!() };
            for fill in if bits == 8 { [0x80u8, 0x7f] } else { [0x00, 0xff] } {
                let data = Bytes::new(vec![fill; rows.data().len()]);
                let rows = rkllm::quant::QuantizedRows::new(
                    (3, k),
                    k,
                    bits,
                    data,
                    rows.scales().clone(),
                    rows.zero_points().cloned(),
                );
                let layer =
                    LinearWeights { data: LinearData::Quantized(rows.unwrap()), ..layer.clone() };
                for value in [-1.0, 1.0] {
                    check(
                        &device,
                        std::slice::from_ref(&layer),
                        &vec![value; 2 * k],
                        &format!("{fill:#x} {value} {case:?}"),
                    );
                }
            }
        }
    }
}

#[test]
fn layers_of_one_shape_share_contexts() {
    let fake = Fake::new("");
    let device = open(&fake, rk3588().with_rows(&[8]));
    let random = &mut Random(7);
    let case = Case { bits: 8, n: 96, k: 256, group: 64, asymmetric: false, bias: false };
    let layers: Vec<_> = (0..3).map(|_| case.layer(random)).collect();
    let linears: Vec<_> = layers
        .iter()
        .map(|it| NpuLinear::new(std::slice::from_ref(it), &device).unwrap())
        .collect();
    assert_eq!(device.contexts(), 3, "one per core");
    assert_eq!(linears[0].memories(), 3 * 4, "one per core and group");
    assert_eq!(linears[0].device_bytes(), 96 * 256);
    // Two threads use the same contexts with other weights.
    let x = random.inputs(5, 256);
    std::thread::scope(|scope| {
        for (layer, linear) in layers.iter().zip(&linears) {
            let x = &x;
            scope.spawn(move || {
                let expected = on_cpu(std::slice::from_ref(layer), x, 256);
                for _ in 0..5 {
                    let mut y = vec![0.0; expected.len()];
                    linear.forward(x, &mut y).unwrap();
                    assert!(bits(&y) == bits(&expected));
                }
            });
        }
    });
    drop(linears);
    drop(device);
    fake.expect_clean();
}

#[test]
fn what_is_not_finite_never_looks_like_a_result() {
    let fake = Fake::new("");
    let device = open(&fake, rk3588().with_rows(&[8]));
    for bits in [8, 4] {
        let case = Case { bits, n: 4, k: 64, group: 32, asymmetric: true, bias: true };
        let npu = NpuLinear::new(&[case.layer(&mut Random(8))], &device).unwrap();
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = vec![0.5; 2 * 64];
            x[40] = bad;
            let mut y = vec![0.0; 8];
            npu.forward(&x, &mut y).unwrap();
            assert!(y[..4].iter().all(|y| !y.is_finite()), "{y:?}");
            assert!(y[4..].iter().all(|y| y.is_finite()), "{y:?}");
        }
    }
}

#[test]
fn failures_of_the_device_are_errors_that_name_the_layer() {
    let fake = Fake::new("strict_sync");
    let device = open(&fake, rk3588().with_rows(&[8]));
    let case = Case { bits: 8, n: 96, k: 64, group: 64, asymmetric: false, bias: false };
    let layer = case.layer(&mut Random(9));
    let npu = NpuLinear::new(std::slice::from_ref(&layer), &device).unwrap();
    let (x, mut y) = (vec![1.0; 3 * 64], vec![0.0; 3 * 96]);
    fake.configure("strict_sync+run_fails");
    let error = npu.forward(&x, &mut y).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runtime);
    assert!(error.to_string().starts_with("layer.96x64: "), "{error}");
    fake.configure("strict_sync");
    npu.forward(&x, &mut y).unwrap();
    assert!(bits(&y) == bits(&on_cpu(std::slice::from_ref(&layer), &x, 64)));
    assert_eq!(npu.forward(&x[1..], &mut y).unwrap_err().kind(), ErrorKind::Shape);
    npu.forward(&[], &mut []).unwrap();

    fake.configure("no_memory");
    let error = NpuLinear::new(std::slice::from_ref(&layer), &device).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
    let float = LinearData::Float(Dtype::F32, Bytes::new(vec![0u8; 96 * 64 * 4]));
    let float = LinearWeights { data: float, ..layer.clone() };
    let error = NpuLinear::new(&[float], &device).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    drop((npu, device));
    fake.expect_clean();
}

#[test]
fn a_device_is_proved_before_it_is_used() {
    let fake = Fake::new("other_tiles");
    let error = NpuDevice::open(&fake.runtime, rk3588()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Abi, "{error}");
    let device = open(&fake, rk3588().with_io_attr_trusted().with_rows(&[4]));
    let random = &mut Random(10);
    let case = Case { bits: 8, n: 33, k: 40, group: 40, asymmetric: true, bias: true };
    check(&device, &[case.layer(random)], &random.inputs(5, 40), "tiles of io_attr");
    drop(device);

    fake.configure("wrong_sums");
    let error = NpuDevice::open(&fake.runtime, rk3588().with_io_attr_trusted()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runtime, "{error}");
    assert!(error.to_string().contains("core Zero multiplies wrongly"), "{error}");
    fake.configure("");
    for options in [
        rk3588().with_cores(&[]),
        rk3588().with_cores(&[Core::One, Core::One]),
        rk3588().with_rows(&[]),
        rk3588().with_rows(&[1, 8]),
        rk3588().with_k_limit(40),
    ] {
        let error = NpuDevice::open(&fake.runtime, options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    }
    fake.expect_clean();
}
