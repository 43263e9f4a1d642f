//! One set of bits per model and scheme: whatever the kernel, the threads, the chunks.

#[path = "../common/mod.rs"]
mod common;
mod matrix;
mod models;

use std::path::PathBuf;
use std::sync::Arc;

use common::{Run, bits, data, logits, shared, weights};
use rkllm::cpu::{Engine, EngineOptions};
use rkllm::kernels::Kernel;
use rkllm::model::ModelWeights;
use rkllm::quant::QuantScheme;
use rkllm::{Backend, Want};

fn check(name: &str, weights: &Arc<ModelWeights>, tokens: &[u32]) {
    let scalar = Kernel::by_name("scalar").unwrap();
    let expected =
        bits(&logits(weights, tokens, Run { kernel: scalar, threads: 1, chunk: usize::MAX }));
    for kernel in Kernel::available() {
        for (threads, chunk) in [(1, 1), (2, 7), (3, 64), (2, usize::MAX)] {
            let got = bits(&logits(weights, tokens, Run { kernel, threads, chunk }));
            assert!(
                got == expected,
                "{name}: {} with {threads} threads and chunks of {chunk} gives other bits",
                kernel.name()
            );
        }
    }
}

fn tokens(vocab: usize, count: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * i * 31 + i * 7 + 3) % vocab) as u32).collect()
}

#[test]
fn small_models_of_every_architecture() {
    let models: Vec<PathBuf> = [
        "llama-bias",
        "mistral-sliding-window",
        "qwen2-odd-sizes",
        "qwen3-bias-head-dim",
        "phi3-longrope-long",
        "llama-gelu-tanh",
    ]
    .iter()
    .map(|name| data(&format!("golden/{name}")))
    .collect();
    for dir in models {
        for scheme in ["f32", "f16", "w8a8", "w4a16"] {
            let weights = weights(&dir, Some(scheme.parse().unwrap()));
            let tokens = tokens(weights.config.vocab_size, 37);
            check(&format!("{} {scheme}", dir.display()), &weights, &tokens);
        }
    }
}

#[test]
fn trained_model_in_every_scheme() {
    let Some(dir) = shared("models/fisica-19m") else { return };
    for scheme in QuantScheme::ALL {
        let weights = weights(&dir, Some(scheme));
        check(&format!("fisica-19m {scheme}"), &weights, &tokens(weights.config.vocab_size, 9));
    }
}

/// Feeding tokens one by one after a prefill is the same sequence.
#[test]
fn decoding_continues_a_prefill() {
    let dir = data("golden/qwen2-odd-sizes");
    for scheme in ["f32", "w8a8", "w4a16"] {
        let weights = weights(&dir, Some(scheme.parse().unwrap()));
        let vocab = weights.config.vocab_size;
        let tokens = tokens(vocab, 30);
        let whole = logits(&weights, &tokens, Run::plain());
        let options = EngineOptions { threads: 2, context: tokens.len(), prefill_chunk: 8 };
        let mut engine = Engine::new(Arc::clone(&weights), options).unwrap();
        let mut last = Vec::new();
        let mut keep = |_: usize, logits: &[f32]| {
            last = bits(logits);
            Ok(())
        };
        engine.forward(&tokens[..19], Want::Last, &mut keep).unwrap();
        for token in &tokens[19..] {
            engine.forward(std::slice::from_ref(token), Want::Last, &mut keep).unwrap();
        }
        assert_eq!(last, bits(&whole[29 * vocab..]), "{scheme}");

        // A second run of the same engine starts from nothing.
        engine.reset();
        let mut again = Vec::new();
        engine
            .forward(&tokens, Want::All, &mut |_, logits| {
                again.extend_from_slice(logits);
                Ok(())
            })
            .unwrap();
        assert_eq!(bits(&again), bits(&whole), "{scheme}");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let weights = weights(&data("golden/llama-f32"), None);
    let options = EngineOptions { threads: 1, context: 4, prefill_chunk: 2 };
    let mut engine = Engine::new(Arc::clone(&weights), options).unwrap();
    let mut none = |_: usize, _: &[f32]| Ok(());
    engine.forward(&[1, 2, 3], Want::Nothing, &mut none).unwrap();
    let error = engine.forward(&[1, 2], Want::Last, &mut none).unwrap_err();
    assert_eq!(error.kind(), rkllm::ErrorKind::Context);
    let error = engine.forward(&[1_000_000], Want::Last, &mut none).unwrap_err();
    assert_eq!(error.kind(), rkllm::ErrorKind::Tokenizer);
    assert_eq!(engine.position(), 3);
    engine.forward(&[4], Want::Last, &mut none).unwrap();
    assert_eq!(engine.position(), 4);
}
