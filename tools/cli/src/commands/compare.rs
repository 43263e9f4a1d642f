//! `rkllm compare`: what each scheme costs on a checkpoint, and which one to use on a board.

#[cfg(feature = "report")]
mod html;
mod quality;
mod report;
mod speed;

use std::env;
use std::path::PathBuf;

use clap::Args;
use rkllm::eval::{Limits, Measured, Recommendation, Term, recommend};
use rkllm::model::{Checkpoint, Tokenizer};
use rkllm::quant::QuantScheme;
use rkllm::soc::Soc;
use serde::Serialize;

use crate::args::{LoadArgs, QuantizeArgs, Settings, dtype_parser};
use crate::commands::bench::RunArgs;
use crate::commands::eval::CutArgs;
use crate::manifests::baseline::{self, Check, Scored};
use crate::terms::{self, Prompt, Questions};
use crate::text::{self, Text};
use crate::{model, output, system};
use quality::Material;
use report::Row;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Directory of a Hugging Face checkpoint that is not quantised
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// UTF-8 texts to predict [default: every eval.*.txt in MODEL]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    text: Vec<PathBuf>,
    /// Questions with exact answers, as JSON lines [default: MODEL's terms.jsonl, if there is one]
    #[arg(long, value_name = "FILE")]
    terms: Option<PathBuf>,
    /// Ask no questions
    #[arg(long, conflicts_with = "terms")]
    no_terms: bool,
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
    /// The loss of term accuracy the recommendation may accept, in points of a hundred
    #[arg(long, value_name = "POINTS", default_value_t = 2.0, value_parser = percent)]
    max_terms_loss: f64,
    /// Write the comparison as one self-contained page
    #[cfg(feature = "report")]
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
    #[command(flatten)]
    load: LoadArgs,
}

/// Everything measured, in the keys scripts rely on.
#[derive(Debug, Serialize)]
struct Report {
    /// Of this program.
    version: &'static str,
    /// When the measurements were done: `2026-01-31T23:59:59Z`.
    date: String,
    /// The command line.
    command: Vec<String>,
    model: String,
    target: Soc,
    /// What ran the measurements.
    measured_on: MeasuredOn,
    /// Speed on the NPU.
    npu: &'static str,
    method: rkllm::eval::Method,
    window: usize,
    clip: String,
    asymmetric: bool,
    /// How speed was measured; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_runs: Option<SpeedRuns>,
    texts: Vec<TextReport>,
    /// The float perplexity against the manifests' baselines; null where none was measured alike.
    baseline: Option<Vec<Check>>,
    /// The questions; absent if none were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    terms: Option<TermsReport>,
    /// What the recommendation may lose: per cent of perplexity, points of term accuracy.
    max_loss_percent: f64,
    max_terms_loss_points: f64,
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
struct SpeedRuns {
    prompt: usize,
    generate: usize,
    rounds: usize,
}

#[derive(Debug, Serialize)]
struct TermsReport {
    file: String,
    sha256: String,
    questions: usize,
    prompt: Prompt,
    /// For the page only.
    #[serde(skip)]
    #[cfg_attr(not(feature = "report"), allow(dead_code))] // only the page shows them
    asked: Vec<Term>,
}

#[derive(Debug, Serialize)]
struct TextReport {
    file: String,
    sha256: String,
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
    #[cfg(feature = "report")]
    let page = options.report.as_deref().map(html::Page::create).transpose()?;
    let sources = sources(options)?;
    let checkpoint = model::open_float(&options.model, options.load.load)?;
    let tokenizer = Tokenizer::open(&options.model)?;
    let texts = sources
        .iter()
        .map(|(path, source)| Ok((path.display().to_string(), Text::tokenize(source, &tokenizer)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    drop(sources);
    let questions = questions(options, &checkpoint, &tokenizer)?;
    let report = measure(options, settings, checkpoint, &tokenizer, texts, questions)?;
    #[cfg(feature = "report")]
    if let Some(page) = page {
        page.write(&report)?;
    }
    if settings.json {
        return output::json(&report);
    }
    let baseline = baseline::describe(report.baseline.as_deref());
    output::print(&(report::describe(&report) + &baseline))
}

/// The texts named, each once, or those the model brings.
fn sources(options: &Options) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let named = if options.text.is_empty() {
        text::of_model(&options.model)?
    } else {
        options.text.clone()
    };
    let mut sources: Vec<(PathBuf, String)> = Vec::new();
    for path in named {
        if sources.iter().all(|(other, _)| *other != path) {
            let source = text::read(&path, options.cut.max_chars)?;
            sources.push((path, source));
        }
    }
    Ok(sources)
}

/// The questions named, or those the model brings.
fn questions(
    options: &Options,
    checkpoint: &Checkpoint,
    tokenizer: &Tokenizer,
) -> anyhow::Result<Option<Questions>> {
    let own = || terms::of_model(&options.model);
    let Some(file) = options.terms.clone().or_else(own).filter(|_| !options.no_terms) else {
        return Ok(None);
    };
    Questions::open(&file, &options.model, checkpoint.config(), tokenizer).map(Some)
}

/// Measures quality, then speed, and puts the report together.
fn measure(
    options: &Options,
    settings: &Settings,
    checkpoint: Checkpoint,
    tokenizer: &Tokenizer,
    texts: Vec<(String, Text)>,
    questions: Option<Questions>,
) -> anyhow::Result<Report> {
    let cut = options.cut.options(tokenizer.bos(), options.runs.prefill_chunk);
    let material = Material {
        checkpoint: &checkpoint,
        tokenizer,
        texts: &texts,
        questions: questions.as_ref(),
    };
    let mut found = quality::measure(&material, &schemes(options), &cut, options, settings)?;
    let baseline = check_baseline(&checkpoint, options, &texts, &found)?;
    drop(checkpoint);
    for row in &mut found.rows {
        row.vendor_runtime = options.target.vendor_runtime_takes(row.dtype);
    }
    if !options.no_bench {
        speed::measure(&mut found.rows, options, settings)?;
    }
    let measured: Vec<Measured> = found.rows.iter().filter_map(measured).collect();
    let limits = Limits {
        perplexity: options.max_loss / 100.0,
        term_accuracy: options.max_terms_loss / 100.0,
    };
    let texts = texts.into_iter().zip(found.tokens_scored).map(|((file, text), tokens_scored)| {
        let Text { characters, sha256, tokens } = text;
        TextReport { file, sha256, characters, tokens: tokens.len(), tokens_scored }
    });
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        date: system::now(),
        command: env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect(),
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
        asymmetric: options.quantize.asymmetric,
        speed_runs: found.rows.iter().any(|row| row.speed.is_some()).then_some(SpeedRuns {
            prompt: options.runs.prompt,
            generate: options.runs.generate,
            rounds: options.repeat,
        }),
        texts: texts.collect(),
        baseline,
        terms: questions.map(TermsReport::of),
        max_loss_percent: options.max_loss,
        max_terms_loss_points: options.max_terms_loss,
        recommendation: recommend(&options.target.to_string(), &measured, &limits),
        rows: found.rows,
    })
}

impl TermsReport {
    fn of(questions: Questions) -> Self {
        let Questions { file, sha256, prompt, terms, .. } = questions;
        Self { file, sha256, questions: terms.len(), prompt, asked: terms }
    }
}

/// What the model's manifest says of the float perplexities, if it does.
fn check_baseline(
    checkpoint: &Checkpoint,
    options: &Options,
    texts: &[(String, Text)],
    found: &quality::Quality,
) -> anyhow::Result<Option<Vec<Check>>> {
    let scored = texts.iter().zip(&found.tokens_scored);
    let scored = scored.filter_map(|((file, text), &tokens_scored)| {
        let perplexity = *found.rows[0].perplexity.get(file)?;
        Some(Scored { file, sha256: &text.sha256, tokens_scored, perplexity })
    });
    let scored: Vec<Scored<'_>> = scored.collect();
    baseline::check(checkpoint.config(), options.cut.method, options.cut.window, &scored)
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
        term_accuracy: row.terms.as_ref().map(|terms| terms.term_accuracy),
        vendor_runtime: row.vendor_runtime,
    })
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("expected a number of per cent, such as 1 or 0.5".into()),
    }
}
