//! How far quantised models are from their float baseline, fed with the same tokens in lock step.

use std::ops::ControlFlow;

use super::perplexity::{
    Perplexity, Progress, Score, check_context, feed_context, report, surplus,
};
use super::plan::{EvalOptions, Plan, Sequence};
use super::softmax::LogSum;
use crate::kernels::Kernel;
use crate::kernels::float::FloatOps;
use crate::kernels::fpenv::FpEnv;
use crate::logits::first_maximum;
use crate::{Backend, Error, ErrorKind, Result, Want};

/// The baseline's logits are held for one chunk only, in at most this many bytes (or one position).
const HELD_BYTES: usize = 64 << 20;

/// The difference of a model's logits from the baseline's over the scored positions of a text.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Divergence {
    /// Mean over positions of `KL(baseline || model) = sum p (ln p - ln q)`, in nats.
    pub kl_mean: f64,
    /// Its median.
    pub kl_median: f64,
    /// Its 99th percentile (between the two nearest ranks, by linear interpolation).
    pub kl_p99: f64,
    /// Its largest value.
    pub kl_max: f64,
    /// The part of the positions where both models rank the same token first, 0 to 1.
    pub top1: f64,
    /// Mean over positions of the cosine of the angle between the logits.
    pub cosine: f64,
    /// Mean squared error of the logits.
    pub mse: f64,
    /// Mean absolute error of the logits.
    pub mae: f64,
}

/// One model beside the baseline.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// How well it predicts the text.
    pub perplexity: Perplexity,
    /// How far it is from the baseline, position by position.
    pub differences: Differences,
}

/// The baseline and what was compared with it.
#[derive(Debug)]
pub struct Comparison {
    /// How well the baseline predicts the text.
    pub baseline: Perplexity,
    /// One for each candidate, in their order. A candidate that fails does not stop the others.
    pub candidates: Vec<Result<Candidate>>,
}

/// Evaluates `baseline` and all `candidates` on `tokens`, as [`perplexity`](super::perplexity) does, with one run of
/// the baseline for all of them.
///
/// # Errors
/// As [`perplexity`](super::perplexity), for the baseline. Errors of a candidate are in its place, except
/// [`ErrorKind::Cancelled`].
pub fn compare(
    baseline: &mut dyn Backend,
    candidates: &mut [&mut dyn Backend],
    tokens: &[u32],
    options: &EvalOptions,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Comparison> {
    let _env = FpEnv::enter();
    let plan = Plan::new(tokens, options)?;
    check_context(baseline, options)?;
    let vocab = baseline.vocab_size();
    let mut runs: Vec<Result<Run>> = candidates
        .iter()
        .map(|candidate| {
            check_context(&**candidate, options)?;
            check_vocab(vocab, candidate.vocab_size())?;
            Ok(Run { score: Score::new()?, differences: Differences::default() })
        })
        .collect();
    let mut score = Score::new()?;
    let mut held = Held::new(vocab, options)?;
    for sequence in plan.sequences() {
        start(baseline, &sequence, held.chunk)?;
        for (candidate, run) in live(candidates, &mut runs) {
            keep_error(run, start(candidate, &sequence, held.chunk));
        }
        let chunks = sequence.inputs.chunks(held.chunk).zip(sequence.targets.chunks(held.chunk));
        for (inputs, targets) in chunks {
            held.fill(baseline, inputs, targets, &mut score)?;
            report(progress, &score, plan.total)?;
            for (candidate, slot) in live(candidates, &mut runs) {
                if let Ok(run) = slot {
                    let result = run.chunk(candidate, inputs, targets, &held);
                    keep_error(slot, result);
                }
                // After each candidate, so that a cancelled run ends soon.
                report(progress, &score, plan.total)?;
            }
        }
    }
    Ok(Comparison {
        baseline: score.finish(options, plan.total)?,
        candidates: runs
            .into_iter()
            .map(|run| run.and_then(|run| run.finish(options, plan.total)))
            .collect(),
    })
}

/// The candidates that have not failed.
fn live<'a, 'b>(
    candidates: &'a mut [&'b mut dyn Backend],
    runs: &'a mut [Result<Run>],
) -> impl Iterator<Item = (&'a mut (dyn Backend + 'b), &'a mut Result<Run>)> {
    candidates
        .iter_mut()
        .zip(runs)
        .filter(|(_, run)| run.is_ok())
        .map(|(candidate, run)| (&mut **candidate, run))
}

/// Puts an error in a run's place.
fn keep_error(run: &mut Result<Run>, result: Result<()>) {
    if let Err(error) = result {
        *run = Err(error);
    }
}

/// Begins a sequence with what is not scored.
fn start(backend: &mut dyn Backend, sequence: &Sequence<'_>, chunk: usize) -> Result<()> {
    backend.reset();
    feed_context(backend, sequence.context, chunk)
}

fn check_vocab(baseline: usize, candidate: usize) -> Result<()> {
    if baseline == candidate {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Shape,
        format!("the baseline has {baseline} logits per position, the model {candidate}"),
    )
    .with_hint("compare a model with the checkpoint it was made from"))
}

/// The baseline's side of one chunk.
struct Held {
    vocab: usize,
    chunk: usize,
    ops: &'static dyn FloatOps,
    /// `[positions, vocab]`
    logits: Vec<f32>,
    /// `exp(logits - max)`, `[positions, vocab]`
    exps: Vec<f32>,
    /// Scratch: the arguments of `exp`.
    shifted: Vec<f32>,
    sums: Vec<LogSum>,
    top1: Vec<usize>,
}

impl Held {
    fn new(vocab: usize, options: &EvalOptions) -> Result<Self> {
        let most = (HELD_BYTES / (8 * vocab.max(1))).max(1);
        let chunk = if options.chunk == 0 { options.window } else { options.chunk };
        Ok(Self {
            vocab,
            chunk: chunk.min(most),
            ops: Kernel::active()?.float(),
            logits: Vec::new(),
            exps: Vec::new(),
            shifted: Vec::new(),
            sums: Vec::new(),
            top1: Vec::new(),
        })
    }

    /// Runs the baseline over `inputs` and holds what the candidates are compared with.
    fn fill(
        &mut self,
        baseline: &mut dyn Backend,
        inputs: &[u32],
        targets: &[u32],
        score: &mut Score,
    ) -> Result<()> {
        self.logits.clear();
        self.exps.resize(inputs.len() * self.vocab, 0.0);
        self.sums.clear();
        self.top1.clear();
        baseline.forward(inputs, Want::All, &mut |_, logits| {
            let index = self.sums.len();
            let &target = targets.get(index).ok_or_else(surplus)?;
            check_vocab(self.vocab, logits.len())?;
            let sum = score.add(logits, target)?;
            let exps = &mut self.exps[index * self.vocab..(index + 1) * self.vocab];
            self.shifted.clear();
            self.shifted.extend(logits.iter().map(|logit| logit - sum.max));
            self.ops.exp(&self.shifted, exps);
            self.logits.extend_from_slice(logits);
            self.sums.push(sum);
            self.top1.push(first_maximum(logits));
            Ok(())
        })
    }
}

/// The differences at the scored positions of one or more texts.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    kl: Vec<f64>,
    same_top1: usize,
    cosine: f64,
    squared: f64,
    absolute: f64,
    /// Logits that `squared` and `absolute` are over.
    values: usize,
}

impl Differences {
    /// Adds the positions of another text.
    pub fn append(&mut self, other: &Self) {
        self.kl.extend_from_slice(&other.kl);
        self.same_top1 += other.same_top1;
        self.cosine += other.cosine;
        self.squared += other.squared;
        self.absolute += other.absolute;
        self.values += other.values;
    }

    /// The measures over all positions; `None` if there are none.
    pub fn summary(&self) -> Option<Divergence> {
        let positions = self.kl.len() as f64;
        let values = self.values as f64;
        let mut kl = self.kl.clone();
        kl.sort_unstable_by(f64::total_cmp);
        Some(Divergence {
            kl_mean: self.kl.iter().sum::<f64>() / positions,
            kl_median: percentile(&kl, 0.5)?,
            kl_p99: percentile(&kl, 0.99)?,
            kl_max: percentile(&kl, 1.0)?,
            top1: self.same_top1 as f64 / positions,
            cosine: self.cosine / positions,
            mse: self.squared / values,
            mae: self.absolute / values,
        })
    }

    /// The KL divergence, in nats, below which each of `parts` (0 to 1) of the positions lies, between the two
    /// nearest ranks by linear interpolation; `None` if there are no positions.
    pub fn kl_quantiles<const N: usize>(&self, parts: [f64; N]) -> Option<[f64; N]> {
        let mut kl = self.kl.clone();
        kl.sort_unstable_by(f64::total_cmp);
        let found = parts.map(|part| percentile(&kl, part.clamp(0.0, 1.0)));
        found.iter().all(Option::is_some).then(|| found.map(Option::unwrap_or_default))
    }
}

/// What is known of one candidate.
#[derive(Debug)]
struct Run {
    score: Score,
    differences: Differences,
}

impl Run {
    fn chunk(
        &mut self,
        candidate: &mut dyn Backend,
        inputs: &[u32],
        targets: &[u32],
        held: &Held,
    ) -> Result<()> {
        let mut positions = held
            .logits
            .chunks_exact(held.vocab)
            .zip(held.exps.chunks_exact(held.vocab))
            .zip(held.sums.iter().zip(&held.top1))
            .zip(targets);
        candidate.forward(inputs, Want::All, &mut |_, logits| {
            let (((base, exps), (&sum, &top1)), &target) = positions.next().ok_or_else(surplus)?;
            check_vocab(base.len(), logits.len())?;
            let own = self.score.add(logits, target)?;
            let sums = Sums::of(base, exps, logits);
            // sum p (ln p - ln q), with p = e / t: the two logarithms of the sums come out of the sum.
            let shift = (f64::from(own.max) + own.ln_sum) - (f64::from(sum.max) + sum.ln_sum);
            // Rounding of exp may leave a little less than the zero it cannot be below.
            let all = &mut self.differences;
            all.kl.push((sums.weighted / sums.exps + shift).max(0.0));
            all.same_top1 += usize::from(first_maximum(logits) == top1);
            all.cosine += sums.cosine();
            all.squared += sums.squared;
            all.absolute += sums.absolute;
            all.values += logits.len();
            Ok(())
        })
    }

    fn finish(self, options: &EvalOptions, total: usize) -> Result<Candidate> {
        let perplexity = self.score.finish(options, total)?;
        Ok(Candidate { perplexity, differences: self.differences })
    }
}

/// The value below which the part `part` of `sorted` lies, linear between the nearest two.
fn percentile(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = part * last as f64;
    let low = (rank as usize).min(last);
    let high = (low + 1).min(last);
    Some(sorted[low] + (sorted[high] - sorted[low]) * (rank - low as f64))
}

/// One pass over two rows of logits, in f64.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    /// `sum e`
    exps: f64,
    /// `sum e (base - logits)`
    weighted: f64,
    squared: f64,
    absolute: f64,
    product: f64,
    base_norm: f64,
    norm: f64,
}

impl Sums {
    fn of(base: &[f32], exps: &[f32], logits: &[f32]) -> Self {
        const LANES: usize = 4;
        let mut lanes = [Self::default(); LANES];
        let (base, base_rest) = base.as_chunks::<LANES>();
        let (exps, exps_rest) = exps.as_chunks::<LANES>();
        let (logits, logits_rest) = logits.as_chunks::<LANES>();
        for ((base, exps), logits) in base.iter().zip(exps).zip(logits) {
            for (lane, sums) in lanes.iter_mut().enumerate() {
                sums.add(base[lane], exps[lane], logits[lane]);
            }
        }
        let rest = base_rest.iter().zip(exps_rest).zip(logits_rest);
        for (sums, ((&base, &exp), &logit)) in lanes.iter_mut().zip(rest) {
            sums.add(base, exp, logit);
        }
        let [a, b, c, d] = lanes;
        a.plus(c).plus(b.plus(d))
    }

    #[inline(always)]
    fn add(&mut self, base: f32, exp: f32, logit: f32) {
        let (base, exp, logit) = (f64::from(base), f64::from(exp), f64::from(logit));
        let difference = base - logit;
        self.exps += exp;
        self.weighted += exp * difference;
        self.squared += difference * difference;
        self.absolute += difference.abs();
        self.product += base * logit;
        self.base_norm += base * base;
        self.norm += logit * logit;
    }

    fn plus(self, other: Self) -> Self {
        Self {
            exps: self.exps + other.exps,
            weighted: self.weighted + other.weighted,
            squared: self.squared + other.squared,
            absolute: self.absolute + other.absolute,
            product: self.product + other.product,
            base_norm: self.base_norm + other.base_norm,
            norm: self.norm + other.norm,
        }
    }

    /// 1 for two rows of zeros, 0 if one of them is.
    fn cosine(self) -> f64 {
        if self.base_norm == 0.0 && self.norm == 0.0 {
            return 1.0;
        }
        let norms = self.base_norm.sqrt() * self.norm.sqrt();
        if norms == 0.0 { 0.0 } else { (self.product / norms).clamp(-1.0, 1.0) }
    }
}
