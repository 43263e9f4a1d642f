//! The rows of a comparison, and the table people read.

use std::collections::BTreeMap;

use rkllm::eval::{Differences, Divergence, Perplexity, TermAccuracy};
use rkllm::quant::QuantScheme;
use serde::Serialize;

use super::Report;
use crate::model::Size;
use crate::output;
use crate::table::Table;
use crate::terms::Answer;

/// What was measured of one scheme. Figures that could not be had are absent.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) dtype: QuantScheme,
    /// Why the scheme cannot apply or failed; then there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// The scheme whose weights are the same numbers in this checkpoint: computed once, listed twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) same_as: Option<QuantScheme>,
    /// True if the vendor's runtime takes the scheme on the target.
    pub(super) vendor_runtime: bool,
    #[serde(flatten)]
    pub(super) size: Option<Size>,
    /// By text, as named on the command line.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) perplexity: BTreeMap<String, f64>,
    /// How much worse than the baseline, in per cent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) loss_percent: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) logits_hash: BTreeMap<String, String>,
    /// Over all texts.
    #[serde(flatten)]
    pub(super) divergence: Option<Divergence>,
    /// Over all texts.
    #[serde(flatten)]
    pub(super) kl_quantiles: Option<KlQuantiles>,
    /// How many of the questions were answered right.
    #[serde(flatten)]
    pub(super) terms: Option<TermAccuracy>,
    /// Why there is no term accuracy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) terms_error: Option<String>,
    /// In the order of the questions; for the page only.
    #[serde(skip)]
    #[cfg_attr(not(feature = "report"), allow(dead_code))] // only the page shows them
    pub(super) answers: Vec<Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kernel: Option<String>,
    #[serde(flatten)]
    pub(super) speed: Option<Speed>,
    /// Why there is no speed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) speed_error: Option<String>,
}

/// Where the KL divergences of single positions lie, in nats; the median and the rest are in [`Divergence`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct KlQuantiles {
    pub(super) kl_p05: f64,
    pub(super) kl_p25: f64,
    pub(super) kl_p75: f64,
    pub(super) kl_p95: f64,
}

impl KlQuantiles {
    pub(super) fn of(differences: &Differences) -> Option<Self> {
        let [kl_p05, kl_p25, kl_p75, kl_p95] =
            differences.kl_quantiles([0.05, 0.25, 0.75, 0.95])?;
        Some(Self { kl_p05, kl_p25, kl_p75, kl_p95 })
    }
}

/// The keys of `rkllm bench`: medians over the rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Speed {
    pub(super) prefill_tokens_per_s: Option<f64>,
    pub(super) decode_tokens_per_s: Option<f64>,
    pub(super) ttft_ms_p50: Option<f64>,
    pub(super) load_ms: f64,
    pub(super) quantized_in_memory: bool,
    pub(super) peak_rss_bytes: Option<u64>,
    pub(super) rss_bytes: Option<u64>,
    pub(super) weight_bytes: u64,
    /// The single rounds.
    pub(super) samples: rkllm::eval::Speed,
}

impl Row {
    pub(super) fn new(dtype: QuantScheme) -> Self {
        Self {
            dtype,
            error: None,
            same_as: None,
            vendor_runtime: false,
            size: None,
            perplexity: BTreeMap::new(),
            loss_percent: BTreeMap::new(),
            logits_hash: BTreeMap::new(),
            divergence: None,
            kl_quantiles: None,
            terms: None,
            terms_error: None,
            answers: Vec::new(),
            kernel: None,
            speed: None,
            speed_error: None,
        }
    }

    /// Takes the result on one text.
    pub(super) fn add_text(&mut self, file: &str, found: &Perplexity, baseline: &Perplexity) {
        self.perplexity.insert(file.to_owned(), found.perplexity);
        let loss = crate::commands::loss_percent(found, baseline);
        self.loss_percent.insert(file.to_owned(), loss);
        self.logits_hash.insert(file.to_owned(), found.logits_hash.clone());
    }

    /// Forgets the figures of a scheme that failed.
    pub(super) fn fail(&mut self, error: String) {
        let size = self.size.take();
        *self = Self { error: Some(error), size, ..Self::new(self.dtype) };
    }
}

/// The comparison for people.
pub(super) fn describe(report: &Report) -> String {
    let mut text = format!(
        "{} for {}; measured on {}, {}, {} threads\n",
        report.model,
        report.target.facts().name,
        report.measured_on.cpu,
        report.measured_on.kernel,
        report.measured_on.threads,
    );
    for (index, t) in report.texts.iter().enumerate() {
        text += &format!(
            "text {}: {}, {} tokens scored (method {}, window {})\n",
            index + 1,
            t.file,
            t.tokens_scored,
            report.method,
            report.window
        );
    }
    if let Some(terms) = &report.terms {
        text += &format!("terms: {}, {} questions\n", terms.file, terms.questions);
    }
    text.push('\n');
    text += &table(report);
    text += &format!("\nNPU: {}.\n", report.npu);
    if report.rows.iter().any(|row| row.speed.as_ref().is_some_and(|s| s.quantized_in_memory)) {
        text += "Load time and peak memory include quantising in memory; a converted artifact needs neither.\n";
    }
    for row in &report.rows {
        if let Some(other) = row.same_as {
            text += &format!("{} is {other} here: the same numbers, computed once.\n", row.dtype);
        }
        if let Some(error) = &row.terms_error {
            text += &format!("{} gave no answers: {error}.\n", row.dtype);
        }
    }
    match &report.recommendation {
        Some(found) => text += &format!("{}: {}: {}.\n", found.target, found.dtype, found.reason),
        None => text += "No quantised scheme could be measured, so none is recommended.\n",
    }
    text
}

fn table(report: &Report) -> String {
    let mut headings = vec!["dtype".to_owned(), "bits/w".into(), "size".into()];
    for index in 1..=report.texts.len() {
        headings.extend([format!("ppl {index}"), "loss".into()]);
    }
    headings.extend(["KL mean", "KL p99", "top-1"].map(str::to_owned));
    if report.terms.is_some() {
        headings.push("terms".into());
    }
    let timed = report.rows.iter().any(|row| row.speed.is_some());
    if timed {
        let names = ["prefill t/s", "decode t/s", "TTFT ms", "load ms", "peak mem"];
        headings.extend(names.map(str::to_owned));
    }
    headings.push("vendor".into());
    let mut table = Table::new(headings);
    for row in &report.rows {
        table.push(cells(row, report, timed));
    }
    table.render()
}

fn cells(row: &Row, report: &Report, timed: bool) -> Vec<String> {
    let mut cells = vec![row.dtype.to_string()];
    if let Some(error) = &row.error {
        cells.push(error.clone());
        return cells;
    }
    let show = |value: Option<f64>, digits: usize| {
        value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
    };
    cells.push(show(row.size.map(|size| size.bits_per_weight), 2));
    cells.push(row.size.map_or("-".into(), |size| output::bytes(size.bytes)));
    for text in &report.texts {
        cells.push(show(row.perplexity.get(&text.file).copied(), 3));
        cells.push(row.loss_percent.get(&text.file).map_or("-".into(), |l| format!("{l:+.2} %")));
    }
    let divergence = row.divergence.as_ref();
    cells.push(show(divergence.map(|d| d.kl_mean), 5));
    cells.push(show(divergence.map(|d| d.kl_p99), 4));
    cells.push(divergence.map_or("-".into(), |d| format!("{:.2} %", d.top1 * 100.0)));
    if report.terms.is_some() {
        let accuracy = row.terms.as_ref().map(|terms| terms.term_accuracy);
        cells.push(accuracy.map_or("-".into(), |part| format!("{:.1} %", part * 100.0)));
    }
    if timed {
        let speed = row.speed.as_ref();
        cells.push(show(speed.and_then(|s| s.prefill_tokens_per_s), 1));
        cells.push(show(speed.and_then(|s| s.decode_tokens_per_s), 1));
        cells.push(show(speed.and_then(|s| s.ttft_ms_p50), 0));
        cells.push(show(speed.map(|s| s.load_ms), 0));
        cells.push(speed.and_then(|s| s.peak_rss_bytes).map_or("-".into(), output::bytes));
    }
    cells.push(if row.vendor_runtime { "yes" } else { "no" }.to_owned());
    cells
}
