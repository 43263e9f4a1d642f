//! A `.rkllm` file on the board: the vendor's numerics, measured.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use rkllm::Backend;
use rkllm::eval::{self, Divergence, Perplexity};
use rkllm::model::Tokenizer;
use rkllm::npu::{NpuBackend, NpuOptions};
use serde::Serialize;

use super::{Baseline, Options, beside, beside_baseline};
use crate::args::Settings;
use crate::output;
use crate::progress::{Progress, Unit};
use crate::text::Text;

/// The result, in the keys scripts rely on.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    text: String,
    /// Unicode scalar values of the text that were used.
    characters: usize,
    /// Tokens of the text, without BOS.
    tokens: usize,
    /// The library that computed, and the release it says it is.
    runtime: String,
    runtime_version: Option<String>,
    /// Not Rockchip's: what was measured is this processor.
    stand_in: bool,
    #[serde(flatten)]
    perplexity: Perplexity,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Baseline>,
    #[serde(skip_serializing_if = "Option::is_none")]
    divergence: Option<Divergence>,
    seconds: f64,
    tokens_per_s: f64,
}

/// True for what only the vendor's runtime can load.
pub(super) fn is_vendor_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rkllm") && !path.is_dir()
}

pub(super) fn run(options: &Options, settings: &Settings, text: &str) -> anyhow::Result<()> {
    let Some(tokenizer) = &options.tokenizer else {
        bail!(
            "{}: the tokenizer of a .rkllm file cannot be read out of it; name the directory of the \
             checkpoint it was converted from by --tokenizer DIR",
            options.model.path.display()
        );
    };
    if options.record || options.terms.is_some() || options.model.dtype.is_some() {
        bail!("--record, --terms and --dtype are for models that run on the CPU");
    }
    if matches!(options.baseline, Some(None)) {
        bail!(
            "a .rkllm file is no baseline of itself; name the float checkpoint by --baseline=DIR"
        );
    }
    let tokenizer = Tokenizer::open(tokenizer)?;
    let text = Text::tokenize(text, &tokenizer)?;
    let cut = options.cut.options(tokenizer.bos(), options.prefill_chunk);
    let model = NpuOptions::default().with_context(cut.window).load(&options.model.path)?;
    let runtime = model.runtime().clone();
    let mut backend = NpuBackend::new(model)
        .with_context(|| format!("{}: no logits of it", options.model.path.display()))?;
    let mut progress = Progress::new("evaluating", Unit::Tokens, settings.quiet);
    let mut on_progress = |p: &eval::Progress| {
        progress.set(p.done as u64, p.total as u64, || format!("perplexity {:.3}", p.perplexity));
        ControlFlow::Continue(())
    };
    let started = Instant::now();
    let engine: &mut dyn Backend = &mut backend;
    let (perplexity, baseline, divergence) = match options.baseline.iter().flatten().next() {
        None => (eval::perplexity(engine, &text.tokens, &cut, &mut on_progress)?, None, None),
        Some(dir) => {
            let (found, baseline, divergence) =
                beside(dir, options, settings, engine, &text, &cut, &mut on_progress)?;
            (found, Some(baseline), Some(divergence))
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    drop(progress);
    let report = Report {
        model: options.model.path.display().to_string(),
        text: options.text.display().to_string(),
        characters: text.characters,
        tokens: text.tokens.len(),
        runtime: runtime.path().display().to_string(),
        runtime_version: runtime.version().map(|version| version.to_string()),
        stand_in: runtime.is_stand_in(),
        tokens_per_s: perplexity.tokens_scored as f64 / seconds.max(1e-9),
        perplexity,
        baseline,
        divergence,
        seconds,
    };
    if settings.json { output::json(&report) } else { output::print(&describe(&report)) }
}

/// The report for people.
fn describe(report: &Report) -> String {
    let found = &report.perplexity;
    let text = format!(
        "{}, {} {} ({})\n\
         {}: {} characters, {} tokens, {} scored (method {}, window {})\n\
         perplexity   {:.4}\n\
         logits hash  {}\n",
        report.model,
        if report.stand_in { "rkllm's host stand-in for librkllmrt" } else { "librkllmrt" },
        report.runtime_version.as_deref().unwrap_or("of an unknown release"),
        report.runtime,
        report.text,
        report.characters,
        report.tokens,
        found.tokens_scored,
        found.method,
        found.window,
        found.perplexity,
        found.logits_hash,
    );
    text + &beside_baseline(report.baseline.as_ref(), report.divergence.as_ref())
        + &format!("time         {:.1} s, {:.0} tokens/s\n", report.seconds, report.tokens_per_s)
}
