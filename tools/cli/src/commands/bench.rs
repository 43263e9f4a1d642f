//! `rkllm bench`: speed and memory of one model. It feeds token ids; no tokenizer is loaded or timed.

use std::ops::ControlFlow;

use clap::Args;
use rkllm::Backend;
use rkllm::eval::{Samples, Speed, SpeedOptions, speed};
use rkllm::quant::QuantScheme;
use serde::{Deserialize, Serialize};

use crate::args::{ModelArgs, Settings};
use crate::model::{Model, Size};
use crate::output;
use crate::progress::{Progress, Unit};
use crate::system::{self, Resident};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    runs: RunArgs,
    /// Measured runs
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = super::positive())]
    repeat: usize,
    /// Runs before them that are not measured
    #[arg(long, value_name = "N", default_value_t = 1)]
    warmup: usize,
}

/// What one run is.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RunArgs {
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) prompt: usize,
    /// Tokens decoded one by one after it
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) generate: usize,
    /// Prompt tokens computed at once [default: the engine's choice]
    #[arg(long, value_name = "N", value_parser = super::positive())]
    pub(crate) prefill_chunk: Option<usize>,
}

/// What was measured, in the keys scripts rely on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) model: String,
    pub(crate) dtype: QuantScheme,
    /// The kernel that ran.
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) threads: usize,
    pub(crate) prompt: usize,
    pub(crate) generate: usize,
    pub(crate) repeat: usize,
    pub(crate) warmup: usize,
    /// Median over the runs.
    pub(crate) prefill_tokens_per_s: Option<f64>,
    /// Median over the runs.
    pub(crate) decode_tokens_per_s: Option<f64>,
    /// Median time to the first token.
    pub(crate) ttft_ms_p50: Option<f64>,
    /// From opening the files to an engine that can run, quantising in memory included.
    pub(crate) load_ms: f64,
    /// True if `load_ms` and `peak_rss_bytes` include quantising in memory, which an artifact does not need.
    pub(crate) quantized_in_memory: bool,
    /// The most resident memory of this process (`VmHWM`).
    pub(crate) peak_rss_bytes: Option<u64>,
    /// Resident memory after the last run.
    pub(crate) rss_bytes: Option<u64>,
    /// Bytes of the model's tensors.
    pub(crate) weight_bytes: u64,
    /// The single runs.
    pub(crate) samples: Speed,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    let RunArgs { prompt, generate, .. } = options.runs;
    if prompt == 0 && generate == 0 {
        return Err(super::usage("--prompt 0 with --generate 0 measures nothing"));
    }
    let report = measure(options, settings)?;
    if settings.json { output::json(&report) } else { output::print(&describe(&report)) }
}

fn measure(options: &Options, settings: &Settings) -> anyhow::Result<Report> {
    let RunArgs { prompt, generate, prefill_chunk } = options.runs;
    let started = std::time::Instant::now();
    let model = Model::open(&options.model, settings)?;
    let context = prompt.saturating_add(generate);
    let mut engine = model.engine(context, prefill_chunk, settings)?;
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    let runs = SpeedOptions { prompt, generate, repeat: options.repeat, warmup: options.warmup };
    let mut progress = Progress::new("measuring", Unit::Runs, settings.quiet);
    let samples = speed(&mut engine, &runs, &mut |done, all| {
        progress.set(done as u64, all as u64, String::new);
        ControlFlow::Continue(())
    })?;
    drop(progress);
    let median = |samples: &Option<Samples>| samples.as_ref().map(|samples| samples.median);
    let resident = Resident::read();
    let in_memory = !model.checkpoint.is_quantized() && !model.dtype().is_float();
    debug_assert_eq!(engine.context(), context);
    Ok(Report {
        model: options.model.path.display().to_string(),
        dtype: model.dtype(),
        kernel: engine.kernel_name().to_owned(),
        cpu: system::cpu_name(),
        threads: settings.threads,
        prompt,
        generate,
        repeat: options.repeat,
        warmup: options.warmup,
        prefill_tokens_per_s: median(&samples.prefill_tokens_per_s),
        decode_tokens_per_s: median(&samples.decode_tokens_per_s),
        ttft_ms_p50: median(&samples.ttft_ms),
        load_ms,
        quantized_in_memory: in_memory,
        peak_rss_bytes: resident.peak,
        rss_bytes: resident.now,
        weight_bytes: Size::of(&model.weights).bytes,
        samples,
    })
}

/// The report for people.
fn describe(report: &Report) -> String {
    let spread = |samples: &Option<Samples>, unit: &str| match samples {
        Some(s) => format!("{:.1} {unit} (median; {:.1} to {:.1})", s.median, s.min, s.max),
        None => "not measured".to_owned(),
    };
    let memory = |bytes: Option<u64>| bytes.map_or("not known here".into(), output::bytes);
    let note = if report.quantized_in_memory { ", quantising in memory included" } else { "" };
    format!(
        "{}, {}, {}, {} threads, {} runs\n\
         prefill {:>5} tokens  {}\n\
         decode  {:>5} tokens  {}\n\
         time to first token   {}\n\
         load                  {:.0} ms{note}\n\
         weights               {}\n\
         peak memory           {}{note}\n\
         memory at the end     {}\n",
        report.model,
        report.dtype,
        report.kernel,
        report.threads,
        report.repeat,
        report.prompt,
        spread(&report.samples.prefill_tokens_per_s, "tokens/s"),
        report.generate,
        spread(&report.samples.decode_tokens_per_s, "tokens/s"),
        spread(&report.samples.ttft_ms, "ms"),
        report.load_ms,
        output::bytes(report.weight_bytes),
        memory(report.peak_rss_bytes),
        memory(report.rss_bytes),
    )
}
