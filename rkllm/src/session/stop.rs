//! Why an answer ends, and stop strings in a stream.

use crate::{Error, ErrorKind, Result};

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Stop {
    /// The model ended it.
    Eos,
    /// It has as many tokens as were asked for.
    MaxTokens,
    /// A stop string came up; it is cut off.
    StopString,
    /// The context is full.
    Context,
    /// It is all that its constraint (feature `constrain`) asks for, and nothing more may follow.
    Complete,
    /// It was no language any more; [`Statistics::degenerate`](super::Statistics::degenerate) says how that
    /// showed.
    Degenerate,
    /// A [`CancelHandle`](super::CancelHandle) stopped it, or it was dropped.
    Cancelled,
}

/// Cuts a stream of text at the first stop string.
///
/// The string that is complete first ends the stream; of several that are complete at the same character,
/// the longest. So how the stream is cut into pieces does not matter.
#[derive(Debug, Clone, Default)]
pub(super) struct StopStrings {
    stops: Vec<String>,
    /// Text that may be the beginning of a stop string.
    held: String,
}

/// Text that may be shown, and whether a stop string ended it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) stopped: bool,
}

impl StopStrings {
    pub(super) fn new(stops: &[String]) -> Self {
        Self { stops: stops.to_vec(), held: String::new() }
    }

    /// # Errors
    /// [`ErrorKind::Input`] for an empty one: it would stop everything.
    pub(super) fn check(stops: &[String]) -> Result<()> {
        match stops.iter().any(String::is_empty) {
            true => Err(Error::new(ErrorKind::Input, "a stop string is empty")
                .with_hint("leave it out or give it a character")),
            false => Ok(()),
        }
    }

    pub(super) fn push(&mut self, piece: &str) -> Shown {
        self.held += piece;
        if let Some(start) = self.found() {
            let mut text = std::mem::take(&mut self.held);
            text.truncate(start);
            return Shown { text, stopped: true };
        }
        let rest = self.held.split_off(self.safe());
        Shown { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// The text still held, which nothing can follow now.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the stop string begins that ends first.
    fn found(&self) -> Option<usize> {
        let matches = self.stops.iter().filter_map(|stop| {
            self.held.find(stop.as_str()).map(|start| (start + stop.len(), start))
        });
        matches.min().map(|(_, start)| start)
    }

    /// How much text from the start no stop string can begin in any more.
    fn safe(&self) -> usize {
        let starts = self.held.char_indices().map(|(start, _)| start);
        let may_begin = |start: &usize| {
            let rest = &self.held[*start..];
            self.stops.iter().any(|stop| stop.starts_with(rest))
        };
        // Of a text without a stop string only as much can be the beginning of one as is shorter.
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let first = self.held.len().saturating_sub(longest);
        starts.skip_while(|&start| start < first).find(may_begin).unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut filter = StopStrings::new(&stops);
        let mut text = String::new();
        for piece in pieces {
            let shown = filter.push(piece);
            text += &shown.text;
            if shown.stopped {
                return (text, true);
            }
        }
        (text + &filter.finish(), false)
    }

    #[test]
    fn a_stop_string_across_pieces_is_cut_out_exactly() {
        assert_eq!(cut(&["\n\n"], &["one\n", "two\n", "\n", "three"]), ("one\ntwo".into(), true));
        assert_eq!(cut(&["STOP"], &["S", "T", "O", "x"]), ("STOx".into(), false));
        assert_eq!(cut(&["¿no?"], &["sí ¿", "no", "? y"]), ("sí ".into(), true));
        assert_eq!(cut(&["aab"], &["aa", "ab", "c"]), ("a".into(), true));
        assert_eq!(cut(&["end"], &["the en"]), ("the en".into(), false));
        assert_eq!(cut(&[], &["a", "b"]), ("ab".into(), false));
    }

    #[test]
    fn the_string_complete_first_wins() {
        assert_eq!(cut(&["abcd", "bc"], &["xabcd"]), ("xa".into(), true));
        assert_eq!(cut(&["abcd", "bc"], &["xab", "cd"]), ("xa".into(), true));
        assert_eq!(cut(&["bc", "abc"], &["xabc"]), ("x".into(), true), "of equal ends the longest");
    }

    #[test]
    fn what_may_become_a_stop_string_is_held_back_and_no_more() {
        let mut filter = StopStrings::new(&["</s>".into(), "\n#".into()]);
        let mut shown = |piece: &str| filter.push(piece).text;
        assert_eq!(shown("a <"), "a ");
        assert_eq!(shown("b"), "<b");
        assert_eq!(shown("\n"), "");
        assert_eq!(shown("\n"), "\n");
        assert_eq!(shown("é"), "\né");
    }

    #[test]
    fn pieces_do_not_matter() {
        let mut random = super::super::random::SplitMix64::new(5);
        let alphabet = ["a", "b", "é"];
        let mut word = |most: u64| {
            let length = 1 + random.next() % most;
            (0..length).map(|_| alphabet[(random.next() % 3) as usize]).collect::<String>()
        };
        for round in 0..2_000 {
            let text = word(14);
            let stops = [word(3), word(4)];
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let whole = cut(&stops, &[&text]);
            let single: Vec<String> = text.chars().map(String::from).collect();
            let single: Vec<&str> = single.iter().map(String::as_str).collect();
            assert_eq!(cut(&stops, &single), whole, "round {round}: {text} by {stops:?}");
            let ends = stops.iter().filter_map(|s| text.find(s).map(|at| (at + s.len(), at)));
            let expected = match ends.min() {
                Some((_, at)) => (text[..at].to_owned(), true),
                None => (text.clone(), false),
            };
            assert_eq!(whole, expected, "round {round}");
        }
    }

    #[test]
    fn an_empty_stop_string_is_refused() {
        assert_eq!(StopStrings::check(&[String::new()]).unwrap_err().kind(), ErrorKind::Input);
        assert!(StopStrings::check(&["x".into()]).is_ok());
    }
}
