//! Keeping a measured perplexity in an artifact's `rkllm.json`.

use std::path::{Path, PathBuf};

use rkllm::eval::Perplexity;
use rkllm_convert::Manifest;

use crate::interrupt;
use crate::text::Text;

/// A manifest that waits for a result.
pub(super) struct Record {
    dir: PathBuf,
    manifest: Manifest,
}

impl Record {
    /// Reads the manifest before the work, so that a missing one is not found after it.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self { dir: dir.to_owned(), manifest: Manifest::read(dir)? })
    }

    /// Adds the result, in place of an earlier one of the same text and method.
    pub(super) fn write(
        mut self,
        path: &Path,
        text: &Text,
        found: &Perplexity,
        kernel: &str,
    ) -> anyhow::Result<()> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let entry = rkllm_convert::Perplexity {
            text: name,
            text_sha256: text.sha256.clone(),
            method: found.method.to_string(),
            window: found.window,
            tokens_scored: found.tokens_scored as u64,
            perplexity: found.perplexity,
            kernel: kernel.to_owned(),
            logits_hash: found.logits_hash.clone(),
        };
        let same = |other: &rkllm_convert::Perplexity| {
            (&other.text_sha256, &other.method, other.window)
                == (&entry.text_sha256, &entry.method, entry.window)
        };
        self.manifest.perplexities.retain(|other| !same(other));
        self.manifest.perplexities.push(entry);
        let _writing = interrupt::Writing::begin();
        Ok(self.manifest.write(&self.dir)?)
    }
}
