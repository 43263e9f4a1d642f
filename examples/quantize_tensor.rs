//! Quantises a weight matrix in three schemes and shows what that does to it.
//!
//! `cargo run -p rkllm-examples --example quantize_tensor [N K]`, where K is a multiple of 128.

use std::process::ExitCode;

use rkllm::quant::nibble;
use rkllm::quant::{QuantizedRows, WeightSpec, quantize};
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
    let (n, k) = shape_from_args((8, 256))?;
    let w = weights(n, k);
    println!("weights [{n}, {k}], largest magnitude {:.5}", max(w.iter().copied()));
    println!("as f16 they take {} bytes", n * k * 2);

    for name in ["w8a8", "w4a16_g32", "w4a16_g128"] {
        let spec = WeightSpec::new(name.parse()?);
        report(name, &w, &quantize(&w, n, k, &spec, 1)?)?;
        if name == "w4a16_g128" {
            let spec = spec.with_zero_points();
            report("w4a16_g128 with zero points", &w, &quantize(&w, n, k, &spec, 1)?)?;
        }
    }
    Ok(())
}

/// Prints the parts of a quantised matrix and how far it is from `w`.
fn report(name: &str, w: &[f32], q: &QuantizedRows) -> Result<(), rkllm::Error> {
    println!("\n{name}: {} bits, a scale for every {} columns", q.bits(), q.group());
    let stored = q.stored_bytes();
    let bits = stored as f64 * 8.0 / w.len() as f64;
    println!("  stored       {stored} bytes, {bits:.2} bits per weight with scales");

    let shown = q.groups().min(4);
    let scales: Vec<f32> = (0..shown).filter_map(|g| q.scales().get(g)).collect();
    println!(
        "  scales       row 0: {scales:.6?} of {} ({:?})",
        q.groups(),
        q.scales().scale_type()
    );
    match q.zero_points() {
        None => println!("  zero points  none: symmetric"),
        Some(z) => {
            let z: Vec<i32> = (0..shown).filter_map(|g| z.get(g)).collect();
            println!("  zero points  row 0: {z:?}");
        }
    }

    let mut row = vec![0; q.k()];
    q.unpack_row(0, &mut row);
    let back = q.dequantize();
    println!("  row 0        {:.5?}", &w[..q.k().min(6)]);
    println!("  integers     {:?}", &row[..q.k().min(6)]);
    println!("  and back     {:.5?}", &back[..q.k().min(6)]);

    let errors = || w.iter().zip(&back).map(|(w, back)| w - back);
    let square =
        |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v * v)).sum::<f64>();
    let (noise, signal) = (square(&mut errors()), square(&mut w.iter().copied()));
    let rms = (noise / w.len() as f64).sqrt();
    let share = 100.0 * (noise / signal).sqrt();
    println!(
        "  error        RMS {rms:.6} ({share:.2} % of the weights' RMS), max {:.6}",
        max(errors())
    );

    if q.bits() == 4 {
        println!("  packing      {}", packs_exactly(q)?);
    }
    Ok(())
}

/// Unpacks every row of nibbles to int8 and packs it again.
fn packs_exactly(q: &QuantizedRows) -> Result<String, rkllm::Error> {
    let (mut row, mut again) = (vec![0; q.k()], vec![0; q.row_bytes()]);
    for stored in q.data().chunks_exact(q.row_bytes()) {
        nibble::unpack_row(stored, &mut row)?;
        nibble::pack_row(&row, &mut again)?;
        if again != stored {
            return Ok("broken: a row changed".into());
        }
    }
    Ok(format!("{} rows of {} bytes unpack and pack to the same bytes", q.n(), q.row_bytes()))
}

fn max(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(0.0, |max, value| max.max(value.abs()))
}
