//! `rkllm eval`: how well a model predicts a text, and how far it is from its float baseline.

mod board;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use rkllm::Backend;
use rkllm::eval::{self, Divergence, EvalOptions, Method, Perplexity, TermAccuracy};
use rkllm::model::Tokenizer;
use rkllm::quant::QuantScheme;
use serde::Serialize;

use crate::args::{ModelArgs, Settings};
use crate::model::{self, Model};
use crate::output;
use crate::progress::{Progress, Unit};
use crate::terms::Questions;
use crate::text::{self, Text};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    model: ModelArgs,
    /// UTF-8 text to predict
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// Questions with exact answers to ask as well, as JSON lines
    #[arg(long, value_name = "FILE")]
    terms: Option<PathBuf>,
    #[command(flatten)]
    cut: CutArgs,
    /// Tokens computed at once; moves no bit [default: the engine's choice]
    #[arg(long, value_name = "N", value_parser = super::positive())]
    prefill_chunk: Option<usize>,
    /// Also measure the divergence from a float baseline: MODEL itself in f32, or the checkpoint in DIR
    #[arg(long, visible_alias = "kl", value_name = "DIR", num_args = 0..=1, require_equals = true)]
    baseline: Option<Option<PathBuf>>,
    /// Where the tokenizer of a .rkllm file lies: it cannot be read out of it
    #[arg(long, value_name = "DIR")]
    tokenizer: Option<PathBuf>,
    /// Keep the result in the artifact's rkllm.json
    #[arg(long)]
    record: bool,
}

/// How a text is cut into sequences.
#[derive(Debug, Clone, Args)]
pub(crate) struct CutArgs {
    /// Tokens per sequence
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = super::positive())]
    pub(crate) window: usize,
    /// windows: every token predicted once; llama: llama.cpp's, the second half of each chunk
    #[arg(long, default_value = "windows", value_parser = super::parser::<Method>(["windows", "llama"]))]
    pub(crate) method: Method,
    /// Only the first N characters (Unicode scalar values) of a text
    #[arg(long, value_name = "N", value_parser = super::positive())]
    pub(crate) max_chars: Option<usize>,
}

impl CutArgs {
    /// For a model whose sequences begin with `bos`.
    pub(crate) fn options(&self, bos: Option<u32>, prefill_chunk: Option<usize>) -> EvalOptions {
        EvalOptions {
            method: self.method,
            window: self.window,
            bos,
            chunk: prefill_chunk.unwrap_or(0),
        }
    }
}

/// The result, in the keys scripts rely on.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    text: String,
    /// Unicode scalar values of the text that were used.
    characters: usize,
    /// Tokens of the text, without BOS.
    tokens: usize,
    dtype: QuantScheme,
    kernel: String,
    threads: usize,
    #[serde(flatten)]
    perplexity: Perplexity,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Baseline>,
    #[serde(skip_serializing_if = "Option::is_none")]
    divergence: Option<Divergence>,
    #[serde(flatten)]
    terms: Option<TermAccuracy>,
    seconds: f64,
    tokens_per_s: f64,
}

#[derive(Debug, Serialize)]
struct Baseline {
    model: String,
    dtype: QuantScheme,
    perplexity: f64,
    logits_hash: String,
    /// Relative loss of perplexity: 1 is one per cent worse.
    loss_percent: f64,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    let text = text::read(&options.text, options.cut.max_chars)?;
    if board::is_vendor_file(&options.model.path) {
        if settings.verbose {
            return Err(super::usage("--verbose is for the CPU; a .rkllm file runs on the NPU"));
        }
        return board::run(options, settings, &text);
    }
    let model = Model::open(&options.model, settings)?;
    let record = options.record.then(|| super::record::Record::open(&options.model.path));
    let record = record.transpose()?;
    let tokenizer = Tokenizer::open(&options.model.path)?;
    let text = Text::tokenize(&text, &tokenizer)?;
    let cut = options.cut.options(tokenizer.bos(), options.prefill_chunk);
    let questions = options.terms.as_deref().map(|file| {
        Questions::open(file, &options.model.path, model.checkpoint.config(), &tokenizer)
    });
    let questions = questions.transpose()?;
    let mut report = measure(options, settings, &model, &text, &cut)?;
    if let Some(questions) = questions {
        let mut progress = Progress::new("asking", Unit::Questions, settings.quiet);
        let found = questions.ask(&model.weights, &tokenizer, settings, &mut progress)?;
        report.terms = Some(found.accuracy);
    }
    if let Some(record) = record {
        record.write(&options.text, &text, &report.perplexity, &report.kernel)?;
    }
    if settings.json { output::json(&report) } else { output::print(&describe(&report)) }
}

fn measure(
    options: &Options,
    settings: &Settings,
    model: &Model,
    text: &Text,
    cut: &EvalOptions,
) -> anyhow::Result<Report> {
    let mut engine = model.engine(cut.window, options.prefill_chunk, settings)?;
    let kernel = engine.kernel_name().to_owned();
    let mut progress = Progress::new("evaluating", Unit::Tokens, settings.quiet);
    let mut on_progress = |p: &eval::Progress| {
        progress.set(p.done as u64, p.total as u64, || format!("perplexity {:.3}", p.perplexity));
        ControlFlow::Continue(())
    };
    let started = Instant::now();
    let (perplexity, baseline, divergence) = match &options.baseline {
        None => {
            let found = eval::perplexity(&mut engine, &text.tokens, cut, &mut on_progress)?;
            (found, None, None)
        }
        Some(dir) => {
            let dir = dir.as_deref().unwrap_or(&options.model.path);
            let (found, baseline, divergence) =
                beside(dir, options, settings, &mut engine, text, cut, &mut on_progress)?;
            (found, Some(baseline), Some(divergence))
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    drop(progress);
    Ok(Report {
        model: options.model.path.display().to_string(),
        text: options.text.display().to_string(),
        characters: text.characters,
        tokens: text.tokens.len(),
        dtype: model.dtype(),
        kernel,
        threads: settings.threads,
        tokens_per_s: perplexity.tokens_scored as f64 / seconds.max(1e-9),
        perplexity,
        baseline,
        divergence,
        terms: None,
        seconds,
    })
}

/// Runs `engine` beside the float model in `dir`.
fn beside(
    dir: &Path,
    options: &Options,
    settings: &Settings,
    engine: &mut dyn Backend,
    text: &Text,
    cut: &EvalOptions,
    on_progress: &mut dyn FnMut(&eval::Progress) -> ControlFlow<()>,
) -> anyhow::Result<(Perplexity, Baseline, Divergence)> {
    let checkpoint = model::open_float(dir, options.model.load.load)?;
    let weights = model::weights(&checkpoint, None, options.model.quantize, settings)?;
    let mut float = model::engine(&weights, cut.window, options.prefill_chunk, settings)?;
    let comparison = eval::compare(&mut float, &mut [engine], &text.tokens, cut, on_progress)?;
    let candidate = comparison.candidates.into_iter().next();
    let candidate = candidate.ok_or_else(|| anyhow::anyhow!("nothing was compared"))??;
    let divergence = candidate.differences.summary();
    let divergence = divergence.ok_or_else(|| anyhow::anyhow!("no position was compared"))?;
    let baseline = Baseline {
        model: dir.display().to_string(),
        dtype: QuantScheme::F32,
        perplexity: comparison.baseline.perplexity,
        loss_percent: super::loss_percent(&candidate.perplexity, &comparison.baseline),
        logits_hash: comparison.baseline.logits_hash,
    };
    Ok((candidate.perplexity, baseline, divergence))
}

/// The report for people.
fn describe(report: &Report) -> String {
    let found = &report.perplexity;
    let mut text = format!(
        "{}, {}, {}, {} threads\n\
         {}: {} characters, {} tokens, {} scored (method {}, window {})\n\
         perplexity   {:.4}\n\
         logits hash  {}\n",
        report.model,
        report.dtype,
        report.kernel,
        report.threads,
        report.text,
        report.characters,
        report.tokens,
        found.tokens_scored,
        found.method,
        found.window,
        found.perplexity,
        found.logits_hash,
    );
    text += &beside_baseline(report.baseline.as_ref(), report.divergence.as_ref());
    if let Some(terms) = &report.terms {
        text += &format!(
            "terms        {:.1} % right, {} of {}\n",
            terms.term_accuracy * 100.0,
            terms.terms_correct,
            terms.terms_total,
        );
    }
    text + &format!("time         {:.1} s, {:.0} tokens/s\n", report.seconds, report.tokens_per_s)
}

/// How far the float baseline is, if there is one.
fn beside_baseline(baseline: Option<&Baseline>, divergence: Option<&Divergence>) -> String {
    let (Some(baseline), Some(d)) = (baseline, divergence) else { return String::new() };
    format!(
        "baseline     {:.4} ({}, f32); loss {:+.2} %\n\
             KL           mean {:.6}, median {:.6}, 99th percentile {:.6}, largest {:.6} nats\n\
             top-1        {:.2} % agree\n\
             logits       cosine {:.6}, MSE {:.6}, MAE {:.6}\n",
        baseline.perplexity,
        baseline.model,
        baseline.loss_percent,
        d.kl_mean,
        d.kl_median,
        d.kl_p99,
        d.kl_max,
        d.top1 * 100.0,
        d.cosine,
        d.mse,
        d.mae,
    )
}
