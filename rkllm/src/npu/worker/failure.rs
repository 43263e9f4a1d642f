//! What went wrong in a worker, and what to do about it.

use std::fmt;
use std::time::Duration;

use crate::npu::llm::is_null_handle;
use crate::{Error, ErrorKind};

/// Lines of the runtime that a message repeats; all that are kept are in [`Failure::last_lines`].
const SHOWN: usize = 3;
/// Characters of each.
const SHOWN_CHARS: usize = 200;

/// What is not cured by another start.
pub(super) const STARTS: [&str; 2] = ["its start", "loading"];

/// Why a worker failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It died by this signal.
    Signal(i32),
    /// It ended by itself with this code.
    Exit(i32),
    /// It was silent for longer than was allowed.
    Timeout(Duration),
    /// It said what cannot be understood.
    Protocol(String),
    /// The runtime said 0 and gave no handle.
    NullHandle,
    /// The runtime refused or failed, and the worker goes on.
    Runtime,
}

/// What is known of a failure: the source of errors of a [`Worker`](super::Worker).
///
/// ```no_run
/// use rkllm::npu::worker::{Cause, Failure, WorkerOptions};
/// use rkllm::npu::{NpuOptions, RunOptions};
///
/// let mut worker = WorkerOptions::default().load("m.rkllm", NpuOptions::default())?;
/// if let Err(error) = worker.generate("A resistor is", &RunOptions::default()) {
///     if let Some(failure) = Failure::of(&error) {
///         eprintln!("{:?}: {:#?}", failure.cause, failure.last_lines);
///     }
///     if !worker.is_alive() {
///         worker.restart()?;
///     }
/// }
/// # Ok::<(), rkllm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// What it had been asked for, such as `a run`.
    pub during: &'static str,
    /// The process.
    pub pid: u32,
    /// Whether it is still there and answers; else it wants a restart.
    pub is_alive: bool,
    /// What the runtime wrote since it was asked, at most the last 100 lines.
    pub last_lines: Vec<String>,
}

impl Failure {
    /// What is known of a worker's error; `None` for others.
    pub fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }

    /// As an error. `refused` is what the worker itself said, if it could.
    pub(super) fn into_error(self, refused: Option<Error>) -> Error {
        let told = explain(&self.last_lines);
        let (kind, hint) = match &self.cause {
            // What the runtime wrote says more than how it ended, but not more than that it never did.
            Cause::Timeout(_) => (ErrorKind::Timeout, self.cause.advice().to_owned()),
            cause => {
                let own = refused.as_ref();
                let kind = own.map_or(ErrorKind::Crashed, Error::kind);
                let hint = own.and_then(Error::hint).unwrap_or(cause.advice());
                match told {
                    Some(line) => (line.kind.unwrap_or(kind), line.advice.to_owned()),
                    None => (kind, hint.to_owned()),
                }
            }
        };
        let mut message = match &refused {
            Some(error) => error.message().to_owned(),
            None => self.to_string(),
        };
        message += &self.shown();
        let hint = match self.is_alive || STARTS.contains(&self.during) {
            true => hint,
            false => hint + "; restart it to go on",
        };
        let mut error = Error::new(kind, message).with_hint(hint);
        if let Some(subject) = refused.as_ref().and_then(Error::subject) {
            error = error.about(subject);
        }
        error.with_source(self)
    }

    fn shown(&self) -> String {
        let first = self.last_lines.len().saturating_sub(SHOWN);
        let cut = |line: &String| line.chars().take(SHOWN_CHARS).collect::<String>();
        let lines: Vec<_> = self.last_lines[first..].iter().map(cut).collect();
        match lines.is_empty() {
            true => String::new(),
            false => format!(", after the runtime wrote: {}", lines.join(" | ")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} ", self.pid)?;
        match &self.cause {
            Cause::Signal(signal) => match name(*signal) {
                Some((name, meaning)) => write!(f, "died by {name} ({meaning})")?,
                None => write!(f, "died by signal {signal}")?,
            },
            Cause::Exit(code) => write!(f, "ended with code {code}")?,
            Cause::Timeout(after) if self.is_alive => {
                write!(f, "was silent for {:.1} s and stopped when asked", after.as_secs_f64())?;
            }
            Cause::Timeout(after) => {
                write!(f, "was silent for {:.1} s and was killed", after.as_secs_f64())?;
            }
            Cause::Protocol(what) => write!(f, "sent what is no message: {what}")?,
            Cause::NullHandle => write!(f, "has no handle")?,
            Cause::Runtime => write!(f, "failed")?,
        }
        write!(f, " during {}", self.during)
    }
}

impl std::error::Error for Failure {}

impl Cause {
    /// The cause of an error that the worker itself told of, if the runtime is behind it.
    pub(super) fn of_refusal(error: &Error) -> Option<Self> {
        match error.kind() {
            _ if is_null_handle(error) => Some(Self::NullHandle),
            ErrorKind::Runtime => Some(Self::Runtime),
            _ => None,
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::Signal(libc::SIGSEGV) => {
                "the usual causes: an NPU driver older than 0.9.8, a model of another toolkit or SoC, \
                 or too little NPU memory, where 1.3.0 faults in rkllm_init"
            }
            Self::Signal(libc::SIGILL) => {
                "the library needs instructions this processor lacks: builds of 1.3.0 use SVE, which \
                 no RK3588 has; install another build or 1.2.3"
            }
            Self::Signal(libc::SIGABRT) => {
                "the runtime gave up by itself: most often a model of another toolkit release or SoC; \
                 convert it again for this runtime"
            }
            Self::Signal(libc::SIGBUS) => {
                "a file it had mapped shrank or its storage failed: check that the model is whole"
            }
            Self::Signal(libc::SIGKILL) => {
                "not by us: the kernel kills the largest process when memory runs out (dmesg says \
                 so); take a smaller model or context, or add swap"
            }
            Self::Signal(libc::SIGTERM) => "something else on this machine ended it",
            Self::Signal(_) | Self::Exit(_) => "its last lines may say why",
            Self::Timeout(_) => {
                "the NPU may be stuck, or the limit too short for this model: allow more by \
                 WorkerOptions; if it comes again, reboot the board and update the NPU driver"
            }
            Self::Protocol(_) => {
                "its memory was written over, or the program it runs is no worker: main must begin \
                 with rkllm::npu::worker::serve_if_asked()"
            }
            Self::NullHandle | Self::Runtime => "its last lines may say why",
        }
    }
}

/// What a line of the runtime's log means.
struct Line {
    text: &'static str,
    kind: Option<ErrorKind>,
    advice: &'static str,
}

/// What the closed runtime is known to write, the surest first. It has no error codes. Sources: issues of
/// rknn-llm by number, and logs others have published.
const LINES: [Line; 8] = [
    // 139, 195, 232, 335, 437
    Line {
        text: "failed to malloc npu memory",
        kind: Some(ErrorKind::Memory),
        advice: "an IOMMU domain holds 4 GiB: choose another by NpuOptions::with_base_domain, close \
                 other NPU programs, or take a smaller model or context",
    },
    // 17
    Line {
        text: "Too many open files",
        kind: Some(ErrorKind::Io),
        advice: "raise the limit of open files (ulimit -n 102400): each NPU buffer is one",
    },
    Line {
        text: "must be less than the model's max_context_limit",
        kind: Some(ErrorKind::Context),
        advice: "load it with a smaller context, or convert it again with a larger max_context",
    },
    // 129, 235
    Line {
        text: "invalid rknn llm model magic",
        kind: Some(ErrorKind::Format),
        advice: "the file is no .rkllm model, or one of an older toolkit: convert it again",
    },
    // 416
    Line {
        text: "Platform error",
        kind: Some(ErrorKind::Unsupported),
        advice: "the runtime knows RK3588, RK3576, RV1126B and RK3562; RK3566 and RK3568 are not served",
    },
    Line {
        text: "failed to open rknpu module",
        kind: None,
        advice: "there is no NPU driver, or no right to use it: see /dev/dri and /dev/rknpu",
    },
    Line {
        text: "please upgrade to",
        kind: None,
        advice: "update the NPU driver to 0.9.8: cat /sys/kernel/debug/rknpu/version",
    },
    Line {
        text: "run failed",
        kind: None,
        advice: "the NPU driver is older than 0.9.8, or the model is of another SoC",
    },
];

fn explain(lines: &[String]) -> Option<&'static Line> {
    LINES.iter().find(|known| lines.iter().any(|line| line.contains(known.text)))
}

/// A signal by its name, and what it stands for.
fn name(signal: i32) -> Option<(&'static str, &'static str)> {
    Some(match signal {
        libc::SIGSEGV => ("SIGSEGV", "memory that is not its own"),
        libc::SIGILL => ("SIGILL", "an instruction this processor lacks"),
        libc::SIGABRT => ("SIGABRT", "gave up by itself"),
        libc::SIGBUS => ("SIGBUS", "memory that is not there"),
        libc::SIGFPE => ("SIGFPE", "a division by zero"),
        libc::SIGKILL => ("SIGKILL", "killed from outside"),
        libc::SIGTERM => ("SIGTERM", "asked to end from outside"),
        libc::SIGTRAP => ("SIGTRAP", "a trap"),
        libc::SIGSYS => ("SIGSYS", "a system call it may not make"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(cause: Cause, lines: &[&str]) -> Failure {
        let last_lines = lines.iter().map(ToString::to_string).collect();
        Failure { cause, during: "a run", pid: 7, is_alive: false, last_lines }
    }

    #[test]
    fn an_error_says_what_died_what_it_wrote_and_what_to_do() {
        let error = failure(Cause::Signal(libc::SIGILL), &["a", "b", "c", "d"]).into_error(None);
        assert_eq!(error.kind(), ErrorKind::Crashed);
        let text = error.to_string();
        for part in ["worker 7 died by SIGILL", "b | c | d", "SVE", "restart"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("a | b"), "{text}");
        assert_eq!(Failure::of(&error).unwrap().last_lines.len(), 4);
    }

    #[test]
    fn what_the_runtime_wrote_says_more_than_how_it_ended() {
        let line = "E RKNN: failed to malloc npu memory, size: 1, flags: 0x2";
        for cause in [Cause::Signal(libc::SIGSEGV), Cause::Exit(1)] {
            let error = failure(cause.clone(), &[line]).into_error(None);
            assert_eq!(error.kind(), ErrorKind::Memory);
            assert!(error.hint().unwrap().contains("with_base_domain"));
            assert_eq!(Failure::of(&error).unwrap().cause, cause);
        }
        let refused = Error::new(ErrorKind::Runtime, "rkllm_init returned -1").about("m.rkllm");
        let error = failure(Cause::Runtime, &[line]).into_error(Some(refused));
        assert_eq!((error.kind(), error.subject()), (ErrorKind::Memory, Some("m.rkllm")));
        let silent = failure(Cause::Timeout(Duration::from_secs(3)), &[line]).into_error(None);
        assert_eq!(silent.kind(), ErrorKind::Timeout);
    }
}
