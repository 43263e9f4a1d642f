//! Random matrices and layers.

use half::f16;
use rkllm::Bytes;
use rkllm::model::{LinearData, LinearWeights};
use rkllm::quant::{QuantizedRows, Scales, ZeroPoints};

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In [-1, 1).
    pub(crate) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(crate) fn int8s(&mut self, len: usize) -> Vec<i8> {
        (0..len).map(|_| self.next() as i8).collect()
    }

    /// Inputs `[m, k]`, with outliers and a token of zeros now and then.
    pub(crate) fn inputs(&mut self, m: usize, k: usize) -> Vec<f32> {
        let mut x: Vec<f32> =
            (0..m * k).map(|_| self.float() * [1.0, 1.0, 1.0, 20.0][self.below(4)]).collect();
        if m > 2 {
            x[k..2 * k].fill(0.0);
        }
        x
    }
}

/// What a random layer is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) bits: u32,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) group: usize,
    pub(crate) asymmetric: bool,
    pub(crate) bias: bool,
}

impl Case {
    pub(crate) fn layer(self, random: &mut Random) -> LinearWeights {
        let Self { bits, n, k, group, asymmetric, bias } = self;
        let row_bytes = if bits == 8 { k } else { k.div_ceil(8) * 4 };
        let mut data: Vec<u8> = (0..n * row_bytes).map(|_| random.next() as u8).collect();
        if bits == 4 {
            for row in data.chunks_exact_mut(row_bytes) {
                row[k.div_ceil(2)..].fill(0);
                if k % 2 == 1 {
                    row[k / 2] &= 15;
                }
            }
        }
        let count = n * (k / group);
        let scales = (0..count).map(|_| (random.float() + 1.5) * 1e-2);
        let scales = if group == k {
            Scales::F32(Bytes::new(scales.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()))
        } else {
            let halves = scales.flat_map(|scale| f16::from_f32(scale).to_le_bytes());
            Scales::F16(Bytes::new(halves.collect::<Vec<u8>>()))
        };
        let zero_points = asymmetric.then(|| match bits {
            8 => ZeroPoints::I8(random.int8s(count)),
            _ => ZeroPoints::U4((0..count).map(|_| random.next() as u8 & 15).collect()),
        });
        let rows = QuantizedRows::new((n, k), group, bits, Bytes::new(data), scales, zero_points);
        LinearWeights {
            name: format!("layer.{n}x{k}"),
            n,
            k,
            data: LinearData::Quantized(rows.unwrap()),
            bias: bias.then(|| (0..n).map(|_| random.float()).collect()),
        }
    }
}

/// `C[m, n] = sum a[m, k] * w[n, k]`.
pub(crate) fn plain(a: &[i8], w: &[i8], k: usize) -> Vec<i32> {
    let dot =
        |a: &[i8], w: &[i8]| a.iter().zip(w).map(|(&a, &w)| i32::from(a) * i32::from(w)).sum();
    a.chunks_exact(k).flat_map(|a| w.chunks_exact(k).map(move |w| dot(a, w))).collect()
}
