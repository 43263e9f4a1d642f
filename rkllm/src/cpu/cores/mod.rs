//! Which processors there are, which of them compute, and how many threads that makes.
//!
//! Three things are read, all below a root so that recorded machines test them: the processors of
//! `/sys/devices/system/cpu`, where this process may run, and what control groups leave it.
//!
//! - **Unequal cores** (Arm big.LITTLE, x86 hybrids): one thread for each of the fast cores, confined to them.
//!   A layer is over when its last thread is, so a slow core would hold up the fast ones, and a little core's
//!   share of the memory bandwidth is better left to them.
//! - **Equal cores**: one thread for each, and nothing is confined. Hardware threads of one core (SMT) share
//!   its multipliers and its cache, so they count once.
//! - **A quota** of processor time (`cpu.max`): threads are rounded down, to at least one. 1.5 processors keep
//!   one thread busy all the time; two would use their share in three quarters of each period and stand still
//!   for the rest, both at once and in the middle of a token.
//!
//! [`THREADS_VARIABLE`] and [`EngineOptions::threads`](super::EngineOptions::threads) set another number;
//! threads are then confined if the fast cores are enough for them.
//!
//! Threads are confined to the set of fast cores, not each to one: two engines in one process would put their
//! first threads on the same core. The engine's own threads stay confined; the calling thread is the
//! application's, so it is confined while it computes and then may run where it could before. A thread that
//! the application keeps off the fast cores is left alone. What is called with logits runs confined, and threads
//! that it starts stay so: start them elsewhere. [`Affinity::Free`] confines none.

pub(crate) mod affinity;
mod arm;
mod cgroup;
mod facts;
mod placement;
mod set;
mod tree;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::OnceLock;

pub use placement::{Placement, THREADS_VARIABLE, threads_from_environment};
pub use set::CpuSet;

use cgroup::Limits;
use facts::{Facts, fast};
use tree::Tree;

/// Whether threads are confined to the fast cores, where cores are unequal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Affinity {
    /// The engine's threads always, the calling one while it computes.
    #[default]
    FastCores,
    /// No thread is confined.
    Free,
}

/// A processor this process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cpu {
    /// Its number.
    pub id: usize,
    /// What its core is: `Cortex-A76`, `P-core`; nothing where that is not known.
    pub name: Option<&'static str>,
    /// False of a core that is much slower than the fastest.
    pub fast: bool,
    /// The number of its core: hardware threads of one core have the same.
    pub core: usize,
}

/// The processors of a machine, and what this process may use of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Cores {
    usable: Vec<Cpu>,
    /// Online, but not allowed to this process.
    forbidden: Vec<Cpu>,
    quota: Option<f64>,
    offline: CpuSet,
}

impl Cores {
    /// Of the running system. What does not change is read once per process; where the calling thread may run,
    /// each time.
    pub fn system() -> Self {
        static SYSTEM: OnceLock<(Vec<Facts>, CpuSet, Limits)> = OnceLock::new();
        let (facts, offline, limits) = SYSTEM.get_or_init(|| {
            let tree = Tree(PathBuf::from("/"));
            let (facts, offline) = Facts::read(&tree);
            (facts, offline, Limits::read(&tree))
        });
        Self::of(facts, *offline, limits, affinity::get(0))
    }

    /// Of the machine whose files lie below `root`: copies of `/sys/devices/system/cpu`, `/sys/fs/cgroup` and
    /// `/proc/self`. Whatever is absent, empty or means nothing is passed over. Where the process may run is
    /// what its `proc/self/status` says.
    pub fn read(root: impl Into<PathBuf>) -> Self {
        let tree = Tree(root.into());
        let status = tree.text("proc/self/status").unwrap_or_default();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = allowed.and_then(CpuSet::parse).filter(|set| !set.is_empty());
        let (facts, offline) = Facts::read(&tree);
        Self::of(&facts, offline, &Limits::read(&tree), allowed)
    }

    fn of(facts: &[Facts], offline: CpuSet, limits: &Limits, allowed: Option<CpuSet>) -> Self {
        let all: CpuSet = facts.iter().map(|cpu| cpu.id).collect();
        let mut usable = all;
        for set in [allowed, limits.cpus].into_iter().flatten() {
            // A list that leaves nothing contradicts that this process runs.
            let left = usable.and(&set);
            usable = if left.is_empty() { usable } else { left };
        }
        let pick = |set: &CpuSet| -> Vec<&Facts> {
            facts.iter().filter(|cpu| set.contains(cpu.id)).collect()
        };
        let cpus = |facts: Vec<&Facts>| -> Vec<Cpu> {
            let fast = fast(&facts);
            let cpu = |(fact, fast): (&&Facts, bool)| Cpu {
                id: fact.id,
                name: fact.name(),
                fast,
                core: fact.core,
            };
            facts.iter().zip(fast).map(cpu).collect()
        };
        Self {
            usable: cpus(pick(&usable)),
            forbidden: cpus(pick(&all.without(&usable))),
            quota: limits.quota,
            offline,
        }
    }

    /// The processors this process may use; none where the system does not tell.
    pub fn cpus(&self) -> &[Cpu] {
        &self.usable
    }

    /// Processors' worth of time that control groups leave, if they limit it.
    pub fn quota(&self) -> Option<f64> {
        self.quota
    }

    /// How threads are placed: as many as suit the machine, or `threads` of them.
    pub fn placement(&self, threads: Option<usize>) -> Placement {
        let fast = || self.usable.iter().filter(|cpu| cpu.fast);
        let physical: BTreeSet<usize> = fast().map(|cpu| cpu.core).collect();
        let cores = match physical.len() {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            cores => cores,
        };
        let share = self.quota.map_or(usize::MAX, |quota| quota as usize);
        let suits = cores.min(share).max(1);
        let (count, chosen) =
            (threads.unwrap_or(suits), threads.is_none_or(|count| count == suits));
        let unequal = fast().count() < self.usable.len();
        Placement {
            threads: count,
            confined: (unequal && count <= cores).then(|| fast().map(|cpu| cpu.id).collect()),
            chosen,
            limited: chosen && share < cores,
            cores: self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_thread_at_least() {
        let placement = Cores::system().placement(None);
        assert!(placement.threads >= 1);
        assert!(placement.to_string().contains("thread"), "{placement}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_confined_thread_is_let_go_as_it_was() {
        let Some(before) = affinity::get(0) else { return };
        let one: CpuSet = before.iter().take(1).collect();
        let other: CpuSet = before.iter().skip(1).take(1).collect();
        {
            let _confined = affinity::Confined::to(Some(&one));
            assert_eq!(affinity::get(0), Some(one));
            // Nobody takes a thread away from where its owner put it.
            let _none = affinity::Confined::to(Some(&other));
            assert_eq!(affinity::get(0), Some(one));
        }
        assert_eq!(affinity::get(0), Some(before));
        // What someone else set meanwhile stays.
        if !other.is_empty() {
            let confined = affinity::Confined::to(Some(&one));
            assert!(affinity::set(0, &other));
            drop(confined);
            assert_eq!(affinity::get(0), Some(other));
            assert!(affinity::set(0, &before));
        }
    }
}
