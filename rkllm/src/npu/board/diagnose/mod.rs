//! From facts to findings: what is wrong, why, and what to do.

mod chip;
mod clocks;
mod driver;
mod nodes;
mod runtimes;
mod system;

pub(super) use chip::is_elsewhere;

use super::Board;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Good to know; also what could not be found out.
    Info,
    /// It works, but slower, less or less safely than it could.
    Warning,
    /// Models will not run on the NPU.
    Error,
}

/// What a finding is about, in the order findings come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Area {
    /// The chip and its cores.
    Board,
    /// The kernel driver and its device files.
    Driver,
    /// Rockchip's libraries.
    Runtimes,
    /// Clocks and heat.
    Clocks,
    /// Memory, limits, other processes.
    System,
}

impl Area {
    /// A heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::Driver => "driver",
            Self::Runtimes => "runtimes",
            Self::Clocks => "clocks",
            Self::System => "system",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Finding {
    /// The check, by a name that stays: `driver-version`. At most one finding has it.
    pub id: &'static str,
    /// What it is about.
    pub area: Area,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// Why that is so or why it matters; always there unless `severity` is [`Severity::Ok`].
    pub cause: Option<String>,
    /// What to do, commands included; always there unless `severity` is [`Severity::Ok`].
    pub fix: Option<String>,
    /// Where this is known from; always there unless `severity` is [`Severity::Ok`].
    pub reference: Option<&'static str>,
}

/// Whether language models can run on the NPU, all findings together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing found stands in the way.
    Ready,
    /// Nothing found stands in the way, but the chip, its driver or the right to use it is not known.
    Unsure,
    /// At least one finding is an [`Severity::Error`].
    Blocked,
    /// This is no Rockchip board.
    NoNpu,
}

impl Verdict {
    /// What `findings`, which [`diagnose`] made of `board`, come to.
    pub fn of(board: &Board, findings: &[Finding]) -> Self {
        // What must be known to be good: a severity no worse than this.
        const NEEDED: [(&str, Severity); 3] =
            [("soc", Severity::Ok), ("driver", Severity::Ok), ("device-nodes", Severity::Warning)];
        let known = |(id, worst): &(&str, Severity)| {
            let found = findings.iter().find(|finding| finding.id == *id);
            // A note says that it could not be found out.
            found.is_some_and(|f| f.severity <= *worst && f.severity != Severity::Info)
        };
        if chip::is_elsewhere(board) {
            Self::NoNpu
        } else if findings.iter().any(|finding| finding.severity == Severity::Error) {
            Self::Blocked
        } else if NEEDED.iter().all(known) {
            Self::Ready
        } else {
            Self::Unsure
        }
    }

    /// True if no finding prevents the use of the NPU.
    pub fn can_run(self) -> bool {
        matches!(self, Self::Ready | Self::Unsure)
    }
}

/// A finding before it says what it is about.
struct Advice {
    severity: Severity,
    what: String,
    cause: Option<String>,
    fix: Option<String>,
    reference: Option<&'static str>,
}

impl Advice {
    fn ok(what: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, what: what.into(), cause: None, fix: None, reference: None }
    }

    fn new(
        severity: Severity,
        what: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
        reference: &'static str,
    ) -> Self {
        Self {
            severity,
            what: what.into(),
            cause: Some(cause.into()),
            fix: Some(fix.into()),
            reference: Some(reference),
        }
    }

    fn info(
        what: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
        reference: &'static str,
    ) -> Self {
        Self::new(Severity::Info, what, cause, fix, reference)
    }

    fn warning(
        what: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
        reference: &'static str,
    ) -> Self {
        Self::new(Severity::Warning, what, cause, fix, reference)
    }

    fn error(
        what: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
        reference: &'static str,
    ) -> Self {
        Self::new(Severity::Error, what, cause, fix, reference)
    }

    fn finding(self, id: &'static str, area: Area) -> Finding {
        let Self { severity, what, cause, fix, reference } = self;
        Finding { id, area, severity, what, cause, fix, reference }
    }
}

/// A check: its name, what it is about, and what it says of a board, if it applies to it.
type Check = (&'static str, Area, fn(&Board) -> Option<Advice>);

/// Every check. Those that ask `on_board` are left out where there is no NPU to look at.
const CHECKS: [(Check, bool); 21] = [
    (("soc", Area::Board, chip::soc), false),
    (("cpu-features", Area::Board, chip::features), false),
    (("cpu-sve", Area::Board, chip::sve), true),
    (("container", Area::Board, system::container), true),
    (("driver", Area::Driver, driver::kind), true),
    (("driver-version", Area::Driver, driver::version), true),
    (("device-nodes", Area::Driver, nodes::nodes), true),
    (("rknpu-link", Area::Driver, nodes::link), true),
    (("dma-heap", Area::Driver, nodes::dma_heap), true),
    (("iommu", Area::Driver, driver::iommu), true),
    (("npu-load", Area::Driver, driver::load), true),
    (("npu-users", Area::Driver, driver::users), true),
    (("runtime-rkllm", Area::Runtimes, runtimes::rkllm), true),
    (("runtime-rknn", Area::Runtimes, runtimes::rknn), true),
    (("runtime-several", Area::Runtimes, runtimes::several), true),
    (("npu-clock", Area::Clocks, clocks::npu), true),
    (("cpu-clock", Area::Clocks, clocks::cpu), true),
    (("ddr-clock", Area::Clocks, clocks::ddr), true),
    (("thermal", Area::Clocks, clocks::thermal), true),
    (("memory", Area::System, system::memory), false),
    (("open-files", Area::System, system::open_files), true),
];

/// What is to be said of a board, by area. A machine that is no Rockchip board gets only what applies to
/// it. Depends on nothing but the facts.
pub fn diagnose(board: &Board) -> Vec<Finding> {
    let elsewhere = chip::is_elsewhere(board);
    CHECKS
        .iter()
        .filter(|(_, on_board)| !(*on_board && elsewhere))
        .filter_map(|((id, area, check), _)| Some(check(board)?.finding(id, *area)))
        .collect()
}

/// `1.8 GHz` or `528 MHz`.
fn hertz(hz: u64) -> String {
    match hz {
        1_000_000_000.. => format!("{:.2} GHz", hz as f64 / 1e9),
        _ => format!("{} MHz", hz / 1_000_000),
    }
}

/// `7.7 GB`, decimal.
fn bytes(count: u64) -> String {
    match count {
        1_000_000_000.. => format!("{:.1} GB", count as f64 / 1e9),
        _ => format!("{} MB", count / 1_000_000),
    }
}
