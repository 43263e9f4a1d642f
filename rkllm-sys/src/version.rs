//! The version text of librkllmrt and the ABI it stands for.

use std::fmt;

/// How the version text begins; three numbers follow.
const MARK: &[u8] = b"RKLLM SDK (version: ";

/// A release of librkllmrt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuntimeVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

/// The struct layouts a release uses (LP64).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Abi {
    /// 1.2.1 to 1.2.3: `RKLLMParam` has 208 bytes, `rkllm_init` takes a function pointer.
    V1_2,
    /// 1.3.0: `RKLLMParam` has 184 bytes, `rkllm_init` takes a struct of callbacks.
    V1_3,
}

impl RuntimeVersion {
    /// The version in the contents of a librkllmrt file, or `None` if there is no version text.
    pub fn find(library: &[u8]) -> Option<Self> {
        library
            .windows(MARK.len())
            .enumerate()
            .filter(|(_, window)| *window == MARK)
            .find_map(|(at, _)| Self::parse(&library[at + MARK.len()..]))
    }

    /// Three numbers with dots between them at the start of `text`.
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(text.len());
        let numbers = std::str::from_utf8(&text[..end]).ok()?;
        let mut parts = numbers.split('.').map(|part| part.parse().ok());
        let version = Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
        parts.next().is_none().then_some(version)
    }

    /// The ABI of this release, or `None` where the layouts are not known: releases before 1.2.1
    /// (other structs) and those newer than 1.3.0 (never seen).
    pub fn abi(self) -> Option<Abi> {
        match (self.major, self.minor, self.patch) {
            (1, 2, 1..=3) => Some(Abi::V1_2),
            (1, 3, 0) => Some(Abi::V1_3),
            _ => None,
        }
    }
}

impl fmt::Display for RuntimeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
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
        ] {
            assert_eq!(RuntimeVersion::find(&library(text)), None, "{text}");
        }
        // The first text that is a version counts.
        let two = library("RKLLM SDK (version: %s) RKLLM SDK (version: 1.3.0)");
        assert_eq!(RuntimeVersion::find(&two).unwrap().abi(), Some(Abi::V1_3));
    }
}
