//! The bytes each token stands for.

use serde_json::Value;

use super::Tokenizer;
use crate::{Error, ErrorKind, Result};

/// Ids at most: the largest vocabularies of the hub have some 260,000.
const MAX_TOKENS: usize = 1 << 20;

/// How tokens are spelled in the vocabulary, read from the tokenizer's decoder.
enum Spelling {
    /// A character for each byte, as GPT-2 chose them.
    ByteLevel,
    /// Text with stand-ins, mostly `▁` for a space, and with `<0x0A>` for bytes where `fallback`.
    Text { stand_ins: Vec<(String, String)>, fallback: bool },
}

impl Tokenizer {
    /// The bytes of every id, in the order of ids: empty for special tokens and ids that no token has.
    ///
    /// The bytes of a text's tokens together are the text, but for what the tokenizer itself puts
    /// before it, such as the space of SentencePiece.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a tokenizer whose tokens do not stand for the same bytes
    /// everywhere, such as WordPiece's.
    pub(crate) fn token_bytes(&self) -> Result<Vec<Vec<u8>>> {
        let spelling = Spelling::of(self.inner.get_decoder())?;
        let vocab = self.inner.get_vocab(true);
        let ids = vocab.values().max().map_or(0, |&last| last as usize + 1);
        if ids > MAX_TOKENS {
            return Err(unsupported(format!("has ids up to {}", ids - 1)));
        }
        let mut bytes = vec![Vec::new(); ids];
        for (token, id) in vocab {
            bytes[id as usize] = spelling.bytes(&token);
        }
        for (id, token) in self.inner.get_added_tokens_decoder() {
            if let Some(bytes) = bytes.get_mut(id as usize).filter(|_| token.special) {
                bytes.clear();
            }
        }
        Ok(bytes)
    }
}

impl Spelling {
    /// The decoder is read as the file has it: its types keep their fields to themselves.
    fn of(decoder: Option<&impl serde::Serialize>) -> Result<Self> {
        let decoder = serde_json::to_value(decoder)
            .map_err(|error| unsupported(format!("has a decoder that cannot be read: {error}")))?;
        let steps = match &decoder["decoders"] {
            Value::Array(steps) => steps.as_slice(),
            _ => std::slice::from_ref(&decoder),
        };
        let (mut stand_ins, mut fallback) = (Vec::new(), false);
        for step in steps {
            match step["type"].as_str() {
                Some("ByteLevel") if steps.len() == 1 => return Ok(Self::ByteLevel),
                Some("Replace") => {
                    let pattern = step["pattern"]["String"].as_str();
                    match (pattern, step["content"].as_str()) {
                        (Some(pattern), Some(content)) if !pattern.is_empty() => {
                            stand_ins.push((pattern.to_owned(), content.to_owned()));
                        }
                        _ => return Err(unsupported("replaces by a pattern".into())),
                    }
                }
                Some("Metaspace") => {
                    let space = step["replacement"].as_str().unwrap_or("▁");
                    stand_ins.push((space.to_owned(), " ".into()));
                }
                Some("ByteFallback") => fallback = true,
                // Joins tokens, and takes a space off the whole text: no matter of single tokens.
                Some("Fuse" | "Strip") => {}
                Some(other) => return Err(unsupported(format!("decodes by {other}"))),
                None => return Err(unsupported("has no decoder".into())),
            }
        }
        Ok(Self::Text { stand_ins, fallback })
    }

    fn bytes(&self, token: &str) -> Vec<u8> {
        match self {
            // As its decoder does with added tokens, whose text is not in its alphabet.
            Self::ByteLevel => token
                .chars()
                .map(byte_of)
                .collect::<Option<Vec<u8>>>()
                .unwrap_or_else(|| token.as_bytes().to_vec()),
            Self::Text { stand_ins, fallback } => {
                if let Some(byte) = fallback.then(|| fallback_byte(token)).flatten() {
                    return vec![byte];
                }
                let mut text = token.to_owned();
                for (pattern, content) in stand_ins {
                    text = text.replace(pattern, content);
                }
                text.into_bytes()
            }
        }
    }
}

/// The byte that a character of GPT-2's alphabet stands for: bytes that are printable in Latin-1 for
/// themselves, the others in their order from U+0100 on.
fn byte_of(character: char) -> Option<u8> {
    let code = u32::from(character);
    let byte = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The byte of `<0x0A>`.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

fn unsupported(what: String) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the tokenizer {what}, so its tokens have no bytes"))
        .with_hint("constrained answers need a byte-level or SentencePiece tokenizer; leave out the constraint")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::shared;

    const TEXTS: [&str; 6] = [
        "the quick brown fox",
        "¿Cuál es la unidad de la intensidad? El amperio (A).",
        "{\"U\": 12.5, \"nombre\": \"tensión\\n\"}\n\n\t  fin",
        "漢字 und Größe, 🦙🦙 e\u{301}",
        "\u{0}\u{1}\u{7f}\u{80}\u{ad}\u{ff}",
        "    four spaces, and   three",
    ];

    #[test]
    fn the_alphabet_of_gpt_2_is_whole() {
        let mut bytes: Vec<u8> =
            (0..0x200).filter_map(char::from_u32).filter_map(byte_of).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        let of = |c: char| byte_of(c).unwrap();
        assert_eq!(['Ġ', 'Ċ', 'Ã', '©', 'ĉ'].map(of), [b' ', b'\n', 0xc3, 0xa9, b'\t']);
    }

    #[test]
    fn the_bytes_of_a_texts_tokens_are_the_text() {
        let mut seen = 0;
        for name in [
            "tokenizers/qwen2",
            "tokenizers/llama3",
            "tokenizers/phi3",
            "models/fisica-19m",
            "models/tinystories-656k",
        ] {
            let Some(dir) = shared(name) else { continue };
            let tokenizer = Tokenizer::open(dir).unwrap();
            let bytes = tokenizer.token_bytes().unwrap();
            let spaced = matches!(name, "tokenizers/phi3" | "models/tinystories-656k");
            for text in TEXTS {
                let ids = tokenizer.encode(text).unwrap();
                if ids.iter().any(|&id| bytes[id as usize].is_empty()) {
                    assert_eq!(name, "models/tinystories-656k", "it alone has unknown characters");
                    continue;
                }
                let spelled: Vec<u8> =
                    ids.iter().flat_map(|&id| bytes[id as usize].clone()).collect();
                let mut expected = text.to_owned();
                if name == "tokenizers/qwen2" {
                    expected = expected.replace("e\u{301}", "é");
                }
                if spaced {
                    expected.insert(0, ' ');
                }
                assert_eq!(String::from_utf8_lossy(&spelled), expected, "{name}: {text:?}");
                assert_eq!(spelled, expected.as_bytes());
            }
            seen += 1;
        }
        println!("{seen} tokenizers");
    }

    /// Every token of the vocabulary, not only those that texts happen to have.
    #[test]
    fn each_tokens_bytes_are_what_it_decodes_to() {
        for name in ["tokenizers/qwen2", "tokenizers/phi3", "models/fisica-19m"] {
            let Some(dir) = shared(name) else { continue };
            let tokenizer = Tokenizer::open(dir).unwrap();
            let anchor = tokenizer.encode("a").unwrap();
            let before = tokenizer.decode(&anchor).unwrap();
            let bytes = tokenizer.token_bytes().unwrap();
            assert_eq!(bytes.len(), tokenizer.vocab_size());
            let mut special = 0;
            for (id, bytes) in (0..).zip(&bytes) {
                let after = tokenizer.decode(&[&anchor[..], &[id]].concat()).unwrap();
                let own = after.strip_prefix(&before).unwrap();
                let expected = String::from_utf8_lossy(bytes);
                // The numbers of replacement characters for broken bytes differ.
                match expected.contains('\u{fffd}') {
                    true => assert!(own.contains('\u{fffd}'), "{name} {id}: {bytes:?}, {own:?}"),
                    false => assert_eq!(own, expected, "{name} {id}"),
                }
                special += usize::from(bytes.is_empty());
            }
            assert!((3..300).contains(&special), "{name}: {special} without bytes");
        }
    }

    #[test]
    fn tokens_without_bytes_of_their_own_are_refused() {
        let parse = |decoder: Value| Spelling::of(Some(&decoder)).map(drop);
        for decoder in [
            serde_json::json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
            serde_json::json!({"type": "Replace", "pattern": {"Regex": " +"}, "content": "_"}),
            Value::Null,
        ] {
            let error = parse(decoder).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.hint().is_some());
        }
        let spaces = serde_json::json!({"type": "Metaspace", "replacement": "_",
            "prepend_scheme": "always", "split": true});
        assert_eq!(Spelling::of(Some(&spaces)).unwrap().bytes("_a_<0x41>"), b" a <0x41>");
    }
}
