//! The version text of a runtime library and the ABI it stands for.

use std::cmp::Ordering;
use std::fmt;

/// How the version text of librkllmrt begins; three numbers follow.
const RKLLM_MARK: &[u8] = b"RKLLM SDK (version: ";
/// The same of librknnrt.
const RKNN_MARK: &[u8] = b"librknnrt version: ";

/// A release of librkllmrt or librknnrt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RuntimeVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
    /// The number after `b` of a beta such as 1.2.1b1; it comes before its release.
    pub beta: Option<u32>,
}

/// The struct layouts a release of librkllmrt uses (LP64).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Abi {
    /// 1.2.1 to 1.2.3: `RKLLMParam` has 208 bytes, `rkllm_init` takes a function pointer.
    V1_2,
    /// 1.3.0: `RKLLMParam` has 184 bytes, `rkllm_init` takes a struct of callbacks.
    V1_3,
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "the ABI of 1.2.1 to 1.2.3",
            Self::V1_3 => "the ABI of 1.3.0",
        })
    }
}

impl RuntimeVersion {
    /// The oldest librkllmrt whose layouts are declared here.
    pub(crate) const OLDEST_RKLLM: Self = Self { major: 1, minor: 2, patch: 1, beta: None };

    /// The version in the contents of a librkllmrt file, or `None` if there is no version text.
    pub fn find(library: &[u8]) -> Option<Self> {
        Self::all(library, RKLLM_MARK).next()
    }

    /// Every version text of a librkllmrt file, in the order of the file.
    pub(crate) fn all_rkllm(library: &[u8]) -> impl Iterator<Item = Self> {
        Self::all(library, RKLLM_MARK)
    }

    /// The version in the contents of a librknnrt file, or `None` if there is no version text.
    pub fn find_rknn(library: &[u8]) -> Option<Self> {
        Self::all(library, RKNN_MARK).next()
    }

    fn all<'a>(library: &'a [u8], mark: &'static [u8]) -> impl Iterator<Item = Self> + 'a {
        library
            .windows(mark.len())
            .enumerate()
            .filter(move |(_, window)| *window == mark)
            .filter_map(move |(at, _)| Self::parse(&library[at + mark.len()..]))
    }

    /// Three numbers with dots between them at the start of `text`, perhaps with `b` and a number.
    fn parse(text: &[u8]) -> Option<Self> {
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"._+-".contains(b);
        let end = text.iter().position(|b| !is_part(b)).unwrap_or(text.len());
        let word = std::str::from_utf8(&text[..end]).ok()?;
        let (numbers, beta) = match word.split_once('b') {
            Some((numbers, beta)) => (numbers, Some(number(beta)?)),
            None => (word, None),
        };
        let mut parts = numbers.split('.').map(number);
        let version =
            Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()??, beta };
        parts.next().is_none().then_some(version)
    }

    /// The ABI of this release, or `None` where the layouts are not known: releases before 1.2.1
    /// (other structs), betas, and those newer than 1.3.0 (never seen).
    pub fn abi(self) -> Option<Abi> {
        match (self.major, self.minor, self.patch, self.beta) {
            (1, 2, 1..=3, None) => Some(Abi::V1_2),
            (1, 3, 0, None) => Some(Abi::V1_3),
            _ => None,
        }
    }
}

/// Digits alone; `str::parse` would take a sign too.
fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl Ord for RuntimeVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |v: &Self| (v.major, v.minor, v.patch, v.beta.is_none(), v.beta);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for RuntimeVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RuntimeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        self.beta.map_or(Ok(()), |beta| write!(f, "b{beta}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(text: &str) -> Vec<u8> {
        [b"\x7fELF\x02\x01 RKLLM SDK \0", text.as_bytes(), b"\0tail"].concat()
    }

    #[test]
    fn the_version_text_names_the_abi() {
        for (text, version, abi) in [
            ("RKLLM SDK (version: 1.3.0 | target: aarch64)", "1.3.0", Some(Abi::V1_3)),
            ("RKLLM SDK (version: 1.2.3)", "1.2.3", Some(Abi::V1_2)),
            ("RKLLM SDK (version: 1.2.1", "1.2.1", Some(Abi::V1_2)),
            ("RKLLM SDK (version: 1.2.1b1 | target: Linux)", "1.2.1b1", None),
            ("RKLLM SDK (version: 1.3.0b2)", "1.3.0b2", None),
            ("RKLLM SDK (version: 1.2.0)", "1.2.0", None),
            ("RKLLM SDK (version: 1.1.4)", "1.1.4", None),
            ("RKLLM SDK (version: 1.3.1)", "1.3.1", None),
        ] {
            let found = RuntimeVersion::find(&library(text)).unwrap();
            assert_eq!(found.to_string(), version);
            assert_eq!(found.abi(), abi, "{version}");
        }
    }

    #[test]
    fn no_text_no_version() {
        for text in [
            "",
            "RKLLM SDK (version: )",
            "RKLLM SDK (version: 1.3)",
            "rkllm 1.3.0",
            "RKLLM SDK (version: 1.2.3.4)",
            "RKLLM SDK (version: 1.2.3-rc1)",
            "RKLLM SDK (version: 1.2.3rc1)",
            "RKLLM SDK (version: 1.2.+3)",
            "RKLLM SDK (version: 1.2.99999999999)",
            "RKLLM SDK (version: 1.2.1b)",
            "rknn llm lib version: 2.3.3b0 (x)",
        ] {
            assert_eq!(RuntimeVersion::find(&library(text)), None, "{text}");
        }
        // The first text that is a version counts.
        let two = library("RKLLM SDK (version: %s) RKLLM SDK (version: 1.3.0)");
        assert_eq!(RuntimeVersion::find(&two).unwrap().abi(), Some(Abi::V1_3));
    }

    #[test]
    fn librknnrt_has_its_own_text() {
        let library = b"\x7fELF librknnrt version: 2.3.2 (429f97ae6b@2025-04-09)\0";
        assert_eq!(RuntimeVersion::find_rknn(library).unwrap().to_string(), "2.3.2");
        assert_eq!(RuntimeVersion::find(library), None);
        assert_eq!(RuntimeVersion::find_rknn(b"rknn llm lib version: 2.3.3b0 (x)"), None);
    }

    #[test]
    fn a_beta_comes_before_its_release() {
        let parse = |text: &str| RuntimeVersion::parse(text.as_bytes()).unwrap();
        let order = ["1.1.4", "1.2.0", "1.2.1b0", "1.2.1b1", "1.2.1", "1.2.3", "1.3.0b1", "1.3.0"];
        for pair in order.windows(2) {
            assert!(parse(pair[0]) < parse(pair[1]), "{pair:?}");
        }
    }
}
