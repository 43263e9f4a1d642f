//! `rkllm verify`: whether a model's files are what they say.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use rkllm_convert::{VerifyReport, verify_with_progress};

use crate::args::Settings;
use crate::output;
use crate::progress::{Progress, Unit};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Directory of an artifact or of a checkpoint
    #[arg(value_name = "MODEL")]
    model: PathBuf,
}

#[derive(serde::Serialize)]
struct Report<'a> {
    model: String,
    ok: bool,
    #[serde(flatten)]
    found: &'a VerifyReport,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    let mut progress = Progress::new("verifying", Unit::Bytes, settings.quiet);
    let found = verify_with_progress(&options.model, &mut |p| {
        progress.set(p.done, p.total, || p.item.to_owned());
        ControlFlow::Continue(())
    })?;
    drop(progress);
    let model = options.model.display().to_string();
    if settings.json {
        output::json(&Report { model: model.clone(), ok: found.is_ok(), found: &found })?;
    } else {
        output::print(&describe(&model, &found))?;
    }
    match found.problems.len() {
        0 => Ok(()),
        1 => anyhow::bail!("{model}: 1 problem; convert or download the model again"),
        n => anyhow::bail!("{model}: {n} problems; convert or download the model again"),
    }
}

/// The report for people.
fn describe(model: &str, found: &VerifyReport) -> String {
    let mut text = String::new();
    for problem in &found.problems {
        text += &format!("{}: {}\n", problem.subject, problem.message);
    }
    for name in &found.unlisted {
        text += &format!("{name}: not listed in rkllm.json\n");
    }
    if found.is_ok() {
        let hashes = match found.has_manifest {
            true => format!("{} files have their SHA-256", found.files_verified),
            false => "no rkllm.json, so no hashes to check".to_owned(),
        };
        text += &format!("{model}: good; {hashes}, {} tensors are in order\n", found.tensors);
    }
    text
}
