//! JSON from strangers: no duplicate keys, bounded depth, and errors that name the field.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::{Error, ErrorKind, Result};

/// Parses a JSON object. Unlike `serde_json::Value`, a key that occurs twice is an error: two
/// readers would take different ones. Depth is bounded by serde_json (128).
pub(super) fn parse_object(text: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str::<Strict>(text) {
        Ok(Strict(Value::Object(map))) => Ok(map),
        Ok(Strict(other)) => Err(Error::new(
            ErrorKind::Format,
            format!("expected a JSON object, found {}", kind_of(&other)),
        )),
        Err(error) => Err(Error::new(ErrorKind::Format, format!("not valid JSON: {error}"))
            .with_hint("download the file again")),
    }
}

/// A JSON value without duplicate keys.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(format_args!("duplicate key {}", shorten(&key))));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Quotes text of a file for a message, at most 120 characters of it.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(120) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

/// What a JSON value is, for messages.
pub(super) fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => shorten(text),
        Value::Array(values) => format!("a list of {}", values.len()),
        Value::Object(map) => format!("an object with {} fields", map.len()),
    }
}

/// The fields of one JSON object, read by type. A field that is null counts as absent, unless the
/// caller asks with [`Fields::has`].
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// `rope_scaling.` inside that object, empty at the top.
    prefix: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>, prefix: &'a str) -> Self {
        Self { map, prefix }
    }

    /// An error about `name`: what was expected, and what is there.
    pub(super) fn error(&self, kind: ErrorKind, name: &str, message: impl Into<String>) -> Error {
        Error::new(kind, message).about(format!("{}{name}", self.prefix))
    }

    /// The object's own name with a dot after it, empty at the top.
    pub(super) fn name(&self) -> &'a str {
        self.prefix
    }

    /// True if the field is there, be it null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn read<T>(
        &self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| {
            self.error(
                ErrorKind::Format,
                name,
                format!("expected {expected}, found {}", kind_of(value)),
            )
        })
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>> {
        self.read(name, "true or false", Value::as_bool)
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>> {
        self.read(name, "a string", Value::as_str)
    }

    pub(super) fn list(&self, name: &str) -> Result<Option<&'a [Value]>> {
        self.read(name, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>> {
        self.read(name, "an object", Value::as_object)
    }

    /// A finite number; JSON has no others, but `1e999` would become one.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a finite number", |value| value.as_f64().filter(|v| v.is_finite()))
    }

    /// A whole number from 1 to `limit`.
    pub(super) fn dimension(&self, name: &str, limit: usize) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        match number {
            Some(number) if (1..=limit).contains(&number) => Ok(Some(number)),
            _ => Err(self.error(
                ErrorKind::Format,
                name,
                format!("expected a whole number from 1 to {limit}, found {}", kind_of(value)),
            )),
        }
    }

    /// The same for a field that must be there.
    pub(super) fn required_dimension(&self, name: &str, limit: usize) -> Result<usize> {
        self.dimension(name, limit)?.ok_or_else(|| self.missing(name))
    }

    /// A field that must be there, and is not.
    pub(super) fn missing(&self, name: &str) -> Error {
        self.error(ErrorKind::Missing, name, "the field is absent")
    }
}
