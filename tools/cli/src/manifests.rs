//! Models people deploy: the manifests in `models/`, embedded, so that an installed program has them.

pub(crate) mod baseline;
mod dimensions;
#[cfg(test)]
mod tests;

use anyhow::Context;
use rkllm::quant::QuantScheme;
use rkllm::soc::Soc;
use serde::{Deserialize, Serialize};

pub(crate) use dimensions::Dimensions;

/// The manifests' texts, by file, in the order they are listed.
const FILES: [(&str, &str); 13] = [
    ("tutor-nano", include_str!("../models/tutor-nano.toml")),
    ("smollm2-360m-instruct", include_str!("../models/smollm2-360m-instruct.toml")),
    ("qwen2.5-0.5b-instruct", include_str!("../models/qwen2.5-0.5b-instruct.toml")),
    ("qwen3-0.6b", include_str!("../models/qwen3-0.6b.toml")),
    ("tinyllama-1.1b-chat", include_str!("../models/tinyllama-1.1b-chat.toml")),
    ("llama-3.2-1b-instruct", include_str!("../models/llama-3.2-1b-instruct.toml")),
    ("qwen2.5-1.5b-instruct", include_str!("../models/qwen2.5-1.5b-instruct.toml")),
    ("smollm2-1.7b-instruct", include_str!("../models/smollm2-1.7b-instruct.toml")),
    ("qwen3-1.7b", include_str!("../models/qwen3-1.7b.toml")),
    ("deepseek-r1-distill-qwen-1.5b", include_str!("../models/deepseek-r1-distill-qwen-1.5b.toml")),
    ("qwen2.5-3b-instruct", include_str!("../models/qwen2.5-3b-instruct.toml")),
    ("llama-3.2-3b-instruct", include_str!("../models/llama-3.2-3b-instruct.toml")),
    ("phi-3-mini-4k-instruct", include_str!("../models/phi-3-mini-4k-instruct.toml")),
];

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// The name on the command line.
    pub(crate) id: String,
    /// The publisher's name.
    pub(crate) name: String,
    /// Where it is, for most the id on the Hugging Face hub.
    pub(crate) source: String,
    /// A commit, or the branch where none could be verified.
    pub(crate) revision: String,
    /// A matrix that serves as embedding and head counts once.
    pub(crate) parameters: u64,
    /// Positions the model was made for.
    pub(crate) context: usize,
    pub(crate) languages: String,
    pub(crate) licence: Licence,
    pub(crate) dimensions: Dimensions,
    pub(crate) chat: Chat,
    pub(crate) soc: Choices,
    /// How a baseline is to be measured.
    pub(crate) baseline_method: BaselineMethod,
    /// What was measured.
    #[serde(default)]
    pub(crate) baseline: Vec<Baseline>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Licence {
    pub(crate) name: String,
    pub(crate) url: String,
    /// What has to be done or kept in mind before a download or a product.
    pub(crate) accept: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chat {
    /// Notes on the template that comes with the model.
    pub(crate) template: String,
    /// Whether it thinks before it answers.
    pub(crate) thinking: String,
}

/// What to choose on each SoC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choices {
    rk3588: Choice,
    rk3576: Choice,
    rk3562: Choice,
    rv1126b: Choice,
}

/// The scheme for one SoC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    pub(crate) scheme: QuantScheme,
    /// False: it would run, but another model is the better choice.
    #[serde(default = "yes")]
    pub(crate) advised: bool,
    pub(crate) why: String,
    /// The figure Rockchip publishes for its runtime on this SoC with the most similar model.
    pub(crate) nearest: Option<Published>,
}

fn yes() -> bool {
    true
}

/// A row of Rockchip's benchmark: a prompt of 128 tokens, 64 new ones, release 1.3.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    pub(crate) model: String,
    pub(crate) size: String,
    pub(crate) dtype: QuantScheme,
    pub(crate) ttft_ms: f64,
    pub(crate) tokens_per_s: f64,
    pub(crate) memory_mb: f64,
}

/// How `rkllm eval` is to be run for a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaselineMethod {
    pub(crate) method: String,
    pub(crate) window: usize,
    pub(crate) text: String,
    /// Of the text with line ends of LF.
    pub(crate) sha256: Option<String>,
    pub(crate) characters: Option<usize>,
}

/// A float perplexity that somebody measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    pub(crate) text: String,
    /// Of the text with line ends of LF, as far as it was read.
    pub(crate) sha256: String,
    pub(crate) characters: usize,
    pub(crate) tokens_scored: usize,
    pub(crate) method: String,
    pub(crate) window: usize,
    pub(crate) perplexity: f64,
    /// Program, version and type of arithmetic.
    pub(crate) measured_with: String,
}

impl Choices {
    /// The choice for a SoC; `None` for one the manifests do not know.
    pub(crate) fn get(&self, soc: Soc) -> Option<&Choice> {
        match soc {
            Soc::Rk3588 => Some(&self.rk3588),
            Soc::Rk3576 => Some(&self.rk3576),
            Soc::Rk3562 => Some(&self.rk3562),
            Soc::Rv1126b => Some(&self.rv1126b),
            _ => None,
        }
    }
}

/// Every manifest, tutor-nano first, then the smallest.
pub(crate) fn all() -> anyhow::Result<Vec<Manifest>> {
    FILES
        .iter()
        .map(|(file, text)| toml::from_str(text).with_context(|| format!("models/{file}.toml")))
        .collect()
}

/// The manifest a user means: by id, by the publisher's name or by the hub's id, in any case.
pub(crate) fn find(name: &str) -> anyhow::Result<Manifest> {
    let all = all()?;
    let means = |manifest: &&Manifest| {
        [&manifest.id, &manifest.name, &manifest.source]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    };
    match all.iter().find(means) {
        Some(manifest) => Ok(manifest.clone()),
        None => anyhow::bail!(
            "no model is named {name:?}; the nearest are {}; rkllm models lists all",
            nearest(&all, name).join(", ")
        ),
    }
}

/// The three ids most like `name`: those that contain it first.
fn nearest(all: &[Manifest], name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    let likeness = |manifest: &Manifest| {
        let contained = f64::from(u8::from(manifest.id.contains(&name)));
        contained + strsim::jaro_winkler(&manifest.id, &name)
    };
    let mut sorted: Vec<(f64, &str)> =
        all.iter().map(|manifest| (likeness(manifest), manifest.id.as_str())).collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    sorted.into_iter().take(3).map(|(_, id)| id.to_owned()).collect()
}
