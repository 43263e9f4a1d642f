//! The chip, its CPU cores and the kernel.

use std::collections::BTreeSet;

use super::Reading;
use super::root::{Root, clean};
use crate::soc::Soc;

/// The longest list of compatible names that is read, in bytes.
const LONGEST_LIST: u64 = 4096;
/// The longest list of cores, in bytes.
const LONGEST_CPUINFO: u64 = 4 << 20;

/// What the device tree and the kernel say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Chip {
    /// The names in `/proc/device-tree/compatible`, the board's first.
    pub compatible: Reading<Vec<String>>,
    /// The board's name for people.
    pub model: Reading<String>,
    /// The chip, if it is one that Rockchip's LLM runtime supports.
    pub soc: Option<Soc>,
    /// Release of the kernel.
    pub kernel: Reading<String>,
    /// True where the firmware describes the hardware by ACPI, as in PCs and servers.
    pub acpi: bool,
}

impl Chip {
    pub(super) fn probe(root: &Root) -> Self {
        let kernel = "proc/sys/kernel/osrelease";
        let compatible = tree(root, "compatible").or_else(|| tree_in_sys(root, "compatible"));
        let model = tree(root, "model").or_else(|| tree_in_sys(root, "model"));
        Self {
            soc: compatible.value().and_then(|names| names.iter().find_map(|name| soc(name))),
            model: match model {
                Reading::Is(texts) => Reading::Is(texts.into_iter().next().unwrap_or_default()),
                Reading::Absent => Reading::Absent,
                Reading::Unknown(why) => Reading::Unknown(why),
            },
            kernel: Reading::of(kernel, root.line(kernel)),
            acpi: root.has("sys/firmware/acpi/tables"),
            compatible,
        }
    }

    /// The first name that begins with `rockchip,`, without that: the chip, supported or not.
    pub fn rockchip(&self) -> Option<&str> {
        let names = self.compatible.value()?;
        // The board comes before the chip it is built on.
        names.iter().rev().find_map(|name| name.strip_prefix("rockchip,"))
    }
}

/// The texts of a property at the top of the device tree.
fn tree(root: &Root, property: &str) -> Reading<Vec<String>> {
    texts(root, &format!("proc/device-tree/{property}"))
}

/// Where `/proc/device-tree` points, for trees that were recorded without links.
fn tree_in_sys(root: &Root, property: &str) -> Reading<Vec<String>> {
    texts(root, &format!("sys/firmware/devicetree/base/{property}"))
}

fn texts(root: &Root, path: &str) -> Reading<Vec<String>> {
    let texts = root.read(path, LONGEST_LIST).map(|list| {
        let texts = list.split(|byte| *byte == 0).filter(|text| !text.is_empty());
        texts.map(|text| clean(&String::from_utf8_lossy(text))).collect()
    });
    Reading::of(path, texts)
}

/// The chip behind a compatible name such as `rockchip,rk3588s`.
fn soc(name: &str) -> Option<Soc> {
    match name.strip_prefix("rockchip,")? {
        "rk3588" | "rk3588s" | "rk3588s2" => Some(Soc::Rk3588),
        "rk3576" | "rk3576s" => Some(Soc::Rk3576),
        "rk3562" => Some(Soc::Rk3562),
        "rv1126b" => Some(Soc::Rv1126b),
        _ => None,
    }
}

/// The cores, by `/proc/cpuinfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Cpu {
    /// `aarch64` or `x86_64`, by the shape of the list.
    pub architecture: Option<String>,
    /// How many cores it lists.
    pub cores: usize,
    /// Instruction set features that every core has.
    pub features: BTreeSet<String>,
    /// Features that some cores have and some do not.
    pub partial: BTreeSet<String>,
}

impl Cpu {
    pub(super) fn probe(root: &Root) -> Self {
        // A large server's is longer than other texts; what is cut off is its last cores.
        let text = root.read("proc/cpuinfo", LONGEST_CPUINFO);
        text.map_or_else(|_| Self::default(), |text| Self::parse(&String::from_utf8_lossy(&text)))
    }

    fn parse(text: &str) -> Self {
        let mut cpu = Self::default();
        let mut any: BTreeSet<String> = BTreeSet::new();
        let mut lists = 0;
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            match key.trim() {
                "processor" => cpu.cores += 1,
                "CPU architecture" if value.trim() == "8" => {
                    cpu.architecture = Some("aarch64".into())
                }
                "vendor_id" => cpu.architecture = Some("x86_64".into()),
                "Features" | "flags" => {
                    let has: BTreeSet<String> = value.split_whitespace().map(clean).collect();
                    cpu.features = match lists {
                        0 => has.clone(),
                        _ => cpu.features.intersection(&has).cloned().collect(),
                    };
                    any.extend(has);
                    lists += 1;
                }
                _ => {}
            }
        }
        cpu.partial = any.difference(&cpu.features).cloned().collect();
        cpu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_those_of_every_core() {
        let cpu = Cpu::parse(
            "processor : 0\nFeatures : fp asimd\nCPU architecture: 8\n\nprocessor : 1\nFeatures : fp asimd asimddp\n",
        );
        assert_eq!((cpu.cores, cpu.architecture.as_deref()), (2, Some("aarch64")));
        assert!(cpu.features.contains("asimd") && !cpu.features.contains("asimddp"));
        assert!(cpu.partial.contains("asimddp"));
        assert_eq!(Cpu::parse("\u{1}garbage\n:::\n"), Cpu::default());
    }

    #[test]
    fn chips_are_told_by_exact_names() {
        assert_eq!(soc("rockchip,rk3588s"), Some(Soc::Rk3588));
        assert_eq!(soc("rockchip,rv1126b"), Some(Soc::Rv1126b));
        for name in
            ["rockchip,rv1126", "rockchip,rk3588-evb1-lp4-v10", "radxa,rk3588", "rk3588", ""]
        {
            assert_eq!(soc(name), None, "{name}");
        }
    }
}
