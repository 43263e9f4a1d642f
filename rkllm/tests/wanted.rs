//! What is not wanted is not computed, and that moves no bit of what is.

mod common;

use std::sync::Arc;

use common::{bits, data, weights};
use rkllm::cpu::{Engine, EngineOptions};
use rkllm::kernels::Kernel;
use rkllm::model::ModelWeights;
use rkllm::{Backend, Error, ErrorKind, Input, Result, Want};

const TOKENS: usize = 45;

fn tokens(weights: &ModelWeights) -> Vec<u32> {
    (0..TOKENS).map(|i| ((i * i * 31 + i * 7 + 3) % weights.config.vocab_size) as u32).collect()
}

fn engine(weights: &Arc<ModelWeights>, threads: usize, prefill_chunk: usize) -> Engine {
    let options = EngineOptions { threads, context: TOKENS, prefill_chunk };
    Engine::with_kernel(Arc::clone(weights), options, Kernel::active().unwrap()).unwrap()
}

/// The positions a step gives, and their values one after the other.
fn given(
    run: impl FnOnce(&mut dyn FnMut(usize, &[f32]) -> Result<()>) -> Result<()>,
) -> (Vec<usize>, Vec<u32>) {
    let (mut positions, mut values) = (Vec::new(), Vec::new());
    run(&mut |position, row| {
        positions.push(position);
        values.extend(bits(row));
        Ok(())
    })
    .unwrap();
    (positions, values)
}

fn state(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.export_state(&mut bytes).unwrap();
    bytes
}

fn every_model(check: impl Fn(&str, &Arc<ModelWeights>)) {
    for name in
        ["llama-bias", "mistral-sliding-window", "qwen3-bias-head-dim", "phi3-longrope-long"]
    {
        for scheme in ["f32", "w8a8", "w4a16"] {
            let weights = weights(&data(&format!("golden/{name}")), Some(scheme.parse().unwrap()));
            check(&format!("{name} {scheme}"), &weights);
        }
    }
}

#[test]
fn the_last_position_alone_is_the_last_of_all() {
    every_model(|name, weights| {
        let tokens = tokens(weights);
        let mut whole = engine(weights, 1, usize::MAX);
        let (_, logits) = given(|sink| whole.forward(&tokens, Want::All, sink));
        let cache = state(&whole);
        whole.reset();
        let (_, hidden) =
            given(|sink| whole.forward_hidden(Input::Tokens(&tokens), Want::All, sink));
        let last = |all: &[u32]| all[all.len() / TOKENS * (TOKENS - 1)..].to_vec();
        for (threads, chunk) in [(1, usize::MAX), (2, 1), (2, 7), (3, 22), (2, 44)] {
            let mut engine = engine(weights, threads, chunk);
            let found = given(|sink| engine.forward(&tokens, Want::Last, sink));
            assert!(found == (vec![TOKENS - 1], last(&logits)), "{name}: chunks of {chunk}");
            assert!(state(&engine) == cache, "{name}: the cache of chunks of {chunk}");
            engine.reset();
            let input = Input::Tokens(&tokens);
            let found = given(|sink| engine.forward_hidden(input, Want::Last, sink));
            assert!(found == (vec![TOKENS - 1], last(&hidden)), "{name}: hidden, {chunk}");
        }
    });
}

#[test]
fn a_sequence_goes_on_after_positions_nobody_wanted() {
    every_model(|name, weights| {
        let tokens = tokens(weights);
        let mut engine = engine(weights, 2, 16);
        let (_, expected) = given(|sink| engine.forward(&tokens, Want::All, sink));
        let row = expected.len() / TOKENS;
        engine.reset();
        let (none, _) = given(|sink| engine.forward(&tokens[..20], Want::Nothing, sink));
        assert!(none.is_empty() && engine.position() == 20);
        let found = given(|sink| engine.forward(&tokens[20..33], Want::Last, sink));
        assert!(found == (vec![32], expected[32 * row..33 * row].to_vec()), "{name}");
        let found = given(|sink| engine.forward(&tokens[33..34], Want::Nothing, sink));
        assert!(found.0.is_empty());
        let found = given(|sink| engine.forward(&tokens[34..], Want::All, sink));
        assert!(found == ((34..TOKENS).collect(), expected[34 * row..].to_vec()), "{name}");
    });
}

/// Pieces of any length, each wanted differently, with steps taken back between them: whatever is given of a
/// position is what one step over all gives of it, and so is the cache.
#[test]
fn no_order_of_wants_moves_a_bit() {
    every_model(|name, weights| {
        let tokens = tokens(weights);
        let mut whole = engine(weights, 1, usize::MAX);
        let (_, expected) = given(|sink| whole.forward(&tokens, Want::All, sink));
        let row = expected.len() / TOKENS;
        let mut random = 0x9e37_79b9u32;
        let mut next = |below: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) as usize % below
        };
        for _ in 0..6 {
            let mut engine = engine(weights, 1 + next(3), 1 + next(9));
            while engine.position() < TOKENS {
                let first = engine.position();
                let end = first + 1 + next((TOKENS - first).min(20));
                let want = [Want::Nothing, Want::Last, Want::All][next(3)];
                let (positions, values) =
                    given(|sink| engine.forward(&tokens[first..end], want, sink));
                let wanted = match want {
                    Want::Nothing => end..end,
                    Want::Last => end - 1..end,
                    Want::All => first..end,
                };
                assert!(positions.iter().copied().eq(wanted.clone()), "{name}: {want:?}");
                assert!(values == expected[wanted.start * row..end * row], "{name}: {want:?}");
                if next(4) == 0 && end < TOKENS {
                    engine.truncate(next(end)).unwrap();
                }
            }
            assert!(state(&engine) == state(&whole), "{name}: the cache");
        }
    });
}

/// Who takes logits may refuse them: the sequence has the positions all the same, and goes on as if nothing was.
#[test]
fn a_sink_that_fails_leaves_the_sequence_whole() {
    every_model(|name, weights| {
        let tokens = tokens(weights);
        let mut engine = engine(weights, 2, usize::MAX);
        let (_, expected) = given(|sink| engine.forward(&tokens, Want::All, sink));
        let row = expected.len() / TOKENS;
        engine.reset();
        let error = engine.forward(&tokens[..30], Want::All, &mut |position, _| match position {
            17 => Err(Error::new(ErrorKind::Io, "the disk is full")),
            _ => Ok(()),
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(engine.position(), 30, "{name}");
        let found = given(|sink| engine.forward(&tokens[30..], Want::Last, sink));
        assert!(found == (vec![TOKENS - 1], expected[(TOKENS - 1) * row..].to_vec()), "{name}");
    });
}
