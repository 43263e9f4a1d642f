//! `RKNN_HOST_FAULT`: what is to go wrong, so that a client's handling of it can be tested.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Answer, Code, log, settings};

/// Faults that were asked for: words with commas between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// `create=CODE`, -6 without one: contexts and models are not made.
    pub create: Option<c_int>,
    /// `create_null`: making one returns 0 and hands out 0.
    pub create_null: bool,
    /// `no_memory`: memories are NULL, contexts and models are -4.
    pub no_memory: bool,
    /// `run=CODE`, -1 without one.
    pub run: Option<c_int>,
    /// `garbage`: results are noise, the same in every process.
    pub garbage: bool,
    /// `zeros`: results are zero.
    pub zeros: bool,
    /// `hang`: a run does not return.
    pub hang: bool,
    /// `abort`: a run raises SIGABRT.
    pub abort: bool,
    /// `segv`: a run raises SIGSEGV.
    pub segv: bool,
    /// `slow=MS`: a run takes as long, at least.
    pub slow: Option<Duration>,
    /// `after=N`: the first N runs of the process go well.
    pub after: u64,
    /// `version=TEXT`: what the SDK version is said to be.
    pub version: Option<String>,
}

/// Runs of the process.
static RUNS: AtomicU64 = AtomicU64::new(0);

impl Fault {
    /// Reads the words; those that mean nothing are put aside.
    pub(super) fn parse(words: &str, not_understood: &mut Vec<String>) -> Self {
        let mut it = Self::default();
        for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if it.take(word).is_none() {
                not_understood.push(format!("RKNN_HOST_FAULT: {word:?} is no fault known here"));
            }
        }
        it
    }

    fn take(&mut self, word: &str) -> Option<()> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let code = |default: c_int| value.map_or(Some(default), |text| text.parse().ok());
        match (name, value) {
            ("create", _) => self.create = Some(code(Code::MODEL_INVALID.0)?),
            ("run", _) => self.run = Some(code(Code::FAIL.0)?),
            ("create_null", None) => self.create_null = true,
            ("no_memory", None) => self.no_memory = true,
            ("garbage", None) => self.garbage = true,
            ("zeros", None) => self.zeros = true,
            ("hang", None) => self.hang = true,
            ("abort", None) => self.abort = true,
            ("segv", None) => self.segv = true,
            ("slow", Some(text)) => self.slow = Some(Duration::from_millis(text.parse().ok()?)),
            ("after", Some(text)) => self.after = text.parse().ok()?,
            ("version", Some(text)) => self.version = Some(text.to_owned()),
            _ => return None,
        }
        Some(())
    }
}

/// Fails the making of a context if it is to fail; true if the handle is to be 0.
pub(super) fn creating() -> Answer<bool> {
    settings::announce();
    let fault = &settings::get().fault;
    if fault.no_memory {
        return Err(log::refuse(
            Code::MALLOC_FAIL,
            format_args!("failed to malloc npu memory (injected fault)"),
        ));
    }
    match fault.create {
        Some(code) => Err(log::refuse(
            Code(code),
            format_args!("failed to create the context, ret = {code} (injected fault)"),
        )),
        None => Ok(fault.create_null),
    }
}

/// What a run is to do to its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Results {
    Right,
    Zeros,
    Garbage,
}

/// Counts a run, and lets go wrong what is to.
pub(super) fn running() -> Answer<Results> {
    let fault = &settings::get().fault;
    if RUNS.fetch_add(1, Ordering::Relaxed) < fault.after {
        return Ok(Results::Right);
    }
    if let Some(time) = fault.slow {
        std::thread::sleep(time);
    }
    if fault.abort {
        log::warn(format_args!("SIGABRT (injected fault)"));
        std::process::abort();
    }
    if fault.segv {
        log::warn(format_args!("SIGSEGV (injected fault)"));
        // A handler that wants to see the address again gives the signal back once.
        loop {
            // SAFETY: takes a number.
            unsafe { libc::raise(libc::SIGSEGV) };
        }
    }
    if fault.hang {
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
    if let Some(code) = fault.run {
        return Err(log::refuse(
            Code(code),
            format_args!("failed to submit!, ret = {code} (injected fault)"),
        ));
    }
    Ok(match (fault.garbage, fault.zeros) {
        (true, _) => Results::Garbage,
        (_, true) => Results::Zeros,
        _ => Results::Right,
    })
}

impl Results {
    /// Spoils bytes that are about to be handed out.
    pub(super) fn spoil(self, bytes: &mut [u8]) {
        match self {
            Self::Right => {}
            Self::Zeros => bytes.fill(0),
            Self::Garbage => {
                let mut state = 0x9e37_79b9_u32;
                for byte in bytes {
                    // xorshift32: any noise will do, as long as it is always the same.
                    state ^= state << 13;
                    state ^= state >> 17;
                    state ^= state << 5;
                    *byte = state as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_faults() {
        let mut odd = Vec::new();
        let it = Fault::parse("create, run=-2,slow=15,after=3,version=9.9,garbage", &mut odd);
        let expected = Fault {
            create: Some(-6),
            run: Some(-2),
            slow: Some(Duration::from_millis(15)),
            after: 3,
            version: Some("9.9".into()),
            garbage: true,
            ..Fault::default()
        };
        assert_eq!((it, odd.len()), (expected, 0));
        Fault::parse("create=x,hang=1,nothing,after", &mut odd);
        assert_eq!(odd.len(), 4, "{odd:?}");
    }
}
