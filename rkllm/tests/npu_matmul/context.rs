//! Contexts: products in every layout, memory, cores, domains, dynamic shapes, support.

use std::sync::Arc;

use half::f16;
use rkllm::ErrorKind;
use rkllm::layout::{Chip, Layout, MatmulType, NibbleOrder, Operand};
use rkllm::npu::matmul::{Core, Granularity, MatmulSpec, Runtime, Shape};
use rkllm::quant::nibble;

use crate::fake::Fake;
use crate::random::{Random, plain};

const I8: MatmulType = MatmulType::I8I8I32;

/// A x B in int8 by a spec, against the plain product.
fn multiply(spec: MatmulSpec, runtime: &Runtime, shape: Shape) {
    let Shape { m, k, n } = shape;
    let random = &mut Random((m * 131 + k * 7 + n) as u64);
    let (a, b) = (random.int8s(m * k), random.int8s(n * k));
    let mut product = spec.create(runtime).unwrap();
    assert_eq!(product.shape(), shape);
    product.set_weights(Arc::new(product.weights(&b).unwrap())).unwrap();
    product.write_a(&a).unwrap();
    product.run().unwrap();
    let mut c = vec![0i32; m * n];
    product.read_c(&mut c).unwrap();
    assert_eq!(c, plain(&a, &b, k), "{spec:?}");
}

#[test]
fn every_chip_and_layout_multiplies_int8_of_odd_shapes() {
    let chips = [
        (Chip::Rk3588, "rk3588"),
        (Chip::Rk3576, "rk3576"),
        (Chip::Rk3562, "rk3562"),
        (Chip::Rk3566, "rk3566"),
    ];
    for (chip, name) in chips {
        let fake = Fake::new(&format!("soc={name}+strict_sync"));
        for (m, k, n) in [(1, 32, 32), (5, 33, 7), (3, 100, 65), (17, 64, 96)] {
            let shape = Shape { m, k, n };
            for b in [Layout::Normal, Layout::Native, Layout::TpNormal] {
                for ac in [Layout::Normal, Layout::Native] {
                    let spec = MatmulSpec::new(chip, I8, shape).with_b_layout(b).with_ac_layout(ac);
                    multiply(spec, &fake.runtime, shape);
                }
            }
        }
        fake.expect_clean();
    }
}

#[test]
fn k_beyond_a_segment_lies_where_the_runtime_reads_it() {
    for (chip, name, k) in [(Chip::Rk3588, "rk3588", 10_000), (Chip::Rk3576, "rk3576", 9_000)] {
        let fake = Fake::new(&format!("soc={name}"));
        let shape = Shape { m: 2, k, n: 33 };
        multiply(MatmulSpec::new(chip, I8, shape), &fake.runtime, shape);
        fake.expect_clean();
    }
}

#[test]
fn f16_and_int4_too() {
    let fake = Fake::new("strict_sync");
    let shape = Shape { m: 3, k: 40, n: 20 };
    let random = &mut Random(4);
    let values = |random: &mut Random, len| -> Vec<f16> {
        (0..len).map(|_| f16::from_f32((random.below(17) as f32) - 8.0)).collect()
    };
    let (a, b) = (values(random, 3 * 40), values(random, 20 * 40));
    let mut product =
        MatmulSpec::new(Chip::Rk3588, MatmulType::F16F16F32, shape).create(&fake.runtime).unwrap();
    product.set_weights(Arc::new(product.weights(&b).unwrap())).unwrap();
    product.write_a(&a).unwrap();
    product.run().unwrap();
    let mut c = vec![0f32; 3 * 20];
    product.read_c(&mut c).unwrap();
    let ints = |values: &[f16]| values.iter().map(|v| v.to_f32() as i8).collect::<Vec<i8>>();
    let expected = plain(&ints(&a), &ints(&b), 40);
    assert_eq!(c, expected.iter().map(|&c| c as f32).collect::<Vec<_>>());
    drop(product);

    for (words, order) in [("", NibbleOrder::LowFirst), ("b_native_high", NibbleOrder::HighFirst)] {
        fake.configure(words);
        // 400 products of at most 64 stay inside 16 bits.
        let shape = Shape { m: 3, k: 400, n: 70 };
        let four = |random: &mut Random, rows: usize| -> (Vec<i8>, Vec<u8>) {
            let q: Vec<i8> = (0..rows * 400).map(|_| random.below(16) as i8 - 8).collect();
            let mut packed = vec![0; rows * nibble::row_bytes(400)];
            for (row, q) in packed.chunks_exact_mut(nibble::row_bytes(400)).zip(q.chunks_exact(400))
            {
                nibble::pack_row(q, row).unwrap();
            }
            (q, packed)
        };
        let (a, a4) = four(random, 3);
        let (b, b4) = four(random, 70);
        let spec = MatmulSpec::new(Chip::Rk3588, MatmulType::I4I4I16, shape);
        let mut product = spec.create(&fake.runtime).unwrap();
        product.set_weights(Arc::new(product.weights_int4(&b4, order).unwrap())).unwrap();
        product.write_a_int4(&a4, NibbleOrder::LowFirst).unwrap();
        product.run().unwrap();
        let mut c = vec![0i16; 3 * 70];
        product.read_c(&mut c).unwrap();
        assert_eq!(
            c.iter().map(|&c| i32::from(c)).collect::<Vec<_>>(),
            plain(&a, &b, 400),
            "{words}"
        );
    }
    fake.expect_clean();
}

#[test]
fn the_runtimes_own_conversion_gives_our_tiles() {
    let fake = Fake::new("");
    for (n, k) in [(64, 96), (32, 8224)] {
        let shape = Shape { m: 1, k, n };
        let product = MatmulSpec::new(Chip::Rk3588, I8, shape).create(&fake.runtime).unwrap();
        let rows = Random(5).int8s(n * k);
        let normal: Vec<u8> = (0..k * n).map(|i| rows[i % n * k + i / n] as u8).collect();
        let theirs = product.convert_weights(&normal).unwrap();
        let mut ours = vec![0i8; n * k];
        product.layout(Operand::B).pack(&rows, &mut ours).unwrap();
        assert_eq!(theirs, ours.iter().map(|&v| v as u8).collect::<Vec<_>>());
        let error = product.convert_weights(&normal[1..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape, "{error}");
    }
    fake.expect_clean();
}

#[test]
fn the_runtime_sees_every_field() {
    let fake = Fake::new("");
    let shape = Shape { m: 4, k: 256, n: 64 };
    let spec = MatmulSpec::new(Chip::Rk3588, MatmulType::I8I8I32, shape)
        .with_b_layout(Layout::TpNormal)
        .with_granularity(Granularity::PerGroup { size: 128, asymmetric: false })
        .with_iommu_domain(9)
        .with_core(Core::Two);
    let mut product = spec.create(&fake.runtime).unwrap();
    let record = fake.record();
    for (field, value) in [
        ("M", 4),
        ("K", 256),
        ("N", 64),
        ("type", 2),
        ("B_layout", 2),
        ("B_quant_type", 4),
        ("AC_layout", 1),
        ("AC_quant_type", 0),
        ("iommu_domain_id", 9),
        ("group_size", 128),
        ("reserved", 0),
    ] {
        let line = format!("rknn_matmul_create info.{field}={value}");
        assert!(record.contains(&line), "{line} in {record:#?}");
    }
    assert!(record.contains(&"rknn_matmul_set_core_mask mask=4".to_owned()), "{record:#?}");

    product.set_quant_params(Operand::B, &[0.5; 128], &[]).unwrap();
    product.set_quant_params(Operand::A, &[0.5], &[3]).unwrap();
    let record = fake.record();
    assert!(record.contains(&"rknn_matmul_set_quant_params B scale_len=128".to_owned()));
    assert!(record.contains(&"rknn_matmul_set_quant_params A scale_len=1".to_owned()));
    let error = product.set_quant_params(Operand::B, &[0.5; 64], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape, "{error}");
    drop(product);
    fake.expect_clean();
}

#[test]
fn rows_are_chosen_from_those_of_a_dynamic_context() {
    let fake = Fake::new("strict_sync");
    let shape = Shape { m: 0, k: 70, n: 40 };
    let spec = MatmulSpec::new(Chip::Rk3588, I8, shape);
    let mut product = spec.create_dynamic(&fake.runtime, &[8, 1, 33]).unwrap();
    assert_eq!(product.shape().m, 8);
    let random = &mut Random(11);
    let b = random.int8s(40 * 70);
    let weights = Arc::new(product.weights(&b).unwrap());
    product.set_weights(Arc::clone(&weights)).unwrap();
    for m in [33, 1, 8, 33] {
        product.set_rows(m).unwrap();
        let a = random.int8s(m * 70);
        product.write_a(&a).unwrap();
        product.run().unwrap();
        let mut c = vec![0i32; m * 40];
        product.read_c(&mut c).unwrap();
        assert_eq!(c, plain(&a, &b, 70), "{m} rows");
    }
    assert_eq!(fake.count("rknn_matmul_set_io_mem B"), 1, "B stays bound");
    let error = product.set_rows(7).unwrap_err().to_string();
    assert!(error.contains("[8, 1, 33]") && error.contains('7'), "{error}");
    let others = Arc::new(product.weights(&b).unwrap());
    assert_eq!(product.set_weights(others).unwrap_err().kind(), ErrorKind::Unsupported);
    product.set_weights(weights).unwrap();
    drop(product);

    for rows in [&[][..], &[4, 4]] {
        let error = spec.create_dynamic(&fake.runtime, rows).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    }
    fake.expect_clean();
}

/// Weights are packed and bound once.
#[test]
fn weights_that_lie_otherwise_for_other_rows_are_refused() {
    let fake = Fake::new("tiles_by_rows");
    let shape = Shape { m: 0, k: 64, n: 64 };
    let spec = MatmulSpec::new(Chip::Rk3588, I8, shape).with_io_attr_trusted();
    let error = spec.create_dynamic(&fake.runtime, &[8, 33]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Abi, "{error}");
    assert!(error.to_string().contains("for 33") && error.hint().is_some(), "{error}");
    drop(spec.create_dynamic(&fake.runtime, &[8, 1]).unwrap());
    drop(spec.create_dynamic(&fake.runtime, &[9, 33]).unwrap());
    fake.expect_clean();
}

#[test]
fn one_context_per_core_each_in_its_thread() {
    let fake = Fake::new("strict_sync");
    let (m, k, n) = (6, 96, 96);
    let random = &mut Random(2);
    let (a, b) = (random.int8s(m * k), random.int8s(n * k));
    let expected = plain(&a, &b, k);
    std::thread::scope(|scope| {
        for (part, &core) in Core::of(Chip::Rk3588).iter().enumerate() {
            let shape = Shape { m, k, n: 32 };
            let spec = MatmulSpec::new(Chip::Rk3588, I8, shape).with_core(core);
            // Made on one thread, used and dropped on another.
            let mut product = spec.create(&fake.runtime).unwrap();
            let (a, b, expected) = (&a, &b[part * 32 * k..][..32 * k], &expected);
            scope.spawn(move || {
                for _ in 0..10 {
                    product.set_weights(Arc::new(product.weights(b).unwrap())).unwrap();
                    product.write_a(a).unwrap();
                    product.run().unwrap();
                    let mut c = vec![0i32; m * 32];
                    product.read_c(&mut c).unwrap();
                    for (row, c) in c.chunks_exact(32).enumerate() {
                        assert_eq!(c, &expected[row * n + part * 32..][..32]);
                    }
                }
            });
        }
    });
    for mask in [1, 2, 4] {
        assert_eq!(fake.count(&format!("rknn_matmul_set_core_mask mask={mask}")), 1);
    }
    fake.expect_clean();
}

#[test]
fn owners_may_go_in_any_order() {
    let fake = Fake::new("");
    let shape = Shape { m: 2, k: 32, n: 32 };
    let spec = MatmulSpec::new(Chip::Rk3588, I8, shape);
    let first = spec.create(&fake.runtime).unwrap();
    let mut second = spec.create(&fake.runtime).unwrap();
    let weights = Arc::new(first.weights(&[1i8; 32 * 32]).unwrap());
    second.set_weights(Arc::clone(&weights)).unwrap();
    // The weights keep the context they were made by.
    drop(first);
    assert!(fake.alive() >= 4, "{}", fake.alive());
    second.write_a(&[1i8; 64]).unwrap();
    second.run().unwrap();
    let mut c = [0i32; 64];
    second.read_c(&mut c).unwrap();
    assert_eq!(c, [32; 64]);
    drop(second);
    assert_eq!(fake.alive(), 2, "the weights and their context");
    drop(weights);
    fake.expect_clean();
    let record = fake.record();
    let last = record.iter().rev().find(|line| line.contains("destroy")).unwrap();
    assert_eq!(last, "rknn_matmul_destroy", "memory goes before its context");
}

#[test]
fn support_is_asked_once() {
    let fake = Fake::new("soc=rk3588");
    let types = fake.runtime.supported_types().unwrap();
    let expected = [MatmulType::F16F16F32, I8, MatmulType::F16F16F16, MatmulType::I4I4I16];
    assert_eq!(types, expected);
    let asked = fake.count("rknn_matmul_create info.M");
    assert_eq!(asked, MatmulType::TABLE.len());
    assert_eq!(fake.runtime.clone().supported_types().unwrap(), expected);
    assert_eq!(Runtime::open(fake.runtime.path()).unwrap().supported_types().unwrap(), expected);
    assert_eq!(fake.count("rknn_matmul_create info.M"), asked, "the answers are remembered");
    fake.expect_clean();

    // What is no answer is not remembered.
    let fake = Fake::new("create_fails");
    assert_eq!(fake.runtime.supports(I8).unwrap_err().kind(), ErrorKind::Runtime);
    fake.configure("soc=rk3562");
    assert!(fake.runtime.supports(I8).unwrap());
    assert!(!fake.runtime.supports(MatmulType::I4I4I16).unwrap());
    fake.expect_clean();
}
