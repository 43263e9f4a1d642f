//! The tokenizer is read when text is first needed, and then what is wrong with it is said.

use std::fs;
use std::path::Path;

use rkllm::ErrorKind;
use rkllm::session::{GenerateOptions, Model};
use serde_json::json;

use crate::common::data;
use crate::small::{TEMPLATE, tokenizer_json};

/// A model's directory with `tokenizer.json` as given, or without.
fn model_dir(tokenizer: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let golden = data("golden/llama-f32");
    for file in fs::read_dir(&golden).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "chat_template": TEMPLATE});
    fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    if let Some(text) = tokenizer {
        fs::write(dir.path().join("tokenizer.json"), text).unwrap();
    }
    dir
}

fn open(dir: &Path) -> Model {
    Model::options().with_threads(1).with_context(64).open(dir).unwrap()
}

#[test]
fn opening_reads_no_tokenizer() {
    let dir = model_dir(None);
    let model = open(dir.path());
    assert_eq!(model.tokenizer_load(), None);
    // Nothing of the sequence needs text, so a session can be had.
    let mut session = model.session().unwrap();
    let error = session.generate_tokens(&[1, 7, 8]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Missing);
    for said in [error.to_string(), model.tokenizer().unwrap_err().to_string()] {
        assert!(said.contains("tokenizer.json") && said.contains("original model"), "{said}");
    }
    assert_eq!(model.eos().unwrap_err().kind(), ErrorKind::Missing);
    assert_eq!(session.generate("the").err().unwrap().kind(), ErrorKind::Missing);
    // What was missing is found once it is there.
    let text = tokenizer_json();
    fs::write(dir.path().join("tokenizer.json"), &text).unwrap();
    assert!(!session.generate("the").unwrap().text().unwrap().is_empty());
    let load = model.tokenizer_load().unwrap();
    assert_eq!(load.file_bytes, text.len() as u64);
    assert!(load.time.as_nanos() > 0);
    assert!(model.eos().unwrap().contains(&2), "the tokenizer's </s> ends answers, too");
}

#[test]
fn a_chat_finds_a_broken_tokenizer_before_the_first_question() {
    for (tokenizer, kind) in [(None, ErrorKind::Missing), (Some("{"), ErrorKind::Format)] {
        let dir = model_dir(tokenizer);
        let model = open(dir.path());
        let error = model.chat().start().err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("tokenizer.json"), "{error}");
    }
    let dir = model_dir(Some(&tokenizer_json()));
    let model = open(dir.path());
    let options = GenerateOptions::default().with_max_tokens(4);
    let mut chat = model.chat().with_options(options).start().unwrap();
    assert!(model.tokenizer_load().is_some());
    chat.ask("the").unwrap().finish().unwrap();
}

#[test]
fn of_many_threads_one_reads() {
    let dir = model_dir(Some(&tokenizer_json()));
    let model = open(dir.path());
    let seen: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| std::ptr::from_ref(model.tokenizer().unwrap()) as usize))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|at| *at == seen[0]));
}
