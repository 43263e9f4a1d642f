//! Float operations of the network: written once over sixteen lanes, compiled per instruction set.

mod array;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod element;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod ops;
mod products;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::ops::Range;

pub use attention::{AttentionTile, KEY_BLOCK, TileScratch};

use super::ColumnsAt;
use crate::Dtype;

/// Cached keys or values of one head in the cache's type; [`AttentionTile`] says how they lie.
#[derive(Debug, Clone, Copy)]
pub enum KvRows<'a> {
    /// The baseline's.
    F32(&'a [f32]),
    /// The quantised schemes'.
    F16(&'a [u16]),
}

/// The float operations of one instruction set. All follow `NUMERICS.md`, so all agree bit for bit.
///
/// Methods panic where lengths do not agree; that is a bug of the caller, never bad input.
pub trait FloatOps: Debug + Send + Sync {
    /// `y[m, n] = dot16(x[m], w[n])` for `x` `[M, K]`, row-major stored `w` `[N, K]` and every `n` of `rows`.
    ///
    /// # Safety
    /// No other thread accesses columns `rows` of `y` meanwhile.
    ///
    /// # Panics
    /// If `dtype` is not f32, f16 or bf16, or the shapes do not agree.
    unsafe fn rows(
        &self,
        x: &[f32],
        k: usize,
        dtype: Dtype,
        w: &[u8],
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    );

    /// RMS norm of one row.
    fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]);

    /// Adds `h` to the residual row `x`, and leaves the RMS norm of that in `h`.
    fn add_rms_norm(&self, x: &mut [f32], weight: &[f32], eps: f32, h: &mut [f32]);

    /// SiLU gate: `out = silu(gate) * up`.
    fn silu_gate(&self, gate: &[f32], up: &[f32], out: &mut [f32]);

    /// GELU (tanh) gate: `out = gelu(gate) * up`.
    fn gelu_tanh_gate(&self, gate: &[f32], up: &[f32], out: &mut [f32]);

    /// Rotates the pairs (`x[i]`, `x[i + x.len() / 2]`) in place.
    fn rotate(&self, x: &mut [f32], cos: &[f32], sin: &[f32]);

    /// Attention of a tile of queries: `out` `[R, d]`.
    ///
    /// # Panics
    /// If the tile does not hold what its fields say.
    fn attend(&self, tile: &AttentionTile<'_>, scratch: &mut TileScratch, out: &mut [f32]);

    /// Softmax in place; element 0 is the score of the absolute position `first`. It is the one
    /// [`FloatOps::attend`] makes.
    fn softmax(&self, scores: &mut [f32], first: usize);

    /// The largest logit `m` and the sum of `exp(l - m)` as f64 in 16 lanes.
    fn exp_sum(&self, logits: &[f32]) -> (f32, f64);

    /// `out = exp(x)`.
    fn exp(&self, x: &[f32], out: &mut [f32]);

    /// f32 to f16, half to even.
    fn to_f16(&self, x: &[f32], out: &mut [u16]);
}

/// Compiles the operations for one implementation of `Lanes`.
///
/// `$features` is the target feature list of the inner functions (none for the portable one); the
/// constructor of the type is private to this module and guarded by detection in [`by_name`].
macro_rules! float_ops {
    (
        $name:ident, $lanes:ty,
        rows: $r:literal x $t:literal,
        scores: $q:literal x $v:literal,
        values: $pt:literal x $pw:literal
        $(, $features:literal)?
    ) => {
        #[derive(Debug)]
        struct $name;

        impl FloatOps for $name {
            unsafe fn rows(
                &self,
                x: &[f32],
                k: usize,
                dtype: Dtype,
                w: &[u8],
                rows: Range<usize>,
                y: ColumnsAt<'_>,
            ) {
                $(#[target_feature(enable = $features)])?
                unsafe fn inner(
                    x: &[f32], k: usize, dtype: Dtype, w: &[u8], rows: Range<usize>, y: ColumnsAt<'_>,
                ) {
                    // SAFETY: features as in `by_name`; shapes and exclusiveness by the caller.
                    unsafe {
                        match dtype {
                            Dtype::F32 => products::rows::<$lanes, element::F32, $r, $t>(x, k, w, rows, y),
                            Dtype::F16 => products::rows::<$lanes, element::F16, $r, $t>(x, k, w, rows, y),
                            Dtype::Bf16 => products::rows::<$lanes, element::Bf16, $r, $t>(x, k, w, rows, y),
                            other => panic!("no float product with {other} weights"),
                        }
                    }
                }
                assert!(k != 0 && x.len().is_multiple_of(k) && x.len() / k <= y.rows());
                assert!(rows.end * k * dtype.size() <= w.len() && rows.end <= y.cols());
                // SAFETY: asserted above; exclusiveness is the caller's contract.
                unsafe { inner(x, k, dtype, w, rows, y) }
            }

            fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
                $(#[target_feature(enable = $features)])?
                unsafe fn inner(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
                    // SAFETY: features as in `by_name`; lengths asserted by the caller.
                    unsafe { ops::rms_norm::<$lanes>(x, weight, eps, out) }
                }
                assert!(x.len() == weight.len() && x.len() == out.len());
                // SAFETY: asserted above.
                unsafe { inner(x, weight, eps, out) }
            }

            fn add_rms_norm(&self, x: &mut [f32], weight: &[f32], eps: f32, h: &mut [f32]) {
                $(#[target_feature(enable = $features)])?
                unsafe fn inner(x: &mut [f32], weight: &[f32], eps: f32, h: &mut [f32]) {
                    // SAFETY: features as in `by_name`; lengths asserted by the caller.
                    unsafe { ops::add_rms_norm::<$lanes>(x, weight, eps, h) }
                }
                assert!(x.len() == weight.len() && x.len() == h.len());
                // SAFETY: asserted above.
                unsafe { inner(x, weight, eps, h) }
            }

            fn silu_gate(&self, gate: &[f32], up: &[f32], out: &mut [f32]) {
                $(#[target_feature(enable = $features)])?
                unsafe fn inner(gate: &[f32], up: &[f32], out: &mut [f32]) {
                    // SAFETY: features as in `by_name`; lengths asserted by the caller.
                    unsafe { ops::silu_gate::<$lanes>(gate, up, out) }
                }
                assert!(gate.len() == up.len() && gate.len() == out.len());
                // SAFETY: asserted above.
                unsafe { inner(gate, up, out) }
            }

            fn gelu_tanh_gate(&self, gate: &[f32], up: &[f32], out: &mut [f32]) {
                $(#[target_feature(enable = $features)])?
                unsafe fn inner(gate: &[f32], up: &[f32], out: &mut [f32]) {
                    // SAFETY: features as in `by_name`; lengths asserted by the caller.
                    unsafe { ops::gelu_tanh_gate::<$lanes>(gate, up, out) }
                }
                assert!(gate.len() == up.len() && gate.len() == out.len());
                // SAFETY: asserted above.
                unsafe { inner(gate, up, out) }
            }

            fn rotate(&self, x: &mut [f32], cos: &[f32], sin: &[f32]) {
                $(#[target_feature(enable = $features)])?
                unsafe fn inner(x: &mut [f32], cos: &[f32], sin: &[f32]) {
                    // SAFETY: features as in `by_name`; lengths asserted by the caller.
                    unsafe { ops::rotate::<$lanes>(x, cos, sin) }
                }
                assert!(x.len() == 2 * cos.len() && cos.len() == sin.len());
                // SAFETY: asserted above.
                unsafe { inner(x, cos, sin) }
            }

            fn attend(&self, tile: &AttentionTile<'_>, scratch: &mut TileScratch, out: &mut [f32]) {
                $(#[target_feature(enable = $features)])?
                unsafe fn inner(tile: &AttentionTile<'_>, scratch: &mut TileScratch, out: &mut [f32]) {
                    // SAFETY: features as in `by_name`; the tile checked by the caller.
                    unsafe { attention::attend::<$lanes, $q, $v, $pt, $pw>(tile, scratch, out) }
                }
                tile.check(out);
                // SAFETY: checked above.
                unsafe { inner(tile, scratch, out) }
            }

            fn softmax(&self, scores: &mut [f32], first: usize) {
                $(#[target_feature(enable = $features)])?
                unsafe fn inner(row: &mut [f32]) {
                    // SAFETY: features as in `by_name`; whole lines by the caller.
                    unsafe { attention::softmax::<$lanes>(row) }
                }
                let before = first % 16;
                let mut row = vec![f32::NEG_INFINITY; (before + scores.len()).next_multiple_of(16)];
                row[before..][..scores.len()].copy_from_slice(scores);
                // SAFETY: whole lines; the features are there.
                unsafe { inner(&mut row) }
                scores.copy_from_slice(&row[before..][..scores.len()]);
            }

            fn exp_sum(&self, logits: &[f32]) -> (f32, f64) {
                $(#[target_feature(enable = $features)])?
                unsafe fn inner(logits: &[f32]) -> (f32, f64) {
                    // SAFETY: features as in `by_name`.
                    unsafe { ops::exp_sum::<$lanes>(logits) }
                }
                // SAFETY: the features are there.
                unsafe { inner(logits) }
            }

            fn exp(&self, x: &[f32], out: &mut [f32]) {
                $(#[target_feature(enable = $features)])?
                unsafe fn inner(out: &mut [f32]) {
                    // SAFETY: features as in `by_name`.
                    unsafe { ops::exp_in_place::<$lanes>(out) }
                }
                out.copy_from_slice(x);
                // SAFETY: the features are there.
                unsafe { inner(out) }
            }

            fn to_f16(&self, x: &[f32], out: &mut [u16]) {
                $(#[target_feature(enable = $features)])?
                unsafe fn inner(x: &[f32], out: &mut [u16]) {
                    // SAFETY: features as in `by_name`; lengths asserted by the caller.
                    unsafe { ops::to_f16::<$lanes>(x, out) }
                }
                assert!(x.len() == out.len());
                // SAFETY: asserted above.
                unsafe { inner(x, out) }
            }
        }
    };
}

impl KvRows<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(rows) => rows.len(),
            Self::F16(rows) => rows.len(),
        }
    }
}

float_ops!(Portable, array::Array, rows: 1 x 1, scores: 1 x 1, values: 1 x 1);
// The same code with the fused multiply-add as an instruction instead of a call.
#[cfg(target_arch = "x86_64")]
float_ops!(PortableFma, array::Array, rows: 1 x 1, scores: 1 x 1, values: 1 x 1, "fma");
// Sixteen registers, two to a line.
#[cfg(target_arch = "x86_64")]
float_ops!(Avx2, avx2::Avx2, rows: 2 x 3, scores: 2 x 1, values: 6 x 1, "avx2,fma,f16c");
// Thirty-two registers, one to a line.
#[cfg(target_arch = "x86_64")]
float_ops!(Avx512, avx512::Avx512, rows: 4 x 4, scores: 4 x 2, values: 6 x 4, "avx512f,avx2,fma,f16c");
// Thirty-two registers, four to a line.
#[cfg(target_arch = "aarch64")]
float_ops!(Neon, neon::Neon, rows: 2 x 2, scores: 2 x 1, values: 6 x 1, "neon");

/// The float operations that go with the integer kernel `name`, if this processor can run them.
pub fn by_name(name: &str) -> Option<&'static dyn FloatOps> {
    match name {
        #[cfg(target_arch = "x86_64")]
        "scalar" if is_x86_feature_detected!("fma") => Some(&PortableFma),
        "scalar" => Some(&Portable),
        #[cfg(target_arch = "x86_64")]
        "avx2" | "avxvnni"
            if is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c") =>
        {
            Some(&Avx2)
        }
        #[cfg(target_arch = "x86_64")]
        "avx512vnni" | "amx"
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c") =>
        {
            Some(&Avx512)
        }
        #[cfg(target_arch = "aarch64")]
        "neon" | "neon-i8mm" => Some(&Neon),
        _ => None,
    }
}
