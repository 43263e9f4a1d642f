//! AVX-VNNI beside AVX2: client processors without AVX-512, since Alder Lake.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes, so int8 weights get their sign bit flipped, as in
//! [`super::avx512vnni`].

mod unit;
mod w8a8;

use self::unit::AvxVnniUnit;
use super::avx2;
use super::needs::{Needs, needs};
use super::products::vector_products;

/// What a processor has to have.
pub(super) const NEEDS: Needs = needs!["avx2", "fma", "f16c", "avxvnni"];

/// Exists only where [`AvxVnni::detect`] found the instructions, or a test emulates them.
#[derive(Debug)]
pub(super) struct AvxVnni(());

impl AvxVnni {
    /// The kernel, if this CPU runs it.
    pub(super) fn detect() -> Option<&'static Self> {
        NEEDS.met().then_some(&Self(()))
    }

    /// The kernel for tests that emulate `vpdpbusd` where the processor lacks it.
    #[cfg(test)]
    pub(super) fn emulated() -> Option<&'static Self> {
        avx2::NEEDS.met().then_some(&Self(()))
    }
}

vector_products!(
    for AvxVnni, "avx2,fma,f16c,avxvnni",
    unit: AvxVnniUnit,
    decode8: w8a8::decode,
    // Decoding nibbles is as fast with `vpmaddubsw`: both planes' sums fit 16 bits.
    decode16: avx2::w4a16::decode,
    quantize8: avx2::quantize8,
    quantize16: avx2::quantize16,
);
