//! Chat templates render what jinja2 renders with transformers' settings, to the byte.
//! `chat/make_goldens.py` made the expectations.
#![cfg(feature = "chat")]

mod common;

use std::path::Path;

use rkllm::ErrorKind;
use rkllm::model::{ChatTemplate, Message, RenderOptions, SpecialTokens};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn goldens() -> Value {
    let text = std::fs::read_to_string(common::data("chat/goldens.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn special(goldens: &Value) -> SpecialTokens {
    let tokens = goldens["special"].as_object().unwrap();
    tokens.iter().fold(SpecialTokens::default(), |special, (name, text)| {
        special.with(name, text.as_str().unwrap())
    })
}

/// What went wrong with the cases of one template, and how many there were.
fn check(goldens: &Value, name: &str, path: &Path) -> (Vec<String>, usize) {
    let source = std::fs::read_to_string(path).unwrap();
    let template = ChatTemplate::new(&source, special(goldens)).unwrap();
    let cases = goldens["templates"][name]["cases"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let conversation = &goldens["conversations"][case["conversation"].as_str().unwrap()];
        let messages: Vec<Message> = serde_json::from_value(conversation.clone()).unwrap();
        let tools = case["tools"].as_bool().unwrap();
        let options = RenderOptions {
            add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap(),
            enable_thinking: case["enable_thinking"].as_bool(),
            tools: if tools { goldens["tools"].as_array().unwrap().clone() } else { Vec::new() },
            today: Some(goldens["today"].as_str().unwrap().into()),
            ..RenderOptions::default()
        };
        let found = template.render(&messages, &options);
        let good = match (&found, &case["raises"], &case["fails"]) {
            (Ok(text), Value::Null, Value::Null) => match case["text"].as_str() {
                Some(expected) => text == expected,
                None => {
                    let hash: String =
                        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
                    case["bytes"] == text.len() && case["sha256"] == hash
                }
            },
            (Err(error), Value::String(words), _) => {
                error.kind() == ErrorKind::Input && error.to_string().contains(words.as_str())
            }
            (Err(error), _, Value::String(_)) => error.kind() == ErrorKind::Format,
            _ => false,
        };
        if !good {
            wrong.push(format!("{name}: expected {case}, found {found:?}"));
        }
    }
    (wrong, cases.len())
}

#[test]
fn our_templates_render_as_jinja2_does() {
    let goldens = goldens();
    let mut total = 0;
    for name in ["chatml.jinja", "llama.jinja", "constructs.jinja"] {
        let (wrong, count) = check(&goldens, name, &common::data(&format!("chat/{name}")));
        assert!(wrong.is_empty(), "{} wrong: {}", wrong.len(), wrong[0]);
        total += count;
    }
    assert!(total > 100, "{total}");
}

/// A thousand turns are far from the limits.
#[test]
fn long_conversations_render() {
    let turn = |n: usize| match n % 2 {
        0 => Message::user("x".repeat(1000)),
        _ => Message::assistant("y".repeat(1000)),
    };
    let messages: Vec<Message> = (0..1001).map(turn).collect();
    let mut paths = vec![common::data("chat/chatml.jinja"), common::data("chat/llama.jinja")];
    if let Some(folder) = common::shared("templates") {
        paths.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    for path in paths {
        let source = std::fs::read_to_string(&path).unwrap();
        let template = ChatTemplate::new(&source, special(&goldens())).unwrap();
        let text = template.render(&messages, &RenderOptions::default()).unwrap();
        assert!(text.len() > 1_000_000, "{}", path.display());
    }
}

/// The template writes BOS, and Phi-3's tokenizer would add another.
#[cfg(feature = "tokenizer")]
#[test]
fn a_prompt_has_one_beginning() {
    use rkllm::model::Tokenizer;

    let source = std::fs::read_to_string(common::data("chat/llama.jinja")).unwrap();
    let template = ChatTemplate::new(&source, special(&goldens())).unwrap();
    let messages = [Message::user("What is a beam?")];
    let prompt = template.render(&messages, &RenderOptions::default()).unwrap();
    assert!(prompt.starts_with("<s>"));
    let Some(dir) = common::shared("tokenizers/phi3") else { return };
    let tokenizer = Tokenizer::open(dir).unwrap();
    let bos = tokenizer.bos().unwrap();
    let ids = tokenizer.encode_chat(&prompt).unwrap();
    assert_eq!((ids[0], ids.iter().filter(|&&id| id == bos).count()), (bos, 1));
    assert_eq!(tokenizer.encode_with_special_tokens(&prompt).unwrap()[..2], [bos, bos]);
}

#[test]
fn templates_of_the_hub_render_as_jinja2_does() {
    let goldens = goldens();
    let Some(folder) = common::shared("templates") else { return };
    let mut wrong = Vec::new();
    let mut total = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (bad, count) = check(&goldens, &name, &path);
        wrong.extend(bad);
        total += count;
    }
    assert!(wrong.is_empty(), "{} of {total} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(total > 500, "{total}");
}
