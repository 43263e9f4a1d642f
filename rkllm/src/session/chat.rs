//! `Chat`: messages in, answers out.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::answer::{Answer, Begin};
use super::cancel::{CancelHandle, Ticket};
#[cfg(feature = "constrain")]
use super::constraint::Constraint;
use super::context::{ContextPolicy, Conversation, Fitted, Turn};
use super::model::Model;
use super::options::GenerateOptions;
use super::sampling::Sampling;
use super::session::{Session, check_prompt};
use super::state;
use crate::model::{ChatTemplate, Message, RenderOptions, Role};
use crate::{Backend, Error, ErrorKind, Result};

/// How a chat begins; from [`Model::chat`].
#[must_use]
pub struct ChatBuilder {
    model: Model,
    messages: Vec<Message>,
    options: GenerateOptions,
    render: RenderOptions,
    policy: ContextPolicy,
    template: Option<Arc<ChatTemplate>>,
    backend: Option<Box<dyn Backend + Send>>,
}

impl ChatBuilder {
    pub(super) fn new(model: Model) -> Self {
        Self {
            model,
            messages: Vec::new(),
            options: GenerateOptions::default(),
            render: RenderOptions::default(),
            policy: ContextPolicy::default(),
            template: None,
            backend: None,
        }
    }

    /// Instructions for the whole conversation: its first message.
    pub fn with_system(mut self, text: impl Into<String>) -> Self {
        self.messages.retain(|message| message.role != Role::System);
        self.messages.insert(0, Message::system(text.into()));
        self
    }

    /// Messages of a conversation so far, after the system message.
    pub fn with_messages(mut self, messages: impl IntoIterator<Item = Message>) -> Self {
        self.messages.extend(messages);
        self
    }

    /// What answers obey.
    pub fn with_options(mut self, options: GenerateOptions) -> Self {
        self.options = options;
        self
    }

    /// How tokens are chosen; greedy without it.
    pub fn with_sampling(mut self, sampling: Sampling) -> Self {
        self.options = self.options.with_sampling(sampling);
        self
    }

    /// New tokens of an answer at most; without it, until the model ends or the context is full.
    pub fn with_max_tokens(mut self, tokens: usize) -> Self {
        self.options = self.options.with_max_tokens(tokens);
        self
    }

    /// Texts that end an answer and are cut off it.
    pub fn with_stop<S: Into<String>>(mut self, stop: impl IntoIterator<Item = S>) -> Self {
        self.options = self.options.with_stop(stop);
        self
    }

    /// What answers must match, or anything with `None`.
    #[cfg(feature = "constrain")]
    pub fn with_constraint(mut self, constraint: impl Into<Option<Constraint>>) -> Self {
        self.options = self.options.with_constraint(constraint);
        self
    }

    /// What happens when the history has outgrown the context.
    pub fn with_context_policy(mut self, policy: ContextPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Whether a reasoning model thinks first; without it, as its template decides.
    pub fn with_thinking(mut self, thinking: bool) -> Self {
        self.render.enable_thinking = Some(thinking);
        self
    }

    /// Tools the model may ask for, as JSON schemas. Its wish comes as the text of an answer; push the
    /// tool's result by [`Chat::push`] and go on by [`Chat::respond`].
    pub fn with_tools(mut self, tools: impl IntoIterator<Item = Value>) -> Self {
        self.render.tools = tools.into_iter().collect();
        self
    }

    /// All that the template is told besides the messages, in the place of what was said before. A
    /// generation prompt is always asked for.
    pub fn with_render_options(mut self, render: RenderOptions) -> Self {
        self.render = RenderOptions { add_generation_prompt: true, ..render };
        self
    }

    /// Another template than the model's own.
    pub fn with_template(mut self, template: Arc<ChatTemplate>) -> Self {
        self.template = Some(template);
        self
    }

    /// A backend of the caller's in the place of a new one of the model's.
    pub fn with_backend(mut self, backend: Box<dyn Backend + Send>) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Begins the chat. Nothing is computed yet.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] for a model without a chat template, [`ErrorKind::Input`] for options that
    /// mean nothing, and as [`Model::tokenizer`] and [`Model::session`].
    pub fn start(self) -> Result<Chat> {
        // Now, rather than at the first question.
        self.model.tokenizer()?;
        self.options.check(&self.model)?;
        let template = self.template.or_else(|| self.model.template().cloned());
        let template = template.ok_or_else(|| {
            Error::new(ErrorKind::Missing, "the model has no chat template").with_hint(
                "continue text with Model::session and Session::generate, or give a template with \
                 ModelOptions::with_template",
            )
        })?;
        let session = match self.backend {
            Some(backend) => Session::with_backend(self.model, backend),
            None => self.model.session()?,
        };
        let conversation = Conversation {
            template,
            render: self.render,
            messages: self.messages,
            policy: self.policy,
        };
        Ok(Chat { session: session.with_options(self.options), conversation })
    }

    /// Begins with the conversation that [`Chat::save`] wrote, in the place of messages given here. What
    /// was computed for it is not computed again.
    ///
    /// # Errors
    /// As [`ChatBuilder::start`] and [`Chat::load`].
    pub fn resume(self, path: impl AsRef<Path>) -> Result<Chat> {
        let mut chat = self.start()?;
        chat.load(path)?;
        Ok(chat)
    }
}

impl std::fmt::Debug for ChatBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatBuilder")
            .field("model", &self.model)
            .field("messages", &self.messages)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A conversation.
///
/// ```no_run
/// use rkllm::session::{ContextPolicy, Model, Sampling};
///
/// let model = Model::open("models/tutor-nano")?;
/// let mut chat = model
///     .chat()
///     .with_system("You are an engineering tutor.")
///     .with_sampling(Sampling::default().with_temperature(0.7).with_top_p(0.9).with_seed(7))
///     .with_max_tokens(256)
///     .with_context_policy(ContextPolicy::Slide)
///     .start()?;
/// let mut answer = chat.ask("What is Ohm's law?")?;
/// for piece in &mut answer {
///     print!("{}", piece?);
/// }
/// let statistics = answer.finish()?;
/// println!("\n{} tokens", statistics.new_tokens);
/// # Ok::<(), rkllm::Error>(())
/// ```
///
/// Each prompt is what the template makes of all messages; what it begins with as the prompt and answer
/// before did is not computed again. So messages may be changed at will, and history and cache cannot
/// disagree.
///
/// # What stays of an answer
/// The pieces that were given are the assistant's message in the history, whether the model ended, a
/// limit was met, or the answer was cancelled or dropped: then without text held back. A question whose
/// answer is cancelled, dropped or limited before its first piece leaves the history again, as does one
/// whose answer fails, so that a chat is never left with a question unanswered. [`Chat::undo`]
/// removes an exchange that should not stay.
#[derive(Debug)]
pub struct Chat {
    session: Session,
    conversation: Conversation,
}

impl Chat {
    /// Adds a question and answers it.
    ///
    /// # Errors
    /// [`ErrorKind::Context`] if the conversation does not fit, [`ErrorKind::Input`] if the template
    /// refuses the messages or an option means nothing, [`ErrorKind::Tokenizer`] for text that cannot be
    /// encoded. The history is as it was then.
    pub fn ask(&mut self, question: impl Into<String>) -> Result<Answer<'_>> {
        let (ticket, begun) = (self.ticket(), Instant::now());
        self.answer(ticket, begun, Some(Message::user(question.into())))
    }

    /// Answers the history as it is, such as after the result of a tool.
    ///
    /// # Errors
    /// As [`Chat::ask`], and [`ErrorKind::Input`] for an empty history.
    pub fn respond(&mut self) -> Result<Answer<'_>> {
        let (ticket, begun) = (self.ticket(), Instant::now());
        if self.conversation.messages.is_empty() {
            return Err(Error::new(ErrorKind::Input, "there is no message to answer")
                .with_hint("ask something or push a message first"));
        }
        self.answer(ticket, begun, None)
    }

    /// The number of the next answer, from which on it can be cancelled.
    pub(super) fn ticket(&self) -> Ticket {
        self.session.signal.begin()
    }

    pub(super) fn answer(
        &mut self,
        ticket: Ticket,
        begun: Instant,
        question: Option<Message>,
    ) -> Result<Answer<'_>> {
        let asked = question.is_some();
        self.conversation.messages.extend(question);
        let fitted = match self.fit() {
            Ok(fitted) => fitted,
            Err(error) => {
                if asked {
                    self.conversation.messages.pop();
                }
                return Err(error);
            }
        };
        let Self { session, conversation } = self;
        let dropped_messages = conversation.let_go(&fitted);
        let turn = Turn { conversation, model: session.model.clone(), asked };
        let begin = Begin {
            ticket,
            begun,
            prompt: fitted.prompt,
            keep_embeddings: false,
            in_context: false,
            transcript: Some(Box::new(turn)),
            dropped_messages,
        };
        // All that this checks was checked: it cannot fail with messages gone.
        Answer::begin(session, begin)
    }

    /// The prompt of the history, checked, with nothing changed yet.
    fn fit(&self) -> Result<Fitted> {
        let options = &self.session.options;
        options.check(&self.session.model)?;
        let context = self.session.context();
        let wanted = options.max_tokens.unwrap_or(usize::MAX);
        let fitted = self.conversation.fit(self.session.model.tokenizer()?, context, wanted)?;
        check_prompt(&self.session.sequence, &fitted.prompt, 0)?;
        Ok(fitted)
    }

    /// Adds a message without answering.
    pub fn push(&mut self, message: Message) {
        self.conversation.messages.push(message);
    }

    /// Takes back the last message of the user and all after it; false if there is none.
    pub fn undo(&mut self) -> bool {
        let messages = &mut self.conversation.messages;
        match messages.iter().rposition(|message| message.role == Role::User) {
            Some(last) => {
                messages.truncate(last);
                true
            }
            None => false,
        }
    }

    /// Forgets all but the system messages at the start.
    pub fn clear(&mut self) {
        let messages = &mut self.conversation.messages;
        let head = messages.iter().take_while(|message| message.role == Role::System).count();
        messages.truncate(head);
    }

    /// The history.
    pub fn messages(&self) -> &[Message] {
        &self.conversation.messages
    }

    /// The history, to be changed at will: the next prompt is made of what is there then.
    pub fn messages_mut(&mut self) -> &mut Vec<Message> {
        &mut self.conversation.messages
    }

    /// Stops the answer that is under way, from another thread.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.session.cancel_handle()
    }

    /// What answers obey.
    pub fn options(&self) -> &GenerateOptions {
        &self.session.options
    }

    /// Changes what answers obey from now on.
    pub fn options_mut(&mut self) -> &mut GenerateOptions {
        &mut self.session.options
    }

    /// The session underneath.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Writes the messages and the keys and values computed for them to a file, which takes the place of
    /// an older one only when it is whole.
    ///
    /// # Errors
    /// As [`Session::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let messages = serde_json::to_vec(&self.conversation.messages).map_err(|error| {
            Error::new(ErrorKind::Format, format!("cannot write the messages: {error}"))
        })?;
        state::save(&self.session.sequence, path.as_ref(), Some(&messages))
    }

    /// Puts the conversation of a file in the place of this one; options, tools and policy stay.
    ///
    /// # Errors
    /// As [`Session::load`], and [`ErrorKind::Format`] for a file without messages.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let mut messages = Vec::new();
        state::load(&mut self.session.sequence, path.as_ref(), &mut |bytes| {
            let bytes = bytes.ok_or_else(|| {
                Error::new(ErrorKind::Format, "saved by a session, not by a chat")
                    .with_hint("load it with Session::load")
            })?;
            messages = serde_json::from_slice(bytes).map_err(|error| {
                Error::new(ErrorKind::Format, format!("its messages cannot be read: {error}"))
            })?;
            Ok(())
        })?;
        self.conversation.messages = messages;
        Ok(())
    }
}
