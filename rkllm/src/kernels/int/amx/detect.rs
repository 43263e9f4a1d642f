//! Whether this processor has int8 tiles and this process may use them.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

/// The bits of XCR0 that say that the system keeps tiles: their configuration and their data.
const XCR0_TILES: u32 = 0b11 << 17;

/// The first answer to [`permission`].
static PERMISSION: OnceLock<Result<(), &'static str>> = OnceLock::new();

/// True where the processor has tiles and the system keeps them and hands them out, as far as that can be known
/// without asking for them.
pub(super) fn offered() -> bool {
    match PERMISSION.get() {
        Some(answer) => answer.is_ok(),
        None => has_instructions() && kept() && system::hands_out(),
    }
}

/// Asks the system for the tiles, once; why not, where this process does not get them.
pub(super) fn permission() -> Result<(), &'static str> {
    *PERMISSION.get_or_init(|| {
        if !has_instructions() {
            return Err("this processor has no amx-int8");
        }
        if !kept() {
            return Err("the operating system does not keep the tile registers (XCR0)");
        }
        system::request()
    })
}

/// CPUID: `amx-tile`, `amx-int8` and a palette 1 of eight tiles of 16 rows by 64 bytes.
#[allow(unused_unsafe)] // safe to call only since Rust 1.94
pub(super) fn has_instructions() -> bool {
    // SAFETY: every x86-64 processor has CPUID.
    unsafe {
        let leaves = __cpuid(0).eax;
        if leaves < 0x1d || __cpuid(1).ecx >> 27 & 1 == 0 {
            return false;
        }
        let features = __cpuid_count(7, 0).edx;
        if features >> 24 & 1 == 0 || features >> 25 & 1 == 0 || __cpuid_count(0x1d, 0).eax < 1 {
            return false;
        }
        let palette = __cpuid_count(0x1d, 1);
        let (tile, row) = (palette.eax >> 16, palette.ebx & 0xffff);
        let (tiles, rows) = (palette.ebx >> 16, palette.ecx & 0xffff);
        tile >= 1024 && row >= 64 && tiles >= 8 && rows >= 16
    }
}

/// True where the system saves and restores the tiles of a thread. Only where CPUID says OSXSAVE.
fn kept() -> bool {
    let low: u32;
    // SAFETY: `has_instructions` saw OSXSAVE.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    low & XCR0_TILES == XCR0_TILES
}

/// Linux hands out the state of tiles to processes that ask (5.16 and later).
#[cfg(target_os = "linux")]
mod system {
    use std::arch::asm;

    const ARCH_GET_XCOMP_SUPP: u64 = 0x1021;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;

    /// True where this Linux has tiles to hand out.
    pub(super) fn hands_out() -> bool {
        let mut features = 0u64;
        // SAFETY: the call writes one u64.
        let answer = unsafe {
            arch_prctl(ARCH_GET_XCOMP_SUPP, (&raw mut features).expose_provenance() as u64)
        };
        answer == 0 && features >> XFEATURE_XTILEDATA & 1 == 1
    }

    /// Asks for them.
    pub(super) fn request() -> Result<(), &'static str> {
        // SAFETY: the call touches no memory of this process.
        match unsafe { arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) } {
            0 => Ok(()),
            _ => Err(
                "Linux refuses this process the tile registers (arch_prctl ARCH_REQ_XCOMP_PERM)",
            ),
        }
    }

    /// # Safety
    /// `argument` is what `code` takes.
    unsafe fn arch_prctl(code: u64, argument: u64) -> i64 {
        const SYS_ARCH_PRCTL: i64 = 158;
        let answer: i64;
        // SAFETY: the caller's contract; the kernel overwrites rcx and r11.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") SYS_ARCH_PRCTL => answer,
                in("rdi") code,
                in("rsi") argument,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        answer
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn hands_out() -> bool {
        false
    }

    pub(super) fn request() -> Result<(), &'static str> {
        Err("how to ask this operating system for the tile registers is not known")
    }
}
