//! What is left of a conversation when its context is full, when it is cleared, and when a run fails.

mod common;

use std::sync::Arc;

use common::{Board, Speaks, tutor_nano};
use rkllm::cpu::{Engine, EngineOptions};
use rkllm::model::{Checkpoint, Load, WeightOptions};
use rkllm::npu::{Flow, Input, NpuModel, NpuOptions, NpuSampling, RunOptions, Runtime};
use rkllm::{Backend, Error, ErrorKind};

const HIDDEN: usize = 256;

fn options(board: &Board) -> NpuOptions {
    NpuOptions::default()
        .with_runtime(Runtime::open(board.library()).unwrap())
        .with_context(96)
        .with_max_new_tokens(1)
        .with_sampling(NpuSampling::greedy())
}

fn history() -> RunOptions {
    RunOptions::default().with_history(true)
}

fn run(npu: &mut NpuModel, input: impl Into<Input>) -> rkllm::Result<usize> {
    npu.run(input, &history(), |_| Flow::Continue)?;
    Ok(npu.kv_cache_sizes().unwrap()[0])
}

/// A question is not cut, however long: what was said before it makes room.
#[test]
fn a_full_context_drops_what_was_there_before_the_question() {
    let board = Board::new(Speaks::V1_3);
    let mut npu = options(&board).with_n_keep(30).load(board.pointer()).unwrap();
    assert_eq!(run(&mut npu, Input::tokens(vec![5; 40])).unwrap(), 41);
    // 101 positions do not fit; of the eleven between, the older half goes.
    assert_eq!(run(&mut npu, Input::tokens(vec![7; 60])).unwrap(), 30 + 5 + 60 + 1);
    // What is to be kept and the question do not fit: refused, and nothing has changed.
    let error = run(&mut npu, Input::tokens(vec![9; 67])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runtime, "{error}");
    assert_eq!(npu.kv_cache_sizes().unwrap(), [96]);
    assert_eq!(run(&mut npu, Input::tokens(vec![9; 66])).unwrap(), 30 + 66 + 1);
}

#[test]
fn of_another_template_s_system_prompt_nothing_is_kept() {
    let board = Board::new(Speaks::V1_3);
    let frame = |npu: &mut NpuModel, role: &str| {
        let system = format!("<|im_start|>system\nYou are a {role}.<|im_end|>\n");
        npu.set_chat_template(&system, "<|im_start|>user\n", "<|im_end|>\n").unwrap();
    };
    let mut npu = options(&board).load(board.pointer()).unwrap();
    frame(&mut npu, "teacher of physics");
    let fresh = run(&mut npu, "Hola").unwrap();
    npu.clear_kv_cache(true).unwrap();
    let kept = npu.kv_cache_sizes().unwrap()[0];
    assert!(0 < kept && kept < fresh, "{kept} of {fresh}");
    assert_eq!(run(&mut npu, "Hola").unwrap(), fresh);
    npu.clear_kv_cache(false).unwrap();
    frame(&mut npu, "pirate");
    run(&mut npu, "Hola").unwrap();
    frame(&mut npu, "teacher of physics");
    npu.clear_kv_cache(true).unwrap();
    assert_eq!(npu.kv_cache_sizes().unwrap(), [0]);
    assert_eq!(run(&mut npu, "Hola").unwrap(), fresh);
}

/// Whatever stood there, text, token ids or what a full context left, the next question is the first.
#[test]
fn a_cleared_conversation_begins_anew() {
    let board = Board::new(Speaks::V1_3);
    let mut npu = options(&board).load(board.pointer()).unwrap();
    let fresh = run(&mut npu, "Hola").unwrap();
    for before in [Input::prompt("Adiós"), Input::tokens(vec![5; 40])] {
        run(&mut npu, before).unwrap();
        npu.clear_kv_cache(true).unwrap();
        assert_eq!(run(&mut npu, "Hola").unwrap(), fresh);
        npu.clear_kv_cache(true).unwrap();
    }
    while run(&mut npu, "¿Qué es la ley de Ohm?").unwrap() < 80 {}
    run(&mut npu, "¿Qué es la ley de Ohm?").unwrap();
    npu.clear_kv_cache(true).unwrap();
    assert_eq!(run(&mut npu, "Hola").unwrap(), fresh);
}

/// A question whose embeddings could not be had does not stay without an answer.
#[test]
fn a_run_that_fails_leaves_the_conversation_as_it_was() {
    let board = Board::new(Speaks::V1_3);
    let checkpoint = Checkpoint::open(tutor_nano(), Load::default()).unwrap();
    let weights = checkpoint.weights(None, &WeightOptions::default()).unwrap();
    let source = Engine::new(Arc::new(weights), EngineOptions::default()).unwrap();
    let fails = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let embedding = move |ids: &[u32], rows: &mut [f32]| match failing
        .swap(false, std::sync::atomic::Ordering::SeqCst)
    {
        true => Err(Error::new(ErrorKind::Input, "not now")),
        false => source.embed(ids, rows),
    };
    let file = format!("{}\nembedding = no\n", tutor_nano().display());
    let made = options(&board).with_hidden_size(HIDDEN).with_embedding(embedding);
    let mut npu = made.load(board.write("m.rkllm", &file)).unwrap();
    let first = run(&mut npu, "Hola").unwrap();
    fails.store(true, std::sync::atomic::Ordering::SeqCst);
    run(&mut npu, "What is a diode?").unwrap_err();
    assert_eq!(npu.kv_cache_sizes().unwrap(), [first]);
    let second = run(&mut npu, "What is a diode?").unwrap();
    npu.clear_kv_cache(false).unwrap();
    run(&mut npu, "Hola").unwrap();
    assert_eq!(run(&mut npu, "What is a diode?").unwrap(), second);
}
