//! Products and places written a second time, from the header's formulas alone: nothing of
//! `rkllm::layout`, nothing of the library.

use half::{bf16, f16};
use rkllm_sys::rknn::{rknn_matmul_info, rknn_matmul_type};

use crate::random::Random;

/// One product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) kind: u32,
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) b_layout: i16,
    pub(crate) ac_layout: i16,
}

impl Case {
    pub(crate) fn info(&self) -> rknn_matmul_info {
        rknn_matmul_info {
            M: self.m as i32,
            K: self.k as i32,
            N: self.n as i32,
            type_: rknn_matmul_type(self.kind),
            B_layout: self.b_layout,
            AC_layout: self.ac_layout,
            ..Default::default()
        }
    }

    /// A, B, C: `i4`, `i8`, `i16`, `i32`, `f16`, `bf16`, `f32`.
    pub(crate) fn types(&self) -> [&'static str; 3] {
        match self.kind {
            1 => ["f16", "f16", "f32"],
            2 => ["i8", "i8", "i32"],
            3 => ["i8", "i8", "i8"],
            4 => ["f16", "f16", "f16"],
            7 => ["f16", "i4", "f32"],
            8 => ["f16", "i4", "f16"],
            9 => ["i8", "i8", "f32"],
            10 => ["i4", "i4", "i16"],
            11 => ["i8", "i4", "i32"],
            12 => ["f16", "i4", "bf16"],
            15 => ["i8", "i4", "f16"],
            other => panic!("type {other}"),
        }
    }

    /// The elements of A and B as float64, which holds all of them: `[m][k]` and `[k][n]`.
    pub(crate) fn random(&self, random: &mut Random) -> [Vec<f64>; 2] {
        let [a, b, _] = self.types();
        let mut all =
            |kind, count| -> Vec<f64> { (0..count).map(|_| value(kind, random)).collect() };
        [all(a, self.m * self.k), all(b, self.k * self.n)]
    }

    /// Dimensions of A, B and C on a SoC.
    pub(crate) fn dims(&self, soc: &str) -> [Vec<u32>; 3] {
        let Self { m, k, n, b_layout, ac_layout, .. } = *self;
        let [a, b, c] = self.types();
        let of_rows = |rows: usize, cols: usize, block: usize| match ac_layout {
            0 => vec![rows, cols],
            _ => vec![cols / block, rows, block],
        };
        let (sn, sk) = b_tile(soc, b);
        let of_b = match b_layout {
            0 => vec![k, n],
            1 => vec![n / sn, k / sk, sn, sk],
            _ => vec![n, k],
        };
        [of_rows(m, k, a_block(soc, a)), of_b, of_rows(m, n, c_block(soc, c))]
            .map(|dims| dims.into_iter().map(|dim| dim as u32).collect())
    }

    /// A and B as they lie in memory.
    pub(crate) fn bytes(&self, soc: &str, [a, b]: &[Vec<f64>; 2]) -> [Vec<u8>; 2] {
        let Self { m, k, n, .. } = *self;
        let [of_a, of_b, _] = self.types();
        let mut bytes =
            [vec![0; (m * k * bits(of_a)).div_ceil(8)], vec![0; (k * n * bits(of_b)).div_ceil(8)]];
        for row in 0..m {
            for col in 0..k {
                put(of_a, &mut bytes[0], self.a_index(soc, row, col), a[row * k + col]);
            }
        }
        for row in 0..k {
            for col in 0..n {
                put(of_b, &mut bytes[1], self.b_index(soc, row, col), b[row * n + col]);
            }
        }
        bytes
    }

    fn a_index(&self, soc: &str, m: usize, k: usize) -> usize {
        match self.ac_layout {
            0 => m * self.k + k,
            _ => {
                let s = a_block(soc, self.types()[0]);
                (k / s) * self.m * s + m * s + k % s
            }
        }
    }

    fn b_index(&self, soc: &str, k: usize, n: usize) -> usize {
        match self.b_layout {
            0 => k * self.n + n,
            2 => n * self.k + k,
            _ => {
                let (sn, sk) = b_tile(soc, self.types()[1]);
                let lim = match soc {
                    "rk3588" => 8192,
                    "rk3576" | "rv1126b" => 4096,
                    _ => self.k,
                };
                let k0 = k / lim * lim;
                let kt = lim.min(self.k - k0);
                let k = k - k0;
                self.n * k0 + ((n / sn) * (kt / sk) + k / sk) * sn * sk + (n % sn) * sk + k % sk
            }
        }
    }

    fn c_index(&self, soc: &str, m: usize, n: usize) -> usize {
        match self.ac_layout {
            0 => m * self.n + n,
            _ => {
                let s = c_block(soc, self.types()[2]);
                (n / s) * self.m * s + m * s + n % s
            }
        }
    }

    /// C in memory: what `sum` makes of a row of A and a column of B, in the low bits of a word.
    pub(crate) fn c_bytes(&self, soc: &str, values: &[u32]) -> Vec<u8> {
        let size = bits(self.types()[2]) / 8;
        let mut bytes = vec![0; self.m * self.n * size];
        for m in 0..self.m {
            for n in 0..self.n {
                let at = self.c_index(soc, m, n) * size;
                bytes[at..at + size].copy_from_slice(&values[m * self.n + n].to_le_bytes()[..size]);
            }
        }
        bytes
    }

    /// C of unscaled operands, `[m][n]`.
    pub(crate) fn plain(&self, [a, b]: &[Vec<f64>; 2]) -> Vec<u32> {
        let Self { m, k, n, .. } = *self;
        let [of_a, _, of_c] = self.types();
        let mut all = Vec::new();
        for row in 0..m {
            for col in 0..n {
                let pairs = (0..k).map(|i| (a[row * k + i], b[i * n + col]));
                all.push(if of_a == "f16" {
                    let mut sum = 0.0_f32;
                    pairs.for_each(|(a, b)| sum += a as f32 * b as f32);
                    float(of_c, sum)
                } else {
                    let sum: i64 = pairs.map(|(a, b)| a as i64 * b as i64).sum();
                    match of_c {
                        "i32" | "i16" => sum as u32,
                        "i8" => u32::from((sum.clamp(-128, 127) as i8) as u8),
                        _ => float(of_c, sum as f32),
                    }
                });
            }
        }
        all
    }
}

/// A float32 as C's type.
pub(crate) fn float(kind: &str, value: f32) -> u32 {
    match kind {
        "f32" => value.to_bits(),
        "f16" => f16::from_f32(value).to_bits().into(),
        "bf16" => bf16::from_f32(value).to_bits().into(),
        other => panic!("{other}"),
    }
}

fn value(kind: &str, random: &mut Random) -> f64 {
    match kind {
        "i4" => f64::from(random.below(16) as i32 - 8),
        "i8" => f64::from(random.next() as i8),
        _ => f16::from_f32(random.float() * [1.0, 0.01, 30.0][random.below(3)]).to_f64(),
    }
}

pub(crate) fn bits(kind: &str) -> usize {
    match kind {
        "i4" => 4,
        "i8" => 8,
        "i16" | "f16" | "bf16" => 16,
        _ => 32,
    }
}

fn put(kind: &str, bytes: &mut [u8], i: usize, value: f64) {
    match kind {
        "i4" => bytes[i / 2] |= ((value as i8 as u8) & 15) << (4 * (i % 2)),
        "i8" => bytes[i] = value as i8 as u8,
        _ => bytes[2 * i..2 * i + 2].copy_from_slice(&f16::from_f64(value).to_le_bytes()),
    }
}

/// S of A.
fn a_block(soc: &str, kind: &str) -> usize {
    match (soc, kind) {
        ("rk3588" | "rk3576" | "rv1126b", "i4") => 32,
        ("rk3566" | "rk3568", "i8") => 8,
        ("rk3566" | "rk3568", "f16") => 4,
        (_, "i8") => 16,
        (_, "f16") => 8,
        other => panic!("{other:?}"),
    }
}

/// sN and sK of B.
fn b_tile(soc: &str, kind: &str) -> (usize, usize) {
    match (soc, kind) {
        ("rk3588" | "rk3576" | "rv1126b", "i4") => (64, 32),
        ("rk3588" | "rk3576" | "rv1126b", "i8") => (32, 32),
        ("rk3588" | "rk3576" | "rv1126b", "f16") => (16, 32),
        ("rk3562", "i8" | "i4") | ("rk3566" | "rk3568", "i8") => (16, 32),
        ("rk3562", "f16") => (8, 32),
        ("rk3566" | "rk3568", "f16") => (8, 16),
        other => panic!("{other:?}"),
    }
}

/// Of C; of int8 and 16-bit floats as A's, which is this stand-in's own rule.
fn c_block(soc: &str, kind: &str) -> usize {
    match (soc, kind) {
        (_, "i32" | "f32") => 4,
        (_, "i16") => 8,
        ("rk3566" | "rk3568", "i8") => 8,
        (_, "i8") => 16,
        ("rk3566" | "rk3568", _) => 4,
        (_, _) => 8,
    }
}
