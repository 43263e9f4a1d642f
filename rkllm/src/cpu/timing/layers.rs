//! Linear layers of real shapes, as the engine runs them.

use std::time::Duration;

use super::{Buffer, LayerTiming, Spread, TimingOptions, bandwidth, repeat};
use crate::cpu::linear::{CpuLinear, Device};
use crate::model::{LinearData, LinearWeights};
use crate::quant::{QuantScheme, QuantizedRows, Scales};
use crate::{Bytes, Error, ErrorKind, Linear, Result};

const SCHEMES: [&str; 2] = ["w8a8", "w4a16_g128"];
/// Figures of one kind, at most.
const MOST: usize = 15;
/// The longest a prefill step may take by the time of one token, in microseconds, and the tokens of a kernel
/// that is too slow for it: the portable one.
const LONGEST: f64 = 1e6;
const FEW: usize = 4;
/// Bytes of weights that one figure of decode reads at least, so that the clock's steps do not show.
const PASS: usize = 32 << 20;

/// What the layers run on.
pub(super) struct Machine<'a> {
    pub(super) device: Device,
    pub(super) buffer: &'a Buffer,
    pub(super) options: &'a TimingOptions,
}

/// Every scheme and shape; the bandwidth is measured again before each.
pub(super) fn measure(
    on: &Machine<'_>,
    reads: &mut bandwidth::Reads,
    peak: Option<f64>,
) -> Result<Vec<LayerTiming>> {
    let mut all = Vec::new();
    for scheme in SCHEMES {
        for &(k, n) in &on.options.shapes {
            reads.pass(on.buffer, &on.device.pool);
            let copies = copies(scheme, k, n, on)?;
            let decode = time(on, &copies, (1, k, n), peak)?;
            let slow = decode.us.median * on.options.prefill as f64 > LONGEST;
            let m = if slow { FEW.min(on.options.prefill) } else { on.options.prefill };
            all.push(LayerTiming { scheme, ..decode });
            all.push(LayerTiming { scheme, ..time(on, &copies, (m, k, n), peak)? });
        }
    }
    Ok(all)
}

/// Layers with weights of their own, as many as the buffer holds.
struct Copies {
    layers: Vec<CpuLinear>,
    bytes: usize,
    /// int8 products for each weight.
    planes: usize,
}

fn copies(scheme: &'static str, k: usize, n: usize, on: &Machine<'_>) -> Result<Copies> {
    let scheme: QuantScheme = scheme.parse()?;
    let (bits, group) = (scheme.weight_bits(), scheme.group_size(k)?);
    let bytes = n * if bits == 8 { k } else { k.div_ceil(8) * 4 };
    let count = n * (k / group);
    let scales = match group == k {
        true => Scales::F32(Bytes::new(0.01f32.to_le_bytes().repeat(count))),
        // 0.01 as f16.
        false => Scales::F16(Bytes::new(0x211f_u16.to_le_bytes().repeat(count))),
    };
    let layer = |data: Bytes| -> Result<CpuLinear> {
        let rows = QuantizedRows::new((n, k), group, bits, data, scales.clone(), None)?;
        let data = LinearData::Quantized(rows);
        let weights = LinearWeights { name: "timing".into(), n, k, data, bias: None };
        Ok(CpuLinear::new(vec![weights], &on.device))
    };
    let parts =
        (0..on.buffer.len() / bytes).filter_map(|i| on.buffer.slice(i * bytes..(i + 1) * bytes));
    let layers: Vec<CpuLinear> = parts.map(layer).collect::<Result<_>>()?;
    if layers.is_empty() {
        return Err(Error::new(ErrorKind::Input, format!("a buffer of {} bytes", on.buffer.len()))
            .with_hint(format!("a layer of {k} x {n} needs {bytes}")));
    }
    let bytes = bytes + scales.bytes().len();
    Ok(Copies { layers, bytes, planes: if bits == 8 { 1 } else { 2 } })
}

fn time(
    on: &Machine<'_>,
    copies: &Copies,
    (m, k, n): (usize, usize, usize),
    peak: Option<f64>,
) -> Result<LayerTiming> {
    let x: Vec<f32> = (0..m * k).map(|i| (i % 255) as f32 - 127.0).collect();
    let mut y = vec![0.0; m * n];
    let mut turn = 0;
    let mut failed = Ok(());
    // Decoding takes the next weights each time, so that they come from memory.
    let calls = if m == 1 { (PASS / copies.bytes).clamp(1, copies.layers.len()) } else { 1 };
    let mut product = || {
        for _ in 0..calls {
            let layer = &copies.layers[turn % copies.layers.len()];
            turn += 1;
            if let Err(error) = layer.forward(&x, &mut y) {
                failed = Err(error);
            }
        }
    };
    // The first one finds cold caches and no scratch.
    repeat(Duration::ZERO, 1, &mut product);
    let times = repeat(on.options.time, MOST, &mut product);
    failed?;
    let us = Spread::of(times.iter().map(|s| s * 1e6 / calls as f64).collect());
    let gmacs = (m * n * k * copies.planes) as f64 / us.median / 1e3;
    Ok(LayerTiming {
        scheme: "",
        m,
        k,
        n,
        gb_per_s: copies.bytes as f64 / us.median / 1e3,
        of_read_bandwidth: None,
        gmacs_per_s: gmacs,
        of_peak: peak.map(|peak| gmacs / peak),
        us,
    })
}
