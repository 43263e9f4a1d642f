//! Whether this processor has int8 tiles and this process may use them.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

/// The bits of XCR0 that say that the system keeps tiles: their configuration and their data.
const XCR0_TILES: u32 = 0b11 << 17;

/// True where tiles may be used. The first call asks the system for the permission.
pub(super) fn tiles() -> bool {
    answer().is_ok()
}

/// Why a processor with tiles does not run the kernel: the system does not let this process use them.
pub(in super::super) fn refusal() -> Option<&'static str> {
    answer().err().flatten()
}

/// `Err(None)` where the processor has no tiles.
fn answer() -> Result<(), Option<&'static str>> {
    static ANSWER: OnceLock<Result<(), Option<&'static str>>> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        if !has_instructions() {
            return Err(None);
        }
        if xcr0() & XCR0_TILES != XCR0_TILES {
            return Err(Some("the operating system does not keep the tile registers (XCR0)"));
        }
        permission().map_err(Some)
    })
}

/// CPUID: `amx-tile`, `amx-int8` and a palette 1 of eight tiles of 16 rows by 64 bytes.
#[allow(unused_unsafe)] // safe to call only since Rust 1.94
fn has_instructions() -> bool {
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

/// What the system saves and restores of a thread. Only where CPUID says OSXSAVE.
fn xcr0() -> u32 {
    let low: u32;
    // SAFETY: `has_instructions` saw OSXSAVE.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    low
}

/// Linux hands out the state of tiles to processes that ask (5.16 and later).
#[cfg(target_os = "linux")]
fn permission() -> Result<(), &'static str> {
    const SYS_ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let answer: i64;
    // SAFETY: a system call that touches no memory of this process; the kernel overwrites rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") SYS_ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    match answer {
        0 => Ok(()),
        _ => Err("Linux refuses this process the tile registers (arch_prctl ARCH_REQ_XCOMP_PERM)"),
    }
}

#[cfg(not(target_os = "linux"))]
fn permission() -> Result<(), &'static str> {
    Err("how to ask this operating system for the tile registers is not known")
}
