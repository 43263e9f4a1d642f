//! The floating-point environment: round to nearest even, subnormals kept.
//!
//! The engine is loaded into C++ and Python processes, some of which set flush-to-zero. Each public
//! entry and each worker thread holds a [`FpEnv`] while it computes.

/// While it lives, the thread rounds to nearest even and keeps subnormals; dropped, it restores what it found.
#[derive(Debug)]
pub struct FpEnv {
    saved: u64,
    // The control register belongs to the thread, so the guard must not leave it.
    _thread: std::marker::PhantomData<*const ()>,
}

impl FpEnv {
    /// Saves the thread's control register and sets the default environment.
    pub fn enter() -> Self {
        let saved = read();
        if saved != DEFAULT {
            write(DEFAULT);
        }
        Self { saved, _thread: std::marker::PhantomData }
    }
}

impl Drop for FpEnv {
    fn drop(&mut self) {
        // Exception flags raised meanwhile are not part of what was lent; the control bits are.
        if read() != self.saved {
            write(self.saved);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod register {
    use std::arch::asm;

    /// Round to nearest, all exceptions masked, FTZ and DAZ off.
    pub(super) const DEFAULT: u64 = 0x1f80;

    pub(super) fn read() -> u64 {
        let mut value = 0u32;
        // SAFETY: stmxcsr stores four bytes to `value`.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut value, options(nostack)) };
        u64::from(value)
    }

    pub(super) fn write(value: u64) {
        let value = value as u32;
        // SAFETY: ldmxcsr loads four bytes that are either DEFAULT or came from stmxcsr, so no
        // reserved bit is set.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &value, options(nostack)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    use std::arch::asm;

    /// Round to nearest, no flush to zero, no default NaN.
    pub(super) const DEFAULT: u64 = 0;

    pub(super) fn read() -> u64 {
        let value: u64;
        // SAFETY: FPCR is readable at EL0.
        unsafe { asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack)) };
        value
    }

    pub(super) fn write(value: u64) {
        // SAFETY: FPCR is writable at EL0; the value is DEFAULT or what mrs gave.
        unsafe { asm!("msr fpcr, {}", in(reg) value, options(nomem, nostack)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod register {
    pub(super) const DEFAULT: u64 = 0;
    pub(super) fn read() -> u64 {
        DEFAULT
    }
    pub(super) fn write(_: u64) {}
}

use register::{DEFAULT, read, write};

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    const FLUSH: u64 = 0x9fc0;
    #[cfg(target_arch = "aarch64")]
    const FLUSH: u64 = 1 << 24;

    #[test]
    fn a_hosts_flush_to_zero_is_lifted_and_given_back() {
        let before = read();
        write(FLUSH);
        let halve = |v: u32| {
            let half = std::hint::black_box(0.5f32);
            std::hint::black_box(std::hint::black_box(f32::from_bits(v)) * half)
        };
        let flushed = halve(6);
        let kept = {
            let _env = FpEnv::enter();
            halve(6)
        };
        let after = read();
        write(before);
        assert_eq!(flushed.to_bits(), 0, "the test host did not flush");
        assert_eq!(kept.to_bits(), 3);
        assert_eq!(after & FLUSH, FLUSH);
    }
}
