//! Clocks, governors and heat.

use super::{Advice, Severity, hertz};
use crate::npu::board::{Board, Clock, DriverKind, Reading};

const CPUFREQ: &str = "https://docs.kernel.org/admin-guide/pm/cpufreq.html";
const FIX_FREQ: &str = "https://github.com/airockchip/rknn-llm/tree/main/scripts";
/// Above this the chips begin to slow themselves down.
const HOT: i64 = 85_000;

/// What is to be said of one clock: how bad, what, why and which commands.
struct Verdict {
    severity: Severity,
    what: String,
    cause: &'static str,
    commands: Vec<String>,
}

/// Whether a clock runs as fast as it can. `set` names its files for the limit and for a fixed clock,
/// `unit` what they count in, Hz.
fn judge(clock: &Clock, [governor, limit, fixed]: [&str; 3], unit: u64) -> Verdict {
    let write =
        |value: String, file: &str| format!("echo {value} | sudo tee {}/{file}", clock.path);
    let now = clock.current.value().map_or("unknown".to_owned(), |now| hertz(*now));
    let highest = clock.highest.value().copied();
    let most = highest.map_or(String::new(), |most| format!(" of {}", hertz(most)));
    let faster = || match highest {
        Some(most)
            if !clock.governors.is_empty()
                && !clock.governors.iter().any(|g| g == "performance") =>
        {
            vec![write("userspace".into(), governor), write((most / unit).to_string(), fixed)]
        }
        _ => vec![write("performance".into(), governor)],
    };
    let name = match &clock.governor {
        Reading::Is(name) => name.as_str(),
        none => {
            return Verdict {
                severity: Severity::Info,
                what: format!("unknown: {}", none.unknown().unwrap_or("no governor")),
                cause: "the kernel does not scale this clock, or does not show it",
                commands: vec![format!("ls {}", clock.path)],
            };
        }
    };
    let what = format!("{now}{most}, governor {name}");
    let below = |value: &Reading<u64>| match (value.value(), highest) {
        (Some(value), Some(most)) => value / 1_000_000 < most / 1_000_000,
        _ => false,
    };
    if below(&clock.limit) {
        let (value, most) = (clock.limit.value().copied().unwrap_or(0), highest.unwrap_or(0));
        let mut commands = vec![write((most / unit).to_string(), limit)];
        if name != "performance" {
            commands.extend(faster());
        }
        let what = format!("{what}, capped at {}", hertz(value));
        let cause = "somebody lowered its limit, or heat did";
        return Verdict { severity: Severity::Warning, what, cause, commands };
    }
    let (severity, cause) = match name {
        "performance" => (Severity::Ok, ""),
        "userspace" if !below(&clock.current) => (Severity::Ok, ""),
        "userspace" => (Severity::Warning, "it is fixed below what it can do"),
        "powersave" => (Severity::Warning, "powersave keeps it at its lowest"),
        _ => (
            Severity::Info,
            "it follows the load: the first tokens are slower, and measurements vary",
        ),
    };
    let commands = if severity == Severity::Ok { Vec::new() } else { faster() };
    Verdict { severity, what, cause, commands }
}

fn advice(verdict: Verdict, reference: &'static str) -> Advice {
    match verdict.severity {
        Severity::Ok => Advice::ok(verdict.what),
        severity => Advice::new(
            severity,
            verdict.what,
            verdict.cause,
            verdict.commands.join("; "),
            reference,
        ),
    }
}

const DEVFREQ: [&str; 3] = ["governor", "max_freq", "userspace/set_freq"];

pub(super) fn npu(board: &Board) -> Option<Advice> {
    if board.driver.kind != DriverKind::Vendor {
        return None;
    }
    let Some(clock) = &board.clocks.npu else {
        return Some(Advice::info(
            "NPU clock unknown: no /sys/class/devfreq/*.npu",
            "the kernel does not scale the NPU's clock, or hides it",
            "sudo cat /sys/kernel/debug/rknpu/freq; the vendor's benchmarks fix it by writing there",
            FIX_FREQ,
        ));
    };
    Some(advice(with_name("NPU", judge(clock, DEVFREQ, 1)), FIX_FREQ))
}

/// Without `/sys` nothing is known of clocks and heat; the driver's check says so.
fn is_hidden(board: &Board) -> bool {
    board.driver.kind == DriverKind::Unknown
}

pub(super) fn ddr(board: &Board) -> Option<Advice> {
    if is_hidden(board) {
        return None;
    }
    let Some(clock) = &board.clocks.ddr else {
        let vendor = board.chip.soc.map(|soc| soc.facts().dram_mhz);
        let benchmark = vendor
            .map_or(String::new(), |mhz| format!(" (the vendor's benchmarks run at {mhz} MHz)"));
        return Some(Advice::info(
            format!("memory clock unknown: no /sys/class/devfreq/dmc{benchmark}"),
            "kernel or bootloader do not scale it; decode waits for memory, so a slow memory clock halves its speed",
            "update the bootloader (rkbin's DDR blob) and the kernel; `sudo grep ddr /sys/kernel/debug/clk/clk_summary` \
             may show the clock",
            "https://github.com/airockchip/rknn-llm/issues/532",
        ));
    };
    Some(advice(with_name("memory", judge(clock, DEVFREQ, 1)), FIX_FREQ))
}

fn with_name(name: &str, verdict: Verdict) -> Verdict {
    Verdict { what: format!("{name} {}", verdict.what), ..verdict }
}

/// One finding for all cores: as bad as the worst.
pub(super) fn cpu(board: &Board) -> Option<Advice> {
    if is_hidden(board) {
        return None;
    }
    if board.clocks.cpu.is_empty() {
        return Some(Advice::info(
            "CPU clocks unknown: no /sys/devices/system/cpu/cpufreq",
            "the kernel does not scale them, or hides it",
            "ls /sys/devices/system/cpu/cpufreq",
            CPUFREQ,
        ));
    }
    let files = ["scaling_governor", "scaling_max_freq", "scaling_setspeed"];
    let mut worst =
        Verdict { severity: Severity::Ok, what: String::new(), cause: "", commands: Vec::new() };
    let mut parts = Vec::new();
    for clock in &board.clocks.cpu {
        let verdict = judge(clock, files, 1000);
        let cores = clock
            .cores
            .as_deref()
            .map(|cores| cores.split_whitespace().collect::<Vec<_>>().join(","));
        parts.push(format!("CPU {} {}", cores.as_deref().unwrap_or("?"), verdict.what));
        worst.commands.extend(verdict.commands);
        if verdict.severity > worst.severity {
            worst = Verdict { severity: verdict.severity, cause: verdict.cause, ..worst };
        }
    }
    Some(advice(Verdict { what: parts.join("; "), ..worst }, CPUFREQ))
}

pub(super) fn thermal(board: &Board) -> Option<Advice> {
    if is_hidden(board) {
        return None;
    }
    let slowed: Vec<String> = board
        .thermal
        .cooling
        .iter()
        .filter(|device| device.state > 0)
        .map(|device| format!("{} at step {} of {}", device.name, device.state, device.most))
        .collect();
    let warmest = board.thermal.warmest();
    let degrees =
        warmest.map(|zone| format!("{} at {:.0} °C", zone.name, zone.millidegrees as f64 / 1000.0));
    if slowed.is_empty() && warmest.is_none_or(|zone| zone.millidegrees < HOT) {
        return Some(match degrees {
            Some(degrees) => Advice::ok(format!("{degrees}, nothing slowed down")),
            None => Advice::info(
                "temperatures unknown: no /sys/class/thermal",
                "the kernel has no thermal zones, or hides them",
                "ls /sys/class/thermal",
                "https://docs.kernel.org/driver-api/thermal/sysfs-api.html",
            ),
        });
    }
    let what: Vec<String> = degrees.into_iter().chain(slowed).collect();
    Some(Advice::warning(
        what.join("; "),
        "the chip lowers its clocks to stay cool, so speeds drop while it works",
        "a heat sink or a fan; measure again when it is cool",
        "https://docs.kernel.org/driver-api/thermal/sysfs-api.html",
    ))
}
