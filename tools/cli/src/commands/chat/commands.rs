//! What a line that begins with a slash means.

use rkllm::model::{Message, Role};
use rkllm::session::{Chat, Statistics};

use crate::output;

pub(super) const HELP: &str = "\
In the conversation:
  /system TEXT   change the instructions      /undo         take back the last question and answer
  /stats         what the last answer took    /new          forget all but the instructions
  /save FILE     write conversation and cache /load FILE    go on with a saved one
  /help          this                         /exit         leave (or Ctrl-D)
A line that ends with \\ goes on in the next. Ctrl-C stops the answer. From a pipe, each line is a question.";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    System(&'a str),
    Stats,
    Save(&'a str),
    Load(&'a str),
    Undo,
    New,
    Help,
    Exit,
    Unknown(&'a str),
}

impl<'a> Command<'a> {
    /// `None` for a question.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let rest = line.strip_prefix('/')?;
        let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let argument = argument.trim();
        Some(match (name, argument.is_empty()) {
            ("system", false) => Self::System(argument),
            ("save", false) => Self::Save(argument),
            ("load", false) => Self::Load(argument),
            ("stats", true) => Self::Stats,
            ("undo", true) => Self::Undo,
            ("new", true) => Self::New,
            ("help", true) => Self::Help,
            ("exit" | "quit" | "bye", true) => Self::Exit,
            _ => Self::Unknown(line),
        })
    }

    /// Does all but [`Command::Exit`], which is the caller's.
    pub(super) fn run(self, chat: &mut Chat, last: Option<&Statistics>) -> anyhow::Result<()> {
        match self {
            Self::System(text) => {
                chat.messages_mut().retain(|message| message.role != Role::System);
                chat.messages_mut().insert(0, Message::system(text));
            }
            Self::Stats => output::note(&last.map_or("no answer yet".to_owned(), summary)),
            Self::Save(file) => {
                chat.save(file)?;
                output::note(&format!("saved {} messages to {file}", chat.messages().len()));
            }
            Self::Load(file) => {
                chat.load(file)?;
                output::note(&format!("{} messages from {file}", chat.messages().len()));
            }
            Self::Undo if chat.undo() => output::note("taken back"),
            Self::Undo => output::note("nothing to take back"),
            Self::New => chat.clear(),
            Self::Help => output::note(HELP),
            Self::Exit => {}
            Self::Unknown(line) => anyhow::bail!("no such command: {line}; /help lists them"),
        }
        Ok(())
    }
}

/// One line about an answer.
pub(super) fn summary(statistics: &Statistics) -> String {
    let rate = |speed: Option<f64>| speed.map_or("-".to_owned(), |speed| format!("{speed:.1}"));
    let first = statistics.time_to_first_token;
    format!(
        "[{} prompt tokens, {} reused, {} tokens/s; first token after {}; {} new tokens, {} tokens/s; ended by {}]",
        statistics.prompt_tokens,
        statistics.reused_tokens,
        rate(statistics.prefill_tokens_per_second()),
        first.map_or("-".to_owned(), |time| format!("{:.0} ms", time.as_secs_f64() * 1e3)),
        statistics.new_tokens,
        rate(statistics.decode_tokens_per_second()),
        statistics.stop.map_or("error".to_owned(), |stop| format!("{stop:?}").to_lowercase()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_makes_a_command_and_nothing_else_does() {
        assert_eq!(Command::parse("What is 1/2?"), None);
        assert_eq!(Command::parse(""), None);
        assert_eq!(Command::parse(" /exit "), Some(Command::Exit));
        assert_eq!(Command::parse("/save my file.kv"), Some(Command::Save("my file.kv")));
        assert_eq!(Command::parse("/system  Eres breve."), Some(Command::System("Eres breve.")));
        assert_eq!(Command::parse("/save"), Some(Command::Unknown("/save")));
        assert_eq!(Command::parse("/stats now"), Some(Command::Unknown("/stats now")));
        assert_eq!(Command::parse("/"), Some(Command::Unknown("/")));
    }
}
