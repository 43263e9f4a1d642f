//! From an error to a message and an exit code: 1 failed, 2 usage, 130 interrupted.

use std::fmt;
use std::io;
use std::process::ExitCode;

use rkllm::ErrorKind;

/// A command line that cannot mean anything, found after parsing.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Says what went wrong, except to a reader that has gone.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    if crate::interrupt::requested() && is_cancelled(error) {
        crate::output::error("interrupted");
        return ExitCode::from(crate::interrupt::EXIT_CODE);
    }
    crate::output::error(&format!("{error:#}"));
    if error.is::<Usage>() {
        crate::output::note("For more information, try '--help'.");
        return ExitCode::from(2);
    }
    ExitCode::FAILURE
}

/// True if the reader of our standard output has gone.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    error.downcast_ref::<rkllm::Error>().is_some_and(|e| e.kind() == ErrorKind::Cancelled)
}
