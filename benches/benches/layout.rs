//! Native layouts against memcpy of the same bytes.
//!
//! First a table of medians where every round times memcpy and then each operation, so that noise of a
//! shared machine hits all of them: `MB` is what is packed, `GB/s` counts these bytes once, `/memcpy` is
//! the share of memcpy's speed. Then criterion's own figures. Cold: buffers larger than the last-level
//! cache take turns, as when a model's weights are packed; warm: one pair of buffers again and again.
//! Transposed: from or to the vendor's normal layout `(K, N)`, which this crate does not keep weights in.
//! `cargo bench -p rkllm-benches --bench layout -- 'B i8'` picks a part of criterion's.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rkllm::layout::{Chip, Layout, MatmulType, NibbleOrder, TensorLayout};

/// More than a shared last-level cache gives one process.
const COLD_BYTES: usize = 64 << 20;
const ROUNDS: usize = 15;

/// One operation on buffers that exist in several copies.
struct Case {
    name: String,
    bytes: usize,
    run: Box<dyn FnMut(usize)>,
}

fn noise(bytes: usize) -> Vec<i8> {
    (0..bytes).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as i8).collect()
}

fn copies(buffer: &[i8], count: usize) -> Vec<Vec<i8>> {
    vec![buffer.to_vec(); count]
}

/// memcpy, pack and unpack of an int8 tensor.
fn int8(tensor: &TensorLayout, count: usize) -> Vec<Case> {
    let bytes = tensor.elements();
    let (rows, cols) = tensor.shape();
    assert_eq!(bytes, rows * cols, "benches take shapes without padding");
    let name = |what: &str| format!("{} i8 [{rows}, {cols}] {what}", tensor.operand());
    let plain = noise(bytes);
    let mut tiles = vec![0; bytes];
    tensor.pack(&plain, &mut tiles).expect("sizes agree");

    type Run = Box<dyn FnMut(&[i8], &mut [i8])>;
    let t = *tensor;
    let runs: [(&str, &[i8], Run); 5] = [
        ("memcpy", &plain, Box::new(|src, dst| dst.copy_from_slice(src))),
        ("pack", &plain, Box::new(move |src, dst| t.pack(src, dst).expect("sizes agree"))),
        ("unpack", &tiles, Box::new(move |src, dst| t.unpack(src, dst).expect("sizes agree"))),
        (
            "pack transposed",
            &plain,
            Box::new(move |src, dst| t.pack_transposed(src, dst).expect("sizes agree")),
        ),
        (
            "unpack transposed",
            &tiles,
            Box::new(move |src, dst| t.unpack_transposed(src, dst).expect("sizes agree")),
        ),
    ];
    runs.into_iter()
        .map(|(what, src, mut run)| {
            let src = copies(src, count);
            let mut dst = copies(&vec![0; bytes], count);
            let run = Box::new(move |turn: usize| {
                run(black_box(&src[turn % count]), black_box(&mut dst[turn % count]));
            });
            Case { name: name(what), bytes, run }
        })
        .collect()
}

/// memcpy and pack of artifact rows of int4.
fn int4(n: usize, k: usize, count: usize) -> Vec<Case> {
    let tensor = |matmul| TensorLayout::b(Chip::Rk3588, matmul, Layout::Native, n, k);
    let t4 = tensor(MatmulType::I4I4I16).expect("a shape of whole tiles");
    let t8 = tensor(MatmulType::I8I8I32).expect("a shape of whole tiles");
    let bytes = t4.size_bytes();
    let rows: Vec<Vec<u8>> = vec![noise(bytes).into_iter().map(|byte| byte as u8).collect(); count];
    let case = |what: &str, run| Case { name: format!("B i4 [{n}, {k}] {what}"), bytes, run };
    let mut narrow = vec![vec![0u8; bytes]; count];
    let mut copied = narrow.clone();
    let mut wide = vec![vec![0i8; t8.elements()]; count];
    let sources = [rows.clone(), rows.clone(), rows];
    let [a, b, c] = sources;
    vec![
        case(
            "memcpy",
            Box::new(move |i| black_box(&mut copied[i % count]).copy_from_slice(&a[i % count])),
        ),
        case(
            "pack_int4",
            Box::new(move |i| {
                let dst = black_box(&mut narrow[i % count]);
                t4.pack_int4(&b[i % count], dst, NibbleOrder::LowFirst).expect("sizes agree");
            }),
        ),
        case(
            "pack_widened",
            Box::new(move |i| {
                let dst = black_box(&mut wide[i % count]);
                t8.pack_widened(&c[i % count], dst).expect("sizes agree");
            }),
        ),
    ]
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Prints the medians of interleaved rounds.
fn table(label: &str, cases: &mut [Case]) {
    let mut times = vec![Vec::new(); cases.len()];
    // A round of a small tensor repeats it, so that a clock tick does not show.
    let repeat = ((4 << 20) / cases[0].bytes).max(1);
    for round in 0..=ROUNDS {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (0..repeat).for_each(|i| (case.run)(round * repeat + i));
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() / repeat as f64);
            }
        }
    }
    let memcpy = median(times[0].clone());
    for (case, times) in cases.iter().zip(times) {
        let time = median(times);
        println!(
            "{label:<5} {:<36} {:>7.2} MB {:>7.2} GB/s {:>6.2} /memcpy",
            case.name,
            case.bytes as f64 / 1e6,
            case.bytes as f64 / time / 1e9,
            memcpy / time,
        );
    }
}

fn layout(criterion: &mut Criterion) {
    let b = |n, k| TensorLayout::b(Chip::Rk3588, MatmulType::I8I8I32, Layout::Native, n, k);
    let a = |m, k| TensorLayout::a(Chip::Rk3588, MatmulType::I8I8I32, Layout::Native, m, k);
    // Layers of Qwen2.5-0.5B and TinyLlama-1.1B; a K above the segment; prompts of 128 tokens.
    let tensors =
        [b(4864, 896), b(896, 4864), b(5632, 2048), b(1024, 10240), a(128, 896), a(128, 4096)]
            .map(|tensor| tensor.expect("a shape of whole tiles"));
    for tensor in &tensors {
        table("warm", &mut int8(tensor, 1));
        let mut cases = int8(tensor, COLD_BYTES / tensor.elements());
        table("cold", &mut cases);
        criterion_cases(criterion, "cold", &mut cases);
    }
    for (n, k) in [(4864, 896), (5632, 2048)] {
        let mut cases = int4(n, k, COLD_BYTES / (n * k / 2));
        table("cold", &mut cases);
        criterion_cases(criterion, "cold", &mut cases);
    }
}

fn criterion_cases(criterion: &mut Criterion, label: &str, cases: &mut [Case]) {
    for case in cases {
        let mut group = criterion.benchmark_group(label);
        group.throughput(Throughput::Bytes(case.bytes as u64));
        let mut turn = 0;
        group.bench_function(&case.name, |bencher| {
            bencher.iter(|| {
                (case.run)(turn);
                turn += 1;
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .without_plots();
    targets = layout
}
criterion_main!(benches);
