//! What is left of a conversation when its context is full, when it is cleared, and when a run fails.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{Board, Speaks, tutor_nano};
use rkllm::cpu::{Engine, EngineOptions};
use rkllm::model::{Checkpoint, Load, Tokenizer, WeightOptions};
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
    // As long as the context: nothing else is left.
    let mut npu = options(&board).with_n_keep(0).load(board.pointer()).unwrap();
    assert_eq!(run(&mut npu, Input::tokens(vec![5; 40])).unwrap(), 41);
    assert_eq!(run(&mut npu, Input::tokens(vec![7; 96])).unwrap(), 97);
}

/// Nor while it is answered, as long as something else may go.
#[test]
fn an_answer_that_fills_the_context_drops_what_was_there_before_its_question() {
    let board = Board::new(Speaks::V1_3);
    let mut npu =
        options(&board).with_n_keep(0).with_ignore_eos(true).load(board.pointer()).unwrap();
    assert_eq!(run(&mut npu, Input::tokens(vec![5; 40])).unwrap(), 41);
    let answer = |npu: &mut NpuModel, question: usize, new: usize| {
        let options = history().with_max_new_tokens(new);
        let report =
            npu.run(Input::tokens(vec![7; question]), &options, |_| Flow::Continue).unwrap();
        assert_eq!(report.tokens, new);
        npu.kv_cache_sizes().unwrap()[0]
    };
    // Of the 41 the older half goes, once.
    assert_eq!(answer(&mut npu, 50, 20), 41 - 21 + 50 + 20);
    // Alone in the context, question and answer lose theirs.
    npu.clear_kv_cache(false).unwrap();
    assert_eq!(answer(&mut npu, 90, 20), 90 + 20 - 97 / 2);
    // Where all is to be kept, it ends.
    let mut npu =
        options(&board).with_n_keep(96).with_ignore_eos(true).load(board.pointer()).unwrap();
    let long = history().with_max_new_tokens(20);
    let report = npu.run(Input::tokens(vec![7; 90]), &long, |_| Flow::Continue).unwrap();
    assert_eq!(report.tokens, 96 - 90 + 1);
}

/// A file that points to the small model with another chat template.
fn with_template(board: &Board, template: &str) -> PathBuf {
    for file in ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"] {
        std::os::unix::fs::symlink(tutor_nano().join(file), board.dir().join(file)).unwrap();
    }
    let settings = std::fs::read_to_string(tutor_nano().join("tokenizer_config.json")).unwrap();
    let mut settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    settings["chat_template"] = template.into();
    board.write("tokenizer_config.json", &settings.to_string());
    board.write("m.rkllm", "model = .\n")
}

/// A template may write less of an earlier answer than was said: what is kept whole is the question, not what begins
/// where the answer ended.
#[test]
fn a_question_after_a_history_that_the_template_shortens_is_not_cut() {
    let board = Board::new(Speaks::V1_3);
    let template = "{% for m in messages %}{% if m['role'] == 'user' %}Q: {{ m['content'] }}\n\
                    {% else %}A.\n{% endif %}{% endfor %}A:";
    let pointer = with_template(&board, template);
    let mut npu = options(&board).with_n_keep(2).with_ignore_eos(true).load(pointer).unwrap();
    let tokenizer = Tokenizer::open(tutor_nano()).unwrap();
    let count = |text: &str| tokenizer.encode(text).unwrap().len();
    let (first, question) = ("Hola. ".repeat(9), "What is the unit of pressure? ".repeat(9));
    let asked = count(&question);
    let written = count(&format!("Q: {first}\nA.\nQ: {question}\nA:"));
    assert!(written > 96 && asked < 80, "{asked} of {written}");
    npu.run(first.as_str(), &history().with_max_new_tokens(60), |_| Flow::Continue).unwrap();
    let said = npu.kv_cache_sizes().unwrap()[0];
    assert!(60 < said && said < 96, "{said}");
    let left = run(&mut npu, question.as_str()).unwrap();
    assert!(left > asked, "{left} positions for {asked} of the question");
}

/// Some templates write before the first question whether the model is to think.
#[test]
fn what_precedes_the_first_question_is_known_with_thoughts_and_without() {
    let board = Board::new(Speaks::V1_3);
    let template = "Think: {% if enable_thinking %}yes, in many words, then answer.{% else %}no.{% endif %}\n\
                    Q: {{ messages[0]['content'] }}\nA:";
    let mut npu = options(&board).load(with_template(&board, template)).unwrap();
    let tokenizer = Tokenizer::open(tutor_nano()).unwrap();
    for (thinking, words) in [(false, "no."), (true, "yes, in many words, then answer.")] {
        run(&mut npu, Input::prompt("Hola").with_thinking(thinking)).unwrap();
        npu.clear_kv_cache(true).unwrap();
        let least = tokenizer.encode(&format!("Think: {words}\nQ")).unwrap().len();
        let kept = npu.kv_cache_sizes().unwrap()[0];
        assert!(kept >= least, "{kept} of {least}");
        npu.clear_kv_cache(false).unwrap();
    }
}

/// `n_keep` below zero keeps the system prompt, but for what another text made another token of.
#[test]
fn a_system_prompt_that_runs_into_the_question_is_kept_as_far_as_it_goes() {
    let board = Board::new(Speaks::V1_3);
    let (system, prefix) = ("You are a teacher of physics. ", "Question: ");
    let tokenizer = Tokenizer::open(tutor_nano()).unwrap();
    let ids = |text: &str| tokenizer.encode_with_special_tokens(text).unwrap();
    let (alone, within) = (ids(system), ids(&format!("{system}{prefix}Hola\n")));
    let kept = alone.iter().zip(&within).take_while(|(a, b)| a == b).count();
    assert!(0 < kept && kept < alone.len(), "{kept} of {}", alone.len());
    let mut npu = options(&board).load(board.pointer()).unwrap();
    npu.set_chat_template(system, prefix, "\n").unwrap();
    let before = run(&mut npu, "Hola").unwrap();
    let goes = (before - kept).div_ceil(2);
    let question = 96 - before + goes;
    let left = run(&mut npu, Input::tokens(vec![7; question])).unwrap();
    assert_eq!(left, before - goes + question + 1);
    // All of it is kept, or the next question would be without the rest.
    npu.clear_kv_cache(true).unwrap();
    assert_eq!(npu.kv_cache_sizes().unwrap(), [0]);
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
