//! What this process and this machine are, as far as the system tells.

use std::collections::HashSet;
use std::fs;
use std::num::NonZero;
use std::thread;

/// Resident memory of this process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Resident {
    /// The most it has been (`VmHWM`).
    pub(crate) peak: Option<u64>,
    /// What it is now (`VmRSS`).
    pub(crate) now: Option<u64>,
}

impl Resident {
    /// Asks the system; nothing where there is no `/proc`.
    pub(crate) fn read() -> Self {
        fs::read_to_string("/proc/self/status")
            .map_or_else(|_| Self::default(), |s| Self::parse(&s))
    }

    fn parse(status: &str) -> Self {
        Self { peak: kibibytes(status, "VmHWM:"), now: kibibytes(status, "VmRSS:") }
    }
}

/// Memory that can be had without swapping, in bytes.
pub(crate) fn available_memory() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// The value of `key` in bytes, from a line like `VmHWM:  1234 kB`.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Threads to use when nobody says: one per physical core this process may use. Two threads of one core
/// share its multipliers, so more would only wait for each other.
pub(crate) fn default_threads() -> usize {
    let available = thread::available_parallelism().map_or(1, NonZero::get);
    physical_cores().map_or(available, |cores| cores.clamp(1, available))
}

/// Groups of sibling threads in Linux's description of the processor.
fn physical_cores() -> Option<usize> {
    let mut siblings = HashSet::new();
    for entry in fs::read_dir("/sys/devices/system/cpu").ok()?.flatten() {
        let path = entry.path().join("topology/thread_siblings_list");
        if let Ok(list) = fs::read_to_string(path) {
            siblings.insert(list);
        }
    }
    (!siblings.is_empty()).then_some(siblings.len())
}

/// The processor's name, where the system tells one.
pub(crate) fn cpu_name() -> String {
    let named = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    named.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_become_bytes() {
        let status = "Name:\trkllm\nVmPeak:\t  900 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 12 kB\n";
        assert_eq!(Resident::parse(status), Resident { peak: Some(1234 * 1024), now: Some(12288) });
        assert_eq!(Resident::parse("VmHWM: many kB"), Resident::default());
        assert_eq!(Resident::parse(""), Resident::default());
    }

    #[test]
    fn there_is_always_a_thread() {
        assert!(default_threads() >= 1);
    }
}
