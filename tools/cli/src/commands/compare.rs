//! `rkllm compare`: what each scheme costs on a checkpoint, and which one to use on a board.

mod quality;
mod report;
mod speed;

use std::path::PathBuf;

use clap::Args;
use rkllm::eval::{Measured, Recommendation, recommend};
use rkllm::model::Tokenizer;
use rkllm::quant::QuantScheme;
use rkllm::soc::Soc;
use serde::Serialize;

use crate::args::{LoadArgs, QuantizeArgs, Settings, dtype_parser};
use crate::commands::bench::RunArgs;
use crate::commands::eval::CutArgs;
use crate::{model, output, system, text};
use report::Row;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Directory of a Hugging Face checkpoint that is not quantised
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// UTF-8 texts to predict
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    text: Vec<PathBuf>,
    /// The board's SoC
    #[arg(long, value_name = "SOC", default_value = "rk3588", value_parser = super::parser::<Soc>(Soc::ALL.map(|soc| soc.to_string())))]
    target: Soc,
    /// Only these schemes, beside f32; all if not given
    #[arg(long, value_name = "DTYPE", num_args = 1.., value_delimiter = ',', value_parser = dtype_parser())]
    dtype: Vec<QuantScheme>,
    #[command(flatten)]
    quantize: QuantizeArgs,
    #[command(flatten)]
    cut: CutArgs,
    #[command(flatten)]
    runs: RunArgs,
    /// Rounds of speed measurement; each runs every scheme once after a warm-up, in a process of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = super::positive())]
    repeat: usize,
    /// Measure quality only
    #[arg(long)]
    no_bench: bool,
    /// The loss of perplexity the recommendation may accept, in per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = percent)]
    max_loss: f64,
    #[command(flatten)]
    load: LoadArgs,
}

/// Everything measured, in the keys scripts rely on.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    target: Soc,
    /// What ran the measurements.
    measured_on: MeasuredOn,
    /// Speed on the NPU.
    npu: &'static str,
    method: rkllm::eval::Method,
    window: usize,
    clip: String,
    texts: Vec<TextReport>,
    rows: Vec<Row>,
    recommendation: Option<Recommendation>,
}

#[derive(Debug, Serialize)]
struct MeasuredOn {
    cpu: String,
    kernel: String,
    threads: usize,
}

#[derive(Debug, Serialize)]
struct TextReport {
    file: String,
    characters: usize,
    tokens: usize,
    tokens_scored: usize,
}

/// What is said of the NPU wherever its speed could be expected.
const NPU: &str = "not measured: there is no NPU here; speeds are this machine's CPU";

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    let RunArgs { prompt, generate, .. } = options.runs;
    if prompt == 0 && generate == 0 && !options.no_bench {
        return Err(super::usage("--prompt 0 with --generate 0 measures nothing; use --no-bench"));
    }
    let mut sources: Vec<(&PathBuf, String)> = Vec::new();
    for path in &options.text {
        if sources.iter().all(|(other, _)| *other != path) {
            sources.push((path, text::read(path, options.cut.max_chars)?));
        }
    }
    let checkpoint = model::open_float(&options.model, options.load.load)?;
    let tokenizer = Tokenizer::open(&options.model)?;
    let cut = options.cut.options(tokenizer.bos(), options.runs.prefill_chunk);
    let texts = sources
        .iter()
        .map(|(path, source)| {
            let text = text::Text::tokenize(source, &tokenizer)?;
            Ok((path.display().to_string(), text))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    drop(sources);
    let mut found =
        quality::measure(&checkpoint, &texts, &schemes(options), &cut, options, settings)?;
    drop(checkpoint);
    for row in &mut found.rows {
        row.vendor_runtime = options.target.vendor_runtime_takes(row.dtype);
    }
    if !options.no_bench {
        speed::measure(&mut found.rows, options, settings)?;
    }
    let report = Report {
        model: options.model.display().to_string(),
        target: options.target,
        measured_on: MeasuredOn {
            cpu: system::cpu_name(),
            kernel: found.kernel,
            threads: settings.threads,
        },
        npu: NPU,
        method: options.cut.method,
        window: options.cut.window,
        clip: options.quantize.clip.to_string(),
        texts: texts
            .into_iter()
            .zip(found.tokens_scored)
            .map(|((file, text), tokens_scored)| TextReport {
                file,
                characters: text.characters,
                tokens: text.tokens.len(),
                tokens_scored,
            })
            .collect(),
        recommendation: recommend(
            &options.target.to_string(),
            &found.rows.iter().filter_map(measured).collect::<Vec<_>>(),
            options.max_loss / 100.0,
        ),
        rows: found.rows,
    };
    if settings.json { output::json(&report) } else { output::print(&report::describe(&report)) }
}

/// What to measure: the baseline first, each scheme once.
fn schemes(options: &Options) -> Vec<QuantScheme> {
    QuantScheme::ALL
        .into_iter()
        .filter(|scheme| {
            *scheme == QuantScheme::F32
                || options.dtype.is_empty()
                || options.dtype.contains(scheme)
        })
        .collect()
}

/// A row as the recommendation sees it.
fn measured(row: &Row) -> Option<Measured> {
    let worst = row.loss_percent.values().copied().reduce(f64::max)?;
    Some(Measured {
        dtype: row.dtype,
        bytes: row.size.as_ref()?.bytes,
        loss: worst / 100.0,
        kl_mean: row.divergence.as_ref()?.kl_mean,
        vendor_runtime: row.vendor_runtime,
    })
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("expected a number of per cent, such as 1 or 0.5".into()),
    }
}
