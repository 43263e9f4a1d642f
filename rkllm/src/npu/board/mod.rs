//! Which board this is and what stands in the way of its NPU.
//!
//! [`Board::probe`] reads `/proc`, `/sys`, `/dev` and the library directories below a [`Root`], which is
//! the running system or a recorded tree, into plain facts. [`diagnose`] turns facts into findings, each
//! with its cause, what to do and where that comes from; a [`Verdict`] sums them up. Nothing is written,
//! started or loaded. On the running system the NPU's device files are opened and closed again, since
//! modes alone do not tell whether that is allowed.
//!
//! What could not be read is [`Reading::Unknown`] and never a guess.

mod chip;
mod clocks;
mod diagnose;
mod driver;
mod memory;
mod overlay;
mod process;
mod root;
mod runtimes;
mod thermal;

pub use chip::{Chip, Cpu};
pub use clocks::{Clock, Clocks};
pub use diagnose::{Area, Finding, Severity, Verdict, diagnose};
pub use driver::{Access, Driver, DriverKind, DriverVersion, Node};
pub use memory::Memory;
pub use process::{NpuUser, OpenFiles, Process, Users};
pub use root::Root;
pub use runtimes::{Refusal, RuntimeFile, RuntimeKind};
pub use thermal::{Cooling, Thermal, Zone};

use root::Miss;

/// A fact, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Reading<T> {
    /// What was read.
    Is(T),
    /// There is no such file: the kernel or the system does not have the thing.
    Absent,
    /// There may be such a thing, but it could not be read; why, with the path.
    Unknown(String),
}

impl<T> Reading<T> {
    /// What was read, if anything was.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// Why nothing is known, where that is so.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(why) => Some(why),
            Self::Is(_) | Self::Absent => None,
        }
    }

    fn of(path: &str, result: Result<T, Miss>) -> Self {
        match result {
            Ok(value) => Self::Is(value),
            Err(Miss::Absent) => Self::Absent,
            Err(Miss::Denied) => Self::Unknown(format!("/{path}: permission denied")),
            Err(Miss::Unusable(why)) => Self::Unknown(format!("/{path}: {why}")),
        }
    }

    /// Parses what was read; text that means nothing makes it unknown.
    fn parse<U>(self, path: &str, parse: impl FnOnce(&T) -> Option<U>) -> Reading<U>
    where
        T: AsRef<str>,
    {
        match self {
            Self::Is(text) => match parse(&text) {
                Some(value) => Reading::Is(value),
                None => {
                    let start: String = text.as_ref().chars().take(60).collect();
                    Reading::Unknown(format!("/{path}: not understood: {start:?}"))
                }
            },
            Self::Absent => Reading::Absent,
            Self::Unknown(why) => Reading::Unknown(why),
        }
    }

    /// This one, or where it has nothing the other; of two without a value, the one that says why.
    fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Is(_) => self,
            Self::Absent => other(),
            Self::Unknown(why) => match other() {
                Self::Is(value) => Self::Is(value),
                Self::Absent | Self::Unknown(_) => Self::Unknown(why),
            },
        }
    }
}

/// Everything that was read of a board.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Board {
    /// True of a recorded tree, false of the running system.
    pub recorded: bool,
    /// The chip and the kernel.
    pub chip: Chip,
    /// The CPU's cores.
    pub cpu: Cpu,
    /// The NPU's kernel driver.
    pub driver: Driver,
    /// Device files a program opens to use the NPU.
    pub nodes: Vec<Node>,
    /// Clocks and their governors.
    pub clocks: Clocks,
    /// Rockchip's runtime libraries, in the order they would be found.
    pub runtimes: Vec<RuntimeFile>,
    /// Memory.
    pub memory: Memory,
    /// The user and the limits of this process.
    pub process: Process,
    /// Other processes that have the NPU open.
    pub users: Users,
    /// What kind of container this is, if it is one.
    pub container: Option<String>,
    /// Temperatures and what is being slowed down because of them.
    pub thermal: Thermal,
}

impl Board {
    /// Reads everything. It never fails: what cannot be read is part of the answer.
    pub fn probe(root: &Root) -> Self {
        let driver = Driver::probe(root);
        let process = Process::probe(root);
        let nodes = driver::nodes(root, &process);
        let users = Users::probe(root, &nodes);
        Self {
            recorded: root.is_recorded(),
            chip: Chip::probe(root),
            cpu: Cpu::probe(root),
            clocks: Clocks::probe(root),
            runtimes: runtimes::probe(root),
            memory: Memory::probe(root),
            container: process::container(root),
            thermal: Thermal::probe(root),
            driver,
            nodes,
            process,
            users,
        }
    }

    /// What could not be read although it may be there, each with its path and why. What the system
    /// does not have is not listed.
    pub fn unread(&self) -> Vec<String> {
        let Self { chip, driver, memory, process, users, .. } = self;
        let mut all = vec![
            chip.compatible.unknown(),
            chip.model.unknown(),
            chip.kernel.unknown(),
            driver.version.unknown(),
            driver.load.unknown(),
            driver.iommu_groups.unknown(),
            process.open_files.unknown(),
            memory.total.unknown(),
            memory.available.unknown(),
        ];
        let clocks = &self.clocks;
        for clock in clocks.npu.iter().chain(&clocks.ddr).chain(&clocks.cpu) {
            let numbers = [&clock.current, &clock.limit, &clock.highest];
            all.push(clock.governor.unknown());
            all.extend(numbers.map(Reading::unknown));
        }
        let mut unread: Vec<String> = all.into_iter().flatten().map(str::to_owned).collect();
        unread.dedup();
        if driver.kind == DriverKind::Unknown && !diagnose::is_elsewhere(self) {
            unread.push("/sys: not mounted or hidden".into());
        }
        if users.hidden > 0 {
            let Users { hidden, seen, .. } = users;
            unread.push(format!("/proc/*/fd: permission denied for {hidden} of {seen}"));
        }
        unread
    }
}
