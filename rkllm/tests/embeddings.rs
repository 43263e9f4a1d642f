//! Embeddings in the place of tokens, and hidden states in the place of logits.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{Run, bits, data, logits, shared, weights};
use rkllm::cpu::{Engine, EngineOptions};
use rkllm::kernels::Kernel;
use rkllm::model::{Embedding, LinearData, ModelWeights};
use rkllm::{Backend, Dtype, ErrorKind, Input, Want, floats_to_f32};

/// Models of every architecture, with sliding windows, odd sizes and a bias among them.
fn models() -> Vec<PathBuf> {
    let mut models: Vec<PathBuf> = [
        "llama-bias",
        "llama-gelu-tanh",
        "mistral-sliding-window",
        "qwen2-odd-sizes",
        "qwen3-bias-head-dim",
        "phi3-longrope-long",
    ]
    .iter()
    .map(|name| data(&format!("golden/{name}")))
    .collect();
    for name in ["llama", "llama3rope", "mistral", "phi3", "qwen2", "qwen3"] {
        models.extend(shared(&format!("golden/{name}")));
    }
    // Stored as integers.
    models.extend(shared("golden/ct-w4a16-g32-pack"));
    models
}

const SCHEMES: [&str; 3] = ["f32", "w8a8", "w4a16"];

fn every_model(check: impl Fn(&str, &Arc<ModelWeights>)) {
    for dir in models() {
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("ct-") {
            check(&name, &weights(&dir, None));
            continue;
        }
        for scheme in SCHEMES {
            let weights = weights(&dir, Some(scheme.parse().unwrap()));
            check(&format!("{name} {scheme}"), &weights);
        }
    }
    // The embedding that shares the rows of an int8 head.
    let mut shared = (*weights(&data("golden/llama-bias"), Some("w8a8".parse().unwrap()))).clone();
    let LinearData::Quantized(rows) = &shared.lm_head.data else { panic!("not quantised") };
    shared.embed_tokens = Embedding::Int8(rows.clone());
    check("llama-bias, shared int8 rows", &Arc::new(shared));
}

fn tokens(vocab: usize, count: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * i * 31 + i * 7 + 3) % vocab) as u32).collect()
}

fn engine(weights: &Arc<ModelWeights>, context: usize, run: Run) -> Engine {
    let options = EngineOptions { threads: run.threads, context, prefill_chunk: run.chunk };
    Engine::with_kernel(Arc::clone(weights), options, run.kernel).unwrap()
}

fn embeddings(engine: &Engine, tokens: &[u32]) -> Vec<f32> {
    let mut values = vec![f32::NAN; tokens.len() * engine.embedding_size().unwrap()];
    engine.embed(tokens, &mut values).unwrap();
    values
}

/// Collects what a forward gives, checking that positions come in order from `first`.
fn collect(
    first: usize,
    run: impl FnOnce(&mut dyn FnMut(usize, &[f32]) -> rkllm::Result<()>) -> rkllm::Result<()>,
) -> Vec<f32> {
    let (mut all, mut next) = (Vec::new(), first);
    run(&mut |position, values| {
        assert_eq!(position, next);
        next += 1;
        all.extend_from_slice(values);
        Ok(())
    })
    .unwrap();
    all
}

#[test]
fn the_embedding_of_a_token_gives_the_bits_of_the_token() {
    every_model(|name, weights| {
        let tokens = tokens(weights.config.vocab_size, 21);
        let expected = bits(&logits(weights, &tokens, Run::plain()));
        for (threads, chunk) in [(1, usize::MAX), (2, 5)] {
            let run = Run { threads, chunk, ..Run::plain() };
            let mut engine = engine(weights, tokens.len(), run);
            let values = embeddings(&engine, &tokens);
            let got = collect(0, |sink| engine.forward_embeddings(&values, Want::All, sink));
            assert!(bits(&got) == expected, "{name}: {threads} threads, chunks of {chunk}");
        }
    });
}

/// As with an image between two texts: tokens, embeddings, tokens.
#[test]
fn embeddings_and_tokens_mix_in_one_sequence() {
    let weights = weights(&data("golden/qwen2-odd-sizes"), Some("w8a8".parse().unwrap()));
    let vocab = weights.config.vocab_size;
    let tokens = tokens(vocab, 18);
    let expected = logits(&weights, &tokens, Run::plain());
    let mut engine = engine(&weights, 18, Run { threads: 2, chunk: 4, ..Run::plain() });
    let mut none = |_: usize, _: &[f32]| Ok(());
    engine.forward(&tokens[..5], Want::Nothing, &mut none).unwrap();
    let values = embeddings(&engine, &tokens[5..12]);
    let last = collect(11, |sink| engine.forward_embeddings(&values, Want::Last, sink));
    assert_eq!(bits(&last), bits(&expected[11 * vocab..12 * vocab]));
    let rest = collect(12, |sink| engine.forward(&tokens[12..], Want::All, sink));
    assert_eq!(bits(&rest), bits(&expected[12 * vocab..]));
}

/// Values that are no token's go in as they are, and matter.
#[test]
fn other_embeddings_give_other_logits() {
    let weights = weights(&data("golden/llama-f32"), None);
    let mut engine = engine(&weights, 4, Run::plain());
    let mut values = embeddings(&engine, &[1, 2, 3]);
    let same = collect(2, |sink| engine.forward_embeddings(&values, Want::Last, sink));
    engine.reset();
    values[0] += 0.5;
    let other = collect(2, |sink| engine.forward_embeddings(&values, Want::Last, sink));
    assert_ne!(bits(&same), bits(&other));
}

#[test]
fn embeddings_that_cannot_be_are_refused_and_change_nothing() {
    let weights = weights(&data("golden/llama-f32"), None);
    let hidden = weights.config.hidden_size;
    let mut engine = engine(&weights, 3, Run::plain());
    assert_eq!(engine.embedding_size(), Some(hidden));
    let mut none = |_: usize, _: &[f32]| Ok(());
    engine.forward(&[1, 2], Want::Nothing, &mut none).unwrap();
    let mut bad = vec![0.5; hidden];
    bad[3] = f32::NAN;
    for (values, kind) in [
        (vec![0.5; hidden - 1], ErrorKind::Shape),
        (vec![0.5; hidden + 1], ErrorKind::Shape),
        (vec![0.5; 2 * hidden], ErrorKind::Context),
        (bad, ErrorKind::NonFinite),
    ] {
        let error = engine.forward_embeddings(&values, Want::Last, &mut none).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let input = Input::Embeddings(&values);
        assert_eq!(engine.forward_hidden(input, Want::Last, &mut none).unwrap_err().kind(), kind);
        assert_eq!(engine.position(), 2);
    }
    let nothing = engine.forward_embeddings(&[], Want::All, &mut |_, _| panic!("no position"));
    nothing.unwrap();
    let mut row = vec![0.0; hidden];
    assert_eq!(engine.embed(&[u32::MAX], &mut row).unwrap_err().kind(), ErrorKind::Tokenizer);
    assert_eq!(engine.embed(&[1, 2], &mut row).unwrap_err().kind(), ErrorKind::Shape);
    engine.forward_embeddings(&row, Want::Last, &mut none).unwrap();
    assert_eq!(engine.position(), 3);
}

/// `dot16` of `NUMERICS.md`, written anew.
fn dot16(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        lanes[i % 16] = a.mul_add(*b, lanes[i % 16]);
    }
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}

/// The float head on the CPU, by the rule book.
fn head(weights: &ModelWeights, hidden: &[f32]) -> Vec<f32> {
    let LinearData::Float(dtype, bytes) = &weights.lm_head.data else { panic!("not float") };
    let mut matrix = vec![0.0; weights.lm_head.n * weights.lm_head.k];
    floats_to_f32(*dtype, bytes, &mut matrix).unwrap();
    let rows = hidden.chunks_exact(weights.lm_head.k);
    rows.flat_map(|row| {
        matrix.chunks_exact(row.len()).map(|weights| dot16(row, weights)).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn the_head_of_the_hidden_states_is_the_logits() {
    for dir in models() {
        let weights = weights(&dir, None);
        if !matches!(weights.lm_head.data, LinearData::Float(Dtype::F32, _)) {
            continue;
        }
        let tokens = tokens(weights.config.vocab_size, 19);
        let expected = logits(&weights, &tokens, Run::plain());
        let mut engine = engine(&weights, 19, Run::plain());
        let hidden =
            collect(0, |sink| engine.forward_hidden(Input::Tokens(&tokens), Want::All, sink));
        assert_eq!(hidden.len(), 19 * weights.config.hidden_size);
        assert_eq!(bits(&head(&weights, &hidden)), bits(&expected), "{}", dir.display());
    }
}

#[test]
fn hidden_states_do_not_depend_on_how_they_are_computed() {
    every_model(|name, weights| {
        let (tokens, size) = (tokens(weights.config.vocab_size, 37), weights.config.hidden_size);
        let scalar = Run { kernel: Kernel::by_name("scalar").unwrap(), ..Run::plain() };
        let mut first = engine(weights, 37, scalar);
        let expected =
            bits(&collect(0, |sink| first.forward_hidden(Input::Tokens(&tokens), Want::All, sink)));
        for (threads, chunk) in [(1, 1), (2, 7), (3, usize::MAX)] {
            let mut engine = engine(weights, 37, Run { threads, chunk, ..Run::plain() });
            let values = embeddings(&engine, &tokens);
            for input in [Input::Tokens(&tokens), Input::Embeddings(&values)] {
                engine.reset();
                let got = collect(0, |sink| engine.forward_hidden(input, Want::All, sink));
                assert!(bits(&got) == expected, "{name}: {threads} threads, chunks of {chunk}");
                engine.reset();
                let last = collect(36, |sink| engine.forward_hidden(input, Want::Last, sink));
                assert_eq!(bits(&last), &expected[36 * size..], "{name}");
            }
        }
    });
}

/// Asking for hidden states moves no later logit.
#[test]
fn a_sequence_goes_on_after_hidden_states() {
    let weights = weights(&data("golden/qwen3-bias-head-dim"), Some("w4a16".parse().unwrap()));
    let vocab = weights.config.vocab_size;
    let tokens = tokens(vocab, 12);
    let expected = logits(&weights, &tokens, Run::plain());
    let mut engine = engine(&weights, 12, Run::plain());
    let input = Input::Tokens(&tokens[..9]);
    engine.forward_hidden(input, Want::All, &mut |_, _| Ok(())).unwrap();
    let rest = collect(9, |sink| engine.forward(&tokens[9..], Want::All, sink));
    assert_eq!(bits(&rest), bits(&expected[9 * vocab..]));
}

/// Backends that know none of this say so.
#[test]
fn a_backend_of_tokens_alone_refuses() {
    struct Plain;
    impl Backend for Plain {
        fn vocab_size(&self) -> usize {
            1
        }
        fn context(&self) -> usize {
            1
        }
        fn position(&self) -> usize {
            0
        }
        fn reset(&mut self) {}
        fn forward(
            &mut self,
            _: &[u32],
            _: Want,
            _: &mut dyn FnMut(usize, &[f32]) -> rkllm::Result<()>,
        ) -> rkllm::Result<()> {
            Ok(())
        }
    }
    let mut none = |_: usize, _: &[f32]| Ok(());
    assert_eq!(Plain.embedding_size(), None);
    for result in [
        Plain.embed(&[0], &mut [0.0]),
        Plain.forward_embeddings(&[0.0], Want::Last, &mut none),
        Plain.forward_hidden(Input::Tokens(&[0]), Want::Last, &mut none),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
