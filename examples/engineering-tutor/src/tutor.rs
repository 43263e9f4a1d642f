//! `Tutor`: the model, the conversation, and the commands.

use std::io::Write;

use rkllm::model::Message;
use rkllm::quant::QuantScheme;
use rkllm::session::{Answer, Chat, ContextPolicy, Model, Statistics};

use crate::Result;
use crate::language::{Language, Words};
use crate::options::Options;

pub(crate) struct Tutor {
    options: Options,
    model: Model,
    chat: Chat,
    language: Language,
    last: Option<Statistics>,
}

impl Tutor {
    pub(crate) fn open(options: Options) -> Result<Self> {
        let language = options.language.unwrap_or_else(Language::of_environment);
        let model = open(&options)?;
        let mut chat = start(&model, &options, language, Vec::new())?;
        if let Some(file) = &options.resume {
            chat.load(file)?;
        }
        Ok(Self { options, model, chat, language, last: None })
    }

    pub(crate) fn words(&self) -> &'static Words {
        self.language.words()
    }

    pub(crate) fn greeting(&self) -> &'static str {
        self.words().greeting
    }

    /// The answer, in the language of the question unless the user fixed one.
    pub(crate) fn ask(&mut self, question: &str) -> Result<Answer<'_>> {
        if let (None, Some(language)) = (self.options.language, Language::of(question)) {
            self.speak(language);
        }
        Ok(self.chat.ask(question)?)
    }

    /// Takes note of what the last answer took.
    pub(crate) fn answered(&mut self, statistics: Statistics) {
        self.last = Some(statistics);
    }

    /// Obeys `/name [argument]`.
    pub(crate) fn command(&mut self, line: &str, out: &mut impl Write) -> Result<()> {
        let (name, argument) = line.split_once(' ').unwrap_or((line, ""));
        match (name, argument.trim()) {
            ("/stats", _) => self.show_statistics(out),
            ("/scheme", "") => self.show_schemes(out),
            ("/scheme", scheme) => self.change_scheme(scheme.parse()?),
            ("/save" | "/load", "") => Err(format!("{name} FILE").into()),
            ("/save", file) => {
                self.chat.save(file)?;
                Ok(writeln!(out, "{}: {file}", self.words().saved)?)
            }
            ("/load", file) => Ok(self.chat.load(file)?),
            ("/new", _) => {
                self.chat.clear();
                Ok(())
            }
            _ => Err(self.words().unknown_command.into()),
        }
    }

    fn speak(&mut self, language: Language) {
        if language != self.language {
            self.language = language;
            if let Some(first) = self.chat.messages_mut().first_mut() {
                *first = Message::system(language.words().system);
            }
        }
    }

    /// The same model in another scheme; the conversation stays.
    fn change_scheme(&mut self, scheme: QuantScheme) -> Result<()> {
        let before = self.options.scheme.replace(scheme);
        let changed = open(&self.options).and_then(|model| {
            let history = self.chat.messages()[1..].to_vec();
            let chat = start(&model, &self.options, self.language, history)?;
            Ok((model, chat))
        });
        if changed.is_err() {
            self.options.scheme = before;
        }
        (self.model, self.chat) = changed?;
        Ok(())
    }

    fn show_schemes(&self, out: &mut impl Write) -> Result<()> {
        for scheme in QuantScheme::ALL {
            let mark = if Some(scheme) == self.scheme() { '*' } else { ' ' };
            writeln!(out, "{mark} {scheme}")?;
        }
        Ok(())
    }

    fn scheme(&self) -> Option<QuantScheme> {
        self.model.weights().map(|weights| weights.scheme)
    }

    fn show_statistics(&self, out: &mut impl Write) -> Result<()> {
        let Some(last) = &self.last else {
            return Ok(writeln!(out, "{}", self.words().no_answer_yet)?);
        };
        if let Some(scheme) = self.scheme() {
            writeln!(out, "scheme         {scheme}")?;
        }
        writeln!(
            out,
            "prompt         {} tokens, {} reused",
            last.prompt_tokens, last.reused_tokens
        )?;
        writeln!(out, "answer         {} tokens", last.new_tokens)?;
        if let Some(time) = last.time_to_first_token {
            writeln!(out, "first token    {:.1} ms", time.as_secs_f64() * 1e3)?;
        }
        if let Some(speed) = last.decode_tokens_per_second() {
            writeln!(out, "decode         {speed:.1} tokens/s")?;
        }
        if let Some(stop) = last.stop {
            writeln!(out, "ended by       {stop:?}")?;
        }
        Ok(())
    }
}

fn open(options: &Options) -> Result<Model> {
    let mut model = Model::options();
    if let Some(scheme) = options.scheme {
        model = model.with_dtype(scheme);
    }
    Ok(model.open(&options.model)?)
}

fn start(
    model: &Model,
    options: &Options,
    language: Language,
    history: Vec<Message>,
) -> Result<Chat> {
    let chat = model
        .chat()
        .with_system(language.words().system)
        .with_messages(history)
        .with_max_tokens(options.max_tokens)
        .with_context_policy(ContextPolicy::Slide)
        .start()?;
    Ok(chat)
}
