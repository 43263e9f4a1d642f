//! Stored float types a dot can read.

use half::{bf16, f16};

use super::lanes::Lanes;

/// A stored float type, little-endian at any alignment.
pub(super) trait Element {
    const SIZE: usize;

    /// Sixteen elements from `from`.
    ///
    /// # Safety
    /// `from` is valid for 16 elements; the processor has the instructions of `L`.
    unsafe fn load<L: Lanes>(from: *const u8) -> L;

    /// One element.
    ///
    /// # Safety
    /// `from` is valid for one element.
    unsafe fn get(from: *const u8) -> f32;
}

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct Bf16;

impl Element for F32 {
    const SIZE: usize = 4;
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const u8) -> L {
        // SAFETY: the caller's contract; lanes load at any alignment.
        unsafe { L::load(from.cast()) }
    }
    #[inline(always)]
    unsafe fn get(from: *const u8) -> f32 {
        // SAFETY: the caller's contract.
        unsafe { from.cast::<f32>().read_unaligned() }
    }
}

impl Element for F16 {
    const SIZE: usize = 2;
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const u8) -> L {
        // SAFETY: the caller's contract.
        unsafe { L::load_f16(from) }
    }
    #[inline(always)]
    unsafe fn get(from: *const u8) -> f32 {
        // SAFETY: the caller's contract.
        f16::from_bits(unsafe { from.cast::<u16>().read_unaligned() }).to_f32()
    }
}

impl Element for Bf16 {
    const SIZE: usize = 2;
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const u8) -> L {
        // SAFETY: the caller's contract.
        unsafe { L::load_bf16(from) }
    }
    #[inline(always)]
    unsafe fn get(from: *const u8) -> f32 {
        // SAFETY: the caller's contract.
        bf16::from_bits(unsafe { from.cast::<u16>().read_unaligned() }).to_f32()
    }
}
