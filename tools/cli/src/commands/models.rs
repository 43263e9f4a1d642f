//! `rkllm models`: models to deploy, and the scheme to choose on each SoC.

use std::collections::BTreeMap;

use clap::Args;
use rkllm::quant::QuantScheme;
use rkllm::soc::Soc;
use serde::Serialize;

use crate::args::Settings;
use crate::manifests::{self, Baseline, Manifest};
use crate::output;
use crate::table::Table;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Show everything of one model
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// A manifest and what follows from it.
#[derive(Debug, Serialize)]
struct Entry {
    #[serde(flatten)]
    manifest: Manifest,
    /// Bytes of the tensors by scheme, computed from the dimensions; null where it cannot apply.
    computed_bytes: BTreeMap<String, Option<u64>>,
}

/// The sizes the list shows; the page of one model has all.
const LISTED: [&str; 2] = ["w8a8", "w4a16_g128"];

const NOTES: &str = "\
Sizes are computed from the dimensions, for the tensors of an artifact of rkllm convert; none was measured.
In parentheses: it would run, but a smaller model is the better choice on that SoC.
Before you choose, see what a scheme costs your model on your text: rkllm compare MODEL --text FILE
";

impl Entry {
    fn new(manifest: Manifest) -> Self {
        let size =
            |scheme: QuantScheme| (scheme.to_string(), manifest.dimensions.bytes(scheme).ok());
        let computed_bytes = QuantScheme::ALL.map(size).into();
        Self { manifest, computed_bytes }
    }

    fn size(&self, scheme: &str) -> String {
        self.computed_bytes.get(scheme).copied().flatten().map_or("-".into(), output::bytes)
    }
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    if let Some(name) = &options.name {
        let entry = Entry::new(manifests::find(name)?);
        return match settings.json {
            true => output::json(&entry),
            false => output::print(&describe(&entry)),
        };
    }
    let entries: Vec<Entry> = manifests::all()?.into_iter().map(Entry::new).collect();
    if settings.json { output::json(&entries) } else { output::print(&list(&entries)) }
}

fn list(entries: &[Entry]) -> String {
    let mut headings = vec!["model".to_owned(), "parameters".into(), "licence".into()];
    headings.extend(Soc::ALL.map(|soc| soc.to_string()));
    headings.extend(LISTED.map(|scheme| format!("{scheme} size")));
    let mut table = Table::new(headings);
    for entry in entries {
        let Manifest { id, parameters, licence, soc, .. } = &entry.manifest;
        let mut row = vec![id.clone(), count(*parameters), licence.name.clone()];
        row.extend(Soc::ALL.map(|chip| match soc.get(chip) {
            Some(choice) if choice.advised => choice.scheme.to_string(),
            Some(choice) => format!("({})", choice.scheme),
            None => "-".into(),
        }));
        row.extend(LISTED.map(|scheme| entry.size(scheme)));
        table.push(row);
    }
    format!("{}\n{NOTES}rkllm models NAME tells why, and more.\n", table.render())
}

/// Everything of one model.
fn describe(entry: &Entry) -> String {
    let Manifest { name, source, revision, licence, dimensions, chat, .. } = &entry.manifest;
    let manifest = &entry.manifest;
    let mut text = format!("{name}\n\n");
    let mut line = |key: &str, value: String| text += &format!("{key:<12}{value}\n");
    line("source", format!("{source}, revision {revision}"));
    line("licence", format!("{}, {}", licence.name, licence.url));
    if let Some(accept) = &licence.accept {
        line("", accept.clone());
    }
    line("parameters", format!("{} ({})", count(manifest.parameters), manifest.parameters));
    line(
        "shape",
        format!(
            "{}: {} layers, hidden {}, intermediate {}, {} heads of {}, {} of keys and values, vocabulary {}{}",
            dimensions.model_type,
            dimensions.layers,
            dimensions.hidden_size,
            dimensions.intermediate_size,
            dimensions.attention_heads,
            dimensions.head_dim,
            dimensions.key_value_heads,
            dimensions.vocab_size,
            if dimensions.tie_word_embeddings { ", tied" } else { "" }
        ),
    );
    line("context", format!("{} tokens", manifest.context));
    line("languages", manifest.languages.clone());
    line("chat", chat.template.clone());
    line("thinking", chat.thinking.clone());
    text += &format!("\n{}\n{}\n{}\n{NOTES}", choices(manifest), sizes(entry), baselines(manifest));
    text
}

fn choices(manifest: &Manifest) -> String {
    let mut text = String::from("Which scheme\n");
    for soc in Soc::ALL {
        let Some(choice) = manifest.soc.get(soc) else { continue };
        let advised = if choice.advised { "" } else { ", not advised" };
        text += &format!("  {soc:<9} {}{advised}. {}\n", choice.scheme, choice.why);
        if let Some(nearest) = &choice.nearest {
            text += &format!(
                "            published by Rockchip: {} {} in {}, {} tokens/s, first token after {} ms, {} MB\n",
                nearest.model,
                nearest.size,
                nearest.dtype,
                nearest.tokens_per_s,
                nearest.ttft_ms,
                nearest.memory_mb
            );
        }
    }
    text
}

fn sizes(entry: &Entry) -> String {
    let mut table = Table::new(vec!["scheme".into(), "computed size".into()]);
    for scheme in QuantScheme::ALL {
        let size = match entry.manifest.dimensions.bytes(scheme) {
            Ok(bytes) => output::bytes(bytes),
            Err(error) => error.to_string(),
        };
        table.push(vec![scheme.to_string(), size]);
    }
    table.render()
}

fn baselines(manifest: &Manifest) -> String {
    let method = &manifest.baseline_method;
    let how = format!("method {}, window {}, {}", method.method, method.window, method.text);
    if manifest.baseline.is_empty() {
        return format!("Baseline perplexity: not measured yet. To be measured: {how}\n");
    }
    let mut text = format!("Baseline perplexity, {how}\n");
    for baseline in &manifest.baseline {
        let Baseline { text: name, perplexity, tokens_scored, measured_with, .. } = baseline;
        text +=
            &format!("  {name}: {perplexity:.4} over {tokens_scored} tokens ({measured_with})\n");
    }
    text
}

/// A number of parameters for people.
fn count(parameters: u64) -> String {
    match parameters {
        0..1_000_000_000 => format!("{:.1} M", parameters as f64 / 1e6),
        _ => format!("{:.2} B", parameters as f64 / 1e9),
    }
}
