//! Answers that are no language any more.

use std::fmt;

/// An answer that is no language any more, and how that showed.
///
/// A broken board still answers: an old NPU driver gives logits that are all alike, whose first token is `!`
/// in many vocabularies; a model of another SoC gives padding without end. Such an answer is ended with
/// [`Stop::Degenerate`](super::Stop::Degenerate) instead of filling the context.
///
/// | what repeats | ends after | why so late |
/// |---|---|---|
/// | tokens without text, padding and unknown ones (`<pad>`, `[PAD151935]`, `<unk>`), bytes that are no UTF-8 (`\u{fffd}`), nothing but `!` | 64 in a row, of whatever mixture | no text holds so many |
/// | any other token | 256 times the same | somebody asks for "ha" a hundred times |
/// | white space, digits, and what lines and bars are drawn with (`-`, `=`, `_`, `*`, `#`, `.`, `~`, `+`, `\|`, `/`, box drawing) | 1,024 times the same | tables, indentation, long numbers |
///
/// Longer cycles, such as a sentence said again and again, are a model's own way of speaking and go on. Answers
/// that ignore the end of a text, as benchmarks do, are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Degenerate {
    /// One token again and again.
    Repeated {
        /// The token.
        token: u32,
        /// How often it came in a row.
        times: usize,
    },
    /// Tokens that say nothing: padding, unknown ones, exclamation marks.
    Flood {
        /// The last of them.
        token: u32,
        /// How many came in a row.
        times: usize,
    },
}

impl Degenerate {
    /// What it comes from, the likeliest first.
    pub fn causes(&self) -> [&'static str; 4] {
        [
            "on the NPU, a driver older than 0.9.8 (cat /sys/kernel/debug/rknpu/version)",
            "on the NPU, a model converted for another SoC or by another release of the toolkit",
            "a quantisation that broke the model: compare its perplexity with the baseline's",
            "another model's tokenizer or chat template, or a sampling that allows no other token",
        ]
    }
}

impl fmt::Display for Degenerate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated { token, times } => {
                write!(f, "token {token} came {times} times in a row")?
            }
            Self::Flood { token, times } => {
                write!(f, "{times} tokens in a row say nothing, the last of them {token}")?;
            }
        }
        write!(f, "; likely causes: {}", self.causes().join("; "))
    }
}

/// Tokens in a row that say nothing.
const FLOOD: usize = 64;
/// Repetitions of a token of language.
const LANGUAGE: usize = 256;
/// Repetitions of what is drawn or counted with.
const DRAWING: usize = 1024;

/// Watches the tokens of one answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    is_off: bool,
    last: Option<u32>,
    times: usize,
    /// Tokens in a row that say nothing.
    empty: usize,
}

/// What a token is for, by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Empty,
    Drawing,
    Language,
}

impl Watch {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_off: !is_on, ..Self::default() }
    }

    /// Takes a token and the text that came with it, empty for a part of a character.
    pub(super) fn push(&mut self, token: u32, text: &str) -> Option<Degenerate> {
        if self.is_off {
            return None;
        }
        let class = Class::of(text);
        self.times = if self.last == Some(token) { self.times + 1 } else { 1 };
        self.last = Some(token);
        self.empty = if class == Class::Empty { self.empty + 1 } else { 0 };
        if self.empty >= FLOOD {
            return Some(Degenerate::Flood { token, times: self.empty });
        }
        let most = if class == Class::Drawing { DRAWING } else { LANGUAGE };
        (self.times >= most).then_some(Degenerate::Repeated { token, times: self.times })
    }
}

impl Class {
    fn of(text: &str) -> Self {
        let said = text.trim();
        let noise = said.contains('\u{fffd}') || said.chars().all(is_noise) && !said.is_empty();
        if text.is_empty() || is_padding(said) || noise {
            return Self::Empty;
        }
        match said.chars().all(is_drawing) {
            true => Self::Drawing,
            false => Self::Language,
        }
    }
}

fn is_noise(c: char) -> bool {
    matches!(c, '!' | '\0')
}

fn is_drawing(c: char) -> bool {
    c.is_whitespace()
        || c.is_numeric()
        || "-=_*#.~+|/\\<>:,;'\"`^·•…─—–".contains(c)
        // Box drawing, blocks and geometric shapes.
        || ('\u{2500}'..='\u{25ff}').contains(&c)
}

/// The names of tokens that stand for nothing: `<pad>`, `[PAD151935]`, `<unk>`, `<|endoftext|>`,
/// `<unused12>`, `[unused3]`.
fn is_padding(said: &str) -> bool {
    let inner = said
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        .or_else(|| said.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')));
    let Some(inner) = inner else { return false };
    let name = inner.trim_matches('|').trim_end_matches(|c: char| c.is_ascii_digit());
    ["pad", "unk", "unused", "endoftext", "pad_", "unused_"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many tokens it is seen.
    fn seen(tokens: impl IntoIterator<Item = (u32, &'static str)>) -> Option<usize> {
        let mut watch = Watch::new(true);
        tokens
            .into_iter()
            .position(|(token, text)| watch.push(token, text).is_some())
            .map(|i| i + 1)
    }

    fn again(text: &'static str, times: usize) -> impl Iterator<Item = (u32, &'static str)> {
        std::iter::repeat_n((7, text), times)
    }

    #[test]
    fn floods_are_seen_soon_whatever_they_are_made_of() {
        for text in [
            "!",
            "!!!!",
            "",
            "<pad>",
            "[PAD151935]",
            "<unk>",
            "\u{fffd}",
            "a\u{fffd}é",
            "<|endoftext|>",
        ] {
            assert_eq!(seen(again(text, 1000)), Some(FLOOD), "{text:?}");
        }
        let mixed = (0..1000).map(|i| (i, ["!", "[PAD151936]", ""][i as usize % 3]));
        assert_eq!(seen(mixed), Some(FLOOD));
        let mut watch = Watch::new(true);
        let found = (0..FLOOD).find_map(|_| watch.push(0, "!")).unwrap();
        assert_eq!(found, Degenerate::Flood { token: 0, times: FLOOD });
        assert!(found.to_string().contains("driver older than 0.9.8"));
    }

    #[test]
    fn one_token_without_end_is_seen() {
        assert_eq!(seen(again(" the", 1000)), Some(LANGUAGE));
        assert_eq!(seen(again("汉", 1000)), Some(LANGUAGE));
        assert_eq!(seen(again("\n", 5000)), Some(DRAWING));
    }

    /// What people ask for.
    #[test]
    fn legitimate_answers_are_not() {
        for (text, times) in
            [("-", 800), ("=", 500), (" ", 900), ("\t", 300), ("0", 1000), ("─", 400), ("█", 400)]
        {
            assert_eq!(seen(again(text, times)), None, "{text:?}");
        }
        assert_eq!(seen(again("ha", 200)), None);
        assert_eq!(seen(again("!", 60)), None);
        // Characters of four bytes, a token for each: three of them bring no text.
        let emoji = (0..4000).map(|i| (i % 4, if i % 4 == 3 { "🙂" } else { "" }));
        assert_eq!(seen(emoji), None);
        // A sentence again and again is bad, but language.
        assert_eq!(seen((0..5000).map(|i| (i % 7, "word "))), None);
        let code = (0..3000).map(|i| if i % 5 == 0 { (1, "\n") } else { (2, "    ") });
        assert_eq!(seen(code), None);
    }

    #[test]
    fn it_can_be_switched_off() {
        let mut watch = Watch::new(false);
        assert!((0..10_000).all(|_| watch.push(0, "!").is_none()));
    }
}
