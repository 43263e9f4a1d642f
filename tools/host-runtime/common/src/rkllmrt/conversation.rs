//! Inputs to what stands in the sequence: template, tools, images.

use std::sync::Arc;

use rkllm::model::{Message, RenderOptions, Role};
use rkllm::{Error, ErrorKind, Result};
use serde_json::Value;

use super::callback::Callbacks;
use super::loaded::Loaded;
use super::params::{Media, Payload, RunInput};
use super::sequence::Item;

/// Stands for an answer where only what follows one is wanted.
const ANSWER: &str = "\u{2}answer\u{3}";

/// A template in the place of the model's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) system: String,
    pub(super) prefix: String,
    pub(super) postfix: String,
}

/// What a handle was told about prompts.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) frame: Option<Frame>,
    /// With tools.
    pub(super) system: String,
    pub(super) tools: Vec<Value>,
    pub(super) tool_tag: String,
}

/// What a run begins with.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) items: Vec<Item>,
    /// The conversation, if all items are what the template makes of it.
    pub(super) messages: Option<Vec<Message>>,
    /// Where among the items this input begins.
    pub(super) from: usize,
}

/// What there was before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) items: &'a [Item],
    pub(super) messages: Option<&'a [Message]>,
    /// A run was paused in the midst of an answer.
    pub(super) paused: bool,
}

/// Turns inputs into items.
#[derive(Debug, Clone, Copy)]
pub(super) struct Composer<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) callbacks: &'a Callbacks,
    pub(super) settings: &'a Settings,
    pub(super) number: u64,
}

impl Composer<'_> {
    /// # Errors
    /// [`ErrorKind::Tokenizer`] for ids the model does not have, [`ErrorKind::Shape`] for embeddings that
    /// are not whole rows, [`ErrorKind::Input`] for markers and images that do not match, and what
    /// template and tokenizer report.
    pub(super) fn begin(&self, before: Before<'_>, input: RunInput) -> Result<Begun> {
        let role = input.role.as_deref().filter(|role| !role.is_empty()).unwrap_or("user");
        let thinking = input.enable_thinking;
        match input.payload {
            Payload::Tokens(ids) => Self::appended(before, self.tokens(&ids)?),
            Payload::Embeddings(values) => Self::appended(before, self.rows(&values)?),
            Payload::Prompt(text) => self.text(before, role, thinking, &text, &[]),
            Payload::Multimodal(text, media) => self.text(before, role, thinking, &text, &media),
        }
    }

    fn appended(before: Before<'_>, items: Vec<Item>) -> Result<Begun> {
        let mut all = before.items.to_vec();
        all.extend(items);
        if all.is_empty() {
            return Err(Error::new(ErrorKind::Input, "the input is empty"));
        }
        let from = before.items.len().min(all.len() - 1);
        Ok(Begun { items: all, messages: None, from })
    }

    fn tokens(&self, ids: &[i32]) -> Result<Vec<Item>> {
        let vocab = self.loaded.vocab();
        let item = |id: &i32| match u32::try_from(*id) {
            Ok(known) if (known as usize) < vocab => Ok(Item::Token(known)),
            _ => {
                let message = format!("token id {id} is outside the vocabulary of {vocab}");
                Err(Error::new(ErrorKind::Tokenizer, message))
            }
        };
        ids.iter().map(item).collect()
    }

    fn rows(&self, values: &[f32]) -> Result<Vec<Item>> {
        let rows = values.chunks_exact(self.loaded.hidden());
        if !rows.remainder().is_empty() {
            let message =
                format!("{} values are not rows of {}", values.len(), self.loaded.hidden());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        Ok(rows.map(|row| Item::Row(row.into())).collect())
    }

    fn text(
        &self,
        before: Before<'_>,
        role: &str,
        thinking: bool,
        text: &str,
        media: &[Media],
    ) -> Result<Begun> {
        let fresh = before.items.is_empty();
        if before.paused && !fresh {
            // In the midst of an answer the text is what comes next in it.
            return Self::appended(before, self.encode(text, media, false)?);
        }
        if let Some(frame) = &self.settings.frame {
            let system = if fresh { frame.system.as_str() } else { "" };
            let body = if role == "tool" { self.tool_text(text) } else { text.to_owned() };
            let text = [system, &frame.prefix, &body, &frame.postfix].concat();
            return Self::appended(before, self.encode(&text, media, fresh)?);
        }
        if self.loaded.template.is_none() {
            return Self::appended(before, self.encode(text, media, fresh)?);
        }
        let asked = messages(role, text);
        if !fresh && before.messages.is_none() {
            let text = self.after_an_answer(asked, thinking)?;
            return Self::appended(before, self.encode(&text, media, false)?);
        }
        let mut messages = match before.messages {
            Some(messages) if !fresh => messages.to_vec(),
            _ => self.system(),
        };
        messages.extend(asked);
        let text = self.render(&messages, thinking)?;
        // The template has written what begins a sequence.
        let items = self.encode(&text, media, false)?;
        if items.is_empty() {
            return Err(Error::new(ErrorKind::Input, "the prompt is empty"));
        }
        let from = match before.messages {
            // Templates may write what was said before in another way than it was: without its thoughts, say.
            Some(former) if !items.starts_with(before.items) => {
                self.before_a_message(former, role, thinking, &items)
            }
            _ => before.items.len(),
        };
        let from = from.min(items.len() - 1);
        Ok(Begun { items, messages: media.is_empty().then_some(messages), from })
    }

    pub(super) fn system(&self) -> Vec<Message> {
        match self.settings.system.is_empty() {
            true => Vec::new(),
            false => vec![Message::system(self.settings.system.as_str())],
        }
    }

    fn render(&self, messages: &[Message], thinking: bool) -> Result<String> {
        let Some(template) = &self.loaded.template else {
            return Err(Error::new(ErrorKind::Missing, "the model has no chat template"));
        };
        let options = RenderOptions {
            enable_thinking: Some(thinking),
            tools: self.settings.tools.clone(),
            ..RenderOptions::default()
        };
        template.render(messages, &options)
    }

    /// What the template puts after an answer and around the next messages.
    fn after_an_answer(&self, asked: Vec<Message>, thinking: bool) -> Result<String> {
        let mut messages = vec![Message::user("?"), Message::assistant(ANSWER)];
        messages.extend(asked.iter().cloned());
        let text = self.render(&messages, thinking)?;
        match text.rsplit_once(ANSWER) {
            Some((_, after)) => Ok(after.to_owned()),
            None => self.render(&asked, thinking),
        }
    }

    /// Results of tools for a template of the caller's.
    fn tool_text(&self, text: &str) -> String {
        let tag = &self.settings.tool_tag;
        if tag.is_empty() {
            return text.to_owned();
        }
        let results = results(text);
        let wrapped = results.iter().map(|result| format!("<{tag}>\n{result}\n</{tag}>"));
        wrapped.collect::<Vec<_>>().join("\n")
    }

    /// Items that stand before the first question and that the next one, of a sequence cut there, goes on after.
    pub(super) fn system_len(&self, items: &[Item]) -> usize {
        let shared = self.system_shared(items);
        match &self.settings.frame {
            // All of it or nothing: what follows would not be given the rest.
            Some(frame) if shared < self.system_of(frame).len() => 0,
            _ => shared,
        }
    }

    /// Items of the system prompt, as many of the first as are the same however the text goes on.
    pub(super) fn system_shared(&self, items: &[Item]) -> usize {
        match &self.settings.frame {
            Some(frame) => common(&self.system_of(frame), items),
            // Some templates write there whether the model is to think.
            None => [false, true]
                .map(|thinking| self.before_a_message(&self.system(), "user", thinking, items))
                .into_iter()
                .fold(0, usize::max),
        }
    }

    fn system_of(&self, frame: &Frame) -> Vec<Item> {
        self.encode(&frame.system, &[], true).unwrap_or_default()
    }

    /// How many of the first items are what the template writes before a message that follows `former`.
    fn before_a_message(
        &self,
        former: &[Message],
        role: &str,
        thinking: bool,
        items: &[Item],
    ) -> usize {
        let encoded = |text: &str| {
            let all = [former, &messages(role, text)].concat();
            let text = self.render(&all, thinking);
            text.and_then(|text| self.encode(&text, &[], false)).unwrap_or_default()
        };
        // Where the two texts are the first difference, what comes before is not of them.
        let (one, other) = (encoded("0"), encoded("Q"));
        common(&one[..common(&one, &other)], items)
    }

    /// Tokens of text, with rows of media in the place of their markers.
    fn encode(&self, text: &str, media: &[Media], fresh: bool) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        let mut rest = text.to_owned();
        let mut used = vec![0; media.len()];
        loop {
            let found = media.iter().enumerate().filter_map(|(which, media)| {
                (media.count > 0).then(|| rest.find(media.marker)).flatten().map(|at| (at, which))
            });
            let Some((at, which)) = found.min() else { break };
            let kind = &media[which];
            if used[which] == kind.count {
                let message =
                    format!("more {} in the prompt than the {} given", kind.marker, kind.count);
                return Err(Error::new(ErrorKind::Input, message));
            }
            let before = [&rest[..at], &kind.tags.start].concat();
            items.extend(self.ids(&before, fresh && items.is_empty())?);
            let size = kind.rows * self.loaded.hidden();
            items.extend(self.rows(&kind.values[used[which] * size..][..size])?);
            used[which] += 1;
            rest = [&kind.tags.end, &rest[at + kind.marker.len()..]].concat();
        }
        if let Some(which) = (0..media.len()).find(|&which| used[which] != media[which].count) {
            let (kind, used) = (&media[which], used[which]);
            let message = format!("{} given for {used} {} in the prompt", kind.count, kind.marker);
            return Err(Error::new(ErrorKind::Input, message));
        }
        items.extend(self.ids(&rest, fresh && items.is_empty())?);
        Ok(items)
    }

    fn ids(&self, text: &str, fresh: bool) -> Result<Vec<Item>> {
        let Some(tokenizer) = &self.loaded.tokenizer else {
            let ids = self.callbacks.encode(self.number, text, self.loaded.context())?;
            let ids: Vec<i32> = ids.into_iter().map(|id| id as i32).collect();
            return self.tokens(&ids);
        };
        let mut ids = match fresh {
            true => tokenizer.encode_with_special_tokens(text)?,
            false => tokenizer.encode(text)?,
        };
        // A text that brings its own.
        if fresh && ids.len() > 1 && ids[0] == ids[1] && tokenizer.bos() == Some(ids[0]) {
            ids.remove(0);
        }
        if fresh && ids.is_empty() {
            ids.extend(tokenizer.bos());
        }
        Ok(ids.into_iter().map(Item::Token).collect())
    }
}

/// How many of the first items are the same.
fn common(a: &[Item], b: &[Item]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The messages of an input: a tool's results are an array of them.
fn messages(role: &str, text: &str) -> Vec<Message> {
    match role {
        "tool" => results(text).into_iter().map(Message::tool).collect(),
        role => vec![Message::new(Role::from(role), text)],
    }
}

/// A JSON array's elements as text, else the text.
fn results(text: &str) -> Vec<String> {
    match serde_json::from_str(text) {
        Ok(Value::Array(results)) if !results.is_empty() => results
            .into_iter()
            .map(|result| match result {
                Value::String(text) => text,
                other => other.to_string(),
            })
            .collect(),
        _ => vec![text.to_owned()],
    }
}

/// A row for tests and callers that have one.
impl From<Vec<f32>> for Item {
    fn from(row: Vec<f32>) -> Self {
        Self::Row(Arc::from(row))
    }
}
