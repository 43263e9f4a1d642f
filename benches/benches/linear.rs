//! Linear layers of real shapes by the kernel in use, on one thread, activations quantised before.
//!
//! `decode`: M = 1; copies of the weights larger than the last-level cache take turns, so that the bytes come from
//! memory, and the throughput is in weight bytes. `prefill128`, `prefill512`: in multiply-accumulates (`elem`).
//! Without an argument layers of the smallest model run; `cargo bench -p rkllm-benches --bench linear -- MODEL`
//! or any other part of a name (`phi-3-mini/w8a8/down`, `decode`) picks among all of them, and `RKLLM_KERNEL` the kernel.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rkllm::kernels::Kernel;
use rkllm_benches::{MODELS, Product, copies, weights};

const SCHEMES: [&str; 2] = ["w8a8", "w4a16_g128"];
/// More than any last-level cache we meet.
const COLD_BYTES: usize = 192 << 20;

/// Weights are made when a bench runs first: making them takes longer than timing them, and most are filtered out.
fn linear(criterion: &mut Criterion) {
    let kernel = Kernel::active().expect("RKLLM_KERNEL names a kernel that runs here");
    let asked = std::env::args().skip(1).any(|word| !word.starts_with('-'));
    for model in if asked { &MODELS[..] } else { &MODELS[..1] } {
        for scheme in SCHEMES {
            for (layer, k, n) in model.layers() {
                let name = format!("{}/{scheme}/{layer}/{}", model.name, kernel.name());
                let mut group = criterion.benchmark_group(name);
                let make = || weights(scheme.parse().expect("a scheme"), n, k);

                let mut state = None;
                let bytes = n * k * if scheme == "w8a8" { 8 } else { 4 } / 8;
                group.throughput(Throughput::Bytes(bytes as u64));
                group.bench_function("decode", |bencher| {
                    let (cold, product, y, turn) = state.get_or_insert_with(|| {
                        let w = make();
                        let product = Product::new(kernel.int(), &w, 1);
                        (copies(&w, COLD_BYTES), product, vec![0.0; n], 0)
                    });
                    bencher.iter(|| {
                        product.run(kernel.int(), &cold[*turn % cold.len()], black_box(y));
                        *turn += 1;
                    });
                });
                drop(state);

                // Prefill computes the head for one token only.
                for m in if layer == "head" { &[][..] } else { &[128, 512] } {
                    let mut state = None;
                    group.throughput(Throughput::Elements((m * n * k) as u64));
                    group.bench_function(format!("prefill{m}"), |bencher| {
                        let (w, product, y) = state.get_or_insert_with(|| {
                            let w = make();
                            let product = Product::new(kernel.int(), &w, *m);
                            (w, product, vec![0.0; m * n])
                        });
                        bencher.iter(|| product.run(kernel.int(), w, black_box(y)));
                    });
                }
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .without_plots();
    targets = linear
}
criterion_main!(benches);
