//! `rkllm inspect model.rkllm`: what can be known of a vendor's file without loading it.

use std::ops::ControlFlow;
use std::path::Path;

use rkllm::npu::file::{self, Certainty, InspectOptions, VendorFile, Verdict};
use rkllm::soc::Soc;
use serde::Serialize;

use super::Options;
use crate::args::Settings;
use crate::output;
use crate::progress::{Progress, Unit};

/// Strings shown to people.
const STRINGS: usize = 8;

/// The result, in the keys scripts rely on.
#[derive(Debug, Serialize)]
struct Report<'a> {
    path: String,
    kind: &'static str,
    verdict: Verdict,
    target: Option<String>,
    #[serde(flatten)]
    found: &'a VendorFile,
}

pub(super) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    let asked = InspectOptions { deep: options.deep, target: options.target };
    let mut progress = Progress::new("reading", Unit::Bytes, settings.quiet);
    let found = file::inspect_with_progress(&options.model, &asked, &mut |done, total| {
        progress.set(done, total, String::new);
        ControlFlow::Continue(())
    })?;
    drop(progress);
    let path = options.model.display().to_string();
    if settings.json {
        output::json(&Report {
            path: path.clone(),
            kind: "vendor_file",
            verdict: found.verdict(),
            target: options.target.map(|soc| soc.to_string()),
            found: &found,
        })?;
    } else {
        output::print(&describe(&options.model, &found, options.target))?;
    }
    match found.verdict() {
        Verdict::NotAModel => anyhow::bail!("{path}: not a model that the runtime could load"),
        _ if found.fits_target == Some(false) => {
            anyhow::bail!("{path}: made for another chip than the target")
        }
        _ => Ok(()),
    }
}

/// The report for people.
fn describe(path: &Path, found: &VendorFile, target: Option<Soc>) -> String {
    let verdict = match found.verdict() {
        Verdict::NotAModel => "surely no .rkllm model",
        Verdict::Suspect => "may be a .rkllm model, but see the problems",
        Verdict::Unrecognized => {
            "may be a .rkllm model, but nothing that rkllm-toolkit is known to write was found in it"
        }
        Verdict::Plausible => "a .rkllm model as far as can be told; only loading it says more",
    };
    let mut text = format!("{}: {}, {verdict}\n", path.display(), output::bytes(found.size));
    text += &line("first bytes", &found.magic, Certainty::Read, "Rockchip documents none");
    for item in &found.items {
        text += &line(&item.name.replace('_', " "), &item.value, item.certainty, &item.from);
    }
    if let Some(soc) = target {
        let fits = match found.fits_target {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown: no platform was found in it",
        };
        text += &format!("runs on {soc}? {fits}\n");
    }
    for problem in &found.problems {
        text += &format!("problem ({}): {}\n", word(problem.certainty), problem.message);
        text += &format!("  -> {}\n", problem.advice);
    }
    if found.verdict() != Verdict::NotAModel {
        text += &strings(found);
        text += "read: it stands in the file; inferred: from strings or a name, whose meaning Rockchip does not document\n";
    }
    if found.searched < found.size {
        text += &format!(
            "{} of {} were searched, at both ends; --deep searches all\n",
            output::bytes(found.searched),
            output::bytes(found.size)
        );
    }
    text
}

fn line(name: &str, value: &str, certainty: Certainty, from: &str) -> String {
    format!("  {name:<14} {value:<24} {:<8} ({from})\n", word(certainty))
}

fn word(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Read => "read",
        Certainty::Inferred => "inferred",
    }
}

fn strings(found: &VendorFile) -> String {
    let mut text = String::new();
    if !found.strings.is_empty() {
        text += "strings in it, the first ones:\n";
    }
    for string in found.strings.iter().take(STRINGS) {
        text += &format!("  {string}\n");
    }
    text
}
