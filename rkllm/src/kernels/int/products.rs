//! [`IntProducts`](super::IntProducts) of kernels with vectors, written once.
//!
//! Macros, since the features a function is compiled for have to be a literal beside it: a generic function would
//! have none of its own, and what it is given to call would stay a call.

/// [`IntProducts`](super::IntProducts) for `$kernel`, whose values are only where the processor has `$features`: few
/// tokens are decoded one by one, many go through the driver, and groups unfit for vectors to the scalar kernel.
///
/// `decode8` and `decode16` compute one token, `quantize8` and `quantize16` quantise one block; all of them need no
/// more than `$features`.
macro_rules! vector_products {
    (
        $(<$u:ident: $bound:ident>)? for $kernel:ty, $features:literal,
        unit: $unit:ty,
        decode8: $decode8:path,
        decode16: $decode16:path,
        quantize8: $quantize8:path,
        quantize16: $quantize16:path $(,)?
    ) => {
        const _: () = {
            use std::ops::Range;

            use $crate::kernels::ColumnsAt;
            use $crate::kernels::int::gemm::{self, MIN_TOKENS};
            use $crate::kernels::int::scalar::Scalar;
            use $crate::kernels::int::weights::Weights;
            use $crate::kernels::int::{
                Activations8, Activations16, IntProducts, Packed, Places8, Places16,
            };
            use $crate::quant::QuantizedRows;

            impl<$($u: $bound)?> IntProducts for $kernel {
                fn prefill_bytes(&self, bits: u32, k: usize, group: usize) -> usize {
                    gemm::scratch_bytes::<$unit>(bits, k, group)
                }

                unsafe fn quantize8_block(&self, x: &[f32], places: &Places8<'_>, block: usize) {
                    // SAFETY: the features are there; the caller's contract.
                    unsafe { $quantize8(x, places, block) }
                }

                unsafe fn quantize16_block(&self, x: &[f32], places: &Places16<'_>, block: usize) {
                    // SAFETY: the features are there; the caller's contract.
                    unsafe { $quantize16(x, places, block) }
                }

                unsafe fn w8a8(
                    &self,
                    x: &Activations8,
                    w: &QuantizedRows,
                    rows: Range<usize>,
                    y: ColumnsAt<'_>,
                ) {
                    let weights = Weights::w8a8(x, w, &rows, &y);
                    // SAFETY: the features are there; `weights` checked every bound; the caller keeps the columns
                    // unshared.
                    unsafe {
                        match x.m {
                            _ if !weights.has_vector_groups() => Scalar.w8a8(x, w, rows, y),
                            0..MIN_TOKENS => {
                                (0..x.m).for_each(|m| $decode8(x, m, &weights, rows.clone(), y))
                            }
                            _ => prefill::<$($u,)? 8>(x.packed(), &weights, rows, y),
                        }
                    }
                }

                unsafe fn w4a16(
                    &self,
                    x: &Activations16,
                    w: &QuantizedRows,
                    rows: Range<usize>,
                    y: ColumnsAt<'_>,
                ) {
                    let weights = Weights::w4a16(x, w, &rows, &y);
                    // SAFETY: as in `w8a8`.
                    unsafe {
                        match x.m {
                            _ if !weights.has_vector_groups() => Scalar.w4a16(x, w, rows, y),
                            0..MIN_TOKENS => {
                                (0..x.m).for_each(|m| $decode16(x, m, &weights, rows.clone(), y))
                            }
                            _ => prefill::<$($u,)? 4>(x.packed(), &weights, rows, y),
                        }
                    }
                }
            }

            /// # Safety
            /// As [`gemm::product`].
            #[target_feature(enable = $features)]
            unsafe fn prefill<$($u: $bound,)? const BITS: u32>(
                x: &Packed,
                w: &Weights<'_>,
                rows: Range<usize>,
                y: ColumnsAt<'_>,
            ) {
                // SAFETY: the caller's contract.
                unsafe { gemm::product::<$unit, BITS>(x, w, rows, y) };
            }
        };
    };
}

/// The quantisers `quantize8` and `quantize16` of a vector set, which packs tokens by `$turn`.
macro_rules! quantizers {
    ($features:literal, $turn:path) => {
        /// # Safety
        /// No other borrow of this block of `places` lives.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn quantize8(
            x: &[f32],
            places: &$crate::kernels::int::Places8<'_>,
            block: usize,
        ) {
            use $crate::kernels::int::quantize::quantize8_by;
            // SAFETY: the caller's contract.
            unsafe { quantize8_by(x, places, block, |from, to| $turn(from, to)) };
        }

        /// # Safety
        /// No other borrow of this block of `places` lives.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn quantize16(
            x: &[f32],
            places: &$crate::kernels::int::Places16<'_>,
            block: usize,
        ) {
            use $crate::kernels::int::quantize::quantize16_by;
            // SAFETY: the caller's contract.
            unsafe { quantize16_by(x, places, block, |from, to| $turn(from, to)) };
        }
    };
}

pub(super) use {quantizers, vector_products};
