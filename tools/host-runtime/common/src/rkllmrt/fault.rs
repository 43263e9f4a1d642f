//! Faults on demand, by `RKLLM_HOST_FAULT`: words with `+` between them, read at every call.
//!
//! With `RKLLM_HOST_FAULT_ONCE=FILE` a fault happens only while there is no such file, which is made when it
//! does: so a program that restarts finds the runtime well.

use std::ffi::c_int;
use std::time::Duration;

use super::log::{error, warning};

unsafe extern "C" {
    safe fn raise(signal: c_int) -> c_int;
}

const SIGILL: c_int = 4;
const SIGABRT: c_int = 6;
const SIGSEGV: c_int = 11;

/// The text of the vendor's runtime where the IOMMU domain is full.
const MALLOC: &str =
    "failed to malloc npu memory, size: 268435456, flags: 0x2, errno 14 Bad address";

/// What is wrong from now on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Faults(Vec<Fault>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    InitNull,
    InitFail,
    InitOom,
    InitSegv,
    InitHang,
    /// These happen when so many tokens were told.
    Run(InRun, usize),
    Text(Text),
    Slow(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InRun {
    Segv,
    Ill,
    Abort,
    Exit,
    Hang,
    Error,
    Oom,
    Fail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Garbage,
    Exclamation,
    Pad,
}

/// How a run goes wrong without the process ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// ERROR is told, -1 returned.
    Error,
    /// -1 is returned, nothing told.
    Fail,
}

impl Faults {
    pub(super) fn from_env() -> Self {
        let words = std::env::var("RKLLM_HOST_FAULT").unwrap_or_default();
        if words.is_empty() || std::env::var_os("RKLLM_HOST_FAULT_ONCE").is_some_and(happened) {
            return Self::default();
        }
        Self::parse(&words)
    }

    fn parse(words: &str) -> Self {
        let known = words.split('+').map(str::trim).filter(|word| !word.is_empty());
        Self(known.filter_map(Fault::parse).collect())
    }

    fn has(&self, fault: Fault) -> bool {
        let has = self.0.contains(&fault);
        if has {
            mark();
        }
        has
    }

    /// `Some` with what `rkllm_init` returns instead of loading.
    pub(super) fn init(&self) -> Option<c_int> {
        if self.has(Fault::InitSegv) {
            end_by(SIGSEGV);
        }
        if self.has(Fault::InitHang) {
            hang();
        }
        if self.has(Fault::InitOom) {
            error!("{MALLOC}");
            return Some(-1);
        }
        if self.has(Fault::InitFail) {
            error!("RKLLM_HOST_FAULT: init-fail");
            return Some(-1);
        }
        self.has(Fault::InitNull).then_some(0)
    }

    /// Before the next token, when `told` were.
    pub(super) fn run(&self, told: usize) -> Result<(), Trouble> {
        for fault in &self.0 {
            let Fault::Run(what, after) = fault else { continue };
            if told < *after {
                continue;
            }
            mark();
            match what {
                InRun::Segv => end_by(SIGSEGV),
                InRun::Ill => end_by(SIGILL),
                InRun::Abort => end_by(SIGABRT),
                InRun::Exit => std::process::exit(70),
                InRun::Hang => hang(),
                InRun::Error => return Err(Trouble::Error),
                InRun::Oom => {
                    error!("{MALLOC}");
                    return Err(Trouble::Error);
                }
                InRun::Fail => return Err(Trouble::Fail),
            }
        }
        Ok(())
    }

    /// What is told in the place of a token and its text.
    pub(super) fn spoil(&self, told: usize, token: i32, text: Vec<u8>) -> (i32, Vec<u8>) {
        let spoilt = self.0.iter().find_map(|fault| match fault {
            Fault::Text(text) => Some(*text),
            _ => None,
        });
        match spoilt {
            None => (token, text),
            Some(what) => {
                mark();
                match what {
                    Text::Garbage => (token, garbage(told)),
                    Text::Exclamation => (0, b"!".to_vec()),
                    Text::Pad => (0, format!("[PAD{}]", 151_935).into_bytes()),
                }
            }
        }
    }

    /// Whether answers are no language, as of a broken board: they do not end by themselves.
    pub(super) fn flood(&self) -> bool {
        self.0.iter().any(|fault| matches!(fault, Fault::Text(_)))
    }

    /// Waits as slow hardware does.
    pub(super) fn slow(&self, is_aborted: &dyn Fn() -> bool) {
        for fault in &self.0 {
            let Fault::Slow(ms) = fault else { continue };
            for _ in 0..*ms {
                if is_aborted() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Fault {
    fn parse(word: &str) -> Option<Self> {
        let (name, number) = match word.split_once(':') {
            Some((name, number)) => (name, number.parse::<u64>().ok()),
            None => (word, Some(0)),
        };
        let after = number.unwrap_or(0) as usize;
        let fault = match name {
            _ if number.is_none() => None,
            "init-null" => Some(Self::InitNull),
            "init-fail" => Some(Self::InitFail),
            "init-segv" => Some(Self::InitSegv),
            "init-hang" => Some(Self::InitHang),
            "oom" => Some(Self::InitOom),
            "segv-run" => Some(Self::Run(InRun::Segv, after)),
            "ill-run" => Some(Self::Run(InRun::Ill, after)),
            "abort-run" => Some(Self::Run(InRun::Abort, after)),
            "exit-run" => Some(Self::Run(InRun::Exit, after)),
            "hang-run" => Some(Self::Run(InRun::Hang, after)),
            "error-state" => Some(Self::Run(InRun::Error, after)),
            "oom-run" => Some(Self::Run(InRun::Oom, after)),
            "fail-run" => Some(Self::Run(InRun::Fail, after)),
            "garbage" => Some(Self::Text(Text::Garbage)),
            "exclamation" => Some(Self::Text(Text::Exclamation)),
            "pad" => Some(Self::Text(Text::Pad)),
            "slow-tokens" => Some(Self::Slow(after as u64)),
            _ => None,
        };
        if fault.is_none() {
            warning!("RKLLM_HOST_FAULT: there is no {word:?}");
        }
        fault
    }
}

fn happened(file: std::ffi::OsString) -> bool {
    std::path::Path::new(&file).exists()
}

/// Remembers that a fault happened, where it is to happen once.
fn mark() {
    if let Some(file) = std::env::var_os("RKLLM_HOST_FAULT_ONCE")
        && let Err(error) = std::fs::write(&file, "")
    {
        warning!("RKLLM_HOST_FAULT_ONCE: {error}");
    }
}

/// Ends the process by a signal. Twice: a handler that only takes note (Rust's own, for stack overflows)
/// takes itself away and returns.
fn end_by(signal: c_int) -> ! {
    for _ in 0..2 {
        raise(signal);
    }
    std::process::abort()
}

/// Never returns, whatever asks it to.
fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Bytes that are no UTF-8: only those that go on in a character, of which none has begun.
fn garbage(told: usize) -> Vec<u8> {
    let mut state = told as u32;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        0x80 | (state >> 26) as u8
    };
    (0..6).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let faults = Faults::parse("segv-run:3 + slow-tokens:5+nonsense+garbage+hang-run:x");
        let expected = [Fault::Run(InRun::Segv, 3), Fault::Slow(5), Fault::Text(Text::Garbage)];
        assert_eq!(faults.0, expected);
        assert_eq!(Faults::parse("error-state:1").run(0), Ok(()));
        assert_eq!(Faults::parse("error-state:1").run(1), Err(Trouble::Error));
        assert_eq!(Faults::parse("init-null").init(), Some(0));
        assert_eq!(Faults::parse("oom").init(), Some(-1));
        let garbage = Faults::parse("garbage");
        for told in 0..400 {
            let text = garbage.spoil(told, 1, Vec::new()).1;
            let text = String::from_utf8_lossy(&text);
            assert!(text.chars().all(|c| c == '\u{fffd}') && !text.is_empty(), "{told}: {text}");
        }
        assert_eq!(Faults::parse("").spoil(0, 1, b"a".to_vec()), (1, b"a".to_vec()));
    }
}
