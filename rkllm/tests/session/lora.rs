//! Adapters as an app uses them.

use rkllm::cpu::{Engine, EngineOptions};
use rkllm::session::{GenerateOptions, Model};
use rkllm::{Backend, ErrorKind, Want};
use safetensors::tensor::Dtype;

use crate::common::data;
use crate::made::Made;
use crate::small::{build, options};

const MODEL: &str = "llama-f32";
const PROMPT: [u32; 4] = [1, 9, 17, 30];

fn adapter(seed: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    Made::new(&data("golden/llama-f32"), 4, Dtype::F32, seed, |_| true).write(dir.path());
    dir
}

/// The first tokens of greatest logit, by the engine alone.
fn greedy(model: &Model, adapter: Option<(&tempfile::TempDir, f32)>) -> Vec<u32> {
    let options = EngineOptions { threads: 1, context: 64, prefill_chunk: 64 };
    let mut engine = Engine::new(model.weights().unwrap().clone(), options).unwrap();
    if let Some((dir, scale)) = adapter {
        engine.load_lora("x", dir.path(), scale).unwrap();
        engine.set_lora(Some("x")).unwrap();
    }
    let (mut next, mut tokens) = (PROMPT.to_vec(), Vec::new());
    for _ in 0..12 {
        let mut best = 0;
        engine
            .forward(&next, Want::Last, &mut |_, logits| {
                best = (0..logits.len())
                    .rev()
                    .max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
                    .unwrap();
                Ok(())
            })
            .unwrap();
        tokens.push(best as u32);
        next = vec![best as u32];
    }
    tokens
}

fn answer(session: &mut rkllm::session::Session) -> Vec<u32> {
    let mut answer = session.generate_tokens(&PROMPT).unwrap();
    answer.by_ref().for_each(|piece| drop(piece.unwrap()));
    answer.tokens().to_vec()
}

#[test]
fn a_session_answers_with_the_adapter_in_force() {
    let (first, second) = (adapter(1), adapter(2));
    let options =
        options().with_lora("first", first.path(), 1.0).with_lora("second", second.path(), 0.5);
    let model = build(MODEL, "w8a8", options);
    let expected = [
        (Some("first"), greedy(&model, Some((&first, 1.0)))),
        (None, greedy(&model, None)),
        (Some("second"), greedy(&model, Some((&second, 0.5)))),
    ];
    assert!(expected[0].1 != expected[1].1 && expected[1].1 != expected[2].1);
    let mut session = model
        .session()
        .unwrap()
        .with_options(GenerateOptions::default().with_max_tokens(12).with_ignore_eos(true));
    // The first is in force without a word.
    assert_eq!(answer(&mut session), expected[0].1);
    for (name, expected) in expected.iter().chain(&expected) {
        session.set_lora(*name).unwrap();
        assert!(session.tokens().is_empty());
        assert_eq!(answer(&mut session), *expected, "{name:?}");
    }
    let error = session.set_lora(Some("third")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(!session.tokens().is_empty(), "the session is as it was");
}

/// What one adapter computed is not for another to go on with.
#[test]
fn a_saved_session_belongs_to_its_adapter() {
    let dir = adapter(1);
    let model = build(MODEL, "", options().with_lora("x", dir.path(), 1.0));
    let mut session = model.session().unwrap().with_max_tokens(3);
    answer(&mut session);
    let file = dir.path().join("session");
    session.save(&file).unwrap();
    session.set_lora(None).unwrap();
    assert_eq!(session.load(&file).unwrap_err().kind(), ErrorKind::Input);
    session.set_lora(Some("x")).unwrap();
    session.load(&file).unwrap();
}

#[test]
fn a_model_does_not_open_without_its_adapter() {
    use rkllm::model::{Checkpoint, Load, Tokenizer};
    let checkpoint = Checkpoint::open(data("golden/llama-f32"), Load::Map).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), crate::small::tokenizer_json()).unwrap();
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    let error =
        options().with_lora("x", dir.path(), 1.0).build(&checkpoint, tokenizer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
}
