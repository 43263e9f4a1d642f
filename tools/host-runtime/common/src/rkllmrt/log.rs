//! The runtime's log, on standard error.

use std::fmt::Arguments;
use std::io::Write;

/// Writes a line; a log nobody reads is no reason to fail.
pub(super) fn line(grade: char, text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{grade} rkllm: {text}");
}

/// `RKLLM_LOG_LEVEL`: 1 adds the figures of each run, 2 what was decoded from the parameters.
pub(super) fn level() -> u32 {
    std::env::var("RKLLM_LOG_LEVEL").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

macro_rules! error {
    ($($text:tt)*) => { $crate::rkllmrt::log::line('E', format_args!($($text)*)) };
}
macro_rules! warning {
    ($($text:tt)*) => { $crate::rkllmrt::log::line('W', format_args!($($text)*)) };
}
macro_rules! info {
    ($($text:tt)*) => { $crate::rkllmrt::log::line('I', format_args!($($text)*)) };
}
pub(super) use {error, info, warning};
