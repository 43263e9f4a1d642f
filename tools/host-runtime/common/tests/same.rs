//! The stand-ins through `rkllm::npu`, as a board is used: what they say is what a CPU session says.

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;

use common::{BOTH, Board, repository, tutor_nano};
use rkllm::cpu::{Engine, EngineOptions};
use rkllm::eval::{EvalOptions, perplexity};
use rkllm::model::{Checkpoint, Load, Tokenizer, WeightOptions};
use rkllm::npu::{
    End, Flow, Input, NpuBackend, NpuModel, NpuOptions, NpuSampling, RunOptions, Runtime,
};
use rkllm::session::{Model, NpuChat};

const CONTEXT: usize = 512;
const NEW: usize = 40;
const QUESTIONS: [&str; 3] = ["¿Qué es la ley de Ohm?", "What is a diode?\n", "¿Y un transistor?"];

fn load(board: &Board, path: &std::path::Path) -> NpuModel {
    NpuOptions::default()
        .with_runtime(Runtime::open(board.library()).unwrap())
        .with_context(CONTEXT)
        .with_max_new_tokens(NEW)
        .with_skip_special_tokens(true)
        .with_sampling(NpuSampling::greedy())
        .load(path)
        .unwrap()
}

fn cpu() -> Model {
    Model::options().with_context(CONTEXT).open(tutor_nano()).unwrap()
}

#[test]
fn greedy_tokens_are_those_of_a_session() {
    let model = cpu();
    let mut session = model.session().unwrap().with_max_tokens(NEW);
    let mut expected = Vec::new();
    for question in QUESTIONS {
        let prompt = model.tokenizer().unwrap().encode_with_special_tokens(question).unwrap();
        session.generate_tokens(&prompt).unwrap().finish().unwrap();
        expected.push((prompt.clone(), session.tokens()[prompt.len()..].to_vec()));
    }
    for speaks in BOTH {
        let board = Board::new(speaks);
        let mut npu = load(&board, &board.pointer());
        assert!(npu.runtime().is_stand_in(), "who measures it is told");
        for (prompt, expected) in &expected {
            let mut tokens = Vec::new();
            let options = RunOptions::default();
            let report = npu
                .run(Input::tokens(prompt.clone()), &options, |output| {
                    tokens.extend(output.token);
                    Flow::Continue
                })
                .unwrap();
            assert_eq!(report.end, End::Finished);
            assert_eq!(&tokens, expected, "{speaks:?}");
        }
    }
}

#[test]
fn a_conversation_says_what_a_chat_says() {
    let mut chat = cpu().chat().with_max_tokens(NEW).start().unwrap();
    let expected: Vec<String> =
        QUESTIONS.iter().map(|question| chat.ask(*question).unwrap().text().unwrap()).collect();
    for speaks in BOTH {
        let board = Board::new(speaks);
        let mut npu = NpuChat::new(load(&board, &board.pointer()));
        for (question, expected) in QUESTIONS.iter().zip(&expected) {
            assert_eq!(&npu.ask(*question).unwrap().text().unwrap(), expected, "{speaks:?}");
        }
        npu.clear().unwrap();
        let again = npu.ask(QUESTIONS[0]).unwrap().text().unwrap();
        assert_eq!(again, expected[0], "after clearing");
    }
}

#[test]
fn perplexity_and_every_logit_are_the_engines() {
    let tokenizer = Tokenizer::open(tutor_nano()).unwrap();
    let text = std::fs::read_to_string(repository().join("models/tutor-nano/eval.es.txt")).unwrap();
    // An emulator takes minutes for what takes a second here.
    let length = if std::env::var_os("RKLLM_TEST_EMULATOR").is_some() { 400 } else { 1500 };
    let tokens = tokenizer.encode(&text.chars().take(length).collect::<String>()).unwrap();
    let cut = EvalOptions { window: 128, bos: tokenizer.bos(), ..EvalOptions::default() };
    let go_on = &mut |_: &rkllm::eval::Progress| ControlFlow::Continue(());
    let checkpoint = Checkpoint::open(tutor_nano(), Load::default()).unwrap();
    for dtype in [None, Some("w8a8")] {
        let scheme = dtype.map(|dtype| dtype.parse().unwrap());
        let weights = checkpoint.weights(scheme, &WeightOptions::default()).unwrap();
        let options = EngineOptions { context: CONTEXT, ..EngineOptions::default() };
        let mut engine = Engine::new(Arc::new(weights), options).unwrap();
        let expected = perplexity(&mut engine, &tokens, &cut, go_on).unwrap();
        for speaks in BOTH {
            let board = Board::new(speaks);
            let dtype = dtype.map_or(String::new(), |dtype| format!("dtype = {dtype}\n"));
            let file = format!("model = {}\n{dtype}", tutor_nano().display());
            let mut npu = NpuBackend::new(load(&board, &board.write("m.rkllm", &file))).unwrap();
            let found = perplexity(&mut npu, &tokens, &cut, go_on).unwrap();
            // Its hash is over the bits of every logit.
            assert_eq!(found, expected, "{speaks:?} {dtype}");
        }
    }
}

/// Our own sampling over the runtime's logits: the same draws.
#[test]
fn a_session_on_the_runtimes_logits_draws_the_same() {
    use rkllm::session::Sampling;
    let sampling =
        || Sampling::default().with_temperature(0.9).with_top_k(30).with_top_p(0.95).with_seed(11);
    let mut chat = cpu().chat().with_max_tokens(NEW).with_sampling(sampling()).start().unwrap();
    let expected = chat.ask(QUESTIONS[0]).unwrap().text().unwrap();
    for speaks in BOTH {
        let board = Board::new(speaks);
        let (library, file) = (board.library(), board.pointer());
        let model = Model::options().with_backend(tutor_nano(), move || {
            let options =
                NpuOptions::default().with_runtime(Runtime::open(&library)?).with_context(CONTEXT);
            Ok(Box::new(NpuBackend::new(options.load(&file)?)?))
        });
        let model = model.unwrap();
        let mut chat = model.chat().with_max_tokens(NEW).with_sampling(sampling()).start().unwrap();
        assert_eq!(chat.ask(QUESTIONS[0]).unwrap().text().unwrap(), expected, "{speaks:?}");
    }
}
