//! Text to token ids and back, by Hugging Face `tokenizer.json`.

#[cfg(feature = "constrain")]
mod bytes;
mod stream;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::Value;

pub use stream::TextStream;

use super::config::token_ids;
use super::file::read_text;
use super::json::{self, Fields, kind_of};
use crate::{Error, ErrorKind, Result};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const CONFIG: &str = "config.json";
/// The largest vocabularies of the hub take about 35 MB.
const MAX_TOKENIZER: u64 = 256 << 20;
const MAX_CONFIG: u64 = 16 << 20;

/// A model's tokenizer.
///
/// Evaluation scores `[BOS] + encode(text)`: [`Tokenizer::bos`] once, if the model has one, then the
/// text without special tokens put in. Special tokens that the text spells out, such as `<|im_end|>`,
/// become their ids, as chat templates need; do not pass untrusted text where that matters.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    eos: Option<u32>,
    /// The model's vocabulary, where its config.json is beside.
    vocab_size: Option<usize>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` in `dir`, the special tokens of `tokenizer_config.json`, and, for what
    /// that leaves open, those of `config.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] without `tokenizer.json`, [`ErrorKind::Format`] for files that are
    /// damaged, [`ErrorKind::Tokenizer`] if its vocabulary is larger than the model's.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let path = dir.join(TOKENIZER);
        let about = |error: Error| error.about(path.display().to_string());
        let text = read_text(&path, MAX_TOKENIZER).map_err(|error| match error.kind() {
            ErrorKind::Missing => error.with_hint(
                "copy the tokenizer files of the original model here; a tokenizer.model must first \
                 be converted to tokenizer.json",
            ),
            _ => error,
        })?;
        let mut tokenizer = Self::from_json(&text).map_err(about)?;
        let special = SpecialTokens::read(dir, &tokenizer)?;
        (tokenizer.bos, tokenizer.eos) = (special.bos, special.eos);
        if let Some(vocab_size) = special.vocab_size {
            tokenizer.set_vocab_size(vocab_size).map_err(about)?;
        }
        Ok(tokenizer)
    }

    /// Reads the text of a `tokenizer.json`, such as one embedded in the program. It has no special
    /// tokens for beginning and end.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] for text that is no tokenizer.
    pub fn from_json(text: &str) -> Result<Self> {
        let mut inner = guarded(|| tokenizers::Tokenizer::from_bytes(text)).map_err(|error| {
            Error::new(ErrorKind::Format, format!("not a tokenizer: {error}"))
                .with_hint("download it again")
        })?;
        // A file may ask for truncation to the length of some training batch.
        let _ = inner.with_truncation(None);
        inner.with_padding(None);
        Ok(Self { inner, bos: None, eos: None, vocab_size: None })
    }

    /// Makes ids from `vocab_size` on an error of [`Tokenizer::encode`].
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the vocabulary is larger. Tokens added later may lie beyond it:
    /// fine-tuned models often have some that are never used.
    pub fn set_vocab_size(&mut self, vocab_size: usize) -> Result<()> {
        let own = self.inner.get_vocab_size(false);
        if own > vocab_size {
            return Err(Error::new(
                ErrorKind::Tokenizer,
                format!("its {own} tokens are more than the model's {vocab_size}"),
            )
            .with_hint("take tokenizer and weights from the same model"));
        }
        self.vocab_size = Some(vocab_size);
        Ok(())
    }

    /// The token that begins a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a sequence; the model's configuration may name more.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Tokens known, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id of a token by its exact text, such as `<|im_end|>`.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The ids of a text, nothing put in.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the text cannot be encoded or gives an id the model does not have.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.ids(text, false)
    }

    /// The ids of a text with what the tokenizer puts around it, for many models BOS.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_special_tokens(&self, text: &str) -> Result<Vec<u32>> {
        self.ids(text, true)
    }

    /// The ids of a prompt that a chat template rendered. Nothing is put in: the template has written
    /// BOS where the model wants one, and [`Tokenizer::encode_with_special_tokens`] would add a
    /// second.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_chat(&self, prompt: &str) -> Result<Vec<u32>> {
        self.ids(prompt, false)
    }

    fn ids(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = guarded(|| self.inner.encode_fast(text, special)).map_err(|error| {
            Error::new(ErrorKind::Tokenizer, format!("cannot encode the text: {error}"))
        })?;
        let ids = encoding.get_ids();
        let bad = ids.iter().find(|&&id| self.vocab_size.is_some_and(|size| id as usize >= size));
        match bad {
            None => Ok(ids.to_vec()),
            Some(id) => Err(Error::new(
                ErrorKind::Tokenizer,
                format!(
                    "the text has token {id}, the model only {}",
                    self.vocab_size.unwrap_or_default()
                ),
            )
            .with_hint("take tokenizer and weights from the same model")),
        }
    }

    /// The text of ids, without special tokens. Ids that no token has give no text.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the tokens cannot be joined.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.text(ids, true)
    }

    /// The text of ids, special tokens spelled out.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn decode_with_special_tokens(&self, ids: &[u32]) -> Result<String> {
        self.text(ids, false)
    }

    fn text(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        guarded(|| self.inner.decode(ids, skip_special)).map_err(|error| {
            Error::new(ErrorKind::Tokenizer, format!("cannot decode the tokens: {error}"))
        })
    }

    /// A decoder for ids as they are generated.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(self)
    }
}

/// Runs the tokenizers crate, whose decoders and normalisers are chosen by the file, some with
/// assumptions that the file need not keep.
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizer contradicts itself".into()),
    }
}

struct SpecialTokens {
    bos: Option<u32>,
    eos: Option<u32>,
    vocab_size: Option<usize>,
}

impl SpecialTokens {
    fn read(dir: &Path, tokenizer: &Tokenizer) -> Result<Self> {
        let mut special = Self { bos: None, eos: None, vocab_size: None };
        with_fields(&dir.join(TOKENIZER_CONFIG), |fields| {
            special.bos = token(fields, "bos_token", tokenizer)?;
            special.eos = token(fields, "eos_token", tokenizer)?;
            Ok(())
        })?;
        with_fields(&dir.join(CONFIG), |fields| {
            if special.bos.is_none() {
                special.bos = token_ids(fields, "bos_token_id")?.first().copied();
            }
            if special.eos.is_none() {
                special.eos = token_ids(fields, "eos_token_id")?.first().copied();
            }
            special.vocab_size = fields.dimension("vocab_size", 1 << 31)?;
            Ok(())
        })?;
        Ok(special)
    }
}

/// Gives the fields of a JSON file to `read`, if there is such a file.
fn with_fields(path: &Path, read: impl FnOnce(Fields<'_>) -> Result<()>) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let text = read_text(path, MAX_CONFIG)?;
    let map = json::parse_object(&text);
    let result = map.and_then(|map| read(Fields::new(&map, "")));
    result.map_err(|error| error.about(path.display().to_string()))
}

/// A token given as its text or as `{"content": text}`.
fn token(fields: Fields<'_>, name: &str, tokenizer: &Tokenizer) -> Result<Option<u32>> {
    let text = match fields.get(name) {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        Some(Value::Object(map)) if map.get("content").is_some_and(Value::is_string) => {
            map["content"].as_str().unwrap_or_default()
        }
        Some(other) => {
            let message = format!("expected a token, found {}", kind_of(other));
            return Err(fields.error(ErrorKind::Format, name, message));
        }
    };
    Ok(tokenizer.id(text))
}
