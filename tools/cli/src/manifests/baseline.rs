//! A checkpoint's float perplexity against what its manifest records.

use rkllm::eval::Method;
use rkllm::model::ModelConfig;
use serde::Serialize;

use super::{Dimensions, Manifest};

/// Below this the perplexities agree, in per cent. The engine itself repeats to the bit; programs that
/// add in another order differ in the fifth digit or later.
const TOLERANCE: f64 = 0.1;

/// A text and what the float model made of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scored<'a> {
    pub(crate) file: &'a str,
    pub(crate) sha256: &'a str,
    pub(crate) tokens_scored: usize,
    pub(crate) perplexity: f64,
}

/// One comparison with a recorded baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Check {
    /// The manifest.
    pub(crate) model: String,
    pub(crate) text: String,
    pub(crate) expected: f64,
    pub(crate) found: f64,
    /// How much more was found than expected.
    pub(crate) difference_percent: f64,
    pub(crate) agrees: bool,
    pub(crate) measured_with: String,
}

/// Compares with every baseline that was measured alike - a model of the same dimensions, the same text,
/// method, window and number of predictions. `None` if there is none.
pub(crate) fn check(
    config: &ModelConfig,
    method: Method,
    window: usize,
    texts: &[Scored<'_>],
) -> anyhow::Result<Option<Vec<Check>>> {
    Ok(among(&super::all()?, config, method, window, texts))
}

pub(super) fn among(
    manifests: &[Manifest],
    config: &ModelConfig,
    method: Method,
    window: usize,
    texts: &[Scored<'_>],
) -> Option<Vec<Check>> {
    let dimensions = Dimensions::of(config);
    let method = method.to_string();
    let mut checks = Vec::new();
    for manifest in manifests.iter().filter(|manifest| manifest.dimensions == dimensions) {
        for (text, baseline) in
            texts.iter().flat_map(|text| manifest.baseline.iter().map(move |known| (text, known)))
        {
            if baseline.sha256 != text.sha256
                || baseline.tokens_scored != text.tokens_scored
                || (&baseline.method, baseline.window) != (&method, window)
            {
                continue;
            }
            let difference_percent = (text.perplexity / baseline.perplexity - 1.0) * 100.0;
            checks.push(Check {
                model: manifest.id.clone(),
                text: text.file.into(),
                expected: baseline.perplexity,
                found: text.perplexity,
                difference_percent,
                agrees: difference_percent.abs() <= TOLERANCE,
                measured_with: baseline.measured_with.clone(),
            });
        }
    }
    (!checks.is_empty()).then_some(checks)
}

/// The checks as lines for people; nothing for none.
pub(crate) fn describe(checks: Option<&[Check]>) -> String {
    let mut text = String::new();
    for check in checks.unwrap_or_default() {
        let Check { model, expected, found, measured_with, .. } = check;
        let verdict = match check.agrees {
            true => "agrees with".to_owned(),
            false => format!("differs by {:+.2} % from", check.difference_percent),
        };
        text += &format!(
            "float perplexity {found:.4} on {}: {verdict} the baseline of {model}, {expected:.4} ({measured_with})\n",
            check.text
        );
        if !check.agrees {
            text += "  other weights, another tokenizer, or a program that computes otherwise\n";
        }
    }
    text
}
