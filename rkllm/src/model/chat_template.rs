//! Messages to the text a chat model was trained on, by the Jinja template that comes with it.

mod environment;
mod files;
mod json;
mod message;
mod python;
mod strftime;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::thread;

use minijinja::Environment;
use minijinja::value::Serde;
use serde_json::{Map, Value};

pub use files::SpecialTokens;
pub use message::{Content, FunctionCall, Message, Role, ToolCall};

use crate::{Error, ErrorKind, Result};

/// Conversations of a thousand messages take some 100,000 instructions.
const FUEL: u64 = 1_000_000;
/// A rendered prompt of more than this fits no model's context.
const MAX_OUTPUT: usize = 16 << 20;
/// The longest templates of the hub have about 30 kB.
const MAX_SOURCE: usize = 1 << 20;
/// Address space for values nested as deep as [`FUEL`] allows, which are dropped by recursion. Only
/// what is touched becomes memory.
const STACK: usize = 256 << 20;

/// Name of the template used when nothing else is asked for.
const DEFAULT: &str = "default";
/// Name of the template used with tools, where a model has one.
const TOOL_USE: &str = "tool_use";

/// A model's chat template: Jinja as transformers runs it (`trim_blocks`, `lstrip_blocks`, loop
/// controls, Python's string and dictionary methods, `tojson`, `raise_exception`, `strftime_now`).
///
/// ```
/// use rkllm::model::{ChatTemplate, Message, RenderOptions, SpecialTokens};
///
/// fn main() -> rkllm::Result<()> {
///     let source = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}\
///                   {% if add_generation_prompt %}<|assistant|>{% endif %}";
///     let template = ChatTemplate::new(source, SpecialTokens::default())?;
///     let prompt = template.render(&[Message::user("2 + 2?")], &RenderOptions::default())?;
///     assert_eq!(prompt, "<|user|>2 + 2?\n<|assistant|>");
///     Ok(())
/// }
/// ```
///
/// # Tokens of the rendered text
/// A template writes BOS itself where the model wants one, so the text is encoded with
/// [`Tokenizer::encode_chat`](super::Tokenizer::encode_chat), which puts nothing in.
///
/// # Limits
/// Templates come with models, from strangers. A template may be 1 MiB long, run a million
/// instructions, write 16 MiB and nest macros 500 deep; beyond, rendering is an error. It reads no
/// file and calls nothing. What is not limited is the memory of values that a template builds and
/// does not write, such as a string doubled over and over: run templates you do not trust under a
/// memory limit of the operating system.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Where the template was read from, for messages.
    origin: String,
    special: SpecialTokens,
}

/// What a template is told besides the messages.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderOptions {
    /// End with the beginning of an answer, for the model to go on. Default true.
    pub add_generation_prompt: bool,
    /// Whether a reasoning model thinks first. `None` leaves it to the template; templates of models
    /// that do not reason take no notice.
    pub enable_thinking: Option<bool>,
    /// Tools as JSON schemas, `{"type": "function", "function": {"name": .., "parameters": ..}}`;
    /// their fields keep their order. Empty means none.
    pub tools: Vec<Value>,
    /// Other variables, such as `documents` or `date_string`. They win over special tokens of the
    /// same name, not over the fields above.
    pub extra: Map<String, Value>,
    /// The date for templates that ask for it by `strftime_now`, `YYYY-MM-DD` or
    /// `YYYY-MM-DDTHH:MM:SS`. `None` takes the clock, in UTC.
    pub today: Option<String>,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            add_generation_prompt: true,
            enable_thinking: None,
            tools: Vec::new(),
            extra: Map::new(),
            today: None,
        }
    }
}

impl ChatTemplate {
    /// Reads the chat template of the model in `dir`: `chat_template.jinja`, else the
    /// `chat_template` of `tokenizer_config.json`, which is a template or a list of named ones.
    /// `None` if the model has none: it continues text and was not trained to chat.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] for files that are damaged and templates that are not valid, with the
    /// line.
    pub fn open(dir: impl AsRef<Path>) -> Result<Option<Self>> {
        let Some(found) = files::read(dir.as_ref())? else { return Ok(None) };
        let mut template = Self::empty(found.origin, found.special)?;
        for (name, source) in found.templates {
            template.add(name, source)?;
        }
        Ok(Some(template))
    }

    /// Takes the text of a template, such as one embedded in the program.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] if it is not a valid template, with the line.
    pub fn new(source: &str, special: SpecialTokens) -> Result<Self> {
        let mut template = Self::empty("chat template".into(), special)?;
        template.add(DEFAULT.into(), source.into())?;
        Ok(template)
    }

    fn empty(origin: String, special: SpecialTokens) -> Result<Self> {
        Ok(Self { environment: environment::environment(FUEL)?, origin, special })
    }

    fn add(&mut self, name: String, source: String) -> Result<()> {
        if source.len() > MAX_SOURCE {
            let message = format!(
                "expected a template of at most {MAX_SOURCE} bytes, found {}",
                source.len()
            );
            return Err(Error::new(ErrorKind::Format, message).about(self.origin.clone()));
        }
        let source = environment::without_generation_tags(source);
        let Self { environment, origin, .. } = self;
        // Both the parser and the values of a literal are recursive.
        let added = on_own_stack(|| environment.add_template_owned(name, source))?;
        added.map_err(|error| environment::describe(&error).about(origin.clone()))
    }

    /// The special tokens the template can name.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// The template's own text for `messages`.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] with the template's words if it refuses these messages (a system message
    /// it does not know, roles that do not alternate) and for a date that is none;
    /// [`ErrorKind::Format`] if the template fails or goes beyond the limits.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        let name = self.choose(options)?;
        let variables = self.variables(messages, options)?;
        let run = || -> Result<String, minijinja::Error> {
            let template = self.environment.get_template(name)?;
            let mut output = Limited(Vec::new());
            template.render_captured_to(variables, &mut output)?;
            String::from_utf8(output.0).map_err(|error| {
                minijinja::Error::new(minijinja::ErrorKind::WriteFailure, error.to_string())
            })
        };
        on_own_stack(run)?.map_err(|error| environment::describe(&error).about(self.origin.clone()))
    }

    fn choose(&self, options: &RenderOptions) -> Result<&'static str> {
        let has = |name| self.environment.get_template(name).is_ok();
        if !options.tools.is_empty() && has(TOOL_USE) {
            return Ok(TOOL_USE);
        }
        if has(DEFAULT) {
            return Ok(DEFAULT);
        }
        Err(Error::new(ErrorKind::Missing, "no chat template is named `default`")
            .about(self.origin.clone())
            .with_hint("give the tools its `tool_use` template is for, or name one `default`"))
    }

    /// What the template sees, as transformers hands it over: without tools, `tools` is none, not
    /// undefined.
    fn variables(&self, messages: &[Message], options: &RenderOptions) -> Result<minijinja::Value> {
        let mut variables = self.special.variables();
        variables.insert("documents".into(), Value::Null);
        variables.extend(options.extra.clone());
        let messages = messages.iter().map(Message::for_template).collect();
        variables.insert("messages".into(), Value::Array(messages));
        let tools = match options.tools.is_empty() {
            true => Value::Null,
            false => Value::Array(options.tools.clone()),
        };
        variables.insert("tools".into(), tools);
        variables.insert("add_generation_prompt".into(), options.add_generation_prompt.into());
        if let Some(thinking) = options.enable_thinking {
            variables.insert("enable_thinking".into(), thinking.into());
        }
        let now = strftime::Moment::of(options.today.as_deref())?;
        variables.insert(environment::NOW.into(), now.to_json());
        Ok(minijinja::Value::from(Serde(variables)))
    }
}

/// Runs work whose recursion a template decides. The thread ends before this returns.
fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    let refused = |error: io::Error| {
        Error::new(ErrorKind::Memory, format!("no thread for the chat template: {error}"))
            .with_source(error)
    };
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("chat template".into()).stack_size(STACK);
        let running = builder.spawn_scoped(scope, work).map_err(refused)?;
        running.join().map_err(|_| {
            Error::new(ErrorKind::Format, "the template contradicts itself")
                .with_hint("take the template of the model's publisher")
        })
    })
}

/// Output that ends before it fills the memory.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other(format!("more than {MAX_OUTPUT} bytes of text")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
