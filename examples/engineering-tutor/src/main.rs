//! A tutor for the terminal, in Spanish and English: what an app that embeds rkllm looks like.
//!
//! ```sh
//! cargo run --release -p engineering-tutor -- models/tutor-nano
//! ```
//! `options` reads the command line, `language` tells Spanish from English, `tutor` holds the model and the
//! conversation. This file reads lines and prints what comes back.

mod language;
mod options;
mod tutor;

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use options::{Options, USAGE};
use rkllm::session::CancelHandle;
use tutor::Tutor;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("error: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has gone; so may we.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One line after the other, until there are no more.
fn run(options: Options) -> Result<()> {
    let under_way = stop_answers_on_ctrl_c()?;
    let mut tutor = Tutor::open(options)?;
    let mut out = io::stdout();
    let interactive = io::stdin().is_terminal();
    writeln!(out, "{}", tutor.greeting())?;
    let mut line = String::new();
    loop {
        if interactive {
            write!(out, "\n> ")?;
            out.flush()?;
        }
        line.clear();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(());
        }
        let done = match line.trim() {
            "" => Ok(()),
            "/exit" | "/quit" | "/salir" => return Ok(()),
            command if command.starts_with('/') => tutor.command(command, &mut out),
            question => answer(&mut tutor, question, &under_way, &mut out),
        };
        match done {
            Err(error) if is_broken_pipe(&*error) => return Err(error),
            // A question too long or a file that is not there ends neither program nor conversation.
            Err(error) => eprintln!("error: {error}"),
            Ok(()) => {}
        }
    }
}

/// Prints the answer as it comes.
fn answer(
    tutor: &mut Tutor,
    question: &str,
    under_way: &UnderWay,
    out: &mut io::Stdout,
) -> Result<()> {
    let interrupted = tutor.words().interrupted;
    let mut answer = tutor.ask(question)?;
    under_way.set(Some(answer.cancel_handle()));
    for piece in &mut answer {
        write!(out, "{}", piece?)?;
        out.flush()?;
    }
    under_way.set(None);
    let statistics = *answer.statistics();
    drop(answer);
    match statistics.stop {
        Some(rkllm::session::Stop::Cancelled) => writeln!(out, " {interrupted}")?,
        _ => writeln!(out)?,
    }
    tutor.answered(statistics);
    Ok(())
}

/// The answer that Ctrl-C would stop.
#[derive(Clone, Default)]
struct UnderWay(Arc<Mutex<Option<CancelHandle>>>);

impl UnderWay {
    fn set(&self, answer: Option<CancelHandle>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    fn cancel(&self) -> bool {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answer.as_ref().map(CancelHandle::cancel).is_some()
    }
}

/// Ctrl-C stops the answer, not the program; between answers it says how to leave.
fn stop_answers_on_ctrl_c() -> Result<UnderWay> {
    let under_way = UnderWay::default();
    let seen = under_way.clone();
    ctrlc::set_handler(move || {
        if !seen.cancel() {
            eprint!("\n(/exit)\n> ");
        }
    })?;
    Ok(under_way)
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
