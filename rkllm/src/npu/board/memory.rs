//! Memory, from `/proc/meminfo`.

use super::Reading;
use super::root::Root;

/// Bytes of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Memory {
    /// All of it.
    pub total: Reading<u64>,
    /// What can be had without swapping.
    pub available: Reading<u64>,
    /// Swap space.
    pub swap_total: Reading<u64>,
    /// Swap space not in use.
    pub swap_free: Reading<u64>,
    /// Contiguous memory set aside for devices.
    pub cma_total: Reading<u64>,
    /// What is left of that.
    pub cma_free: Reading<u64>,
}

impl Memory {
    pub(super) fn probe(root: &Root) -> Self {
        let path = "proc/meminfo";
        let text = Reading::of(path, root.text(path));
        let bytes = |key: &str| match &text {
            Reading::Is(text) => {
                let Some(line) = text.lines().find_map(|line| line.strip_prefix(key)) else {
                    return Reading::Absent;
                };
                let mut words = line.split_whitespace();
                let count = words.next().and_then(|word| word.parse::<u64>().ok());
                match (count.and_then(|count| count.checked_mul(1024)), words.next()) {
                    (Some(bytes), Some("kB")) => Reading::Is(bytes),
                    _ => Reading::Unknown(format!("/{path}: {key} is not understood")),
                }
            }
            Reading::Absent => Reading::Absent,
            Reading::Unknown(why) => Reading::Unknown(why.clone()),
        };
        Self {
            total: bytes("MemTotal:"),
            available: bytes("MemAvailable:"),
            swap_total: bytes("SwapTotal:"),
            swap_free: bytes("SwapFree:"),
            cma_total: bytes("CmaTotal:"),
            cma_free: bytes("CmaFree:"),
        }
    }
}
