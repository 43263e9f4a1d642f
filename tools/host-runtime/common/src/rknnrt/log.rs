//! Lines on standard error, in the form of the vendor's log.
//!
//! `RKNN_LOG_LEVEL`, or `RKLLM_LOG_LEVEL` where that is not set: -1 nothing, 0 errors, 1 (as without either) and
//! warnings, 2 and information, 3 and more every call.

use std::fmt::Arguments;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Code, settings};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `E`: a call is refused.
    Error,
    /// `W`: it is not, but the board may do something else.
    Warning,
    /// `I`: what was made.
    Information,
    /// `D`: every call.
    Debug,
}

/// Writes a line if the level asks for it. A standard error that is closed is nobody's failure.
pub fn line(level: Level, text: Arguments<'_>) {
    if (level as i32) > settings::get().log_level {
        return;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (s, ms) = (since.as_secs(), since.subsec_millis());
    let letter = ["E", "W", "I", "D"][level as usize];
    let (hours, minutes) = (s / 3600 % 24, s / 60 % 60);
    let text = format!("{letter} RKNN: [{hours:02}:{minutes:02}:{:02}.{ms:03}] {text}\n", s % 60);
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}

/// An `E` line, and the code to answer with.
pub fn refuse(code: Code, text: Arguments<'_>) -> Code {
    line(Level::Error, text);
    code
}

/// A `W` line.
pub(super) fn warn(text: Arguments<'_>) {
    line(Level::Warning, text);
}

/// An `I` line.
pub(super) fn inform(text: Arguments<'_>) {
    line(Level::Information, text);
}
