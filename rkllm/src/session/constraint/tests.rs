use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::testing::shared;

const END: u32 = 256;

/// A tokenizer of the 256 bytes and one special token, which ends an answer.
fn grammars() -> Grammars {
    let mut vocab = serde_json::Map::new();
    let mut next = 256;
    for byte in 0..=255u32 {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let code = if printable { byte } else { next };
        next += u32::from(!printable);
        vocab.insert(char::from_u32(code).unwrap().to_string(), json!(byte));
    }
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
        "use_regex": false});
    let text = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [{"id": END, "content": "<end>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": bytes, "decoder": bytes, "post_processor": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": []}
    });
    let tokenizer = Tokenizer::from_json(&text.to_string()).unwrap();
    Grammars::new(&tokenizer, &[END]).unwrap()
}

/// Whether `text` is a whole answer: `Some(false)` for the beginning of one.
fn read(grammars: &Grammars, constraint: &Constraint, text: &str) -> Option<bool> {
    let mut matching = grammars.begin(constraint).unwrap();
    for byte in text.bytes() {
        let allowed = matching.allowed(257, &[END]).unwrap()?;
        if !allowed.has(byte.into()) {
            return None;
        }
        matching.take(byte.into()).unwrap();
    }
    Some(matching.allowed(257, &[END]).unwrap().is_none_or(|allowed| allowed.has(END)))
}

#[test]
fn a_pattern_is_matched_whole() {
    let grammars = grammars();
    for (pattern, whole, begun, never) in [
        ("[0-9]{1,3} (V|mV)", "12 mV", "12 m", "1234"),
        ("(sí|¿qué\\?)/\\\\n", "¿qué?/\\n", "¿qu", "si"),
        ("a*", "aaa", "", "b"),
        ("(?s:.*)x", "\nñ漢🦙x", "\nñ漢🦙", "\u{0}\u{ffff}"),
        ("#[^\\n]*\\n", "# //\n", "#", "\n"),
        ("/", "/", "", "//"),
        ("(?i)ohm", "OhM", "oH", "m"),
    ] {
        let constraint = Constraint::regex(pattern);
        assert_eq!(read(&grammars, &constraint, whole), Some(true), "{pattern}");
        let may_end_empty = pattern == "a*";
        assert_eq!(read(&grammars, &constraint, begun), Some(may_end_empty), "{pattern}");
        let never = read(&grammars, &constraint, never);
        assert!(never.is_none_or(|whole| pattern.starts_with("(?s") && !whole), "{pattern}");
    }
    assert_eq!(read(&grammars, &Constraint::regex(""), ""), Some(true));
    assert_eq!(read(&grammars, &Constraint::regex(""), "a"), None);
}

#[test]
fn a_choice_is_taken_as_it_stands() {
    let grammars = grammars();
    let texts = ["a.b", "(c)", "10 Ω", "\\d", "x|y", "new\nline", "-", "a-b]"];
    let constraint = Constraint::choice(texts);
    for text in texts {
        assert_eq!(read(&grammars, &constraint, text), Some(true), "{text:?}");
    }
    for text in ["axb", "c", "5", "x", "new line", "a.b(c)"] {
        assert_ne!(read(&grammars, &constraint, text), Some(true), "{text:?}");
    }
}

#[test]
fn a_schema_is_matched_whole() {
    let grammars = grammars();
    let schema = json!({
        "type": "object",
        "properties": {"u": {"type": "string", "maxLength": 3}, "v": {"type": "integer", "minimum": 0}},
        "required": ["u", "v"], "additionalProperties": false
    });
    let constraint = Constraint::json_schema(schema);
    for (text, expected) in [
        (r#"{"u":"V","v":12}"#, Some(true)),
        (r#"{ "u" : "ñ\n" ,"v": 0 }"#, Some(true)),
        (r#"{"u":"V","v":12"#, Some(false)),
        (r#"{"u":"V","v":-"#, None),
        (r#"{"u":"Volt"#, None),
        (r#"{"v":1"#, None),
        (r#"{"u":"V"}"#, None),
        (r#" {"#, None),
        ("{ \"", Some(false)),
        ("{  ", None),
        ("{\n", None),
        (r#"{"u":"V","v":12} "#, None),
    ] {
        assert_eq!(read(&grammars, &constraint, text), expected, "{text}");
    }
    let anything = Constraint::json_schema(json!(true));
    assert_eq!(read(&grammars, &anything, r#"[null, {"a": [1.5e3, "x"]}]"#), Some(true));
}

#[test]
fn what_cannot_be_compiled_is_an_error_that_says_why() {
    let grammars = grammars();
    let mut deep = json!({"type": "string"});
    for _ in 0..80 {
        deep = json!({"type": "array", "items": deep});
    }
    let wide: Vec<Value> = (0..20_000).map(Value::from).collect();
    for (constraint, word) in [
        (Constraint::regex("(a"), "unclosed"),
        (Constraint::regex("a\\"), "escape"),
        (Constraint::regex("[z-a]"), "range"),
        (Constraint::regex("a".repeat(100_000)), "16384"),
        (Constraint::json_schema(json!(7)), "expected an object"),
        (Constraint::json_schema(json!(false)), "expected an object"),
        (Constraint::json_schema(json!({"type": "strin"})), "strin"),
        (
            Constraint::json_schema(json!({"type": "integer", "minimum": 3, "maximum": 2})),
            "nsatisfiable",
        ),
        (Constraint::json_schema(json!({"type": "array", "uniqueItems": true})), "uniqueItems"),
        (Constraint::json_schema(json!({"$ref": "https://example.org/s.json"})), "example.org"),
        (Constraint::json_schema(json!({"x-guidance": {"lenient": true}})), "x-guidance"),
        (Constraint::json_schema(deep), "64"),
        (Constraint::json_schema(json!({"enum": wide})), "10000"),
        (Constraint::json_schema(json!({"type": "string", "pattern": "(a"})), "unclosed"),
    ] {
        let error = grammars.begin(&constraint).err().expect(word);
        assert_eq!(error.kind(), ErrorKind::Input, "{error}");
        assert!(error.to_string().contains(word), "{word} in {error}");
        assert!(error.hint().is_some() && error.to_string().len() < 800, "{error}");
        assert!(!error.to_string().contains(['\n', '\t']), "{error}");
        assert!(!error.to_string().contains("backtrace"), "{error}");
    }
}

/// Schemas and patterns made to take memory or time: an error or an answer, soon, in a small stack.
#[test]
fn hostile_constraints_are_refused_or_harmless() {
    let grammars = grammars();
    let mut nested = json!({"type": "string"});
    for level in 0..31 {
        nested = json!({"anyOf": [nested, {"const": level}]});
    }
    let either = |key: usize| {
        json!({"anyOf": [{"properties": {format!("a{key}"): {"type": "string"}}},
        {"properties": {format!("b{key}"): {"type": "integer"}}}]})
    };
    let product: Vec<Value> = (0..30).map(either).collect();
    let text = |maximum: u64| json!({"type": "string", "maxLength": maximum, "pattern": "^(a|b)*c.{0,900}$"});
    let fields: serde_json::Map<_, _> =
        (0..3_000).map(|key| (format!("field{key}"), json!({"type": "string"}))).collect();
    for constraint in [
        Constraint::json_schema(nested),
        Constraint::json_schema(json!({"allOf": product})),
        Constraint::json_schema(
            json!({"type": "array", "minItems": 2_000_000_000u64, "items": {"type": "integer"}}),
        ),
        Constraint::json_schema(
            json!({"type": "array", "maxItems": 2_000_000_000u64, "items": {"type": "object"}}),
        ),
        Constraint::json_schema(json!({"type": "string", "minLength": 2_000_000_000u64})),
        Constraint::json_schema(text(2_000_000_000)),
        Constraint::json_schema(json!({"type": "object", "properties": fields})),
        Constraint::json_schema(json!({"$ref": "#"})),
        Constraint::json_schema(
            json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        ),
        Constraint::json_schema(json!({"type": "number", "multipleOf": 1e-300})),
        Constraint::json_schema(json!({"type": "integer", "multipleOf": 987_654_321})),
        Constraint::json_schema(json!({"type": "integer", "minimum": -1e308, "maximum": 1e308})),
        Constraint::regex("((a{1,1000}){1,1000}){1,1000}"),
        Constraint::regex("(a|b)*a(a|b){5000}"),
        Constraint::regex("(".repeat(240) + "a" + &")".repeat(240)),
        Constraint::regex("(".repeat(20_000) + "a" + &")".repeat(20_000)),
        Constraint::regex("a?".repeat(8_000) + "b"),
        Constraint::regex("(a|".repeat(200) + "b" + &")*".repeat(200)),
        Constraint::regex("a".repeat(16_000)),
        Constraint::regex("(a?){0,16000}b"),
        Constraint::regex("((a?){0,400}b?){0,400}"),
        Constraint::json_schema(json!({"type": "string", "pattern": "a?".repeat(8_000) + "b"})),
        Constraint::json_schema(json!({"type": "number", "minimum": 1e-300, "maximum": 1e-299})),
        Constraint::json_schema(json!({"const": -9_007_199_254_740_992i64})),
        Constraint::json_schema(json!({"type": "integer", "multipleOf": 99_999})),
        Constraint::json_schema(json!({"type": "number", "multipleOf": 0.00003, "minimum": -7.5})),
        Constraint::regex("\\pL{1000}|\\w{2000}"),
    ] {
        let name = format!("{constraint:?}").chars().take(120).collect::<String>();
        let begun = Instant::now();
        let result = grammars.begin(&constraint).and_then(|mut matching| {
            for byte in b"{\"aaabbbccc\" 12aaaaaaaaaaaaaaaaa" {
                match matching.allowed(257, &[END])? {
                    Some(allowed) if allowed.has(u32::from(*byte)) => {
                        matching.take(u32::from(*byte))?;
                    }
                    _ => break,
                }
            }
            Ok(())
        });
        let took = begun.elapsed();
        println!("{took:?} {name}: {result:?}");
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::Input, "{name}: {error}");
        }
        assert!(took < Duration::from_secs(120), "{name}: {took:?}");
    }
}

#[test]
fn answers_share_nothing_but_the_compiled_constraint() {
    let grammars = grammars();
    let constraint = Constraint::regex("ab|cd");
    let mut first = grammars.begin(&constraint).unwrap();
    first.take(u32::from(b'a')).unwrap();
    let mut second = grammars.begin(&constraint).unwrap();
    let allowed = second.allowed(257, &[END]).unwrap().unwrap();
    assert!(allowed.has(u32::from(b'a')) && allowed.has(u32::from(b'c')));
    let allowed = first.allowed(257, &[END]).unwrap().unwrap();
    assert!(allowed.has(u32::from(b'b')) && !allowed.has(u32::from(b'c')));
    for length in 1..=2 * KEPT {
        grammars.begin(&Constraint::regex("x".repeat(length))).unwrap();
    }
    assert_eq!(grammars.compiled.lock().unwrap().len(), KEPT);
}

#[test]
fn half_a_character_is_no_text() {
    let grammars = grammars();
    let mut matching = grammars.begin(&Constraint::regex("ñ🦙.")).unwrap();
    let pieces: Vec<String> =
        "ñ🦙".bytes().map(|byte| matching.take(byte.into()).unwrap()).collect();
    assert_eq!(pieces, ["", "ñ", "", "", "", "🦙"]);
    assert!(!matching.is_complete());
    matching.take(u32::from(b'.')).unwrap();
    assert!(matching.is_complete());
    assert!(matching.allowed(257, &[END]).unwrap().is_none());
}

/// The tokens of real models: how long it takes, and that no special token slips through.
#[test]
fn special_tokens_are_never_allowed() {
    for name in ["tokenizers/qwen2", "tokenizers/llama3", "tokenizers/phi3"] {
        let Some(dir) = shared(name) else { continue };
        let tokenizer = Tokenizer::open(dir).unwrap();
        let eos: Vec<u32> = tokenizer.eos().into_iter().collect();
        let begun = Instant::now();
        let grammars = Grammars::new(&tokenizer, &eos).unwrap();
        let made = begun.elapsed();
        let mut matching = grammars.begin(&Constraint::regex("(?s:.*)")).unwrap();
        let begun = Instant::now();
        let vocab = tokenizer.vocab_size();
        let allowed = matching.allowed(vocab, &eos).unwrap().unwrap();
        let first = begun.elapsed();
        let mut string =
            grammars.begin(&Constraint::json_schema(json!({"type": "string"}))).unwrap();
        let bytes = tokenizer.token_bytes().unwrap();
        let quote = bytes.iter().position(|bytes| bytes == b"\"").unwrap();
        string.take(quote as u32).unwrap();
        let begun = Instant::now();
        (0..10).for_each(|_| drop(string.allowed(vocab, &eos).unwrap().unwrap()));
        let later = begun.elapsed() / 10;
        println!("{name}: table {made:?}, first mask {first:?}, of a string {later:?}");
        for (id, bytes) in (0..).zip(&bytes) {
            let text = std::str::from_utf8(bytes).is_ok_and(|text| !text.is_empty());
            if eos.contains(&id) || bytes.is_empty() {
                assert_eq!(allowed.has(id), eos.contains(&id), "{name} {id}");
            } else if text {
                assert!(allowed.has(id), "{name} {id}: {bytes:?}");
            }
        }
        assert!(!allowed.has(vocab as u32) && !allowed.has(u32::MAX));
    }
}
