//! Where questions come from: an editable line at a terminal, or the lines of a pipe.

use std::fmt::Display;
use std::io::{self, IsTerminal};

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::args::Settings;
use crate::output;

pub(super) enum Input {
    /// Boxed: an editor is large.
    Terminal(Box<DefaultEditor>),
    Pipe(io::Lines<io::StdinLock<'static>>),
}

impl Input {
    pub(super) fn open(model: impl Display, settings: &Settings) -> anyhow::Result<Self> {
        if settings.json || !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            return Ok(Self::Pipe(io::stdin().lines()));
        }
        if !settings.quiet {
            output::note(&format!(
                "{model}. /help lists commands; Ctrl-C stops an answer, /exit leaves."
            ));
        }
        Ok(Self::Terminal(Box::new(DefaultEditor::new()?)))
    }

    /// The next question or command; `None` at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<String>> {
        let mut whole = String::new();
        loop {
            let Some(line) = self.line(if whole.is_empty() { "> " } else { ". " })? else {
                return Ok(None);
            };
            match line.strip_suffix('\\') {
                Some(part) => whole.extend([part, "\n"]),
                None => whole += &line,
            }
            if !line.ends_with('\\') && !whole.trim().is_empty() {
                break;
            }
        }
        if let Self::Terminal(editor) = self {
            editor.add_history_entry(&whole)?;
        }
        Ok(Some(whole))
    }

    fn line(&mut self, prompt: &str) -> anyhow::Result<Option<String>> {
        let editor = match self {
            Self::Terminal(editor) => editor,
            Self::Pipe(lines) => return Ok(lines.next().transpose()?),
        };
        loop {
            match editor.readline(prompt) {
                Ok(line) => return Ok(Some(line)),
                Err(ReadlineError::Interrupted) => output::note("(/exit or Ctrl-D leaves)"),
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// At a terminal an error is told and the conversation goes on; in a script it ends the program.
    pub(super) fn failed(&self, error: anyhow::Error) -> anyhow::Result<()> {
        match self {
            Self::Terminal(_) if !error.is::<io::Error>() => {
                output::error(&format!("{error:#}"));
                Ok(())
            }
            _ => Err(error),
        }
    }
}
