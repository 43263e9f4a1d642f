//! A conversation in a context of limited length.

use std::sync::Arc;

use crate::model::{ChatTemplate, Message, RenderOptions, Role, Tokenizer};
use crate::{Error, ErrorKind, Result};

use super::answer::Transcript;
use super::model::Model;

/// What a chat does when its history has outgrown the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ContextPolicy {
    /// Refuses a question that does not fit, with nothing lost, and ends an answer that fills the
    /// context with [`Stop::Context`](super::Stop::Context).
    #[default]
    Error,
    /// Lets go of the oldest exchanges, whole: a message of the user and all up to the next one.
    /// System messages at the start and the exchange under way always stay.
    ///
    /// It happens when prompt and answer would not fit, counting for the answer its most tokens but
    /// at most a quarter of the context; then so many go that the rest takes at most half of it, if
    /// that can be. The rest is rendered by the template and computed anew, except for what both
    /// prompts begin with. Positions are not shifted: the answer is that of a fresh chat with the
    /// shorter history. Where the context fills up in mid-answer the answer's tokens so far follow the
    /// new prompt, and the answer goes on.
    Slide,
}

/// Messages, and how they become a prompt.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) template: Arc<ChatTemplate>,
    pub(super) render: RenderOptions,
    pub(super) messages: Vec<Message>,
    pub(super) policy: ContextPolicy,
}

/// A prompt that fits, and the messages to go for it.
pub(super) struct Fitted {
    pub(super) prompt: Vec<u32>,
    dropped: std::ops::Range<usize>,
}

impl Conversation {
    /// The prompt of the messages, with those let go that must for `wanted` more tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Context`] if it does not fit whatever may go, and what template and tokenizer report.
    pub(super) fn fit(
        &self,
        tokenizer: &Tokenizer,
        context: usize,
        wanted: usize,
    ) -> Result<Fitted> {
        let prompt = self.prompt(tokenizer, 0..0)?;
        let room = wanted.min(context / 4).max(1);
        if self.policy == ContextPolicy::Slide
            && prompt.len() + room > context
            && let Some(fitted) = self.shorten(tokenizer, context, 0, room)?
        {
            return Ok(fitted);
        }
        if prompt.len() <= context {
            return Ok(Fitted { prompt, dropped: 0..0 });
        }
        let message =
            format!("the conversation has {} tokens, the context holds {context}", prompt.len());
        Err(Error::new(ErrorKind::Context, message).with_hint(match self.policy {
            ContextPolicy::Error => {
                "clear the chat, start it with ContextPolicy::Slide, or open the model with a \
                 larger context"
            }
            ContextPolicy::Slide => {
                "shorten the question or the system prompt, or open the model with a larger context"
            }
        }))
    }

    /// The prompt without as few of the oldest exchanges as bring it and `answer` more tokens below half
    /// the context; failing that, as leave `room`; failing that, all but the last, if that fits.
    fn shorten(
        &self,
        tokenizer: &Tokenizer,
        context: usize,
        answer: usize,
        room: usize,
    ) -> Result<Option<Fitted>> {
        let head = self.messages.iter().take_while(|message| message.role == Role::System).count();
        let mut next_best: Option<Fitted> = None;
        for end in self.exchanges(head).skip(1) {
            let fitted = Fitted { prompt: self.prompt(tokenizer, head..end)?, dropped: head..end };
            let len = fitted.prompt.len() + answer;
            if len <= context / 2 {
                return Ok(Some(fitted));
            }
            let leaves_room = |fitted: &Fitted| fitted.prompt.len() + answer + room <= context;
            if len <= context && !next_best.as_ref().is_some_and(leaves_room) {
                next_best = Some(fitted);
            }
        }
        Ok(next_best)
    }

    /// Where exchanges begin; what stands before the first message of the user belongs to its exchange.
    fn exchanges(&self, head: usize) -> impl Iterator<Item = usize> {
        let asked = |&index: &usize| self.messages[index].role == Role::User;
        (head..self.messages.len()).filter(asked)
    }

    fn prompt(&self, tokenizer: &Tokenizer, without: std::ops::Range<usize>) -> Result<Vec<u32>> {
        let text = if without.is_empty() {
            self.template.render(&self.messages, &self.render)?
        } else {
            let (head, tail) = (&self.messages[..without.start], &self.messages[without.end..]);
            self.template.render(&[head, tail].concat(), &self.render)?
        };
        tokenizer.encode_chat(&text)
    }

    /// Lets go of the messages and returns how many they were.
    pub(super) fn let_go(&mut self, fitted: &Fitted) -> usize {
        self.messages.drain(fitted.dropped.clone()).count()
    }
}

/// An answer's place in a conversation.
pub(super) struct Turn<'a> {
    pub(super) conversation: &'a mut Conversation,
    pub(super) model: Model,
    /// The last message is a question that goes again if it gets no answer.
    pub(super) asked: bool,
}

impl Transcript for Turn<'_> {
    fn slide(&mut self, answer: usize, context: usize) -> Result<Option<(Vec<u32>, usize)>> {
        if self.conversation.policy != ContextPolicy::Slide {
            return Ok(None);
        }
        let room = (context / 4).max(1);
        let fitted = self.conversation.shorten(self.model.tokenizer()?, context, answer, room)?;
        Ok(fitted.map(|fitted| {
            let dropped = self.conversation.let_go(&fitted);
            (fitted.prompt, dropped)
        }))
    }

    fn end(&mut self, text: &str, complete: bool) {
        if text.is_empty() && !complete {
            return self.fail();
        }
        self.conversation.messages.push(Message::assistant(text));
    }

    fn fail(&mut self) {
        if self.asked {
            self.conversation.messages.pop();
        }
    }
}
