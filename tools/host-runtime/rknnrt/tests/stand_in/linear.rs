//! Linear layers through `rkllm::npu` and this library: the CPU engine's bits.

use rkllm::kernels::Columns;
use rkllm::kernels::int::{self, Activations8, Activations16};
use rkllm::layout::Chip;
use rkllm::model::{LinearData, LinearWeights};
use rkllm::npu::matmul::{Core, Runtime};
use rkllm::npu::{NpuDevice, NpuDeviceOptions, NpuLinear};

use crate::lib_under_test::{file, passing_child, soc};
use crate::random::{Case, Random};

/// The engine's scalar kernel, then the bias.
fn on_cpu(layer: &LinearWeights, x: &[f32]) -> Vec<f32> {
    let LinearData::Quantized(w) = &layer.data else { unreachable!() };
    let mut y = vec![0.0; x.len() / layer.k * layer.n];
    let columns = Columns::new(&mut y, layer.n);
    let out = columns.offset(0);
    let scalar = int::by_name("scalar").unwrap();
    if w.bits() == 8 {
        let mut q = Activations8::default();
        scalar.quantize8(x, layer.k, w.group(), &mut q);
        // SAFETY: one thread.
        unsafe { scalar.w8a8(&q, w, 0..layer.n, out) };
    } else {
        let mut q = Activations16::default();
        scalar.quantize16(x, layer.k, w.group(), &mut q);
        // SAFETY: as above.
        unsafe { scalar.w4a16(&q, w, 0..layer.n, out) };
    }
    for row in y.chunks_exact_mut(layer.n) {
        for (y, b) in row.iter_mut().zip(layer.bias.iter().flatten()) {
            *y += b;
        }
    }
    y
}

fn chip() -> Chip {
    match &soc()[..] {
        "rk3576" => Chip::Rk3576,
        "rk3562" => Chip::Rk3562,
        "rk3566" => Chip::Rk3566,
        _ => Chip::Rk3588,
    }
}

/// w8a8, w8a8_g128, w4a16, w4a16_g128; symmetric and not; one core and all.
#[test]
fn layers_have_the_bits_of_the_cpu() {
    let runtime = Runtime::open(file()).unwrap();
    assert_eq!(runtime.version().unwrap().to_string(), "2.3.2");
    let random = &mut Random(20);
    for cores in [1, Core::of(chip()).len()] {
        let options = NpuDeviceOptions::new(chip()).with_cores(&Core::of(chip())[..cores]);
        let device = NpuDevice::open(&runtime, options.with_rows(&[4, 16])).unwrap();
        for (bits, group) in [(8, 384), (8, 128), (4, 384), (4, 128)] {
            for asymmetric in [false, true] {
                let case = Case { bits, n: 100, k: 384, group, asymmetric, bias: bits == 8 };
                let layer = case.layer(random);
                let x = random.inputs(11, 384);
                let expected = on_cpu(&layer, &x);
                let npu = NpuLinear::new(std::slice::from_ref(&layer), &device).unwrap();
                let mut y = vec![f32::NAN; expected.len()];
                rkllm::Linear::forward(&npu, &x, &mut y).unwrap();
                let same = y.iter().zip(&expected).all(|(y, e)| y.to_bits() == e.to_bits());
                assert!(same, "other bits: {case:?}, {cores} cores");
            }
        }
    }
}

#[test]
fn on_other_chips() {
    for soc in ["rk3576", "rk3562", "rk3566"] {
        passing_child("linear::layers_have_the_bits_of_the_cpu", &[("RKLLM_HOST_SOC", soc)]);
    }
}

/// Types as `rkllm doctor` would ask for them.
#[test]
fn types_are_probed() {
    let runtime = Runtime::open(file()).unwrap();
    let types: Vec<u32> = runtime.supported_types().unwrap().iter().map(|it| it.id()).collect();
    assert_eq!(types, [1, 2, 3, 4, 9, 10]);
}
