//! AVX2, FMA and F16C: x86 processors since 2013.
//!
//! -128 occurs in weights and activations, so int8 products widen to i16 first (`vpmovsxbw`, `vpmaddwd`);
//! `vpmaddubsw` would saturate. Nibbles are small enough for it: 2 * 15 * 128 = 3840.

mod outputs;
mod unit;
pub(super) mod w4a16;
mod w8a8;

pub(super) use self::outputs::Avx2Outputs;
use self::unit::Avx2Unit;
use super::needs::{Needs, needs};
use super::products::{quantizers, vector_products};
use super::x86::turn8;

/// What a processor has to have.
pub(super) const NEEDS: Needs = needs!["avx2", "fma", "f16c"];

/// Exists only where [`Avx2::detect`] found the instructions.
#[derive(Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The kernel, if this CPU runs it.
    pub(super) fn detect() -> Option<&'static Self> {
        NEEDS.met().then_some(&Self(()))
    }
}

quantizers!("avx2,fma,f16c", turn8);

vector_products!(
    for Avx2, "avx2,fma,f16c",
    unit: Avx2Unit,
    decode8: w8a8::decode,
    decode16: w4a16::decode,
    quantize8: quantize8,
    quantize16: quantize16,
);
