//! Texts to evaluate on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rkllm::model::Tokenizer;
use sha2::{Digest, Sha256};

/// A text as tokens.
#[derive(Debug)]
pub(crate) struct Text {
    /// Unicode scalar values.
    pub(crate) characters: usize,
    /// SHA-256 of its bytes, in hexadecimal.
    pub(crate) sha256: String,
    /// Ids, without any special token.
    pub(crate) tokens: Vec<u32>,
}

impl Text {
    pub(crate) fn tokenize(text: &str, tokenizer: &Tokenizer) -> anyhow::Result<Self> {
        let tokens = tokenizer.encode(text)?;
        Ok(Self { characters: text.chars().count(), sha256: sha256(text), tokens })
    }
}

/// SHA-256 of a text's bytes, in hexadecimal.
pub(crate) fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The texts a model directory brings to be evaluated on: `eval.*.txt`, in the order of their names.
pub(crate) fn of_model(model: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(model)
        .with_context(|| format!("{}: cannot list the model's files", model.display()))?;
    let mut texts: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("eval.") && name.ends_with(".txt") && path.is_file()
        })
        .collect();
    texts.sort();
    if texts.is_empty() {
        anyhow::bail!(
            "{}: no eval.*.txt to evaluate on; name a text by --text FILE",
            model.display()
        );
    }
    Ok(texts)
}

/// Reads a UTF-8 text, or its first `max_chars` characters (Unicode scalar values). Line ends CR LF and CR are
/// read as LF, as Python's text files do: the published reference figures are counted so.
pub(crate) fn read(path: &Path, max_chars: Option<usize>) -> anyhow::Result<String> {
    let name = path.display();
    let bytes = fs::read(path).with_context(|| format!("{name}: cannot read the text"))?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow::anyhow!("{name}: not UTF-8 from byte {at} on; convert the text to UTF-8")
    })?;
    if text.contains('\r') {
        text = text.replace("\r\n", "\n").replace('\r', "\n");
    }
    if let Some(limit) = max_chars
        && let Some((end, _)) = text.char_indices().nth(limit)
    {
        text.truncate(end);
    }
    if text.is_empty() {
        anyhow::bail!("{name}: the text is empty; give a text with some content");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        fs::write(&path, "añ€😀z").unwrap();
        assert_eq!(read(&path, Some(3)).unwrap(), "añ€");
        assert_eq!(read(&path, Some(4)).unwrap(), "añ€😀");
        assert_eq!(read(&path, Some(5)).unwrap(), "añ€😀z");
        assert_eq!(read(&path, Some(99)).unwrap(), "añ€😀z");
        assert_eq!(read(&path, None).unwrap(), "añ€😀z");
    }

    #[test]
    fn a_model_may_bring_its_texts() {
        let dir = tempfile::tempdir().unwrap();
        let said = of_model(dir.path()).unwrap_err().to_string();
        assert!(said.contains("--text"), "{said}");
        for name in ["eval.es.txt", "eval.en.txt", "eval.md", "my-eval.x.txt", "eval.es.txt.bak"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::create_dir(dir.path().join("eval.folder.txt")).unwrap();
        let found = of_model(dir.path()).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names, ["eval.en.txt", "eval.es.txt"]);
        assert!(of_model(&dir.path().join("absent")).is_err());
    }

    #[test]
    fn line_ends_are_line_feeds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        fs::write(&path, "a\r\nb\rc\n\r\n").unwrap();
        assert_eq!(read(&path, None).unwrap(), "a\nb\nc\n\n");
        assert_eq!(read(&path, Some(3)).unwrap(), "a\nb");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        assert!(format!("{:#}", read(&path, None).unwrap_err()).contains("cannot read"));
        fs::write(&path, "").unwrap();
        assert!(read(&path, None).unwrap_err().to_string().contains("empty"));
        fs::write(&path, b"ab\xff").unwrap();
        assert!(read(&path, None).unwrap_err().to_string().contains("byte 2"));
    }
}
