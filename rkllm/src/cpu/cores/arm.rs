//! Names of Arm cores by what `MIDR_EL1` says.
//!
//! Part numbers are those of each core's Technical Reference Manual.

use super::tree::Tree;

/// Arm Ltd's implementer code.
const ARM: u64 = 0x41;

/// (part, name, executes in order: the little core of its generation)
const PARTS: [(u64, &str, bool); 18] = [
    (0xd03, "Cortex-A53", true),
    (0xd04, "Cortex-A35", true),
    (0xd05, "Cortex-A55", true),
    (0xd07, "Cortex-A57", false),
    (0xd08, "Cortex-A72", false),
    (0xd09, "Cortex-A73", false),
    (0xd0a, "Cortex-A75", false),
    (0xd0b, "Cortex-A76", false),
    (0xd0c, "Neoverse N1", false),
    (0xd0d, "Cortex-A77", false),
    (0xd40, "Neoverse V1", false),
    (0xd41, "Cortex-A78", false),
    (0xd44, "Cortex-X1", false),
    (0xd46, "Cortex-A510", true),
    (0xd47, "Cortex-A710", false),
    (0xd48, "Cortex-X2", false),
    (0xd80, "Cortex-A520", true),
    (0xd81, "Cortex-A720", false),
];

/// A known kind of core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) in_order: bool,
}

impl Part {
    fn of(implementer: u64, part: u64) -> Option<Self> {
        let known = PARTS.iter().find(|known| implementer == ARM && known.0 == part)?;
        Some(Self { name: known.1, in_order: known.2 })
    }

    /// Of a processor, by its register; `/proc/cpuinfo` says the same where the kernel hides that.
    pub(super) fn read(tree: &Tree, cpu: usize, cpuinfo: &str) -> Option<Self> {
        let path = format!("sys/devices/system/cpu/cpu{cpu}/regs/identification/midr_el1");
        match tree.text(&path).and_then(|text| hexadecimal(&text)) {
            Some(midr) => Self::of(midr >> 24 & 0xff, midr >> 4 & 0xfff),
            None => Self::in_cpuinfo(cpuinfo, cpu),
        }
    }

    fn in_cpuinfo(text: &str, cpu: usize) -> Option<Self> {
        let (mut here, mut implementer) = (false, None);
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            match key.trim() {
                "processor" => here = value.trim().parse() == Ok(cpu),
                "CPU implementer" if here => implementer = hexadecimal(value),
                "CPU part" if here => return Self::of(implementer?, hexadecimal(value)?),
                _ => {}
            }
        }
        None
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}
