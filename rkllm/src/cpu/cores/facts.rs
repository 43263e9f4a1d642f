//! What the system says of each processor, and which of them are fast.

use super::arm::Part;
use super::tree::Tree;
use super::{CpuSet, set};

/// Clocks that a processor could have.
const KHZ: std::ops::RangeInclusive<u64> = 10_000..=20_000_000;
/// The kernel scales capacities to this.
const MOST_CAPACITY: u64 = 1024;

/// What the system says of a processor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub(super) id: usize,
    pub(super) core: usize,
    part: Option<Part>,
    /// Of an x86 hybrid: whether it is a performance core.
    performance: Option<bool>,
    capacity: Option<u64>,
    highest_khz: Option<u64>,
}

impl Facts {
    /// Of the processors that are online, and the numbers of those that are not.
    pub(super) fn read(tree: &Tree) -> (Vec<Self>, CpuSet) {
        let base = "sys/devices/system/cpu";
        let list = |name: &str| tree.cpus(&format!("{base}/{name}"));
        let online = list("online")
            .or_else(|| list("present"))
            .or_else(|| tree.cpu_directories())
            .or_else(|| list("possible"))
            .unwrap_or_default();
        let offline = list("present").unwrap_or_default().without(&online);
        let cpuinfo = tree.text("proc/cpuinfo").unwrap_or_default();
        // An x86 processor says who made it, and nothing of Arm's.
        let x86 = cpuinfo.contains("vendor_id");
        let arm = if x86 { "" } else { &cpuinfo[..] };
        let (big, atom) =
            (tree.cpus("sys/devices/cpu_core/cpus"), tree.cpus("sys/devices/cpu_atom/cpus"));
        let mut groups: Vec<(u64, u64, u64)> = Vec::new();
        let read = |id: usize| {
            let dir = format!("{base}/cpu{id}");
            let number = |name: &str| tree.number(&format!("{dir}/{name}"));
            let topology = |name: &str| tree.text(&format!("{dir}/topology/{name}"));
            let within = |set: &Option<CpuSet>| set.is_some_and(|set| set.contains(id));
            let performance = match (within(&big), within(&atom)) {
                (true, false) => Some(true),
                (false, true) => Some(false),
                _ => topology("core_type").and_then(|text| performance(&text)),
            };
            let capacity =
                number("cpu_capacity").filter(|value| (1..=MOST_CAPACITY).contains(value));
            Self {
                id,
                core: sibling(tree, id).unwrap_or_else(|| own_core(tree, id, &mut groups)),
                part: Part::read(tree, id, arm),
                performance,
                capacity,
                // The compact cores of an x86 processor clock lower and multiply as wide: no little cores.
                highest_khz: match x86 {
                    true => None,
                    false => number("cpufreq/cpuinfo_max_freq").filter(|khz| KHZ.contains(khz)),
                },
            }
        };
        (online.iter().map(read).collect(), offline)
    }

    pub(super) fn name(&self) -> Option<&'static str> {
        let hybrid = self.performance.map(|yes| if yes { "P-core" } else { "E-core" });
        self.part.map(|part| part.name).or(hybrid)
    }
}

fn performance(core_type: &str) -> Option<bool> {
    let text = core_type.to_ascii_lowercase();
    if text.contains("atom") || text.contains("effic") {
        return Some(false);
    }
    (text.contains("core") || text.contains("perf")).then_some(true)
}

/// The lowest of the hardware threads of a processor's core.
fn sibling(tree: &Tree, id: usize) -> Option<usize> {
    ["core_cpus_list", "thread_siblings_list"].into_iter().find_map(|name| {
        let path = format!("sys/devices/system/cpu/cpu{id}/topology/{name}");
        // A core that does not have the processor itself is nonsense.
        tree.cpus(&path).filter(|set| set.contains(id))?.iter().next()
    })
}

/// The core by the numbers of package, cluster and core, as the first processor that has them.
fn own_core(tree: &Tree, id: usize, groups: &mut Vec<(u64, u64, u64)>) -> usize {
    let number =
        |name: &str| tree.number(&format!("sys/devices/system/cpu/cpu{id}/topology/{name}"));
    let Some(core) = number("core_id") else { return id };
    let group = (
        number("physical_package_id").unwrap_or(u64::MAX),
        number("cluster_id").unwrap_or(u64::MAX),
        core,
    );
    // Numbers above those of processors cannot be taken for siblings'.
    set::MOST
        + groups.iter().position(|known| *known == group).unwrap_or_else(|| {
            groups.push(group);
            groups.len() - 1
        })
}

/// Which processors are fast, by the best that is known of all: what the system calls them, the capacities the
/// kernel computes, what the cores are, the highest clocks.
pub(super) fn fast(facts: &[&Facts]) -> Vec<bool> {
    /// Of the highest; bins of one core differ by a few per cent.
    fn above(values: &[u64], part: u64, of: u64) -> Vec<bool> {
        let most = values.iter().max().copied().unwrap_or(0);
        values.iter().map(|&value| value.saturating_mul(of) >= most.saturating_mul(part)).collect()
    }
    let all = |value: fn(&Facts) -> Option<u64>| -> Option<Vec<u64>> {
        facts.iter().map(|f| value(f)).collect()
    };
    let mixed = |fast: &Vec<bool>| fast.contains(&true) && fast.contains(&false);
    let named = all(|f| f.performance.map(u64::from)).map(|v| above(&v, 1, 1));
    let capacity = || all(|f| f.capacity).map(|values| above(&values, 2, 3));
    let parts = || all(|f| f.part.map(|part| u64::from(!part.in_order))).map(|v| above(&v, 1, 1));
    // Favoured cores of one kind clock up to a tenth higher than others; little ones of any kind a fifth lower.
    let clocks = || all(|f| f.highest_khz).map(|values| above(&values, 4, 5));
    named
        .filter(mixed)
        .or_else(|| capacity().filter(mixed))
        .or_else(|| parts().filter(mixed))
        .or_else(|| clocks().filter(mixed))
        .unwrap_or_else(|| vec![true; facts.len()])
}
