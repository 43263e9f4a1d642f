//! Clocks and what governs them.

use super::Reading;
use super::root::Root;

/// Groups of cores that are looked at.
const MOST_POLICIES: usize = 1024;

/// A clock that the kernel scales.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Clock {
    /// Its directory: `/sys/class/devfreq/fdab0000.npu`.
    pub path: String,
    /// The policy that sets it: `performance`, `userspace`, `ondemand`, `dmc_ondemand` ...
    pub governor: Reading<String>,
    /// Policies it could have.
    pub governors: Vec<String>,
    /// Now, Hz.
    pub current: Reading<u64>,
    /// The most it may be raised to, Hz: lower than `highest` if somebody or the heat capped it.
    pub limit: Reading<u64>,
    /// The most the hardware is set up for, Hz.
    pub highest: Reading<u64>,
    /// The cores of a CPU clock, such as `4 5`.
    pub cores: Option<String>,
}

/// The clocks that decide how fast a model runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Clocks {
    /// The NPU's.
    pub npu: Option<Clock>,
    /// The memory's.
    pub ddr: Option<Clock>,
    /// The CPU's, one for each group of cores.
    pub cpu: Vec<Clock>,
}

impl Clocks {
    pub(super) fn probe(root: &Root) -> Self {
        let dir = "sys/class/devfreq";
        let names = root.names(dir).unwrap_or_default();
        let find = |test: fn(&str) -> bool| {
            names.iter().find(|name| test(name)).map(|name| devfreq(root, &format!("{dir}/{name}")))
        };
        Self {
            npu: find(|name| name.ends_with(".npu")),
            ddr: find(|name| name == "dmc" || name.ends_with(".dmc")),
            cpu: policies(root),
        }
    }
}

fn devfreq(root: &Root, dir: &str) -> Clock {
    let number = |name: &str| hertz(root, &format!("{dir}/{name}"), 1);
    let available = format!("{dir}/available_frequencies");
    Clock {
        path: format!("/{dir}"),
        governor: governor(root, &format!("{dir}/governor")),
        governors: words(root, &format!("{dir}/available_governors")),
        current: number("cur_freq"),
        limit: number("max_freq"),
        highest: Reading::of(&available, root.line(&available)).parse(&available, |list| {
            list.split_whitespace()
                .map(|word| word.parse().ok())
                .collect::<Option<Vec<u64>>>()?
                .into_iter()
                .max()
        }),
        cores: None,
    }
}

fn policies(root: &Root) -> Vec<Clock> {
    let base = "sys/devices/system/cpu/cpufreq";
    let mut names = root.names(base).unwrap_or_default();
    names.retain(|name| name.starts_with("policy"));
    names.truncate(MOST_POLICIES);
    names.sort_by_key(|name| (name.len(), name.clone()));
    let clock = |name: String| {
        let dir = format!("{base}/{name}");
        let number = |name: &str| hertz(root, &format!("{dir}/{name}"), 1000);
        Clock {
            governor: governor(root, &format!("{dir}/scaling_governor")),
            governors: words(root, &format!("{dir}/scaling_available_governors")),
            current: number("scaling_cur_freq"),
            limit: number("scaling_max_freq"),
            highest: number("cpuinfo_max_freq"),
            cores: root.line(&format!("{dir}/related_cpus")).ok(),
            path: format!("/{dir}"),
        }
    };
    names.into_iter().map(clock).collect()
}

fn governor(root: &Root, path: &str) -> Reading<String> {
    Reading::of(path, root.line(path)).parse(path, |name| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
    })
}

fn words(root: &Root, path: &str) -> Vec<String> {
    root.line(path).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn hertz(root: &Root, path: &str, unit: u64) -> Reading<u64> {
    Reading::of(path, root.line(path))
        .parse(path, |text| text.parse::<u64>().ok()?.checked_mul(unit))
}
