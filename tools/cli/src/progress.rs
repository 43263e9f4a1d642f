//! Progress on standard error: a bar on a terminal, a plain line now and then otherwise.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// Between two plain lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Tokens,
    Bytes,
    Runs,
    Questions,
}

/// One task's progress. Dropped, it leaves no trace on a terminal.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    plain: Option<Plain>,
    unit: Unit,
}

/// Lines for logs.
struct Plain {
    label: String,
    next: Instant,
}

impl Progress {
    /// Begins a task called `label`; silent if `quiet`.
    pub(crate) fn new(label: &str, unit: Unit, quiet: bool) -> Self {
        if quiet {
            return Self { bar: None, plain: None, unit };
        }
        if !io::stderr().is_terminal() {
            let plain = Plain { label: label.to_owned(), next: Instant::now() + INTERVAL };
            return Self { bar: None, plain: Some(plain), unit };
        }
        let counts = match unit {
            Unit::Tokens => "{pos}/{len} tokens, {per_sec}",
            Unit::Bytes => "{decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}",
            Unit::Runs => "{pos}/{len} runs",
            Unit::Questions => "{pos}/{len} questions",
        };
        let template = format!("{{prefix}} {{bar:30}} {counts}, {{eta}} left {{msg}}");
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        bar.set_style(style);
        bar.set_prefix(label.to_owned());
        Self { bar: Some(bar), plain: None, unit }
    }

    /// Gives the task a new label, for its next part.
    pub(crate) fn relabel(&mut self, label: &str) {
        if let Some(bar) = &self.bar
            && bar.prefix() != label
        {
            bar.set_prefix(label.to_owned());
            bar.reset_eta();
        }
        if let Some(plain) = &mut self.plain
            && plain.label != label
        {
            plain.label = label.to_owned();
        }
    }

    /// Shows `done` of `total`; `message` is only asked for where it is shown.
    pub(crate) fn set(&mut self, done: u64, total: u64, message: impl Fn() -> String) {
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total) {
                bar.set_length(total);
            }
            bar.set_position(done);
            bar.set_message(message());
        }
        if let Some(plain) = &mut self.plain
            && Instant::now() >= plain.next
        {
            let (done, total) = match self.unit {
                Unit::Bytes => (output::bytes(done), output::bytes(total)),
                Unit::Tokens | Unit::Runs | Unit::Questions => {
                    (done.to_string(), total.to_string())
                }
            };
            let line = format!("{}: {done} of {total} {}", plain.label, message());
            output::note(line.trim_end());
            plain.next = Instant::now() + INTERVAL;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
