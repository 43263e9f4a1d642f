//! Linear layers of real shapes by every kernel this CPU runs, on one thread.
//!
//! M = 1 is decode: copies of the weights larger than the last-level cache take turns, so that the bytes come
//! from memory, and the throughput is in weight bytes. M = 128 is prefill, in multiply-accumulates (`elem`).
//! `cargo bench -p rkllm-benches --bench linear -- 'avx2/w8a8'` picks a part.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rkllm::Bytes;
use rkllm::kernels::Columns;
use rkllm::kernels::int::{Activations8, Activations16, IntProducts, available};
use rkllm::quant::{QuantScheme, QuantizedRows, Scales};

/// (K, N) of the layers of Qwen2.5-0.5B and TinyLlama-1.1B.
const SHAPES: [(usize, usize); 4] = [(896, 4864), (896, 896), (4864, 896), (2048, 5632)];
const SCHEMES: [&str; 2] = ["w8a8", "w4a16_g128"];
/// More than any last-level cache we meet.
const COLD_BYTES: usize = 192 << 20;

/// Weights of random bits: the time does not depend on them.
fn weights(scheme: QuantScheme, n: usize, k: usize) -> QuantizedRows {
    let group = scheme.group_size(k).expect("shapes are multiples of the groups");
    let bits = scheme.weight_bits();
    let bytes = n * if bits == 8 { k } else { k.div_ceil(8) * 4 };
    let mut state = 1u64;
    let data: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_le_bytes()
    })
    .flatten()
    .take(bytes)
    .collect();
    let count = n * (k / group);
    let scales = if group == k {
        Scales::F32(Bytes::new(0.01f32.to_le_bytes().repeat(count)))
    } else {
        // 0.01 as f16.
        Scales::F16(Bytes::new(0x211f_u16.to_le_bytes().repeat(count)))
    };
    QuantizedRows::new((n, k), group, bits, Bytes::new(data), scales, None).expect("sizes agree")
}

/// Copies of `w` with bytes of their own, together larger than the caches.
fn copies(w: &QuantizedRows, bytes: usize) -> Vec<QuantizedRows> {
    let copy = || {
        let data = Bytes::new(w.data().to_vec());
        QuantizedRows::new((w.n(), w.k()), w.group(), w.bits(), data, w.scales().clone(), None)
    };
    (0..bytes.div_ceil(w.data().len())).map(|_| copy().expect("sizes agree")).collect()
}

/// One product with activations quantised before.
enum Product {
    W8A8(Activations8),
    W4A16(Activations16),
}

impl Product {
    fn new(kernel: &dyn IntProducts, w: &QuantizedRows, m: usize) -> Self {
        let x: Vec<f32> = (0..m * w.k()).map(|i| (i % 255) as f32 - 127.0).collect();
        if w.bits() == 8 {
            let mut q = Activations8::default();
            kernel.quantize8(&x, w.k(), w.group(), &mut q);
            Self::W8A8(q)
        } else {
            let mut q = Activations16::default();
            kernel.quantize16(&x, w.k(), w.group(), &mut q);
            Self::W4A16(q)
        }
    }

    fn run(&self, kernel: &dyn IntProducts, w: &QuantizedRows, y: &mut [f32]) {
        let y = Columns::new(y, w.n()).offset(0);
        // SAFETY: one thread.
        unsafe {
            match self {
                Self::W8A8(x) => kernel.w8a8(x, w, 0..w.n(), y),
                Self::W4A16(x) => kernel.w4a16(x, w, 0..w.n(), y),
            }
        }
    }
}

fn linear(criterion: &mut Criterion) {
    for (name, kernel) in available() {
        for scheme in SCHEMES {
            for (k, n) in SHAPES {
                let w = weights(scheme.parse().expect("a scheme"), n, k);
                let mut group = criterion.benchmark_group(format!("{name}/{scheme}/k{k}_n{n}"));

                let cold = copies(&w, COLD_BYTES);
                let product = Product::new(kernel, &w, 1);
                let mut y = vec![0.0; n];
                let mut turn = 0;
                group.throughput(Throughput::Bytes(w.data().len() as u64));
                group.bench_function("decode", |bencher| {
                    bencher.iter(|| {
                        product.run(kernel, &cold[turn % cold.len()], black_box(&mut y));
                        turn += 1;
                    });
                });
                drop(cold);

                // The reference is some 20 times slower, and its time per token does not depend on M.
                let m = if name == "scalar" { 4 } else { 128 };
                let product = Product::new(kernel, &w, m);
                let mut y = vec![0.0; m * n];
                group.throughput(Throughput::Elements((m * n * k) as u64));
                group.bench_function(format!("prefill{m}"), |bencher| {
                    bencher.iter(|| product.run(kernel, &w, black_box(&mut y)));
                });
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
