//! `Constraint`: what the text of an answer must match.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use llguidance::api::{GrammarInit, ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{JsonCompileOptions, Logger, Matcher, ParserFactory};
use serde_json::Value;

use super::matching::Matching;
use crate::model::Tokenizer;
use crate::{Error, ErrorKind, Result};

/// What the text of an answer must match: a JSON schema or a regular expression.
///
/// Before each token is chosen, those that cannot go on to a match are taken away; sampling, its order and
/// its seeds stay as they are. An answer that ends by [`Stop::Eos`](super::Stop::Eos) or
/// [`Stop::Complete`](super::Stop::Complete) matches, with nothing before or after. One that ends otherwise
/// is the beginning of a match, cut by [`max_tokens`](super::GenerateOptions::with_max_tokens), the context, a
/// stop string or a cancellation: look at [`Statistics::stop`](super::Statistics::stop) before parsing it.
///
/// ```no_run
/// use rkllm::session::{Constraint, Model, Stop};
/// use serde_json::json;
///
/// let schema = json!({
///     "type": "object",
///     "properties": {
///         "quantity": {"enum": ["voltage", "current", "resistance"]},
///         "value": {"type": "number"},
///         "unit": {"type": "string", "maxLength": 8}
///     },
///     "required": ["quantity", "value", "unit"],
///     "additionalProperties": false
/// });
/// let model = Model::open("models/tutor-nano")?;
/// let mut chat = model.chat().with_constraint(Constraint::json_schema(schema)).start()?;
/// let mut answer = chat.ask("2 A flow through 6 ohms. Which voltage is that?")?;
/// let text: String = answer.by_ref().collect::<rkllm::Result<_>>()?;
/// if answer.statistics().stop != Some(Stop::MaxTokens) {
///     let value: serde_json::Value = serde_json::from_str(&text).expect("the schema saw to it");
///     println!("{} {}", value["value"], value["unit"]);
/// }
/// # Ok::<(), rkllm::Error>(())
/// ```
///
/// # What it says and what not
/// It sees to the form; whether what is said in it is right is the model's. The model is not told the
/// constraint: say in the question what is wanted. Strings and numbers without a bound, as `.*` and a
/// `"type": "string"` without `maxLength`, leave the end to the model; set `max_tokens` too. A model that
/// thinks first has no room to: leave that off by [`ChatBuilder::with_thinking`](super::ChatBuilder::with_thinking).
///
/// # Limits
/// Schemas may come from others, so compiling and matching are bounded: a schema nests 64 deep and has
/// 10,000 values and 1 MiB of text at most, each text and each regular expression 16 KiB, numbers are at most 2^53, and a
/// `multipleOf` has 6 digits; what takes more than a few seconds
/// to compile, more than some 100 MB of states, or more than a fraction of a second for a token is an
/// [`ErrorKind::Input`].
/// Constraints are compiled by the crate llguidance, when a chat starts and when an answer begins, before
/// anything is lost. The first time for a model takes as long as sorting its vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Schema(Value),
    Regex(String),
}

impl Constraint {
    /// JSON that a schema allows, as in JSON Schema drafts 4 to 2020-12. Properties come in the schema's
    /// order with the feature `chat`, else in that of their names. Between its parts is a space or
    /// nothing.
    ///
    /// What cannot be seen to while writing (`not`, `uniqueItems`, `oneOf` of options that overlap, `$ref` to
    /// another document, and so on) is an error when an answer begins, never let through.
    pub fn json_schema(schema: Value) -> Self {
        Self(Kind::Schema(schema))
    }

    /// A whole text that matches a regular expression in the syntax of the crate `regex`, without anchors
    /// and look-around.
    pub fn regex(pattern: impl Into<String>) -> Self {
        Self(Kind::Regex(pattern.into()))
    }

    /// One of some texts.
    pub fn choice<S: AsRef<str>>(choices: impl IntoIterator<Item = S>) -> Self {
        let choices: Vec<String> = choices.into_iter().map(|text| escape(text.as_ref())).collect();
        Self(Kind::Regex(format!("({})", choices.join("|"))))
    }
}

/// The pattern that only `text` matches.
fn escape(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// Levels of a schema, which is compiled by recursion.
const MAX_DEPTH: usize = 64;
/// Values in a schema.
const MAX_VALUES: usize = 10_000;
/// Bytes of text in a schema.
const MAX_TEXT: usize = 1 << 20;
/// Bytes of a pattern, and of each text in a schema: some patterns take the square of their length.
const MAX_PATTERN: usize = 16 << 10;
/// Numbers up to it are integers of their own in f64; llguidance's arithmetic goes little further.
const MAX_NUMBER: f64 = 9_007_199_254_740_992.0;
/// Digits of a `multipleOf`, whose remainders are states.
const MAX_DIVISOR_DIGITS: usize = 6;
/// Bytes of a token, above which it is left out: what it spells can be spelled by others.
const MAX_TOKEN: usize = 512;
/// Bytes of all tokens: the trie has a node for each at most, and counts them in 22 bits.
const MAX_TOKENS: usize = (1 << 22) - 2;
/// Constraints kept compiled.
const KEPT: usize = 4;
/// Between the parts of JSON. With more, models that were not trained on JSON fill the answer with it.
const WHITESPACE: &str = " ";

fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2_000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        // One or two kB each.
        max_lexer_states: 50_000,
        max_grammar_size: 100_000,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}

/// A model's tokens as constraints see them, and the constraints compiled last.
pub(super) struct Grammars {
    factory: ParserFactory,
    tokens: TokEnv,
    compiled: Mutex<VecDeque<(Constraint, Matcher)>>,
}

/// Tokens of the model: the word after them stands for the end.
pub(super) fn words(tokens: &TokEnv) -> usize {
    tokens.tok_trie().vocab_size() - 1
}

impl Grammars {
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a tokenizer whose tokens do not stand for bytes.
    pub(super) fn new(tokenizer: &Tokenizer, eos: &[u32]) -> Result<Self> {
        let mut words = tokenizer.token_bytes()?;
        for word in &mut words {
            // 0xFF is in no UTF-8; llguidance marks special tokens by it.
            if word.len() > MAX_TOKEN || word.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
                word.clear();
            }
        }
        // Tokens that end an answer are no text. Which of them may do so is up to the answer, so they
        // all have a stand-in, whose id no token of the model has.
        for &id in eos.iter().filter(|&&id| (id as usize) < MAX_TOKENS) {
            words.resize(words.len().max(id as usize + 1), Vec::new());
            words[id as usize].clear();
        }
        let end = words.len() as u32;
        words.push([&[TokTrie::SPECIAL_TOKEN_MARKER], &b"<end>"[..]].concat());
        let bytes: usize = words.iter().map(Vec::len).sum();
        if bytes > MAX_TOKENS || words.len() > MAX_TOKENS {
            let message = format!("a vocabulary of {} tokens and {bytes} bytes", words.len());
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint("it is too large for constrained answers; leave out the constraint"));
        }
        let trie = TokTrie::from(&TokRxInfo::new(end + 1, end), &words);
        let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&tokens)
            .map_err(|error| Error::new(ErrorKind::Unsupported, reason(&error.to_string())))?;
        *factory.limits_mut() = limits();
        factory.quiet();
        Ok(Self { factory, tokens, compiled: Mutex::default() })
    }

    /// `constraint` before its first token.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it cannot be compiled or no token of the model can begin it.
    pub(super) fn begin(&self, constraint: &Constraint) -> Result<Matching> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = compiled.iter().position(|(kept, _)| kept == constraint);
        let entry = match kept.and_then(|index| compiled.remove(index)) {
            Some(entry) => entry,
            None => (constraint.clone(), self.compile(constraint)?),
        };
        // A deep copy: what one answer made of it must not tell in the next, not even in its limits.
        let matching = Matching::new(entry.1.deep_clone(), &self.tokens);
        compiled.truncate(KEPT - 1);
        compiled.push_front(entry);
        Ok(matching)
    }

    fn compile(&self, constraint: &Constraint) -> Result<Matcher> {
        let grammar = constraint.grammar()?;
        let refused = |message: &str| {
            Error::new(ErrorKind::Input, reason(message)).about(constraint.name()).with_hint(
                match constraint.0 {
                    Kind::Schema(_) => "simplify the schema: see Constraint for what it may have",
                    Kind::Regex(_) => {
                        "correct or simplify the pattern: see Constraint for what it may have"
                    }
                },
            )
        };
        let parser = self.factory.create_parser_from_init_ext(
            GrammarInit::Serialized(grammar),
            Logger::new(0, 0),
            InferenceCapabilities::default(),
            limits(),
        );
        let matcher = Matcher::new(parser);
        if let Some(message) = matcher.get_error() {
            return Err(refused(&message));
        }
        let first = matcher.deep_clone().compute_mask();
        first.map_err(|error| stuck(&error.to_string()).about(constraint.name()))?;
        Ok(matcher)
    }
}

impl Constraint {
    fn name(&self) -> &'static str {
        match self.0 {
            Kind::Schema(_) => "JSON schema",
            Kind::Regex(_) => "regular expression",
        }
    }

    fn grammar(&self) -> Result<TopLevelGrammar> {
        match &self.0 {
            Kind::Schema(schema) => schema_grammar(schema),
            Kind::Regex(pattern) => regex_grammar(pattern),
        }
        .map_err(|error| error.about(self.name()))
    }
}

fn regex_grammar(pattern: &str) -> Result<TopLevelGrammar> {
    if pattern.len() > MAX_PATTERN {
        let message = format!("{} bytes are more than {MAX_PATTERN}", pattern.len());
        return Err(Error::new(ErrorKind::Input, message).with_hint("shorten it"));
    }
    let slashes = pattern.len() - pattern.trim_end_matches('\\').len();
    if slashes % 2 == 1 {
        return Err(Error::new(ErrorKind::Input, "it ends in the middle of an escape")
            .with_hint(r"write \\ for a backslash"));
    }
    // In the syntax of the grammar an empty pattern would begin a comment.
    Ok(TopLevelGrammar::from_regex(if pattern.is_empty() { "()" } else { pattern }))
}

fn schema_grammar(schema: &Value) -> Result<TopLevelGrammar> {
    let (mut values, mut text) = (0, 0);
    measure(schema, 0, &mut values, &mut text)?;
    let mut schema = match schema {
        Value::Object(map) if map.contains_key("x-guidance") => {
            return Err(Error::new(ErrorKind::Input, "x-guidance is no part of a schema here")
                .with_hint("leave it out"));
        }
        Value::Object(_) => schema.clone(),
        Value::Bool(true) => Value::Object(serde_json::Map::new()),
        other => {
            let message = format!("expected an object, found {other:.40}");
            return Err(Error::new(ErrorKind::Input, message)
                .with_hint(r#"give a schema, such as {"type": "object"}"#));
        }
    };
    let options = JsonCompileOptions {
        whitespace_pattern: Some(WHITESPACE.into()),
        ..JsonCompileOptions::default()
    };
    options.apply_to(&mut schema);
    Ok(TopLevelGrammar::from_json_schema(schema))
}

/// Counts the values and the text below `value`, at `depth`.
fn measure(value: &Value, depth: usize, values: &mut usize, text: &mut usize) -> Result<()> {
    *values += 1;
    let large = |what: String| {
        Err(Error::new(ErrorKind::Input, what).with_hint("simplify it, or split it in several"))
    };
    if depth > MAX_DEPTH {
        return large(format!("it nests more than {MAX_DEPTH} deep"));
    }
    match value {
        Value::String(string) => {
            *text += string.len();
            if string.len() > MAX_PATTERN {
                return large(format!("it has a text of more than {MAX_PATTERN} bytes"));
            }
        }
        Value::Number(number) if number.as_f64().is_none_or(|value| value.abs() > MAX_NUMBER) => {
            return large(format!("it has the number {number}, beyond {MAX_NUMBER}"));
        }
        Value::Array(items) => {
            items.iter().try_for_each(|item| measure(item, depth + 1, values, text))?;
        }
        Value::Object(map) => {
            for (key, item) in map {
                *text += key.len();
                if key == "multipleOf" && item.is_number() {
                    let digits = item.to_string();
                    let count = digits.bytes().filter(u8::is_ascii_digit).count();
                    if count > MAX_DIVISOR_DIGITS || digits.contains('e') {
                        return large(format!("multipleOf {digits} has too many digits"));
                    }
                }
                measure(item, depth + 1, values, text)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    if *values > MAX_VALUES || *text > MAX_TEXT {
        return large(format!("it has more than {MAX_VALUES} values or {MAX_TEXT} bytes of text"));
    }
    Ok(())
}

/// What llguidance says where the vocabulary has nothing to go on with.
pub(super) const NO_TOKEN: &str = "NoExtensionBias";

/// A constraint that an answer cannot go on with.
pub(super) fn stuck(message: &str) -> Error {
    if message.starts_with(NO_TOKEN) {
        return Error::new(
            ErrorKind::Input,
            "no token of the model can follow under the constraint",
        )
        .with_hint("its vocabulary cannot spell what the constraint asks for");
    }
    let message = format!("the constraint is too complex here: {}", reason(message));
    Error::new(ErrorKind::Input, message).with_hint("bound what it repeats, or simplify it")
}

/// The message without the state and the backtrace that llguidance may put after it.
fn reason(message: &str) -> String {
    let end = ["\n<state>", "\n<non-verbose", "\n<backtrace>"];
    let end = end.iter().filter_map(|mark| message.find(mark)).min().unwrap_or(message.len());
    // Of a pattern that cannot be parsed, the line after the pattern itself says why.
    let lines = || message[..end].trim().lines().map(str::trim);
    let mut text = match lines().find_map(|line| line.strip_prefix("error: ")) {
        Some(error) => error.to_owned(),
        None => lines().collect::<Vec<_>>().join("; "),
    };
    // It may repeat the constraint.
    if let Some((cut, _)) = text.char_indices().nth(400) {
        text.truncate(cut);
        text.push('…');
    }
    text
}
