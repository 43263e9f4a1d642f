//! NEON with the dot product instructions: Cortex-A76 and A55 of the RK3588, and every Arm server; and with the
//! matrix products of later ones.

mod blocks;
mod i8mm;
mod outputs;
mod unit;
mod vectors;
mod w4a16;
mod w8a8;

use std::fmt::Debug;
use std::marker::PhantomData;

use self::i8mm::SmmlaUnit;
use self::outputs::turn4;
use self::unit::SdotUnit;
use super::IntProducts;
use super::gemm::Panels;
use super::needs::{Needs, needs};
use super::products::{quantizers, vector_products};

/// What a processor has to have for dot products.
pub(super) const NEEDS: Needs = needs!["neon", "dotprod"];
/// The same with matrix products.
pub(super) const NEEDS_I8MM: Needs = needs!["neon", "dotprod", "i8mm"];

/// The kernels this CPU runs with their names, the preferred one last.
pub(super) fn available() -> Vec<(&'static str, &'static dyn IntProducts)> {
    [Neon::<SdotUnit>::detect(), Neon::<SmmlaUnit>::detect()].into_iter().flatten().collect()
}

/// What differs between the kernels: how they multiply many tokens. One token meets each weight once, where pairs of
/// tokens gain nothing.
trait NeonUnit: Panels + Debug + Send + Sync + 'static {
    const NAME: &'static str;
    const NEEDS: Needs;
}

/// Exists only where [`Neon::detect`] found the instructions.
#[derive(Debug)]
struct Neon<U>(PhantomData<U>);

impl<U: NeonUnit> Neon<U> {
    /// The kernel and its name, if this CPU runs it.
    fn detect() -> Option<(&'static str, &'static dyn IntProducts)> {
        let kernel: &'static Self = &Self(PhantomData);
        U::NEEDS.met().then_some((U::NAME, kernel as &dyn IntProducts))
    }
}

quantizers!("neon,dotprod", turn4);

vector_products!(
    <U: NeonUnit> for Neon<U>, "neon,dotprod",
    unit: U,
    decode8: w8a8::decode,
    decode16: w4a16::decode,
    quantize8: quantize8,
    quantize16: quantize16,
);
