//! Where a model directory keeps its chat template and its special tokens.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::{DEFAULT, MAX_SOURCE};
use crate::model::file::read_text;
use crate::model::json::{self, Fields, kind_of};
use crate::{Error, ErrorKind, Result};

const CHAT_TEMPLATE: &str = "chat_template.jinja";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";
const DOWNLOAD: &str = "download the file again, or write a chat_template.jinja beside it";
/// A tokenizer_config.json lists added tokens; the largest have some megabytes.
const MAX_CONFIG: u64 = 16 << 20;

/// The texts of a model's special tokens, by the names templates use: `bos_token`, `eos_token`,
/// `unk_token`, `pad_token` and others that end in `_token`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens(BTreeMap<String, String>);

impl SpecialTokens {
    /// Adds a token, `with("bos_token", "<s>")`.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.0.insert(name.into(), text.into());
        self
    }

    /// The text of a token by its name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn variables(&self) -> Map<String, Value> {
        self.0.iter().map(|(name, text)| (name.clone(), text.clone().into())).collect()
    }

    /// Takes the tokens among `fields` that are not there yet.
    fn fill(&mut self, fields: &Map<String, Value>) -> Result<()> {
        for (name, value) in fields.iter().filter(|(name, _)| name.ends_with("_token")) {
            let text = match value {
                Value::String(text) => text,
                Value::Object(map) => match map.get("content") {
                    Some(Value::String(text)) => text,
                    _ => continue,
                },
                // Settings such as `add_bos_token` end alike.
                Value::Null | Value::Bool(_) => continue,
                other => {
                    let message = format!("expected a token, found {}", kind_of(other));
                    let error = Fields::new(fields, "").error(ErrorKind::Format, name, message);
                    return Err(error.with_hint(DOWNLOAD));
                }
            };
            self.0.entry(name.clone()).or_insert_with(|| text.clone());
        }
        Ok(())
    }
}

/// The templates of a model, by name.
pub(super) struct Found {
    pub(super) origin: String,
    pub(super) templates: Vec<(String, String)>,
    pub(super) special: SpecialTokens,
}

/// Reads what `dir` has; `None` if it has no template.
pub(super) fn read(dir: &Path) -> Result<Option<Found>> {
    let mut special = SpecialTokens::default();
    let config = dir.join(TOKENIZER_CONFIG);
    let fields = object(&config)?;
    for (name, fields) in
        [(TOKENIZER_CONFIG, &fields), (SPECIAL_TOKENS_MAP, &object(&dir.join(SPECIAL_TOKENS_MAP))?)]
    {
        let about = |error: Error| error.about(dir.join(name).display().to_string());
        special.fill(fields).map_err(about)?;
    }
    let file = dir.join(CHAT_TEMPLATE);
    let (path, templates) = if file.exists() {
        let source = read_text(&file, MAX_SOURCE as u64)?;
        (file, vec![(DEFAULT.to_owned(), source)])
    } else {
        let about = |error: Error| error.about(config.display().to_string());
        let templates = templates(&fields).map_err(about)?;
        (config, templates)
    };
    let origin = path.display().to_string();
    Ok((!templates.is_empty()).then_some(Found { origin, templates, special }))
}

/// The fields of a JSON file, none if it is not there.
fn object(path: &Path) -> Result<Map<String, Value>> {
    if !path.exists() {
        return Ok(Map::new());
    }
    let text = read_text(path, MAX_CONFIG)?;
    json::parse_object(&text).map_err(|error| error.about(path.display().to_string()))
}

/// `chat_template`: the text of one, or a list of `{"name": .., "template": ..}`.
fn templates(config: &Map<String, Value>) -> Result<Vec<(String, String)>> {
    let fields = Fields::new(config, "");
    let wrong = |found: &Value| {
        let message = format!("expected a template or a list of them, found {}", kind_of(found));
        fields.error(ErrorKind::Format, "chat_template", message).with_hint(DOWNLOAD)
    };
    match fields.get("chat_template") {
        None => Ok(Vec::new()),
        Some(Value::String(source)) => Ok(vec![(DEFAULT.to_owned(), source.clone())]),
        Some(Value::Array(entries)) => entries
            .iter()
            .map(|entry| match (entry["name"].as_str(), entry["template"].as_str()) {
                (Some(name), Some(source)) => Ok((name.to_owned(), source.to_owned())),
                _ => Err(wrong(entry)),
            })
            .collect(),
        Some(other) => Err(wrong(other)),
    }
}
