//! `rkllm bench --kernels`: every kernel against the limits of the machine.

use clap::Args;
use rkllm::cpu::timing::{KernelTiming, LayerTiming, Spread, Timing, TimingOptions, measure};
use serde::Serialize;

use crate::args::Settings;
use crate::output;
use crate::progress::{Progress, Unit};
use crate::system;
use crate::table::Table;

/// What was measured, in the keys scripts rely on.
#[derive(Debug, Serialize)]
struct Report {
    cpu: String,
    /// True if it shows that kernels run and not how fast.
    quick: bool,
    /// True if the limits alone were measured.
    limits: bool,
    #[serde(flatten)]
    timing: Timing,
}

/// What is measured.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct KernelArgs {
    /// With --kernels: one small layer each, to see that they run and not how fast
    #[arg(long, conflicts_with = "limits")]
    pub(super) quick: bool,
    /// With --kernels: read bandwidth, forks and multipliers alone, no layers
    #[arg(long)]
    pub(super) limits: bool,
    /// With --kernels: size of the buffer whose reading is the limit, at least 1 MiB [default: 256 MiB]
    #[arg(long, value_name = "BYTES", value_parser = buffer)]
    pub(super) buffer: Option<usize>,
}

impl KernelArgs {
    /// The first of the options that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            (self.quick, "--quick"),
            (self.limits, "--limits"),
            (self.buffer.is_some(), "--buffer"),
        ];
        given.into_iter().find_map(|(given, name)| given.then_some(name))
    }

    fn options(&self, threads: usize) -> TimingOptions {
        let mut options = match self.quick {
            true => TimingOptions::quick(threads),
            false => TimingOptions::new(threads),
        };
        let bytes = self.buffer.unwrap_or(options.bytes);
        if self.limits {
            return TimingOptions::limits(threads, bytes);
        }
        options.bytes = bytes;
        options
    }
}

fn buffer(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(bytes) if bytes >= 1 << 20 => Ok(bytes),
        _ => Err("expected a number of bytes, 1048576 or more".into()),
    }
}

pub(super) fn run(args: &KernelArgs, settings: &Settings) -> anyhow::Result<()> {
    let options = args.options(settings.threads);
    let mut progress = Progress::new("measuring", Unit::Runs, settings.quiet);
    let steps = 2 + rkllm::kernels::Kernel::available().len() as u64;
    let mut done = 0;
    let timing = measure(&options, &mut |step| {
        progress.set(done, steps, || step.to_owned());
        done += 1;
    })?;
    drop(progress);
    let report = Report { cpu: system::cpu_name(), quick: args.quick, limits: args.limits, timing };
    if settings.json { output::json(&report) } else { output::print(&describe(&report, settings)) }
}

fn describe(report: &Report, settings: &Settings) -> String {
    let Timing { read_gb_per_s: read, fork_us, fork_after_sleep_us: asleep, .. } = &report.timing;
    let fork = |spread: &Spread| {
        let Spread { median, min, p99, .. } = spread;
        format!("{median:.1} us (median; {min:.1} at least, p99 {p99:.1})")
    };
    let mut text = format!(
        "{}: {}{}\n\
         read bandwidth   {:.1} GB/s (median; {:.1} to {:.1}), {} in {}\n\
         fork and join    {}; after a pause {}\n",
        report.cpu,
        settings.placement(),
        if report.quick { "; quick: these times mean nothing" } else { "" },
        read.median,
        read.min,
        read.max,
        output::bytes(report.timing.buffer_bytes as u64),
        report.timing.read_pattern,
        fork(fork_us),
        fork(asleep),
    );
    for kernel in &report.timing.kernels {
        text += &format!("\n{}\n", headline(kernel));
        if !kernel.layers.is_empty() {
            text += &table(kernel);
        }
    }
    text
}

fn headline(kernel: &KernelTiming) -> String {
    match (&kernel.unavailable, kernel.peak_gmacs_per_s) {
        (Some(why), _) => format!("{}: cannot run here: {why}", kernel.name),
        (None, peak) => {
            let active = if kernel.active { ", the one in use" } else { "" };
            let peak = peak.map_or("not known".into(), |peak| format!("{:.3} TOP/s", peak * 2e-3));
            format!("{}{active}: peak of its instruction {peak}", kernel.name)
        }
    }
}

fn table(kernel: &KernelTiming) -> String {
    let headings = ["scheme", "M", "K", "N", "us", "GB/s", "of memory", "TOP/s", "of peak"];
    let mut table = Table::new(headings.map(str::to_owned).to_vec());
    let percent =
        |part: Option<f64>| part.map_or("-".into(), |part| format!("{:.0} %", part * 100.0));
    for layer in &kernel.layers {
        let LayerTiming { scheme, m, k, n, us, gb_per_s, gmacs_per_s, .. } = layer;
        let decode = *m == 1;
        table.push(vec![
            (*scheme).to_owned(),
            m.to_string(),
            k.to_string(),
            n.to_string(),
            format!("{:.1}", us.median),
            if decode { format!("{gb_per_s:.1}") } else { "-".into() },
            percent(layer.of_read_bandwidth),
            format!("{:.3}", gmacs_per_s * 2e-3),
            percent(layer.of_peak.filter(|_| !decode)),
        ]);
    }
    table.render()
}
