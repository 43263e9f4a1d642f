//! What a cache keeps from before moves no bit.

use std::sync::Arc;

use rkllm::cpu::{Engine, EngineOptions};
use rkllm::model::ModelWeights;
use rkllm::{Backend, ErrorKind, Want};

use crate::common::{bits, data, shared, weights};
use crate::small::{build, long, options};

/// Windows, both branches of length-dependent RoPE, odd shapes, norms of heads.
pub(crate) const MODELS: [&str; 7] = [
    "llama-f32",
    "mistral-sliding-window",
    "phi3-sliding-window",
    "phi3-longrope-short",
    "phi3-longrope-long",
    "qwen2-odd-sizes",
    "qwen3-layer-types",
];

/// f32 with its f32 cache, and quantised with the f16 one.
pub(crate) const SCHEMES: [&str; 4] = ["f32", "f16", "w8a8", "w4a16"];

pub(crate) fn engine(weights: &Arc<ModelWeights>, context: usize) -> Engine {
    let options = EngineOptions { threads: 2, context, prefill_chunk: 5 };
    Engine::new(Arc::clone(weights), options).unwrap()
}

/// The bits of all logits of `tokens` appended to the sequence.
pub(crate) fn feed(engine: &mut Engine, tokens: &[u32]) -> Vec<u32> {
    let mut all = Vec::new();
    engine
        .forward(tokens, Want::All, &mut |_, logits| {
            all.extend(bits(logits));
            Ok(())
        })
        .unwrap();
    all
}

pub(crate) fn ids(vocab: usize, count: usize, seed: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * i * 31 + i * (7 + seed) + 3 * seed) % vocab) as u32).collect()
}

fn check(name: &str, weights: &Arc<ModelWeights>) {
    let vocab = weights.config.vocab_size;
    let (first, second) = (ids(vocab, 40, 1), ids(vocab, 30, 2));
    let mut engine = engine(weights, 48);
    for kept in [0, 1, 4, 6, 23, 39, 40] {
        engine.reset();
        feed(&mut engine, &first);
        engine.truncate(kept).unwrap();
        assert_eq!(engine.position(), kept);
        let rest = &second[..30.min(48 - kept)];
        let reused = feed(&mut engine, rest);
        let mut fresh = self::engine(weights, 48);
        let whole = feed(&mut fresh, &[&first[..kept], rest].concat());
        assert!(reused == whole[kept * vocab..], "{name}: {kept} tokens kept move a bit");
    }
    engine.reset();
    feed(&mut engine, &first[..3]);
    assert_eq!(engine.truncate(4).unwrap_err().kind(), ErrorKind::Input);
    assert_eq!(engine.position(), 3);
}

#[test]
fn a_truncated_sequence_goes_on_as_one_that_never_was_longer() {
    for name in MODELS {
        for scheme in SCHEMES {
            let weights = weights(&data(&format!("golden/{name}")), Some(scheme.parse().unwrap()));
            check(&format!("{name} {scheme}"), &weights);
        }
    }
}

#[test]
fn a_trained_model_too() {
    let Some(dir) = shared("models/tinystories-656k") else { return };
    for scheme in ["f32", "w8a8", "w4a16_g64"] {
        check(scheme, &weights(&dir, Some(scheme.parse().unwrap())));
    }
}

/// Prompts that share more or less of their beginnings, in one session and in a fresh one each.
#[test]
fn sessions_answer_alike_with_and_without_a_past() {
    for name in ["mistral-sliding-window", "qwen3-layer-types", "phi3-longrope-long"] {
        for scheme in ["", "w8a8"] {
            let model = build(name, scheme, options().with_context(64));
            let mut session = model.session().unwrap().with_options(long(8));
            let mut reused = 0;
            for (length, kept) in [(20, 0), (30, 20), (30, 30), (9, 5), (40, 9), (12, 12), (1, 1)] {
                let prompt = [&ids(60, kept, 3)[..], &ids(60, length - kept, 4)].concat();
                let mut answer = session.generate_tokens(&prompt).unwrap();
                answer.by_ref().for_each(|piece| drop(piece.unwrap()));
                let tokens = answer.tokens().to_vec();
                let statistics = answer.finish().unwrap();
                assert!(statistics.reused_tokens < length, "the last token is computed");
                reused += statistics.reused_tokens;
                let mut fresh = model.session().unwrap().with_options(long(8));
                fresh.generate_tokens(&prompt).unwrap().finish().unwrap();
                assert_eq!(&fresh.tokens()[length..], tokens, "{name} {scheme}: {length}");
            }
            assert!(reused > 30, "only {reused} tokens reused");
        }
    }
}
