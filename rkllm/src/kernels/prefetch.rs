//! Hints to memory. Nothing need be at an address: a prefetch never faults.

/// Asks for the line at `address` in the first-level cache, for one use.
#[inline(always)]
pub(crate) fn first(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch may name any address, and is part of the base instruction set.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1strm, [{}]", in(reg) address, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

/// Asks for the line at `address` in the second-level cache.
#[inline(always)]
pub(crate) fn second(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch may name any address, and is part of the base instruction set.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(std::ptr::without_provenance(address));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl2keep, [{}]", in(reg) address, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
