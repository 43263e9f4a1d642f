//! `rkllm.json`: where an artifact comes from, how it was made, and what it should hash to.

use std::io::Write;
use std::path::Path;

use rkllm::quant::{Clip, QuantScheme};
use rkllm::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::FileDigest;
use crate::options::Embedding;

/// The manifest's file name.
pub const MANIFEST: &str = "rkllm.json";
/// The newest layout of the manifest that this version reads and the one it writes.
pub const MANIFEST_VERSION: u32 = 1;
/// A manifest is a few kilobytes; a larger file under its name is not one.
const MAX_BYTES: u64 = 16 << 20;

/// The contents of `rkllm.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout of this file: [`MANIFEST_VERSION`].
    pub manifest_version: u32,
    /// The program that wrote the artifact.
    pub tool: Tool,
    /// The checkpoint it was made from.
    pub source: Source,
    /// How the linear layers are stored.
    pub scheme: QuantScheme,
    /// How floats became integers.
    pub algorithm: Algorithm,
    /// How the token embedding is stored.
    pub embedding: Embedding,
    /// How the output head is stored.
    pub head: QuantScheme,
    /// The calibration text; `None` for algorithms that look at the weights alone.
    pub calibration: Option<Calibration>,
    /// Parameters of the source model; a tied embedding counts once.
    pub parameters: u64,
    /// Bits in the artifact's tensors, everything included, per parameter.
    pub bits_per_weight: f64,
    /// Bits of the quantised matrices, scales and zero points included, per weight in them.
    pub linear_bits_per_weight: f64,
    /// Grouped tensors whose scales left the range of f16 and are stored as f32.
    #[serde(default)]
    pub f32_scales: Vec<String>,
    /// Tensors of the source that no layer of the model reads, left out.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// Every other file of the artifact.
    pub files: Vec<FileDigest>,
    /// Measured perplexities, written by evaluation.
    #[serde(default)]
    pub perplexities: Vec<Perplexity>,
}

/// A program and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The checkpoint an artifact was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Last component of its path; no more, so that artifacts do not carry their maker's folders.
    pub name: String,
    /// Every file that was read.
    pub files: Vec<FileDigest>,
}

/// How floats became integers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Algorithm {
    /// `round-to-nearest`.
    pub name: String,
    /// How the range of a group is chosen: `absmax` or `mse`.
    #[serde(with = "by_name")]
    pub clip: Clip,
    /// False if the weights have zero points. The head has none.
    pub symmetric: bool,
}

/// The text that a calibrated algorithm looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    /// Name of the file.
    pub text: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Tokens used.
    pub tokens: u64,
}

/// One measured perplexity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Perplexity {
    /// Name of the text's file.
    pub text: String,
    /// SHA-256 of the characters that were scored.
    pub text_sha256: String,
    /// `windows` or `llama`.
    pub method: String,
    /// Tokens per window.
    pub window: usize,
    /// Predictions.
    pub tokens_scored: u64,
    /// exp of the mean cross-entropy.
    pub perplexity: f64,
    /// The kernel that ran.
    pub kernel: String,
    /// SHA-256 over the scored logits.
    pub logits_hash: String,
}

impl Manifest {
    /// Reads `dir/rkllm.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] if there is none, [`ErrorKind::Io`] if it cannot be read,
    /// [`ErrorKind::Format`] if it is not a manifest, [`ErrorKind::Unsupported`] if a newer version wrote it.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let about = |error: Error| error.about(path.display().to_string());
        let size = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(about(
                    Error::new(ErrorKind::Missing, "no such file")
                        .with_hint("artifacts written by rkllm convert have one"),
                ));
            }
            Err(e) => return Err(Error::io(&path, "read", e)),
        };
        if size > MAX_BYTES {
            return Err(about(Error::new(
                ErrorKind::Format,
                format!("{size} bytes are too many for a manifest"),
            )));
        }
        let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, "read", e))?;
        let malformed = |e: serde_json::Error| {
            about(
                Error::new(ErrorKind::Format, format!("not a manifest: {e}"))
                    .with_hint("convert the checkpoint again"),
            )
        };
        let version: Version = serde_json::from_slice(&bytes).map_err(malformed)?;
        if version.manifest_version > MANIFEST_VERSION {
            return Err(about(
                Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "manifest version {}, this program reads up to {MANIFEST_VERSION}",
                        version.manifest_version
                    ),
                )
                .with_hint("use a newer rkllm"),
            ));
        }
        serde_json::from_slice(&bytes).map_err(malformed)
    }

    /// Writes `dir/rkllm.json`, replacing it in one step.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MANIFEST);
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(ErrorKind::Format, e.to_string()).about(MANIFEST))?;
        text.push(b'\n');
        let failed = |e| Error::io(&path, "write", e);
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new file: the caller's umask decides, not tempfile's 0600.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.prefix(".rkllm-json-").tempfile_in(dir).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

/// Types of the library that print and parse, written as that text.
mod by_name {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err = rkllm::Error>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
struct Version {
    manifest_version: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rkllm::quant::Group;

    fn manifest() -> Manifest {
        Manifest {
            manifest_version: MANIFEST_VERSION,
            tool: Tool { name: "rkllm-convert".into(), version: "0.1.0".into() },
            source: Source { name: "tiny".into(), files: Vec::new() },
            scheme: QuantScheme::W4A16(Group::Columns(128)),
            algorithm: Algorithm {
                name: "round-to-nearest".into(),
                clip: Clip::AbsMax,
                symmetric: true,
            },
            embedding: Embedding::F16,
            head: QuantScheme::W8A8(Group::Channel),
            calibration: None,
            parameters: 10,
            bits_per_weight: 5.5,
            linear_bits_per_weight: 4.125,
            f32_scales: Vec::new(),
            left_out: Vec::new(),
            files: vec![FileDigest { name: "config.json".into(), bytes: 2, sha256: "00".into() }],
            perplexities: Vec::new(),
        }
    }

    #[test]
    fn round_trips_and_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut manifest = manifest();
        manifest.write(dir.path()).unwrap();
        manifest.perplexities.push(Perplexity {
            text: "a.txt".into(),
            text_sha256: "ab".into(),
            method: "windows".into(),
            window: 512,
            tokens_scored: 7,
            perplexity: 36.93,
            kernel: "scalar".into(),
            logits_hash: "cd".into(),
        });
        manifest.write(dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), manifest);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let text = std::fs::read_to_string(dir.path().join(MANIFEST)).unwrap();
        assert!(text.contains("\"w4a16_g128\"") && text.contains("\"absmax\""), "{text}");
    }

    #[test]
    fn absent_newer_and_malformed_manifests_say_which() {
        let dir = tempfile::tempdir().unwrap();
        let kind = || Manifest::read(dir.path()).unwrap_err().kind();
        assert_eq!(kind(), ErrorKind::Missing);
        let path = dir.path().join(MANIFEST);
        std::fs::write(&path, "{\"manifest_version\": 2}").unwrap();
        assert_eq!(kind(), ErrorKind::Unsupported);
        std::fs::write(&path, "{\"manifest_version\": 1}").unwrap();
        assert_eq!(kind(), ErrorKind::Format);
        std::fs::write(&path, "\0").unwrap();
        assert_eq!(kind(), ErrorKind::Format);
    }
}
