//! Where Jinja shows that it is Python: methods of strings, and what counts as a sequence.

use minijinja::value::{Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

/// Methods that templates call and the engine does not know.
pub(super) fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let known = match value.as_str() {
        Some(text) => string_method(text, name, args)?,
        None => None,
    };
    match known {
        Some(result) => Ok(result),
        None => pycompat::unknown_method_callback(state, value, name, args),
    }
}

/// String methods the compatibility crate lacks, or has with Rust's notion of whitespace.
fn string_method(text: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let result = match name {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            Value::from(stripped(text, chars, name != "rstrip", name != "lstrip"))
        }
        "split" | "rsplit" => {
            let (separator, limit): (Option<&str>, Option<i64>) = from_args(args)?;
            let limit = limit.and_then(|limit| usize::try_from(limit).ok());
            split(text, separator, limit.unwrap_or(usize::MAX - 1), name == "rsplit")?
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            partition(text, separator, name == "rpartition")
        }
        "title" => {
            let () = from_args(args)?;
            Value::from(title(text))
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "index" => {
            let (what,): (&str,) = from_args(args)?;
            let at = text.find(what).ok_or_else(|| invalid("substring not found"))?;
            Value::from(text[..at].chars().count())
        }
        _ => return Ok(None),
    };
    Ok(Some(result))
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Unicode's white space, and the four separators of ASCII that Python adds.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn stripped<'a>(text: &'a str, chars: Option<&str>, start: bool, end: bool) -> &'a str {
    let unwanted = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let text = if start { text.trim_start_matches(unwanted) } else { text };
    if end { text.trim_end_matches(unwanted) } else { text }
}

fn split(text: &str, by: Option<&str>, limit: usize, from_end: bool) -> Result<Value, Error> {
    let mut parts: Vec<&str> = match (by, from_end) {
        (Some(""), _) => return Err(invalid("empty separator")),
        (Some(by), false) => text.splitn(limit + 1, by).collect(),
        (Some(by), true) => text.rsplitn(limit + 1, by).collect(),
        (None, _) => words(text, limit, from_end),
    };
    if from_end {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Words between white space, in the order met; after `limit` of them, the rest as it is.
fn words(text: &str, limit: usize, from_end: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = stripped(text, None, !from_end, from_end);
    while !rest.is_empty() {
        let found = if from_end { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(at) = found.filter(|_| parts.len() < limit) else {
            parts.push(stripped(rest, None, from_end, !from_end));
            break;
        };
        if from_end {
            parts.push(rest[at..].trim_start_matches(is_space));
            rest = rest[..at].trim_end_matches(is_space);
        } else {
            parts.push(&rest[..at]);
            rest = rest[at..].trim_start_matches(is_space);
        }
    }
    parts
}

fn partition(text: &str, separator: &str, from_end: bool) -> Value {
    let parts = match (text.split_once(separator), text.rsplit_once(separator)) {
        (Some((before, after)), _) if !from_end => [before, separator, after],
        (_, Some((before, after))) => [before, separator, after],
        _ if from_end => ["", "", text],
        _ => [text, "", ""],
    };
    Value::from(Tuple::from(parts.map(Value::from)))
}

/// A letter after anything but a letter is large, every other one small.
fn title(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match inside {
            true => result.extend(c.to_lowercase()),
            false => result.extend(c.to_uppercase()),
        }
        inside = c.is_lowercase() || c.is_uppercase();
    }
    result
}

/// The filter `trim`, of anything that prints.
pub(super) fn trim(value: &Value, chars: Option<&str>) -> String {
    stripped(&value.to_string(), chars, true, true).to_owned()
}

/// Strings are iterable in Python; undefined values too.
pub(super) fn is_iterable(value: &Value) -> bool {
    value.kind() == ValueKind::String || value.is_undefined() || value.try_iter().is_ok()
}

/// Whatever has a length and items: strings and dictionaries too.
pub(super) fn is_sequence(value: &Value) -> bool {
    value.is_undefined()
        || matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map)
}
