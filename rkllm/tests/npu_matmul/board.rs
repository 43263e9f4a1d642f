//! What only a board can tell: whether librknnrt and its NPU do what the facts say.

use std::sync::Arc;

use rkllm::layout::{Chip, MatmulType, NibbleOrder, Operand};
use rkllm::npu::matmul::{MatmulSpec, Runtime, Shape};
use rkllm::npu::{NpuDevice, NpuDeviceOptions};
use rkllm::quant::nibble;

use crate::linear::check;
use crate::random::{Case, Random, plain};

#[test]
#[ignore = "needs an RK3588"]
fn this_npu_multiplies_as_the_cpu_does() {
    let runtime = Runtime::find().unwrap();
    println!("{} takes {:?}", runtime.path().display(), runtime.supported_types().unwrap());
    let random = &mut Random(1);
    conversion(&runtime, random);
    nibbles(&runtime, random);
    dynamic(&runtime, random);
    let device = NpuDevice::open(&runtime, NpuDeviceOptions::new(Chip::Rk3588)).unwrap();
    for (bits, group) in [(8, 1024), (8, 128), (4, 1024), (4, 128)] {
        for (m, n) in [(1, 64), (5, 100), (130, 333)] {
            let case = Case { bits, n, k: 1024, group, asymmetric: true, bias: true };
            check(
                &device,
                &[case.layer(random)],
                &random.inputs(m, 1024),
                &format!("M {m}, {case:?}"),
            );
        }
    }
    let case = Case { bits: 8, n: 64, k: 18_944, group: 18_944, asymmetric: false, bias: false };
    check(&device, &[case.layer(random)], &random.inputs(9, 18_944), "long rows");
}

/// Our tiles against the library's own; also where K is cut into segments.
fn conversion(runtime: &Runtime, random: &mut Random) {
    for (n, k) in [(64, 96), (64, 8192), (64, 10_240)] {
        let spec = MatmulSpec::new(Chip::Rk3588, MatmulType::I8I8I32, Shape { m: 4, k, n });
        let product = match spec.create(runtime) {
            Ok(product) => product,
            Err(error) => {
                println!("K {k}: {error}");
                continue;
            }
        };
        let rows = random.int8s(n * k);
        let normal: Vec<u8> = (0..k * n).map(|i| rows[i % n * k + i / n] as u8).collect();
        let mut ours = vec![0i8; n * k];
        product.layout(Operand::B).pack(&rows, &mut ours).unwrap();
        let ours: Vec<u8> = ours.iter().map(|&v| v as u8).collect();
        let same = product.convert_weights(&normal).unwrap() == ours;
        println!("K {k}: our tiles are the library's: {same}");
        assert!(same || k > 8192, "K {k}");
    }
}

/// Which half of a byte comes first in native B.
fn nibbles(runtime: &Runtime, random: &mut Random) {
    let (m, k, n) = (2, 128, 64);
    let spec = MatmulSpec::new(Chip::Rk3588, MatmulType::I4I4I16, Shape { m, k, n });
    let four = |random: &mut Random, rows: usize| -> (Vec<i8>, Vec<u8>) {
        let q: Vec<i8> = (0..rows * k).map(|_| random.below(16) as i8 - 8).collect();
        let mut packed = vec![0; rows * nibble::row_bytes(k)];
        for (row, q) in packed.chunks_exact_mut(nibble::row_bytes(k)).zip(q.chunks_exact(k)) {
            nibble::pack_row(q, row).unwrap();
        }
        (q, packed)
    };
    let ((a, a4), (b, b4)) = (four(random, m), four(random, n));
    let right = [NibbleOrder::LowFirst, NibbleOrder::HighFirst].map(|order| {
        let mut product = spec.create(runtime).unwrap();
        product.set_weights(Arc::new(product.weights_int4(&b4, order).unwrap())).unwrap();
        product.write_a_int4(&a4, NibbleOrder::LowFirst).unwrap();
        product.run().unwrap();
        let mut c = vec![0i16; m * n];
        product.read_c(&mut c).unwrap();
        c.iter().map(|&c| i32::from(c)).eq(plain(&a, &b, k))
    });
    println!("int4, native B: right with the low half first {}, high first {}", right[0], right[1]);
    assert!(right[0] || right[1]);
}

fn dynamic(runtime: &Runtime, random: &mut Random) {
    let (k, n) = (256, 96);
    let spec = MatmulSpec::new(Chip::Rk3588, MatmulType::I8I8I32, Shape { m: 1, k, n });
    let mut product = spec.create_dynamic(runtime, &[1, 16, 5]).unwrap();
    let b = random.int8s(n * k);
    product.set_weights(Arc::new(product.weights(&b).unwrap())).unwrap();
    for m in [16, 1, 5] {
        product.set_rows(m).unwrap();
        let a = random.int8s(m * k);
        product.write_a(&a).unwrap();
        product.run().unwrap();
        let mut c = vec![0i32; m * n];
        product.read_c(&mut c).unwrap();
        assert_eq!(c, plain(&a, &b, k), "{m} rows");
    }
}
