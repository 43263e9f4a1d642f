//! Integer products: quantised activations times quantised weights.
//!
//! [`available`] lists the kernels this CPU can run. All of them give the bits of the scalar one, which
//! is `NUMERICS.md` spelled out.

use std::fmt::Debug;
use std::ops::Range;

pub use self::gemm::Packed;
pub use self::quantize::{Places8, Places16};
use super::ColumnsAt;
use crate::quant::QuantizedRows;

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(target_arch = "x86_64")]
mod avxvnni;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod blocks;
mod gemm;
mod needs;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod products;
mod quantize;
mod scalar;
mod scales;
#[cfg(test)]
mod tests;
mod weights;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Activations of w8a8: int8 values, a scale and a sum per token and group.
///
/// One layout serves every kernel: rows are padded with zeros to [`Activations8::stride`].
#[derive(Debug, Clone, Default)]
pub struct Activations8 {
    /// M: tokens.
    pub m: usize,
    /// K: features.
    pub k: usize,
    /// Columns per group; divides K.
    pub group: usize,
    /// Bytes from one token's values to the next: K rounded up to a multiple of 64.
    pub stride: usize,
    /// `[M, stride]` values.
    pub q: Vec<i8>,
    /// `[M, K / group]` scales.
    pub scales: Vec<f32>,
    /// `[M, K / group]` sums of the values of each group.
    pub sums: Vec<i32>,
    /// The same packed for prefill; empty where M is small, stale where the scalar kernel quantised.
    packed: Packed,
}

/// Activations of w4a16: 16-bit values as two int8 planes, even and odd columns apart, as packed
/// nibbles come.
///
/// A token's row is four arrays of [`Activations16::half`] bytes: low plane of the even columns, low
/// plane of the odd ones, high plane of the even, high plane of the odd; each padded with zeros.
#[derive(Debug, Clone, Default)]
pub struct Activations16 {
    /// M: tokens.
    pub m: usize,
    /// K: features.
    pub k: usize,
    /// Columns per group; divides K. Even, unless it is K itself.
    pub group: usize,
    /// Bytes of one array: `ceil(K / 2)` rounded up to a multiple of 64.
    pub half: usize,
    /// `[M, 4, half]` values.
    pub planes: Vec<i8>,
    /// `[M, K / group]` scales.
    pub scales: Vec<f32>,
    /// `[M, K / group, 2]` sums of the low and of the high plane.
    pub sums: Vec<[i32; 2]>,
    /// The same packed for prefill; empty where M is small, stale where the scalar kernel quantised.
    packed: Packed,
}

/// The integer products of one instruction set.
///
/// A value that is not finite makes the outputs of its token NaN or infinite, never something that looks
/// like a result.
pub trait IntProducts: Debug + Send + Sync {
    /// Quantises `x` `[M, K]` per token and group into `out`, reusing its memory. Products take what the same
    /// kernel quantised.
    ///
    /// # Panics
    /// If `x` is not a whole number of rows of `k` values, or `group` does not divide `k`.
    fn quantize8(&self, x: &[f32], k: usize, group: usize, out: &mut Activations8) {
        let places = out.prepare(rows_of(x, k), k, group);
        // SAFETY: one thread.
        (0..places.blocks()).for_each(|block| unsafe { self.quantize8_block(x, &places, block) });
    }

    /// The part of [`IntProducts::quantize8`] for tokens `16 * block..16 * block + 16`, of `x` `[M, K]` into places
    /// prepared for its shape.
    ///
    /// # Safety
    /// No other thread has this block.
    ///
    /// # Panics
    /// If `x` has fewer tokens than `places`, or there is no such block.
    unsafe fn quantize8_block(&self, x: &[f32], places: &Places8<'_>, block: usize);

    /// Quantises `x` `[M, K]` per token and group into two planes, reusing the memory of `out`. Products take
    /// what the same kernel quantised.
    ///
    /// # Panics
    /// As [`IntProducts::quantize8`], and if `group` is odd and not `k`.
    fn quantize16(&self, x: &[f32], k: usize, group: usize, out: &mut Activations16) {
        let places = out.prepare(rows_of(x, k), k, group);
        // SAFETY: one thread.
        (0..places.blocks()).for_each(|block| unsafe { self.quantize16_block(x, &places, block) });
    }

    /// The part of [`IntProducts::quantize16`] for tokens `16 * block..16 * block + 16`.
    ///
    /// # Safety
    /// As [`IntProducts::quantize8_block`].
    ///
    /// # Panics
    /// As [`IntProducts::quantize8_block`].
    unsafe fn quantize16_block(&self, x: &[f32], places: &Places16<'_>, block: usize);

    /// Bytes a thread keeps, once it had them, for products of several tokens: rows of weights of `bits` and K prepared
    /// for the instructions, and tiles of outputs.
    fn prefill_bytes(&self, bits: u32, k: usize, group: usize) -> usize;

    /// `y[m, n]` for every token and every `n` of `rows`, without bias, column `n` of `y` for row `n`.
    ///
    /// # Safety
    /// No other thread accesses columns `rows` of `y` meanwhile.
    ///
    /// # Panics
    /// If `x` was not filled for the K and group of `w`, `w` does not hold the bytes its fields
    /// promise, `y` has fewer rows than `x` has tokens or fewer than `rows.end` columns, or
    /// `rows.end > w.n`.
    unsafe fn w8a8(
        &self,
        x: &Activations8,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    );

    /// The same for int4 weights and 16-bit activations.
    ///
    /// # Safety
    /// As [`IntProducts::w8a8`].
    ///
    /// # Panics
    /// As [`IntProducts::w8a8`].
    unsafe fn w4a16(
        &self,
        x: &Activations16,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    );
}

fn rows_of(x: &[f32], k: usize) -> usize {
    assert!(k != 0 && x.len().is_multiple_of(k), "{} values are no rows of {k}", x.len());
    x.len() / k
}

/// The kernels this CPU can run with their names, slowest first.
///
/// Names are `scalar`, `avx2`, `avxvnni`, `avx512vnni`, `amx`, `neon` and `neon-i8mm`; the last one that has no
/// [`refusal`] is the one to use. Asks the system for nothing: `amx` is here where the system offers tiles, asks for
/// them before it first uses them, and does without where they are refused.
pub fn available() -> Vec<(&'static str, &'static dyn IntProducts)> {
    let mut kernels: Vec<(&'static str, &'static dyn IntProducts)> =
        vec![("scalar", &scalar::Scalar)];
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(avx2) = avx2::Avx2::detect() {
            kernels.push(("avx2", avx2));
        }
        if let Some(avxvnni) = avxvnni::AvxVnni::detect() {
            kernels.push(("avxvnni", avxvnni));
        }
        if let Some(avx512vnni) = avx512vnni::Avx512Vnni::detect() {
            kernels.push(("avx512vnni", avx512vnni));
        }
        if let Some(amx) = amx::Amx::detect() {
            kernels.push(("amx", amx));
        }
    }
    #[cfg(target_arch = "aarch64")]
    kernels.extend(neon::available());
    kernels
}

#[cfg(target_arch = "x86_64")]
pub(crate) use amx::tiles::peak as amx_peak;

/// The kernel of this name, or `None` where this CPU cannot run it or there is none.
pub fn by_name(name: &str) -> Option<&'static dyn IntProducts> {
    available().into_iter().find(|(known, _)| *known == name).map(|(_, kernel)| kernel)
}

/// Why the kernel `name` does not run here, as a clause without a full stop; `None` if it does. For `amx` this asks
/// the system for the tiles, which the process then has.
pub fn refusal(name: &str) -> Option<String> {
    match name {
        "scalar" => None,
        #[cfg(target_arch = "x86_64")]
        "avx2" => avx2::NEEDS.refusal(),
        #[cfg(target_arch = "x86_64")]
        "avxvnni" => avxvnni::NEEDS.refusal(),
        #[cfg(target_arch = "x86_64")]
        "avx512vnni" => avx512vnni::NEEDS.refusal(),
        #[cfg(target_arch = "x86_64")]
        "amx" => amx::refusal(),
        #[cfg(not(target_arch = "x86_64"))]
        "avx2" | "avxvnni" | "avx512vnni" | "amx" => Some(needs::foreign("x86_64")),
        #[cfg(target_arch = "aarch64")]
        "neon" => neon::NEEDS.refusal(),
        #[cfg(target_arch = "aarch64")]
        "neon-i8mm" => neon::NEEDS_I8MM.refusal(),
        #[cfg(not(target_arch = "aarch64"))]
        "neon" | "neon-i8mm" => Some(needs::foreign("aarch64")),
        _ => Some("there is no kernel of this name".to_owned()),
    }
}
