//! Speed of every scheme: rounds of `rkllm bench`, each scheme in a process of its own.
//!
//! A process of its own makes memory comparable. Rounds interleave the schemes, so that a machine that
//! slows down does so for all of them.

use std::env;
use std::io;
use std::process::{Command, Stdio};

use anyhow::Context;
use rkllm::eval::{Samples, Speed as Runs};
use rkllm::quant::QuantScheme;

use super::Options;
use super::report::{Row, Speed};
use crate::args::Settings;
use crate::commands::bench;
use crate::output;
use crate::progress::{Progress, Unit};

pub(super) fn measure(
    rows: &mut [Row],
    options: &Options,
    settings: &Settings,
) -> anyhow::Result<()> {
    let mut progress = Progress::new("measuring speed", Unit::Runs, settings.quiet);
    let mut reports: Vec<Vec<bench::Report>> = rows.iter().map(|_| Vec::new()).collect();
    let schemes = rows.len();
    for round in 0..options.repeat {
        for (index, (row, reports)) in rows.iter_mut().zip(&mut reports).enumerate() {
            let (done, total) = (round * schemes + index, options.repeat * schemes);
            progress.set(done as u64, total as u64, || row.dtype.to_string());
            if row.error.is_some() || row.speed_error.is_some() || row.same_as.is_some() {
                continue;
            }
            match one_round(row.dtype, options, settings) {
                Ok(Ok(report)) => reports.push(report),
                Ok(Err(error)) => row.speed_error = Some(error),
                Err(error) => {
                    // Emulators and sandboxes may refuse to start a process; quality still counts.
                    output::note(&format!("speed is not measured: {error:#}"));
                    return Ok(());
                }
            }
        }
    }
    for (row, reports) in rows.iter_mut().zip(reports) {
        if row.speed_error.is_none() {
            row.speed = summary(&reports);
        }
    }
    // The same numbers take the same time.
    if let Some((baseline, rest)) = rows.split_first_mut() {
        for row in rest.iter_mut().filter(|row| row.same_as.is_some()) {
            row.speed.clone_from(&baseline.speed);
            row.speed_error.clone_from(&baseline.speed_error);
        }
    }
    Ok(())
}

/// Runs `rkllm bench` once. The inner result is what it said, the outer whether it ran.
fn one_round(
    dtype: QuantScheme,
    options: &Options,
    settings: &Settings,
) -> anyhow::Result<Result<bench::Report, String>> {
    let program = env::current_exe().context("this program's own path is not known")?;
    let mut command = Command::new(program);
    command.arg("bench").arg(&options.model).args(["--json", "--quiet"]);
    let mut flag = |name: &str, value: String| {
        command.args([name, &value]);
    };
    flag("--dtype", dtype.to_string());
    flag("--threads", settings.threads.to_string());
    flag("--prompt", options.runs.prompt.to_string());
    flag("--generate", options.runs.generate.to_string());
    flag("--clip", options.quantize.clip.to_string());
    flag("--repeat", "1".into());
    if let Some(chunk) = options.runs.prefill_chunk {
        flag("--prefill-chunk", chunk.to_string());
    }
    if options.quantize.asymmetric {
        command.arg("--asymmetric");
    }
    let finished = command.stdin(Stdio::null()).output().context("cannot start a process")?;
    if !finished.status.success() {
        let said = String::from_utf8_lossy(&finished.stderr);
        let said = said.trim().trim_start_matches("error: ");
        return Ok(Err(match said {
            "" => finished.status.to_string(),
            said => said.to_owned(),
        }));
    }
    let report = serde_json::from_slice(&finished.stdout)
        .map_err(io::Error::from)
        .context("its report cannot be read")?;
    Ok(Ok(report))
}

/// Medians over the rounds of one scheme.
fn summary(reports: &[bench::Report]) -> Option<Speed> {
    let last = reports.last()?;
    let pool = |of: fn(&Runs) -> &Option<Samples>| {
        let values = reports.iter().filter_map(|report| of(&report.samples).as_ref());
        Samples::new(values.flat_map(|samples| samples.values.iter().copied()).collect())
    };
    let samples = Runs {
        prefill_tokens_per_s: pool(|runs| &runs.prefill_tokens_per_s),
        decode_tokens_per_s: pool(|runs| &runs.decode_tokens_per_s),
        ttft_ms: pool(|runs| &runs.ttft_ms),
    };
    let median = |samples: &Option<Samples>| samples.as_ref().map(|samples| samples.median);
    let load = Samples::new(reports.iter().map(|report| report.load_ms).collect())?;
    Some(Speed {
        prefill_tokens_per_s: median(&samples.prefill_tokens_per_s),
        decode_tokens_per_s: median(&samples.decode_tokens_per_s),
        ttft_ms_p50: median(&samples.ttft_ms),
        load_ms: load.median,
        quantized_in_memory: last.quantized_in_memory,
        peak_rss_bytes: reports.iter().filter_map(|report| report.peak_rss_bytes).max(),
        rss_bytes: reports.iter().filter_map(|report| report.rss_bytes).max(),
        weight_bytes: last.weight_bytes,
        samples,
    })
}
