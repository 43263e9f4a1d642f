//! Activation quantisers against a copy of the same values.
//!
//! One token (decode) and 128 (prefill) of the inputs of each model's layers, by the kernel in use (`RKLLM_KERNEL`),
//! warm: activations come from the layer before. Bytes are those of the f32 values.
//! `cargo bench -p rkllm-benches --bench quantize -- 'k896/128'` picks a part.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rkllm::kernels::Kernel;
use rkllm::kernels::int::{Activations8, Activations16};
use rkllm_benches::MODELS;

fn quantize(criterion: &mut Criterion) {
    let kernel = Kernel::active().expect("RKLLM_KERNEL names a kernel that runs here").int();
    let widths: BTreeSet<usize> =
        MODELS.iter().flat_map(|m| m.layers().map(|(_, k, _)| k)).collect();
    for k in widths {
        for m in [1, 128] {
            let x: Vec<f32> = (0..m * k).map(|i| (i * 37 % 1021) as f32 / 100.0 - 5.0).collect();
            let mut group = criterion.benchmark_group(format!("k{k}/{m}"));
            group.throughput(Throughput::Bytes(4 * x.len() as u64));
            let mut copy = vec![0.0f32; x.len()];
            group.bench_function("copy", |bencher| {
                bencher.iter(|| black_box(&mut copy).copy_from_slice(black_box(&x)));
            });
            let mut q8 = Activations8::default();
            group.bench_function("int8", |bencher| {
                bencher.iter(|| kernel.quantize8(black_box(&x), k, k, &mut q8));
            });
            let mut q16 = Activations16::default();
            for (name, columns) in [("int16", k), ("int16_g128", 128)] {
                group.bench_function(name, |bencher| {
                    bencher.iter(|| kernel.quantize16(black_box(&x), k, columns, &mut q16));
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(30))
        .measurement_time(Duration::from_millis(100))
        .without_plots();
    targets = quantize
}
criterion_main!(benches);
