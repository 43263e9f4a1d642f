//! `tojson`, as Python's `json.dumps(.., ensure_ascii=False)` writes it.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// The deepest value that is written; JSON that comes in has at most 128 levels.
const MAX_DEPTH: usize = 256;
/// More spaces a level than anyone reads.
const MAX_INDENT: usize = 64;

struct Style {
    ensure_ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sort_keys: bool,
}

/// The filter, with the arguments transformers gives it.
pub(super) fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let style = style(&options)?;
    let mut text = String::new();
    write(&mut text, value, &style, 0)?;
    Ok(text)
}

fn style(options: &Kwargs) -> Result<Style, Error> {
    let indent: Option<Value> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let ensure_ascii: Option<bool> = options.get("ensure_ascii")?;
    let sort_keys: Option<bool> = options.get("sort_keys")?;
    options.assert_all_used()?;
    let indent = match indent.filter(|value| !value.is_none()) {
        None => None,
        Some(value) => match (value.as_str(), value.as_usize()) {
            (Some(text), _) if text.len() <= MAX_INDENT => Some(text.to_owned()),
            (_, Some(spaces)) if spaces <= MAX_INDENT => Some(" ".repeat(spaces)),
            _ => return Err(invalid(format!("tojson cannot indent by {value}"))),
        },
    };
    let [item, key] = match separators {
        Some(separators) => <[String; 2]>::try_from(separators)
            .map_err(|_| invalid("tojson takes two separators"))?,
        None if indent.is_some() => [",", ": "].map(String::from),
        None => [", ", ": "].map(String::from),
    };
    let (ensure_ascii, sort_keys) = (ensure_ascii.unwrap_or(false), sort_keys.unwrap_or(false));
    Ok(Style { ensure_ascii, indent, item, key, sort_keys })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn write(out: &mut String, value: &Value, style: &Style, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH || out.len() > super::MAX_OUTPUT {
        return Err(invalid("the value is too large for tojson"));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if value.is_integer() => {
            let _ = write!(out, "{value}");
        }
        ValueKind::Number => float(out, f64::try_from(value.clone())?),
        ValueKind::String => string(out, value.as_str().unwrap_or_default(), style),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(|item| (None, item));
            container(out, items, style, depth, ['[', ']'])?;
        }
        ValueKind::Map => {
            let mut pairs = Vec::new();
            for key in value.try_iter()? {
                pairs.push((Some(key_text(&key)?), value.get_item(&key)?));
            }
            if style.sort_keys {
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
            }
            container(out, pairs.into_iter(), style, depth, ['{', '}'])?;
        }
        other => return Err(invalid(format!("{other} is not JSON serializable"))),
    }
    Ok(())
}

fn container(
    out: &mut String,
    items: impl Iterator<Item = (Option<String>, Value)>,
    style: &Style,
    depth: usize,
    [open, close]: [char; 2],
) -> Result<(), Error> {
    out.push(open);
    let mut any = false;
    for (key, item) in items {
        if any {
            out.push_str(&style.item);
        }
        any = true;
        new_line(out, style, depth + 1);
        if let Some(key) = key {
            string(out, &key, style);
            out.push_str(&style.key);
        }
        write(out, &item, style, depth + 1)?;
    }
    if any {
        new_line(out, style, depth);
    }
    out.push(close);
    Ok(())
}

fn new_line(out: &mut String, style: &Style, depth: usize) {
    if let Some(indent) = &style.indent {
        out.push('\n');
        for _ in 0..depth {
            out.push_str(indent);
        }
    }
}

/// Keys that are no strings become strings.
fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Ok("null".into()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.into()),
        ValueKind::Number if key.is_integer() => Ok(key.to_string()),
        ValueKind::Number => {
            let mut text = String::new();
            float(&mut text, f64::try_from(key.clone())?);
            Ok(text)
        }
        other => Err(invalid(format!("{other} is not a key of JSON"))),
    }
}

fn string(out: &mut String, text: &str, style: &Style) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || (style.ensure_ascii && c > '~') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Python's `repr` of a float: the shortest digits that give the same number, with an exponent
/// below 1e-4 and from 1e16 on.
fn float(out: &mut String, value: f64) {
    if !value.is_finite() {
        let infinite = if value < 0.0 { "-Infinity" } else { "Infinity" };
        out.push_str(if value.is_nan() { "NaN" } else { infinite });
        return;
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let _ = match value == 0.0 || (-4..16).contains(&exponent) {
        true => write!(out, "{value:?}"),
        false => write!(
            out,
            "{digits}e{}{:02}",
            if exponent < 0 { '-' } else { '+' },
            exponent.unsigned_abs()
        ),
    };
}
