//! Perplexity and divergence of every scheme, with one run of the baseline for as many as fit in memory.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use rkllm::cpu::Engine;
use rkllm::eval::{self, Differences, Divergence, EvalOptions};
use rkllm::model::{Checkpoint, ModelWeights, Tokenizer};
use rkllm::quant::QuantScheme;
use rkllm::{Backend, ErrorKind};

use super::Options;
use super::report::{KlQuantiles, Row};
use crate::args::Settings;
use crate::model::{self, Size};
use crate::progress::{Progress, Unit};
use crate::system;
use crate::terms::Questions;
use crate::text::Text;

/// Every scheme's row, and what is the same for all.
pub(super) struct Quality {
    pub(super) rows: Vec<Row>,
    /// Per text.
    pub(super) tokens_scored: Vec<usize>,
    pub(super) kernel: String,
}

/// One scheme in memory.
struct Candidate {
    row: usize,
    engine: Engine,
    bytes: u64,
    differences: Differences,
    failure: Option<rkllm::Error>,
}

/// Of the baseline from itself.
const NONE: Divergence = Divergence {
    kl_mean: 0.0,
    kl_median: 0.0,
    kl_p99: 0.0,
    kl_max: 0.0,
    top1: 1.0,
    cosine: 1.0,
    mse: 0.0,
    mae: 0.0,
};

/// What every scheme is measured on.
pub(super) struct Material<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) texts: &'a [(String, Text)],
    pub(super) questions: Option<&'a Questions>,
}

pub(super) fn measure(
    material: &Material<'_>,
    schemes: &[QuantScheme],
    cut: &EvalOptions,
    options: &Options,
    settings: &Settings,
) -> anyhow::Result<Quality> {
    let weights = model::weights(material.checkpoint, None, options.quantize, settings)?;
    let mut rows: Vec<Row> = schemes.iter().map(|&scheme| Row::new(scheme)).collect();
    rows[0].size = Some(Size::of(&weights));
    rows[0].divergence = Some(NONE);
    let mut baseline = model::engine(&weights, cut.window, options.runs.prefill_chunk, settings)?;
    let kernel = baseline.kernel_name().to_owned();
    let mut waiting: VecDeque<usize> = (1..schemes.len()).collect();
    let mut tokens_scored = Vec::new();
    let mut progress = Progress::new("evaluating", Unit::Tokens, settings.quiet);
    let mut done = 0;
    loop {
        let mut batch = load_batch(
            &mut waiting,
            &mut rows,
            material.checkpoint,
            baseline.weights(),
            options,
            settings,
        )?;
        if batch.is_empty() && done > 0 {
            break;
        }
        let names = batch.iter().map(|candidate| rows[candidate.row].dtype.to_string());
        progress.relabel(&format!("evaluating {}", names.collect::<Vec<_>>().join(", ")));
        let engines = &mut batch;
        let scored =
            run_batch(engines, &mut baseline, material.texts, cut, &mut rows, &mut progress)?;
        if done == 0 {
            tokens_scored = scored;
        }
        if let Some(questions) = material.questions {
            // The baseline answers with the first batch.
            let float = (done == 0).then_some((0, baseline.weights()));
            let rest = batch.iter().map(|candidate| (candidate.row, candidate.engine.weights()));
            for (row, weights) in float.into_iter().chain(rest) {
                ask(&mut rows[row], weights, questions, material.tokenizer, settings)?;
            }
        }
        done += 1;
        if waiting.is_empty() {
            break;
        }
    }
    rows.iter_mut().for_each(|row| row.kernel = Some(kernel.clone()));
    copy_same(&mut rows);
    Ok(Quality { rows, tokens_scored, kernel })
}

/// Loads as many waiting schemes as fit in half of what memory is left, at least one. Schemes that cannot
/// apply get their reason instead.
fn load_batch(
    waiting: &mut VecDeque<usize>,
    rows: &mut [Row],
    checkpoint: &Checkpoint,
    baseline: &ModelWeights,
    options: &Options,
    settings: &Settings,
) -> anyhow::Result<Vec<Candidate>> {
    let budget = system::available_memory().map_or(u64::MAX, |bytes| bytes / 2);
    let mut batch: Vec<Candidate> = Vec::new();
    // Schemes come from the most to the fewest bits, so the next is no larger than the last.
    while batch.last().is_none_or(|last| {
        batch.iter().map(|candidate| candidate.bytes).sum::<u64>() + last.bytes <= budget
    }) {
        let Some(row) = waiting.pop_front() else { break };
        let scheme = rows[row].dtype;
        match model::weights(checkpoint, Some(scheme), options.quantize, settings) {
            Ok(weights) => {
                let size = Size::of(&weights);
                rows[row].size = Some(size);
                if scheme.is_float() && model::same_numbers(&weights, baseline) {
                    rows[row].same_as = Some(baseline.scheme);
                    continue;
                }
                let window = options.cut.window;
                let chunk = options.runs.prefill_chunk;
                batch.push(Candidate {
                    row,
                    engine: model::engine(&weights, window, chunk, settings)?,
                    bytes: size.bytes,
                    differences: Differences::default(),
                    failure: None,
                });
            }
            Err(error) if error.kind() == ErrorKind::Quantization => {
                // The table has named the model already.
                let model = format!("{}: ", options.model.display());
                let error = error.to_string();
                rows[row].error = Some(error.trim_start_matches(&model).to_owned());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(batch)
}

/// Runs every text through the baseline and the batch; returns the predictions scored of each text.
fn run_batch(
    batch: &mut [Candidate],
    baseline: &mut Engine,
    texts: &[(String, Text)],
    cut: &EvalOptions,
    rows: &mut [Row],
    progress: &mut Progress,
) -> anyhow::Result<Vec<usize>> {
    let mut scored = Vec::new();
    for (file, text) in texts {
        let mut live: Vec<&mut Candidate> =
            batch.iter_mut().filter(|candidate| candidate.failure.is_none()).collect();
        let mut engines: Vec<&mut dyn Backend> =
            live.iter_mut().map(|candidate| &mut candidate.engine as &mut dyn Backend).collect();
        let found = eval::compare(baseline, &mut engines, &text.tokens, cut, &mut |p| {
            progress.set(p.done as u64, p.total as u64, || {
                format!("{file}, perplexity {:.3}", p.perplexity)
            });
            ControlFlow::Continue(())
        })?;
        drop(engines);
        scored.push(found.baseline.tokens_scored);
        rows[0].add_text(file, &found.baseline, &found.baseline);
        for (candidate, result) in live.into_iter().zip(found.candidates) {
            match result {
                Ok(result) => {
                    candidate.differences.append(&result.differences);
                    rows[candidate.row].add_text(file, &result.perplexity, &found.baseline);
                }
                Err(error) => candidate.failure = Some(error),
            }
        }
    }
    for candidate in batch {
        let row = &mut rows[candidate.row];
        match candidate.failure.take() {
            None => {
                row.divergence = candidate.differences.summary();
                row.kl_quantiles = KlQuantiles::of(&candidate.differences);
            }
            Some(error) => row.fail(error.to_string()),
        }
    }
    Ok(scored)
}

/// Lets one scheme answer the questions. A scheme that cannot has no accuracy; its other figures stand.
fn ask(
    row: &mut Row,
    weights: &Arc<ModelWeights>,
    questions: &Questions,
    tokenizer: &Tokenizer,
    settings: &Settings,
) -> anyhow::Result<()> {
    if row.error.is_some() {
        return Ok(());
    }
    let label = format!("asking {}", row.dtype);
    let mut progress = Progress::new(&label, Unit::Questions, settings.quiet);
    match questions.ask(weights, tokenizer, settings, &mut progress) {
        Ok(found) => {
            row.terms = Some(found.accuracy);
            row.answers = found.answers;
        }
        Err(error) if error.kind() == ErrorKind::NonFinite => {
            row.terms_error = Some(error.to_string());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Gives the schemes whose weights are the baseline's what was measured of it.
fn copy_same(rows: &mut [Row]) {
    let Some((baseline, rest)) = rows.split_first_mut() else { return };
    for row in rest.iter_mut().filter(|row| row.same_as.is_some()) {
        row.perplexity.clone_from(&baseline.perplexity);
        row.loss_percent.clone_from(&baseline.loss_percent);
        row.logits_hash.clone_from(&baseline.logits_hash);
        row.divergence.clone_from(&baseline.divergence);
        row.terms.clone_from(&baseline.terms);
        row.terms_error.clone_from(&baseline.terms_error);
        row.answers.clone_from(&baseline.answers);
    }
}
