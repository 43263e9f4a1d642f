//! Where the model is that `model_path` names.

use std::path::{Path, PathBuf};

use rkllm::quant::QuantScheme;
use rkllm::{Error, ErrorKind, Result};

/// Longer, it is not ours.
const LONGEST: u64 = 64 << 10;

/// A model on disk and how it is to be presented.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModelFile {
    /// The checkpoint or artifact.
    pub(super) dir: PathBuf,
    /// Quantises a float checkpoint in memory.
    pub(super) dtype: Option<QuantScheme>,
    /// Longest context `rkllm_init` accepts.
    pub(super) context_limit: Option<usize>,
    /// False: as exported without its tokenizer, so that the callback is asked.
    pub(super) tokenizer: bool,
    /// False: as exported without its embedding table.
    pub(super) embedding: bool,
}

impl ModelFile {
    fn new(dir: PathBuf) -> Self {
        Self { dir, dtype: None, context_limit: None, tokenizer: true, embedding: true }
    }

    /// Finds the model of `model_path`; `RKLLM_HOST_MODEL` takes its place.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] and [`ErrorKind::Missing`] for what cannot be read, [`ErrorKind::Format`] for a
    /// file that is not ours.
    pub(super) fn find(model_path: &Path) -> Result<Self> {
        match std::env::var_os("RKLLM_HOST_MODEL").filter(|path| !path.is_empty()) {
            Some(path) => Self::open(Path::new(&path)),
            None => Self::open(model_path),
        }
    }

    fn open(path: &Path) -> Result<Self> {
        let about = std::fs::metadata(path).map_err(|error| Error::io(path, "open", error))?;
        if about.is_dir() {
            return Ok(Self::new(path.to_owned()));
        }
        let refused = |why: String| {
            Error::new(ErrorKind::Format, why).about(path.display().to_string()).with_hint(
                "on this computer a model is the directory of a checkpoint or artifact, or a text \
                 file with a line `model = DIRECTORY`; RKLLM_HOST_MODEL=DIRECTORY serves programs \
                 whose path cannot be changed",
            )
        };
        if !about.is_file() || about.len() > LONGEST {
            return Err(refused(
                "a model of Rockchip's toolkit, which only its runtime reads".into(),
            ));
        }
        let text = std::fs::read(path).map_err(|error| Error::io(path, "read", error))?;
        let text = String::from_utf8(text)
            .map_err(|_| refused("not a text file that points to a model".into()))?;
        let file = Self::parse(&text).map_err(refused)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let file = Self { dir: base.join(&file.dir), ..file };
        match file.dir.is_dir() {
            true => Ok(file),
            false => {
                let message = format!("it points to {}, no directory", file.dir.display());
                Err(Error::new(ErrorKind::Missing, message).about(path.display().to_string()))
            }
        }
    }

    /// Lines `key = value`; what stands alone in the first one is the model. `#` begins a comment.
    fn parse(text: &str) -> Result<Self, String> {
        let mut file = Self::new(PathBuf::new());
        let yes = |value: &str| match value {
            "yes" | "true" | "1" => Ok(true),
            "no" | "false" | "0" => Ok(false),
            other => Err(format!("expected yes or no, found {other:?}")),
        };
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        for (number, line) in lines.enumerate() {
            let Some((key, value)) = line.split_once('=') else {
                if number == 0 {
                    file.dir = line.into();
                    continue;
                }
                return Err(format!("expected `key = value`, found {line:?}"));
            };
            let value = value.trim();
            match key.trim() {
                "model" => file.dir = value.into(),
                "dtype" => {
                    file.dtype = Some(value.parse().map_err(|error| format!("dtype: {error}"))?);
                }
                "context_limit" => {
                    let limit = value.parse().map_err(|error| format!("context_limit: {error}"));
                    file.context_limit = Some(limit?);
                }
                "tokenizer" => file.tokenizer = yes(value)?,
                "embedding" => file.embedding = yes(value)?,
                other => {
                    return Err(format!(
                        "unknown key {other:?}; there are model, dtype, context_limit, tokenizer, \
                         embedding"
                    ));
                }
            }
        }
        if file.dir.as_os_str().is_empty() {
            return Err("it names no model".into());
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_or_a_few() {
        assert_eq!(ModelFile::parse("../m\n").unwrap(), ModelFile::new("../m".into()));
        let found = ModelFile::parse(
            "# ours\nmodel = ../m\ndtype = w8a8\ncontext_limit=64\n\ntokenizer = no\nembedding = no",
        );
        let expected = ModelFile {
            dir: "../m".into(),
            dtype: Some("w8a8".parse().unwrap()),
            context_limit: Some(64),
            tokenizer: false,
            embedding: false,
        };
        assert_eq!(found.unwrap(), expected);
        for wrong in ["", "# nothing", "dtype = w8a8", "m\nn", "model = m\nkey = 1", "m\ndtype=w9"]
        {
            assert!(ModelFile::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_not_ours_says_what_would_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.rkllm");
        std::fs::write(&path, [0xff, 0, 1, 2]).unwrap();
        let error = ModelFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("model = DIRECTORY"), "{error}");
        std::fs::write(&path, "model = gone").unwrap();
        assert_eq!(ModelFile::open(&path).unwrap_err().kind(), ErrorKind::Missing);
        std::fs::create_dir(dir.path().join("gone")).unwrap();
        assert_eq!(ModelFile::open(&path).unwrap().dir, dir.path().join("gone"));
        assert!(ModelFile::open(&dir.path().join("none")).is_err());
    }
}
