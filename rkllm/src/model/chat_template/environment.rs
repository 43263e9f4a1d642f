//! Jinja as transformers sets it up.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, ErrorKind as Kind, State, Value};

use super::strftime::Moment;
use super::{json, python};
use crate::{Error, ErrorKind, Result};

/// The variable that holds the moment of rendering.
pub(super) const NOW: &str = "__now__";

/// What a template said with `raise_exception`.
#[derive(Debug)]
struct Raised(String);

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

/// An environment without templates.
pub(super) fn environment(fuel: u64) -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| describe(&error))?);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(fuel));
    environment.set_unknown_method_callback(python::method);
    environment.add_filter("tojson", json::to_json);
    environment.add_filter("trim", python::trim);
    environment.add_test("iterable", python::is_iterable);
    environment.add_test("sequence", python::is_sequence);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    Ok(environment)
}

fn raise_exception(message: Value) -> Result<Value, minijinja::Error> {
    let raised = Raised(message.to_string());
    Err(minijinja::Error::new(Kind::InvalidOperation, "raised by the template").with_source(raised))
}

fn strftime_now(state: &State, format: &str, options: Kwargs) -> Result<String, minijinja::Error> {
    options.assert_all_used()?;
    let now = state.lookup(NOW).and_then(|value| Moment::from_value(&value));
    let now =
        now.ok_or_else(|| minijinja::Error::new(Kind::InvalidOperation, "no date is known"))?;
    now.format(format).map_err(|message| minijinja::Error::new(Kind::InvalidOperation, message))
}

/// Turns `{% generation %}`, which only marks what the assistant says, into a block that does
/// nothing; lines and whitespace control stay.
pub(super) fn without_generation_tags(source: String) -> String {
    if !source.contains("generation") {
        return source;
    }
    let mut result = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        result.push_str(before);
        let length = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, after) = tag.split_at(length);
        let word = tag.trim_start_matches("{%").trim_end_matches("%}");
        match word.trim_matches(|c: char| "+-".contains(c) || c.is_whitespace()) {
            "generation" => result.push_str(&tag.replace("generation", "with")),
            "endgeneration" => result.push_str(&tag.replace("endgeneration", "endwith")),
            _ => result.push_str(tag),
        }
        rest = after;
    }
    result.push_str(rest);
    result
}

/// The crate's error for one of the template engine.
pub(super) fn describe(error: &minijinja::Error) -> Error {
    let line = error.line().map_or(String::new(), |line| format!("line {line}: "));
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(Raised(words)) = inner.downcast_ref() {
            let message = format!("{line}the template refuses these messages: {words}");
            return Error::new(ErrorKind::Input, message)
                .with_hint("change the messages, or use another chat template");
        }
        cause = inner.source();
    }
    let mut message = format!("{line}{}", error.kind());
    if let Some(detail) = error.detail() {
        message = format!("{message}: {detail}");
    }
    if let Some(inner) = std::error::Error::source(error) {
        message = format!("{message}: {inner}");
    }
    let hint = match error.kind() {
        Kind::OutOfFuel => "the template does not come to an end; take the publisher's",
        Kind::WriteFailure => "shorten the conversation, or take the publisher's template",
        Kind::UndefinedError => {
            "a message lacks a field that the template uses, or the template needs a variable"
        }
        _ => "take the chat template of the model's publisher, or correct it",
    };
    Error::new(ErrorKind::Format, message).with_hint(hint)
}
