//! `rkllm logits`: the logits of given tokens, as a safetensors file.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use rkllm::eval::LogitsHash;
use rkllm::quant::QuantScheme;
use rkllm::{Backend, Error, ErrorKind, Want};
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::args::{ModelArgs, Settings};
use crate::model::Model;
use crate::progress::{Progress, Unit};
use crate::{interrupt, output};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    model: ModelArgs,
    /// Token ids, with commas between them
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
    /// Tokens computed at once; moves no bit [default: the engine's choice]
    #[arg(long, value_name = "N", value_parser = super::positive())]
    prefill_chunk: Option<usize>,
    /// Where to write `logits` [tokens, vocab], float32
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    output: String,
    dtype: QuantScheme,
    kernel: String,
    threads: usize,
    tokens: usize,
    vocab_size: usize,
    logits_hash: String,
    seconds: f64,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    // Before minutes of work: a folder that cannot be written to.
    let file = OutputFile::create(&options.output)?;
    let model = Model::open(&options.model, settings)?;
    let mut engine = model.engine(options.tokens.len(), options.prefill_chunk, settings)?;
    let started = Instant::now();
    let mut file = file;
    let kernel = engine.kernel_name().to_owned();
    file.begin(options.tokens.len(), engine.vocab_size(), model.dtype(), &kernel)?;
    let mut hash = LogitsHash::default();
    let mut progress = Progress::new("computing", Unit::Tokens, settings.quiet);
    let total = options.tokens.len();
    // The chunk bounds the wait for Ctrl-C, no more.
    for tokens in options.tokens.chunks(options.prefill_chunk.unwrap_or(512)) {
        engine.forward(tokens, Want::All, &mut |position, logits| {
            if interrupt::requested() {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
            }
            hash.update(logits);
            file.append(logits).map_err(|e| Error::io(&options.output, "write", e))?;
            progress.set(position as u64 + 1, total as u64, String::new);
            Ok(())
        })?;
    }
    drop(progress);
    file.publish()?;
    let report = Report {
        model: options.model.path.display().to_string(),
        output: options.output.display().to_string(),
        dtype: model.dtype(),
        kernel,
        threads: settings.threads,
        tokens: total,
        vocab_size: engine.vocab_size(),
        logits_hash: hash.to_string(),
        seconds: started.elapsed().as_secs_f64(),
    };
    if settings.json {
        return output::json(&report);
    }
    output::print(&format!(
        "{}: logits [{}, {}] of {} as {}, {}\nlogits hash  {}\n",
        report.output,
        report.tokens,
        report.vocab_size,
        report.model,
        report.dtype,
        report.kernel,
        report.logits_hash
    ))
}

/// A safetensors file that gets its name when it is complete.
struct OutputFile<'a> {
    path: &'a Path,
    file: BufWriter<NamedTempFile>,
    _writing: interrupt::Writing,
}

impl<'a> OutputFile<'a> {
    fn create(path: &'a Path) -> anyhow::Result<Self> {
        let failed = || format!("{}: cannot write here", path.display());
        if path.is_dir() {
            anyhow::bail!("{}: a directory; give the name of a file", path.display());
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let writing = interrupt::Writing::begin();
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new file: the caller's umask decides, not tempfile's 0600.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = builder.prefix(".rkllm-logits-").tempfile_in(folder).with_context(failed)?;
        Ok(Self { path, file: BufWriter::with_capacity(1 << 20, file), _writing: writing })
    }

    /// Writes the header.
    fn begin(
        &mut self,
        tokens: usize,
        vocab: usize,
        dtype: QuantScheme,
        kernel: &str,
    ) -> anyhow::Result<()> {
        let bytes = tokens as u64 * vocab as u64 * 4;
        let mut header = serde_json::to_vec(&serde_json::json!({
            "__metadata__": { "dtype": dtype.to_string(), "kernel": kernel },
            "logits": { "dtype": "F32", "shape": [tokens, vocab], "data_offsets": [0, bytes] },
        }))?;
        header.resize(header.len().next_multiple_of(8), b' ');
        self.write(&(header.len() as u64).to_le_bytes())?;
        self.write(&header)
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).with_context(|| format!("{}: cannot write", self.path.display()))
    }

    fn append(&mut self, logits: &[f32]) -> std::io::Result<()> {
        logits.iter().try_for_each(|value| self.file.write_all(&value.to_le_bytes()))
    }

    fn publish(self) -> anyhow::Result<()> {
        let failed = || format!("{}: cannot write", self.path.display());
        let file = self.file.into_inner().map_err(|e| e.into_error()).with_context(failed)?;
        file.as_file().sync_all().with_context(failed)?;
        file.persist(self.path).map_err(|e| e.error).with_context(failed)?;
        Ok(())
    }
}
