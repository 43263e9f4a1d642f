//! `rkllm bench`: speed and memory of one model, or of the kernels. It feeds token ids; a tokenizer is read
//! after everything else, if that is asked for.

mod kernels;
mod profile;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use rkllm::Backend;
use rkllm::cpu::MemoryPlan;
use rkllm::eval::{Samples, Speed, SpeedOptions, speed};
use rkllm::model::Tokenizer;
use rkllm::quant::QuantScheme;
use serde::{Deserialize, Serialize};

use self::profile::Profile;
use crate::args::{LoadArgs, ModelArgs, QuantizeArgs, Settings, dtype_parser};
use crate::memory as plan;
use crate::model::{Model, Size};
use crate::output;
use crate::progress::{Progress, Unit};
use crate::system::{self, Resident};

/// What `--kernels`, whose runs are fixed, has no use for.
const OF_A_MODEL: [&str; 13] = [
    "profile",
    "path",
    "dtype",
    "clip",
    "asymmetric",
    "load",
    "prompt",
    "generate",
    "prefill_chunk",
    "context",
    "tokenizer",
    "repeat",
    "warmup",
];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Directory of a Hugging Face checkpoint or of an artifact
    #[arg(value_name = "MODEL", required_unless_present = "kernels")]
    path: Option<PathBuf>,
    /// Quantise the checkpoint in memory; without it a checkpoint runs in f32 and an artifact as it is
    #[arg(long, value_name = "DTYPE", value_parser = dtype_parser(), hide_possible_values = true)]
    dtype: Option<QuantScheme>,
    #[command(flatten)]
    quantize: QuantizeArgs,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    runs: RunArgs,
    /// Tokens the sequence could hold: memory is planned for them [default: prompt and new tokens]
    #[arg(long, value_name = "N", value_parser = super::positive())]
    context: Option<usize>,
    /// Measure the tokenizer's memory and load time, too, after the rest
    #[arg(long)]
    tokenizer: bool,
    /// Time every kernel this program knows against the limits of the machine; takes no MODEL
    #[arg(long, conflicts_with_all = OF_A_MODEL)]
    kernels: bool,
    #[command(flatten)]
    kernel_args: kernels::KernelArgs,
    /// After the measured runs, one more that says which products took how long
    #[arg(long)]
    profile: bool,
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
    /// How many threads, where and why.
    pub(crate) placement: String,
    pub(crate) prompt: usize,
    pub(crate) generate: usize,
    pub(crate) repeat: usize,
    pub(crate) warmup: usize,
    /// Tokens the sequence could hold.
    pub(crate) context: usize,
    /// Prompt tokens computed at once, at most.
    pub(crate) prefill_chunk: usize,
    /// Median over the runs.
    pub(crate) prefill_tokens_per_s: Option<f64>,
    /// Median over the runs.
    pub(crate) decode_tokens_per_s: Option<f64>,
    /// Median time to the first token.
    pub(crate) ttft_ms_p50: Option<f64>,
    /// From opening the files to an engine that can run, quantising in memory included.
    pub(crate) load_ms: f64,
    /// From the beginning of `main` to the first token of the first run; with warm-up that run is not measured.
    pub(crate) first_token_ms: Option<f64>,
    /// True if `load_ms` and `peak_rss_bytes` include quantising in memory, which an artifact does not need.
    pub(crate) quantized_in_memory: bool,
    /// The most resident memory of this process (`VmHWM`).
    pub(crate) peak_rss_bytes: Option<u64>,
    /// Resident memory after the last run.
    pub(crate) rss_bytes: Option<u64>,
    /// Bytes of the model's tensors.
    pub(crate) weight_bytes: u64,
    /// What was planned, in bytes.
    pub(crate) memory: MemoryPlan,
    /// Read after everything above was measured, if that was asked for.
    pub(crate) tokenizer: Option<TokenizerReport>,
    /// The single runs.
    pub(crate) samples: Speed,
    /// Of one run after everything above was measured, if that was asked for.
    #[serde(default)]
    pub(crate) profile: Option<Profile>,
}

/// What a tokenizer takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TokenizerReport {
    load_ms: f64,
    /// How much larger this process got.
    rss_bytes: Option<u64>,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    if options.kernels {
        return kernels::run(&options.kernel_args, settings);
    }
    if let Some(name) = options.kernel_args.given() {
        // clap asks for nothing that what is there forbids.
        return Err(super::usage(format!("{name} is for --kernels")));
    }
    let RunArgs { prompt, generate, .. } = options.runs;
    if prompt == 0 && generate == 0 {
        return Err(super::usage("--prompt 0 with --generate 0 measures nothing"));
    }
    let report = measure(options, settings)?;
    if settings.json { output::json(&report) } else { output::print(&describe(&report)) }
}

fn measure(options: &Options, settings: &Settings) -> anyhow::Result<Report> {
    let RunArgs { prompt, generate, prefill_chunk } = options.runs;
    let path = options.path.clone().unwrap_or_default();
    let needed = prompt.saturating_add(generate);
    let context = options.context.unwrap_or(needed);
    if context < needed {
        return Err(super::usage(format!("--context {context} does not hold {needed} tokens")));
    }
    if options.tokenizer && !path.join("tokenizer.json").is_file() {
        // The error of a tokenizer that is not there, before minutes of measuring.
        Tokenizer::open(&path)?;
    }
    let begun = Instant::now();
    let model = ModelArgs {
        path: path.clone(),
        dtype: options.dtype,
        quantize: options.quantize,
        load: options.load,
    };
    let model = Model::open(&model, settings)?;
    let clock = options.profile.then(profile::Clock::default);
    let mut supply = |role, cpu| match &clock {
        Some(clock) => clock.time(role, cpu),
        None => cpu,
    };
    let mut engine = model.engine_with(context, prefill_chunk, settings, &mut supply)?;
    let load_ms = begun.elapsed().as_secs_f64() * 1e3;
    let ready_ms = settings.started.elapsed().as_secs_f64() * 1e3;
    let runs = SpeedOptions { prompt, generate, repeat: options.repeat, warmup: options.warmup };
    let mut progress = Progress::new("measuring", Unit::Runs, settings.quiet);
    let samples = speed(&mut engine, &runs, &mut |done, all| {
        progress.set(done as u64, all as u64, String::new);
        ControlFlow::Continue(())
    })?;
    drop(progress);
    let median = |samples: &Option<Samples>| samples.as_ref().map(|samples| samples.median);
    let resident = Resident::read();
    let profile =
        clock.map(|clock| profile::measure(&mut engine, &clock, prompt, generate)).transpose()?;
    let in_memory = !model.checkpoint.is_quantized() && !model.dtype().is_float();
    debug_assert_eq!(engine.context(), context);
    let first = samples.ttft_ms.as_ref().filter(|_| options.warmup == 0);
    Ok(Report {
        model: path.display().to_string(),
        dtype: model.dtype(),
        kernel: engine.kernel_name().to_owned(),
        cpu: system::cpu_name(),
        threads: settings.threads,
        placement: settings.placement(),
        prompt,
        generate,
        repeat: options.repeat,
        warmup: options.warmup,
        context,
        prefill_chunk: engine.options().prefill_chunk,
        prefill_tokens_per_s: median(&samples.prefill_tokens_per_s),
        decode_tokens_per_s: median(&samples.decode_tokens_per_s),
        ttft_ms_p50: median(&samples.ttft_ms),
        load_ms,
        first_token_ms: first.and_then(|ttft| ttft.values.first()).map(|ttft| ready_ms + ttft),
        quantized_in_memory: in_memory,
        peak_rss_bytes: resident.peak,
        rss_bytes: resident.now,
        weight_bytes: Size::of(&model.weights).bytes,
        memory: engine.memory_plan(),
        tokenizer: options.tokenizer.then(|| tokenizer(&path, resident)).transpose()?,
        samples,
        profile,
    })
}

/// Reads the tokenizer and sees how much larger the process got.
fn tokenizer(path: &Path, before: Resident) -> anyhow::Result<TokenizerReport> {
    let begun = Instant::now();
    let tokenizer = Tokenizer::open(path)?;
    let load_ms = begun.elapsed().as_secs_f64() * 1e3;
    let grown =
        Resident::read().now.zip(before.now).map(|(now, before)| now.saturating_sub(before));
    drop(tokenizer);
    Ok(TokenizerReport { load_ms, rss_bytes: grown })
}

/// The report for people.
fn describe(report: &Report) -> String {
    let spread = |samples: &Option<Samples>, unit: &str| match samples {
        Some(s) => format!("{:.1} {unit} (median; {:.1} to {:.1})", s.median, s.min, s.max),
        None => "not measured".to_owned(),
    };
    let memory = |bytes: Option<u64>| bytes.map_or("not known here".into(), output::bytes);
    let [model, engine] = plan::describe(&report.memory);
    let first = report
        .first_token_ms
        .map_or(String::new(), |ms| format!("program start to first token  {ms:.0} ms\n"));
    let tokenizer = report.tokenizer.as_ref().map_or(String::new(), |tokenizer| {
        let grown = memory(tokenizer.rss_bytes);
        format!("tokenizer             {:.0} ms, {grown} more memory\n", tokenizer.load_ms)
    });
    let profile = report.profile.as_ref().map_or(String::new(), Profile::describe);
    let note = if report.quantized_in_memory { ", quantising in memory included" } else { "" };
    format!(
        "{}, {}, {}, {} runs\n\
         {}\n\
         prefill {:>5} tokens  {}\n\
         decode  {:>5} tokens  {}\n\
         time to first token   {}\n\
         load                  {:.0} ms{note}\n\
         {first}\
         model                 {model}\n\
         engine                {engine}\n\
         peak memory           {}{note}\n\
         memory at the end     {}\n\
         {tokenizer}{profile}",
        report.model,
        report.dtype,
        report.kernel,
        report.repeat,
        report.placement,
        report.prompt,
        spread(&report.samples.prefill_tokens_per_s, "tokens/s"),
        report.generate,
        spread(&report.samples.decode_tokens_per_s, "tokens/s"),
        spread(&report.samples.ttft_ms, "ms"),
        report.load_ms,
        memory(report.peak_rss_bytes),
        memory(report.rss_bytes),
    )
}
