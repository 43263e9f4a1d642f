//! Whether a directory is what it says: every hash, every tensor.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use rkllm::model::{Checkpoint, Load, TensorIndex, TensorInfo, WeightOptions};
use rkllm::{Dtype, Error, ErrorKind, Result};
use serde::Serialize;

use crate::digest::{FileDigest, plain_name};
use crate::manifest::{MANIFEST, Manifest};
use crate::options::{Meter, OnProgress, Stage};
use crate::outputs::MatrixNames;
use crate::plan::{self, EMBEDDING, Item, Role};

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Files whose size and SHA-256 are those of the manifest.
    pub files_verified: usize,
    /// True if there is a manifest; without one only the structure was checked.
    pub has_manifest: bool,
    /// Stored tensors.
    pub tensors: usize,
    /// Everything that is wrong. Empty for a good directory.
    pub problems: Vec<Problem>,
    /// Files that the manifest does not list. No harm by itself.
    pub unlisted: Vec<String>,
}

impl VerifyReport {
    /// True if nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file or tensor.
    pub subject: String,
    /// What was expected and what was found.
    pub message: String,
}

/// [`verify_with_progress`] without being told.
///
/// # Errors
/// As [`verify_with_progress`].
pub fn verify(dir: &Path) -> Result<VerifyReport> {
    verify_with_progress(dir, &mut |_| ControlFlow::Continue(()))
}

/// Checks the model in `dir`: of an artifact with `rkllm.json` every file's size and SHA-256; of any model every
/// tensor's type, shape and place against `config.json`, and that its floats are finite. Every mismatch is listed.
///
/// # Errors
/// [`ErrorKind::Missing`] if there is no such directory, [`ErrorKind::Cancelled`] when `on_progress` breaks. What
/// is wrong with the model itself is in the report.
pub fn verify_with_progress(dir: &Path, on_progress: &mut OnProgress<'_>) -> Result<VerifyReport> {
    if !dir.is_dir() {
        return Err(Error::new(ErrorKind::Missing, "no such directory")
            .about(dir.display().to_string())
            .with_hint("give the directory of a checkpoint or an artifact"));
    }
    let mut report = VerifyReport {
        files_verified: 0,
        has_manifest: false,
        tensors: 0,
        problems: Vec::new(),
        unlisted: Vec::new(),
    };
    let manifest = match Manifest::read(dir) {
        Ok(manifest) => {
            report.has_manifest = true;
            report.check_files(dir, &manifest, on_progress)?;
            Some(manifest)
        }
        Err(error) if error.kind() == ErrorKind::Missing => None,
        Err(error) => {
            report.add_error(MANIFEST, &error);
            None
        }
    };
    match Checkpoint::open(dir, Load::Map) {
        Ok(checkpoint) => {
            let (said, found) = (manifest.map(|m| m.scheme), checkpoint.scheme());
            if let Some(said) = said.filter(|said| *said != found) {
                report.add(MANIFEST, format!("says {said}, config.json says {found}"));
            }
            report.check_tensors(&checkpoint);
        }
        Err(error) => report.add_error("", &error),
    }
    Ok(report)
}

impl VerifyReport {
    fn add(&mut self, subject: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { subject: subject.into(), message: message.into() });
    }

    /// An error of the reader, whose text names its subject itself.
    fn add_error(&mut self, subject: &str, error: &Error) {
        let subject = error.subject().unwrap_or(subject).to_owned();
        let text = error.to_string();
        let message = text.strip_prefix(&format!("{subject}: ")).unwrap_or(&text).to_owned();
        self.add(subject, message);
    }

    fn check_files(
        &mut self,
        dir: &Path,
        manifest: &Manifest,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<()> {
        let total = manifest.files.iter().fold(0u64, |sum, file| sum.saturating_add(file.bytes));
        let mut meter = Meter::new(on_progress, Stage::HashArtifact, total);
        for expected in &manifest.files {
            let name = expected.name.as_str();
            if let Err(error) = plain_name(name) {
                self.add_error(name, &error);
                continue;
            }
            meter.add(name, 0)?;
            // The size first: it is known at once, and hashing a file of another size says nothing new.
            match fs::metadata(dir.join(name)) {
                Ok(metadata) if metadata.len() == expected.bytes => {}
                Ok(metadata) => {
                    let found = metadata.len();
                    self.add(name, format!("expected {} bytes, found {found}", expected.bytes));
                    continue;
                }
                Err(error) => {
                    self.add(name, format!("cannot be read: {error}"));
                    continue;
                }
            }
            match FileDigest::of(dir, name, &mut |bytes| meter.add(name, bytes)) {
                Ok(found) if found.sha256 == expected.sha256 => self.files_verified += 1,
                Ok(found) => self.add(
                    name,
                    format!("expected SHA-256 {}, found {}", expected.sha256, found.sha256),
                ),
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => self.add_error(name, &error),
            }
        }
        let listed: BTreeSet<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        let entries = fs::read_dir(dir).map_err(|error| Error::io(dir, "list", error))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        self.unlisted =
            names.filter(|name| name != MANIFEST && !listed.contains(name.as_str())).collect();
        self.unlisted.sort();
        Ok(())
    }

    /// Lists every tensor that is not as the configuration wants it; where all are, the reader has the
    /// last word, because it is what runs.
    fn check_tensors(&mut self, checkpoint: &Checkpoint) {
        let index = checkpoint.tensors();
        self.tensors = index.names().len();
        let before = self.problems.len();
        for item in plan::tensors(checkpoint.config()) {
            self.check_item(&item, index, checkpoint.config().tie_word_embeddings);
        }
        if self.problems.len() == before {
            let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let options = WeightOptions { threads, ..WeightOptions::default() };
            if let Err(error) = checkpoint.weights(None, &options) {
                self.add_error("", &error);
            }
        }
    }

    fn check_item(&mut self, item: &Item, index: &TensorIndex, tied: bool) {
        let names = MatrixNames::new(&item.name);
        let is_matrix = item.role != Role::Small;
        if let (true, Some(info), &[n, k]) =
            (is_matrix, index.get(&names.packed), item.shape.as_slice())
        {
            self.check_tensor(&names.packed, info, &[n, k.div_ceil(8)], |dtype| {
                dtype == Dtype::I32
            });
            return self.check_scale(&names.scale, index, [n, k]);
        }
        match index.get(&item.name) {
            Some(info) => {
                let int8 = is_matrix && info.known_dtype().is_ok_and(|dtype| dtype == Dtype::I8);
                self.check_tensor(&item.name, info, &item.shape, |dtype| dtype.is_float() || int8);
                if let (true, &[n, k]) = (int8, item.shape.as_slice()) {
                    self.check_scale(&names.scale, index, [n, k]);
                }
            }
            // Of a tied pair either is enough, and so are int8 rows for both.
            None if item.role == Role::Head && index.get(EMBEDDING).is_some() => {
                let int8 = index.get(EMBEDDING).and_then(|info| info.known_dtype().ok());
                if !tied && int8 != Some(Dtype::I8) {
                    self.add(&item.name, "the tensor is absent");
                }
            }
            None if item.role == Role::Embedding && tied && index.get(plan::HEAD).is_some() => {}
            None => self.add(&item.name, "the tensor is absent"),
        }
    }

    fn check_tensor(
        &mut self,
        name: &str,
        info: &TensorInfo,
        shape: &[usize],
        allowed: impl Fn(Dtype) -> bool,
    ) {
        if info.shape != shape {
            self.add(name, format!("expected {shape:?} by config.json, found {:?}", info.shape));
        }
        if !info.known_dtype().is_ok_and(allowed) {
            self.add(name, format!("element type {} cannot be", info.dtype));
        }
    }

    fn check_scale(&mut self, name: &str, index: &TensorIndex, [n, k]: [usize; 2]) {
        let Some(info) = index.get(name) else { return self.add(name, "the tensor is absent") };
        let fits = match info.shape[..] {
            [rows, groups] => {
                (rows == n && groups != 0 && k % groups == 0) || (rows == 1 && groups == 1)
            }
            [rows] => rows == n || rows == 1,
            [] => true,
            _ => false,
        };
        if !fits {
            self.add(name, format!("no scales of [{n}, {k}]: found {:?}", info.shape));
        }
        if !info.known_dtype().is_ok_and(Dtype::is_float) {
            self.add(name, format!("element type {} cannot be", info.dtype));
        }
    }
}
