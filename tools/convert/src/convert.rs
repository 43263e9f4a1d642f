//! A checkpoint into an artifact.

use std::fs;
use std::path::{Path, PathBuf};

use rkllm::{Error, ErrorKind, Result};

use crate::artifact::ArtifactWriter;
use crate::digest::FileDigest;
use crate::manifest::{Algorithm, MANIFEST_VERSION, Manifest, Source, Tool};
use crate::options::{ConvertOptions, Embedding, Meter, OnProgress, Stage};
use crate::outputs::{self, Outputs};
use crate::quantization_config;
use crate::shard::Spec;
use crate::source::SourceModel;
use crate::staging::Staging;

/// What beside the tensors an artifact may take: headers, index, configuration, manifest.
const OVERHEAD_BYTES: u64 = 16 << 20;

/// What a conversion did.
#[derive(Debug, Clone)]
pub struct ConvertReport {
    /// Where the artifact is.
    pub dir: PathBuf,
    /// What its `rkllm.json` says.
    pub manifest: Manifest,
    /// Bytes of tensors read; a tied embedding counts twice.
    pub source_bytes: u64,
    /// Bytes of all files of the artifact but the manifest.
    pub artifact_bytes: u64,
    /// What a user should know, one sentence each.
    pub warnings: Vec<String>,
}

/// Quantises the checkpoint in `src` into a new artifact directory `dst`.
///
/// Tensors are read, quantised and written a block at a time; resident memory does not grow with the model. Everything is
/// written beside `dst` and renamed at the end: after an error, a panic or a cancellation nothing exists under
/// that name that was not there before.
///
/// # Errors
/// [`ErrorKind::Input`] for a `dst` that exists or cannot be; [`ErrorKind::Missing`], [`ErrorKind::Format`],
/// [`ErrorKind::Shape`] and [`ErrorKind::Dtype`] for a checkpoint that is not what its configuration says;
/// [`ErrorKind::Unsupported`] for an unknown architecture; [`ErrorKind::Quantization`] for a scheme that
/// cannot apply, before anything is written; [`ErrorKind::NonFinite`] for weights that are no numbers;
/// [`ErrorKind::Io`] for a full or unwritable disk; [`ErrorKind::Cancelled`] when `on_progress` breaks.
pub fn convert(
    src: &Path,
    dst: &Path,
    options: &ConvertOptions,
    on_progress: &mut OnProgress<'_>,
) -> Result<ConvertReport> {
    let source = SourceModel::open(src, options)?;
    refuse_overlap(src, dst)?;
    let staging = Staging::begin(dst, options.overwrite)?;
    staging.require_space(space_needed(&source, options)?)?;
    let source_files = hash(src, &source.files(), Stage::HashSource, on_progress)?;
    let written = ArtifactWriter::new(&source, options, staging.path(), on_progress).write()?;
    let files = list_files(staging.path())?;
    let files = hash(staging.path(), &files, Stage::HashArtifact, on_progress)?;
    let manifest = Manifest {
        manifest_version: MANIFEST_VERSION,
        tool: Tool {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
        },
        source: Source { name: source.name.clone(), files: source_files },
        scheme: options.scheme,
        algorithm: Algorithm {
            name: "round-to-nearest".into(),
            clip: options.clip,
            symmetric: options.symmetric,
        },
        embedding: options.embedding,
        head: quantization_config::HEAD,
        calibration: None,
        parameters: source.parameters(),
        bits_per_weight: bits(written.bytes, source.parameters()),
        linear_bits_per_weight: bits(written.linear_bytes, written.linear_weights),
        f32_scales: written.f32_scales,
        left_out: source.left_out.clone(),
        files,
        perplexities: Vec::new(),
    };
    manifest.write(staging.path())?;
    staging.publish()?;
    Ok(ConvertReport {
        dir: dst.to_owned(),
        source_bytes: source.tensor_bytes(),
        artifact_bytes: manifest.files.iter().map(|file| file.bytes).sum(),
        warnings: warnings(&source, options),
        manifest,
    })
}

fn bits(bytes: u64, weights: u64) -> f64 {
    bytes as f64 * 8.0 / weights.max(1) as f64
}

/// Refuses to write over or around the source.
fn refuse_overlap(src: &Path, dst: &Path) -> Result<()> {
    if let (Ok(src), Ok(dst)) = (src.canonicalize(), dst.canonicalize())
        && src.starts_with(&dst)
    {
        return Err(Error::new(ErrorKind::Input, "the source lies in it")
            .about(dst.display().to_string())
            .with_hint("choose another output folder"));
    }
    Ok(())
}

/// Bytes the artifact may take while it is written: the tail of the shard in hand exists twice for a moment.
fn space_needed(source: &SourceModel, options: &ConvertOptions) -> Result<u64> {
    let mut needed = OVERHEAD_BYTES;
    let mut longest_tail = 0;
    for shard in outputs::shards(source, options) {
        let mut tail = 0;
        for item in &source.items[shard.items] {
            let outputs = Outputs::of(item, options);
            needed += outputs.bytes();
            tail += outputs.tail.iter().map(Spec::bytes).sum::<u64>();
        }
        longest_tail = tail.max(longest_tail);
    }
    for name in &source.kept {
        let path = source.dir.join(name);
        needed += fs::metadata(&path).map_err(|e| Error::io(&path, "look at", e))?.len();
    }
    Ok(needed + longest_tail)
}

/// Hashes `files` of `dir`.
fn hash(
    dir: &Path,
    files: &[String],
    stage: Stage,
    on_progress: &mut OnProgress<'_>,
) -> Result<Vec<FileDigest>> {
    let mut total = 0;
    for name in files {
        let path = dir.join(name);
        total += fs::metadata(&path).map_err(|e| Error::io(&path, "look at", e))?.len();
    }
    let mut meter = Meter::new(on_progress, stage, total);
    let digests =
        files.iter().map(|name| FileDigest::of(dir, name, &mut |bytes| meter.add(name, bytes)));
    digests.collect()
}

/// The names of the files in `dir`, sorted.
fn list_files(dir: &Path) -> Result<Vec<String>> {
    let failed = |error| Error::io(dir, "list", error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn warnings(source: &SourceModel, options: &ConvertOptions) -> Vec<String> {
    let mut warnings = Vec::new();
    if !options.symmetric && options.scheme.weight_bits() == 4 {
        warnings.push(
            "transformers cannot read asymmetric int4 weights (compressed-tensors 0.12 does not unpack \
             their zero points); this engine can"
                .into(),
        );
    }
    if options.embedding == Embedding::Int8 {
        warnings.push("transformers cannot read an int8 embedding; this engine can".into());
    }
    if !source.kept.iter().any(|name| name == "tokenizer.json") {
        warnings
            .push("the checkpoint has no tokenizer.json: the artifact takes token ids only".into());
    }
    warnings
}
