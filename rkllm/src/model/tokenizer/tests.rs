use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Tokenizer;
use crate::ErrorKind;
use crate::testing::shared;

/// A byte-level tokenizer of 256 bytes, two merges and a special token.
fn bytes() -> Value {
    // The printable stand-ins of the bytes, as GPT-2 chose them.
    let mut vocab = serde_json::Map::new();
    let mut next = 256;
    for byte in 0..=255u32 {
        let printable = (33..=126).contains(&byte)
            || (161..=172).contains(&byte)
            || (174..=255).contains(&byte);
        let code = if printable { byte } else { next };
        next += u32::from(!printable);
        vocab.insert(char::from_u32(code).unwrap().to_string(), json!(byte));
    }
    vocab.insert("ab".into(), json!(256));
    vocab.insert("abc".into(), json!(257));
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": null,
        "added_tokens": [{"id": 258, "content": "<end>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": false},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<end>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<end>": {"id": "<end>", "ids": [258], "tokens": ["<end>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": false},
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "vocab": vocab,
            "merges": [["a", "b"], ["ab", "c"]]}
    })
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_json(&bytes().to_string()).unwrap()
}

#[test]
fn encodes_without_and_with_special_tokens() {
    let tokenizer = tokenizer();
    // Longer than the truncation the file asks for.
    assert_eq!(tokenizer.encode("abcxyz ab").unwrap(), [257, 120, 121, 122, 32, 256]);
    assert_eq!(tokenizer.encode_with_special_tokens("ab").unwrap(), [258, 256]);
    assert!(tokenizer.encode("").unwrap().is_empty());
    assert_eq!(tokenizer.encode("a<end>b").unwrap(), [97, 258, 98]);
    assert_eq!(tokenizer.decode(&[97, 258, 257]).unwrap(), "aabc");
    assert_eq!(tokenizer.decode_with_special_tokens(&[97, 258]).unwrap(), "a<end>");
    assert_eq!(tokenizer.decode(&[97, 9999]).unwrap(), "a");
    assert_eq!((tokenizer.vocab_size(), tokenizer.id("<end>")), (259, Some(258)));
}

#[test]
fn a_stream_gives_whole_characters() {
    let tokenizer = tokenizer();
    let text = "añ漢🦙\u{fffd}b";
    let ids = tokenizer.encode(text).unwrap();
    assert_eq!(ids.len(), 1 + 2 + 3 + 4 + 3 + 1);
    let mut stream = tokenizer.stream();
    let parts: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    assert_eq!(
        parts,
        ["a", "", "ñ", "", "", "漢", "", "", "", "🦙", "", "", "", "\u{fffd}b"],
        "a real replacement character cannot be told from an unfinished one until text follows"
    );
    assert_eq!(stream.finish().unwrap(), "");

    // A sequence that stops in the middle of a character.
    let mut stream = tokenizer.stream();
    assert_eq!(stream.push(ids[3]).unwrap(), "");
    assert_eq!(stream.finish().unwrap(), "\u{fffd}");
    assert_eq!(stream.push(97).unwrap(), "a");

    // Bytes that never become a character do not gather without end.
    let mut stream = tokenizer.stream();
    let text: String = (0..100).map(|_| stream.push(0xff).unwrap()).collect();
    assert!(text.chars().count() > 90, "{}", text.chars().count());
    assert!(stream.ids.len() < 20);
}

#[test]
fn the_vocabulary_must_fit_the_model() {
    let mut tokenizer = tokenizer();
    let error = tokenizer.set_vocab_size(257).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tokenizer);
    assert!(error.to_string().contains("258") && error.to_string().contains("257"), "{error}");
    // The special token lies beyond: an error when it is used.
    tokenizer.set_vocab_size(258).unwrap();
    assert_eq!(tokenizer.encode("abc").unwrap(), [257]);
    let error = tokenizer.encode("abc<end>").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tokenizer);
    assert!(error.to_string().contains("258"), "{error}");
}

fn open(files: &[(&str, String)]) -> crate::Result<Tokenizer> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    Tokenizer::open(dir.path())
}

#[test]
fn special_tokens_in_every_spelling() {
    let special = |config: Value, model: Value| {
        let tokenizer = open(&[
            ("tokenizer.json", bytes().to_string()),
            ("tokenizer_config.json", config.to_string()),
            ("config.json", model.to_string()),
        ])
        .unwrap();
        (tokenizer.bos(), tokenizer.eos())
    };
    let text = json!({"bos_token": "<end>", "eos_token": {"content": "abc", "lstrip": false}});
    assert_eq!(special(text, json!({"bos_token_id": 5})), (Some(258), Some(257)));
    let open = json!({"bos_token": null, "eos_token": "unheard of"});
    let model = json!({"bos_token_id": 5, "eos_token_id": [6, 7]});
    assert_eq!(special(open, model), (Some(5), Some(6)));
    assert_eq!(special(json!({}), json!({})), (None, None));
}

#[test]
fn damaged_files_are_named() {
    let error = open(&[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
    assert!(error.hint().is_some());
    let good = bytes().to_string();
    for (files, word) in [
        (vec![("tokenizer.json", "{".to_owned())], "not a tokenizer"),
        (vec![("tokenizer.json", "[".repeat(100_000))], "not a tokenizer"),
        (vec![("tokenizer.json", good[..good.len() / 2].to_owned())], "not a tokenizer"),
        (
            vec![("tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid".to_owned())],
            "Git LFS pointer",
        ),
        (
            vec![("tokenizer.json", good.clone()), ("tokenizer_config.json", "7".to_owned())],
            "tokenizer_config.json",
        ),
        (
            vec![
                ("tokenizer.json", good.clone()),
                ("tokenizer_config.json", r#"{"bos_token": 7}"#.to_owned()),
            ],
            "bos_token",
        ),
        (
            vec![
                ("tokenizer.json", good.clone()),
                ("config.json", r#"{"vocab_size": 100}"#.to_owned()),
            ],
            "258 tokens are more than the model's 100",
        ),
    ] {
        let error = open(&files).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// Ids that llama.cpp's authors committed for their test strings.
#[test]
fn the_ids_of_real_vocabularies() {
    // Tokens of bytes give back any text. Phi-3's, of SentencePiece, put a space before and take one
    // away, and its decoder takes that of a text beginning with spaces too. Llama 2 has no
    // tokenizer.json here, but its expected ids are Phi-3's.
    for (name, expected, reversible) in [
        ("tokenizers/qwen2", "tokenizers/ggml-vocab-qwen2.gguf", true),
        ("tokenizers/llama3", "tokenizers/ggml-vocab-llama-bpe.gguf", true),
        ("tokenizers/phi3", "tokenizers/ggml-vocab-phi-3.gguf", false),
    ] {
        let Some(dir) = shared(name) else { continue };
        let read = |suffix: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(expected);
            fs::read_to_string(format!("{}{suffix}", path.display())).unwrap()
        };
        let (inputs, outputs) = (read(".inp"), read(".out"));
        let tokenizer = Tokenizer::open(dir).unwrap();
        let inputs: Vec<&str> = inputs.split("\n__ggml_vocab_test__\n").collect();
        let outputs: Vec<Vec<u32>> = outputs
            .lines()
            .map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect())
            .collect();
        // A separator ends the file too.
        assert_eq!((inputs.len(), outputs.len(), inputs[46]), (47, 46, ""), "{name}");
        for (text, expected) in inputs.iter().zip(&outputs) {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(ids, *expected, "{name}: {text:?}");
            let mut stream = tokenizer.stream();
            let mut streamed: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
            streamed += &stream.finish().unwrap();
            assert_eq!(streamed, tokenizer.decode(&ids).unwrap(), "{name}");
            let back = if reversible { text } else { text.trim_start_matches(' ') };
            let streamed = if reversible { &streamed } else { streamed.trim_start_matches(' ') };
            assert_eq!(streamed, back, "{name}");
        }
    }
}

#[test]
fn the_tutor_models_have_their_special_tokens() {
    if let Some(dir) = shared("models/fisica-19m") {
        let tokenizer = Tokenizer::open(dir).unwrap();
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(0), Some(0)));
    }
    if let Some(dir) = shared("models/tinystories-656k") {
        let tokenizer = Tokenizer::open(dir).unwrap();
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)));
        // The numbers of predictions that transformers' perplexities were computed from. Python reads
        // text with every line ending as \n, and this file has some of DOS.
        if let Some(path) = shared("text/tinystories-valid.sample.txt") {
            let text = fs::read_to_string(path).unwrap().replace("\r\n", "\n");
            assert_eq!(tokenizer.encode(&text).unwrap().len(), 7_920);
        }
        if let Some(path) = shared("text/wikitext-2-raw.test.txt") {
            let text: String = fs::read_to_string(path).unwrap().chars().take(100_000).collect();
            assert_eq!(tokenizer.encode(&text).unwrap().len(), 44_014);
        }
    }
}
