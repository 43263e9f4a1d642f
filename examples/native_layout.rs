//! Packs int8 weights into the tiles the RK3588's NPU reads and shows where they went.
//!
//! `cargo run -p rkllm-examples --example native_layout [N K]`. Layouts come from Rockchip's header; nothing
//! here has been verified on a board.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rkllm::layout::{Chip, Layout, MatmulType, TensorLayout};
use rkllm::quant::{WeightSpec, quantize};
use rkllm_examples::{shape_from_args, weights};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (n, k) = shape_from_args((48, 80))?;
    let rows = quantize(&weights(n, k), n, k, &WeightSpec::new("w8a8".parse()?), 1)?;
    // int8 rows are stored as they are: row-major (N, K), a byte each.
    let rows: &[u8] = rows.data();

    let matmul = MatmulType::I8I8I32;
    let b = TensorLayout::b(Chip::Rk3588, matmul, Layout::Native, n, k)?;
    let (padded_n, padded_k) = b.padded();
    println!("B of {matmul} on the {}: [{n}, {k}], K contiguous", Chip::Rk3588);
    println!("native dims {:?}: (N/32, K/32, 32, 32)", b.dims());
    println!("padded to [{padded_n}, {padded_k}]: {} bytes for {}", b.size_bytes(), rows.len());

    let mut tiles = vec![0; b.elements()];
    b.pack(rows, &mut tiles)?;
    print_tiles(&b);
    print_elements(&b, rows, &tiles);

    let mut back = vec![0; rows.len()];
    b.unpack(&tiles, &mut back)?;
    let changed = back.iter().zip(rows).filter(|(a, b)| a != b).count();
    println!("\nunpacked again: {changed} of {} bytes differ", rows.len());
    throughput(matmul)
}

/// The order of the tiles in memory: one number per 32 by 32 weights.
fn print_tiles(b: &TensorLayout) {
    let (n, k) = b.padded();
    println!("\ntiles in the order they lie in memory, 1024 bytes each (the first 8 by 8):");
    for n in (0..n).step_by(32).take(8) {
        let numbers = (0..k).step_by(32).take(8).filter_map(|k| b.index(n, k));
        let line: String = numbers.map(|place| format!("{:>6}", place / 1024)).collect();
        println!("  n {n:>4} {line}");
    }
}

/// Some weights with their places.
fn print_elements(b: &TensorLayout, rows: &[u8], tiles: &[u8]) {
    let (n, k) = b.shape();
    println!("\n{:>6} {:>6} {:>12} {:>12} {:>7}", "n", "k", "row-major", "native", "value");
    for (row, col) in
        [(0, 0), (0, 1), (0, 31), (0, 32), (1, 0), (1, 33), (31, 31), (32, 0), (n - 1, k - 1)]
    {
        // A small matrix does not have all of them.
        let Some(place) = b.index(row, col).filter(|_| row < n && col < k) else { continue };
        let plain = row * k + col;
        assert_eq!(rows[plain], tiles[place], "the element moved with its value");
        println!("{row:>6} {col:>6} {plain:>12} {place:>12} {:>7}", tiles[place] as i8);
    }
}

/// Packing of 8 MiB beside a plain copy of as many bytes: the median of several rounds.
fn throughput(matmul: MatmulType) -> Result<(), Box<dyn std::error::Error>> {
    let b = TensorLayout::b(Chip::Rk3588, matmul, Layout::Native, 4096, 2048)?;
    let rows: Vec<u8> = (0..b.elements()).map(|i| i as u8).collect();
    let (mut copy, mut tiles, mut back) = (rows.clone(), rows.clone(), rows.clone());
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..7 {
        times[0].push(time(|| {
            copy.copy_from_slice(&rows);
            Ok(())
        })?);
        times[1].push(time(|| b.pack(&rows, &mut tiles))?);
        times[2].push(time(|| b.unpack(&tiles, &mut back))?);
    }
    println!("\n[4096, 2048], {:.1} MB, on this machine:", b.size_bytes() as f64 / 1e6);
    for (name, mut times) in ["memcpy", "pack", "unpack"].into_iter().zip(times) {
        times.sort();
        let median = times[times.len() / 2].as_secs_f64();
        println!("  {name:<7} {:>6.2} GB/s", b.size_bytes() as f64 / median / 1e9);
    }
    Ok(())
}

fn time(work: impl FnOnce() -> rkllm::Result<()>) -> rkllm::Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}
