//! Characters that arrive in parts.

/// Holds back bytes that are not a whole character yet.
///
/// The runtime tells of a token that ends inside a character by the state WAITING. Whether the next text
/// repeats what was told is not documented, so both are understood: a text that begins with a
/// continuation byte goes on after the bytes held; one that begins with the bytes held takes their place.
#[derive(Debug, Default)]
pub(super) struct PartialText {
    held: Vec<u8>,
}

impl PartialText {
    /// Takes the text of a token and gives what is whole; `waiting` holds all of an incomplete one.
    pub(super) fn push(&mut self, text: &[u8], waiting: bool) -> String {
        let mut out = String::new();
        if !self.held.is_empty() && !text.is_empty() {
            let goes_on = text[0] & 0b1100_0000 == 0b1000_0000;
            if text.starts_with(&self.held) {
                self.held.clear();
            } else if !goes_on {
                out += &self.finish();
            }
        }
        self.held.extend_from_slice(text);
        if waiting && incomplete(&self.held) > 0 {
            return out;
        }
        let whole = self.held.len() - incomplete(&self.held);
        out += &String::from_utf8_lossy(&self.held[..whole]);
        self.held.drain(..whole);
        out
    }

    /// What is held, which nothing can complete now.
    pub(super) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }
}

/// Bytes at the end that begin a character and may still become one.
fn incomplete(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let start = (tail..bytes.len()).rev().find(|&i| bytes[i] & 0b1100_0000 != 0b1000_0000);
    match start {
        Some(start) => match std::str::from_utf8(&bytes[start..]) {
            // `error_len` is `None` just where more bytes could make it whole.
            Err(error) if error.error_len().is_none() && error.valid_up_to() == 0 => {
                bytes.len() - start
            }
            _ => 0,
        },
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(parts: &[(&[u8], bool)]) -> String {
        let mut text = PartialText::default();
        let mut out: String =
            parts.iter().map(|(part, waiting)| text.push(part, *waiting)).collect();
        out += &text.finish();
        out
    }

    #[test]
    fn a_character_in_parts_comes_out_whole() {
        let wide = "a\u{6c49}b".as_bytes();
        // Byte by byte as NORMAL; as WAITING with only its own bytes; as WAITING repeating.
        assert_eq!(told(&[(&wide[..2], false), (&wide[2..3], false), (&wide[3..], false)]), "a汉b");
        assert_eq!(told(&[(&wide[1..2], true), (&wide[2..3], true), (&wide[3..], false)]), "汉b");
        assert_eq!(told(&[(&wide[..2], true), (&wide[..3], true), (&wide[..4], false)]), "a汉");
    }

    #[test]
    fn what_never_becomes_a_character_is_replaced() {
        assert_eq!(told(&[(b"x\xff\xc3(", false)]), "x\u{fffd}\u{fffd}(");
        assert_eq!(told(&[(b"\xe6", false), (b"no", false)]), "\u{fffd}no");
        assert_eq!(told(&[(b"\xe6\xb1", true)]), "\u{fffd}");
        assert_eq!(told(&[(b"\x80\x80\x80\x80", false)]), "\u{fffd}".repeat(4));
        assert_eq!(told(&[(b"", true), (b"a", true), (b"", false)]), "a");
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(text in "\\PC{0,20}", cuts in prop::collection::vec(0usize..64, 0..8)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut partial = PartialText::default();
            let mut out = String::new();
            for pair in cuts.windows(2) {
                let piece = partial.push(&bytes[pair[0]..pair[1]], false);
                out += &piece;
            }
            out += &partial.finish();
            prop_assert_eq!(out, text);
        }

        #[test]
        fn no_bytes_break_it(parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..6), any::<bool>()), 0..12)) {
            let mut partial = PartialText::default();
            for (part, waiting) in &parts {
                partial.push(part, *waiting);
                // Without WAITING no more than a character's beginning is held.
                prop_assert!(*waiting || partial.held.len() < 4);
            }
        }
    }
}
