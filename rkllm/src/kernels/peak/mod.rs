//! The most multiply-accumulates a kernel's instruction can do: loops on registers alone, to be timed.

use super::int;

#[cfg(target_arch = "aarch64")]
#[path = "arm.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "x86.rs"]
mod arch;

/// A loop, for as many rounds as it is told, its instructions, each with a sum of its own, so many that none waits for
/// another, and the int8 multiply-accumulates of one of them.
type Loop = (fn(u64), u64, u64);

/// The multiply instruction of a kernel that runs here, over and over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peak {
    of: Loop,
}

impl Peak {
    /// Of the kernel `name`; `None` where it does not run or no loop of its instruction is here.
    pub(crate) fn of(name: &str) -> Option<Self> {
        if int::refusal(name).is_some() {
            return None;
        }
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        return arch::find(name).map(|of| Self { of });
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        None
    }

    /// Does `rounds` rounds.
    pub(crate) fn run(self, rounds: u64) {
        (self.of.0)(rounds);
    }

    /// int8 multiply-accumulates of so many rounds.
    pub(crate) fn macs(self, rounds: u64) -> u64 {
        rounds * self.of.1 * self.of.2
    }
}
