//! `rkllm generate`: continues a text.

use std::time::Instant;

use clap::Args;
use rkllm::kernels::Kernel;
use rkllm::model::{Checkpoint, Tokenizer};
use rkllm::quant::QuantScheme;
use rkllm::session::{Model, Statistics, Stop};
use serde::Serialize;

use crate::args::{LoraArgs, ModelArgs, Settings};
use crate::memory::plan;
use crate::output;
use crate::sampling::SamplingArgs;
use crate::system::Resident;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to continue
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// New tokens at most
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = super::positive())]
    max_tokens: usize,
    #[command(flatten)]
    lora: LoraArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    dtype: QuantScheme,
    kernel: String,
    threads: usize,
    prompt_tokens: Vec<u32>,
    tokens: Vec<u32>,
    text: String,
    stop: Option<Stop>,
    /// Where random numbers were drawn.
    seed: Option<u64>,
    ttft_ms: Option<f64>,
    decode_tokens_per_s: Option<f64>,
    /// Reading the tokenizer, and how much larger this process got by it.
    tokenizer_ms: f64,
    tokenizer_bytes: Option<u64>,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    let generate = options.sampling.options()?.with_max_tokens(options.max_tokens);
    let checkpoint = Checkpoint::open(&options.model.path, options.model.load.load)?;
    let (before, begun) = (Resident::read().now, Instant::now());
    let tokenizer = Tokenizer::open(&options.model.path)?;
    let tokenizer_ms = begun.elapsed().as_secs_f64() * 1e3;
    let grown = Resident::read().now.zip(before).map(|(now, before)| now.saturating_sub(before));
    let mut prompt = tokenizer.encode_with_special_tokens(&options.prompt)?;
    if prompt.is_empty() {
        prompt.extend(tokenizer.bos());
    }
    let context = prompt.len().saturating_add(options.max_tokens);
    let model = open(options, settings, context, &checkpoint, tokenizer)?;
    if settings.verbose {
        output::note(&plan(&model, settings));
        let bytes = grown.map_or("not known here".into(), output::bytes);
        output::note(&format!("tokenizer {tokenizer_ms:.0} ms, {bytes}"));
    }
    let mut session = model.session()?.with_options(generate);
    let mut answer = session.generate_tokens(&prompt)?;
    for piece in &mut answer {
        let piece = piece?;
        if !settings.json {
            output::print(&piece)?;
        }
    }
    let statistics = *answer.statistics();
    let report = Report {
        model: options.model.path.display().to_string(),
        dtype: model.weights().map_or(checkpoint.scheme(), |weights| weights.scheme),
        kernel: Kernel::active()?.name().to_owned(),
        threads: settings.threads,
        tokens: answer.tokens().to_vec(),
        text: answer.so_far().to_owned(),
        stop: statistics.stop,
        seed: options.sampling.is_random().then_some(statistics.seed),
        ttft_ms: statistics.time_to_first_token.map(|time| time.as_secs_f64() * 1e3),
        decode_tokens_per_s: statistics.decode_tokens_per_second(),
        prompt_tokens: prompt,
        tokenizer_ms,
        tokenizer_bytes: grown,
    };
    if settings.json {
        return output::json(&report);
    }
    output::print("\n")?;
    if let Some(degenerate) = statistics.degenerate {
        output::note(&format!("[ended: {degenerate}]"));
    }
    if !settings.quiet {
        output::note(&summary(&report, &statistics));
    }
    Ok(())
}

fn open(
    options: &Options,
    settings: &Settings,
    context: usize,
    checkpoint: &Checkpoint,
    tokenizer: Tokenizer,
) -> rkllm::Result<Model> {
    let model = Model::options()
        .with_threads(settings.threads)
        .with_context(context)
        .with_clip(options.model.quantize.clip)
        .with_asymmetric(options.model.quantize.asymmetric);
    let model = match options.model.dtype {
        Some(dtype) => model.with_dtype(dtype),
        None => model,
    };
    options.lora.add_to(model).build(checkpoint, tokenizer)
}

/// One line about the run.
fn summary(report: &Report, statistics: &Statistics) -> String {
    let ttft =
        report.ttft_ms.map_or("no token".into(), |ms| format!("first token after {ms:.0} ms"));
    let decode = report.decode_tokens_per_s.map_or(String::new(), |s| format!(", {s:.1} tokens/s"));
    let seed = report.seed.map_or(String::new(), |seed| format!("; seed {seed}"));
    let why = match report.stop {
        Some(Stop::Eos) => "the model ended it",
        Some(Stop::MaxTokens) => "--max-tokens reached",
        Some(Stop::Context) => "context full",
        Some(Stop::StopString) => "--stop found",
        Some(Stop::Degenerate) => "it was no language any more",
        Some(Stop::Complete) => "the answer is complete",
        _ => "stopped",
    };
    format!(
        "[{}, {}, {} threads: {} prompt tokens, {ttft}; {} new tokens{decode}; {why}{seed}]",
        report.dtype,
        report.kernel,
        report.threads,
        statistics.prompt_tokens,
        statistics.new_tokens,
    )
}
