//! `rkllm convert`: a checkpoint into an artifact.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use rkllm::quant::QuantScheme;
use rkllm_convert::{ConvertOptions, ConvertReport, Embedding, Manifest, Stage, convert};
use serde::Serialize;

use crate::args::{QuantizeArgs, Settings, dtype_parser};
use crate::progress::{Progress, Unit};
use crate::system::Resident;
use crate::{interrupt, output};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Directory of a Hugging Face checkpoint
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// The scheme, for example w8a8 or w4a16_g128
    #[arg(long, value_name = "DTYPE", value_parser = dtype_parser())]
    dtype: QuantScheme,
    #[command(flatten)]
    quantize: QuantizeArgs,
    /// f16, or int8 rows shared with the head: smaller, but transformers cannot read it
    #[arg(long, default_value = "f16", value_parser = super::parser::<Embedding>(["f16", "int8"]))]
    embedding: Embedding,
    /// Directory to make
    #[arg(long, short, value_name = "DST")]
    output: PathBuf,
    /// Replace an artifact that is already there
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    source: String,
    output: String,
    dtype: QuantScheme,
    source_bytes: u64,
    artifact_bytes: u64,
    seconds: f64,
    peak_rss_bytes: Option<u64>,
    warnings: &'a [String],
    manifest: &'a Manifest,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    if options.dtype.is_float() {
        return Err(super::usage(format!(
            "--dtype {}: convert writes quantised artifacts; choose one of the w8a8 or w4a16 schemes",
            options.dtype
        )));
    }
    if settings.verbose {
        output::note(&settings.placement());
    }
    let started = Instant::now();
    let report = {
        let _writing = interrupt::Writing::begin();
        let mut progress = Progress::new("", Unit::Bytes, settings.quiet);
        convert(&options.source, &options.output, &resolve(options, settings), &mut |p| {
            progress.relabel(label(p.stage));
            progress.set(p.done, p.total, || p.item.to_owned());
            if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?
    };
    let seconds = started.elapsed().as_secs_f64();
    if settings.json {
        return output::json(&Report {
            source: options.source.display().to_string(),
            output: report.dir.display().to_string(),
            dtype: options.dtype,
            source_bytes: report.source_bytes,
            artifact_bytes: report.artifact_bytes,
            seconds,
            peak_rss_bytes: Resident::read().peak,
            warnings: &report.warnings,
            manifest: &report.manifest,
        });
    }
    report.warnings.iter().for_each(|warning| output::note(&format!("warning: {warning}")));
    output::print(&describe(&report, seconds))
}

fn resolve(options: &Options, settings: &Settings) -> ConvertOptions {
    ConvertOptions {
        symmetric: !options.quantize.asymmetric,
        clip: options.quantize.clip,
        embedding: options.embedding,
        threads: settings.threads,
        overwrite: options.overwrite,
        ..ConvertOptions::new(options.dtype)
    }
}

fn label(stage: Stage) -> &'static str {
    match stage {
        Stage::HashSource => "hashing the source",
        Stage::Quantize => "quantising",
        Stage::HashArtifact => "hashing the artifact",
        _ => "working",
    }
}

/// The report for people.
fn describe(report: &ConvertReport, seconds: f64) -> String {
    let manifest = &report.manifest;
    format!(
        "{}: {}, {} from {} ({:.1} %), {:.1} s\n",
        report.dir.display(),
        manifest.scheme,
        output::bytes(report.artifact_bytes),
        output::bytes(report.source_bytes),
        report.artifact_bytes as f64 * 100.0 / report.source_bytes.max(1) as f64,
        seconds,
    )
}
