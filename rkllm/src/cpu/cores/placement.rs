//! How many threads compute and where, and the line that says why.

use std::collections::BTreeSet;
use std::fmt;

use super::{Cores, Cpu, CpuSet};
use crate::{Error, ErrorKind, Result};

/// The environment variable that sets the number of threads where the program does not.
pub const THREADS_VARIABLE: &str = "RKLLM_THREADS";

/// The most threads that are believed of it.
const MOST_THREADS: usize = 1024;

/// How many threads compute, and where. Prints as one line that says why.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Placement {
    /// Threads that compute, the calling one included.
    pub threads: usize,
    /// The processors they are confined to, where cores are unequal and the fast ones are enough.
    pub confined: Option<CpuSet>,
    /// True if the number is what suits the machine.
    pub(super) chosen: bool,
    /// True if the quota decided.
    pub(super) limited: bool,
    pub(super) cores: Cores,
}

impl Placement {
    /// The number of [`THREADS_VARIABLE`], else what suits the machine.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if the variable holds no number from 1 to 1024.
    pub fn from_environment() -> Result<Self> {
        threads_from_environment().map(|threads| Cores::system().placement(threads))
    }
}

/// The number of threads that [`THREADS_VARIABLE`] sets; `None` where it is absent or empty.
///
/// # Errors
/// [`ErrorKind::Input`] if it holds no number from 1 to 1024.
pub fn threads_from_environment() -> Result<Option<usize>> {
    match std::env::var_os(THREADS_VARIABLE) {
        Some(text) if !text.is_empty() => threads(&text.to_string_lossy()).map(Some),
        _ => Ok(None),
    }
}

fn threads(text: &str) -> Result<usize> {
    let number = text.trim().parse().ok().filter(|count| (1..=MOST_THREADS).contains(count));
    number.ok_or_else(|| {
        let start: String = text.chars().take(40).collect();
        Error::new(
            ErrorKind::Input,
            format!("expected a number from 1 to {MOST_THREADS}, found {start:?}"),
        )
        .about(THREADS_VARIABLE)
        .with_hint("correct it or leave it unset")
    })
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cores { usable, forbidden, quota, offline } = &self.cores;
        write!(f, "{} thread{}", self.threads, if self.threads == 1 { "" } else { "s" })?;
        let (on, rest): (Vec<&Cpu>, Vec<&Cpu>) =
            usable.iter().partition(|cpu| self.confined.is_none_or(|set| set.contains(cpu.id)));
        if !on.is_empty() {
            write!(f, " on {}", Named(&on))?;
        }
        let physical: BTreeSet<usize> = on.iter().map(|cpu| cpu.core).collect();
        if physical.len() < on.len() {
            let plural = if physical.len() == 1 { "" } else { "s" };
            write!(f, ", {} core{plural} with hardware threads that share them", physical.len())?;
        }
        if !self.chosen {
            f.write_str(", as many as were asked for")?;
        }
        if let (true, Some(quota)) = (self.limited, quota) {
            write!(f, ", for the control group allows {quota:.2} processors' time")?;
        }
        if !rest.is_empty() {
            write!(f, "; {} left to the system", Named(&rest))?;
        }
        if !forbidden.is_empty() {
            let all: Vec<&Cpu> = forbidden.iter().collect();
            write!(f, "; {} not allowed to this process", Named(&all))?;
        }
        if !offline.is_empty() {
            write!(f, "; cpu{offline} offline")?;
        }
        Ok(())
    }
}

/// Processors by number, with the names of their cores where those are known.
struct Named<'a>(&'a [&'a Cpu]);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<Option<&str>> = self.0.iter().map(|cpu| cpu.name).collect();
        for (index, name) in names.into_iter().enumerate() {
            let set: CpuSet =
                self.0.iter().filter(|cpu| cpu.name == name).map(|cpu| cpu.id).collect();
            write!(f, "{}cpu{set}", if index == 0 { "" } else { " and " })?;
            if let Some(name) = name {
                write!(f, " ({name})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_threads_is_a_number_or_an_error() {
        assert_eq!(threads(" 4 ").unwrap(), 4);
        for text in ["0", "-1", "1025", "two", "99999999999999999999", "4 5"] {
            let error = threads(text).unwrap_err().to_string();
            assert!(error.contains(THREADS_VARIABLE) && error.contains("1 to 1024"), "{error}");
        }
    }
}
