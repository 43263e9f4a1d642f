//! Continuing text: pieces, stop strings, seeds, limits.

use std::sync::Arc;

use rkllm::cpu::{Engine, EngineOptions};
use rkllm::model::{Checkpoint, Load, Tokenizer};
use rkllm::session::{Answer, CancelHandle, Chat, GenerateOptions, Model, Sampling, Session, Stop};
use rkllm::{Backend, Error, ErrorKind, Want};

use crate::common::{Golden, data, shared};
use crate::counter::counting;
use crate::small::{build, long, model, options, sized, tokenizer_json};

fn session(options: GenerateOptions) -> Session {
    model().session().unwrap().with_options(options)
}

fn warm(seed: u64) -> Sampling {
    Sampling::default().with_temperature(2.0).with_seed(seed)
}

#[test]
fn greedy_is_the_first_largest_logit_of_the_engine() {
    let model = model();
    let prompt = [1, 8, 20, 33, 7];
    let mut session = model.session().unwrap().with_options(long(20));
    let mut answer = session.generate_tokens(&prompt).unwrap();
    answer.by_ref().for_each(|piece| drop(piece.unwrap()));

    let options = EngineOptions { threads: 2, context: 128, prefill_chunk: 64 };
    let weights = Arc::clone(model.weights().unwrap());
    let mut engine = Engine::new(weights, options).unwrap();
    let mut tokens = prompt.to_vec();
    for step in 0..20 {
        let fed = if step == 0 { 0 } else { tokens.len() - 1 };
        let mut next = 0;
        engine
            .forward(&tokens[fed..], Want::Last, &mut |_, logits| {
                let best = logits.iter().copied().fold(f32::MIN, f32::max);
                next = logits.iter().position(|&l| l == best).unwrap();
                Ok(())
            })
            .unwrap();
        tokens.push(next as u32);
    }
    assert_eq!(answer.tokens(), &tokens[5..]);
}

#[test]
fn a_trained_model_says_what_its_golden_says() {
    let Some(dir) = shared("models/fisica-19m") else { return };
    let golden = Golden::open(&dir.join("golden.safetensors"));
    let model = Model::options().with_context(64).open(&dir).unwrap();
    let mut session = model.session().unwrap().with_options(long(40));
    let mut answer = session.generate_tokens(&golden.ids[..8]).unwrap();
    let text: String = answer.by_ref().map(Result::unwrap).collect();
    assert_eq!(answer.tokens(), &golden.ids[8..48]);
    let decode = |ids: &[u32]| model.tokenizer().unwrap().decode(ids).unwrap();
    assert_eq!(decode(&golden.ids[..8]) + &text, decode(&golden.ids[..48]));
}

#[test]
fn pieces_are_whole_characters_and_together_the_decoded_text() {
    let model = model();
    let mut broken = 0;
    for seed in 0..60 {
        let mut session = model.session().unwrap().with_options(long(40).with_sampling(warm(seed)));
        let mut answer = session.generate("the é").unwrap();
        let pieces: Vec<String> = answer.by_ref().map(Result::unwrap).collect();
        let tokens = answer.tokens().to_vec();
        drop(answer);
        assert!(pieces.iter().all(|piece| !piece.is_empty()));
        let text = pieces.concat();
        assert_eq!(
            "the é".to_owned() + &text,
            model.tokenizer().unwrap().decode(session.tokens()).unwrap(),
            "seed {seed}"
        );
        assert_eq!(session.tokens().len(), 3 + 40, "the é is three tokens");
        assert!(session.tokens().ends_with(&tokens));
        broken += usize::from(text.contains('\u{fffd}'));
        // A piece ends in the middle of a character only if no character was there.
        assert!(pieces.len() <= 40);
    }
    assert!(broken > 0, "no sequence of bytes was incomplete, so the test shows nothing");
}

#[test]
fn a_stop_string_is_cut_off_wherever_it_comes_up() {
    for seed in 0..30 {
        let options = long(40).with_sampling(warm(seed));
        let whole = session(options.clone()).generate("the").unwrap().text().unwrap();
        let characters: Vec<char> = whole.chars().collect();
        for (at, length) in [(0, 1), (3, 2), (7, 5), (11, 3)] {
            if at + length > characters.len() {
                continue;
            }
            let stop: String = characters[at..at + length].iter().collect();
            let mut session = session(options.clone().with_stop([stop.clone(), "@@@".into()]));
            let mut answer = session.generate("the").unwrap();
            let text: String = answer.by_ref().map(Result::unwrap).collect();
            assert_eq!(text, whole[..whole.find(&stop).unwrap()], "seed {seed}, stop {stop:?}");
            assert_eq!(answer.statistics().stop, Some(Stop::StopString));
        }
        let mut never = session(options.with_stop(["@@@"]));
        assert_eq!(never.generate("the").unwrap().text().unwrap(), whole);
    }
}

#[test]
fn a_seed_says_it_all_again_on_any_number_of_threads() {
    let run = |threads: usize, sampling: Sampling| {
        let model = build("llama-f32", "w8a8", options().with_threads(threads));
        let mut session = model.session().unwrap().with_options(long(30).with_sampling(sampling));
        let mut answer = session.generate("the one").unwrap();
        answer.by_ref().for_each(|piece| drop(piece.unwrap()));
        (answer.tokens().to_vec(), answer.statistics().seed)
    };
    let sampling = warm(7).with_top_k(20).with_top_p(0.95).with_min_p(0.01);
    let sampling = sampling.with_repetition_penalty(1.2).with_frequency_penalty(0.1);
    let (first, seed) = run(1, sampling.clone());
    assert_eq!(seed, 7);
    assert_eq!(run(3, sampling.clone()), (first.clone(), 7));
    assert_ne!(run(1, sampling.with_seed(8)).0, first);
    // Without one, the seed that was taken is told.
    let free = Sampling::default().with_temperature(2.0);
    let (tokens, seed) = run(1, free.clone());
    assert_eq!(run(2, free.clone().with_seed(seed)).0, tokens);
    assert_ne!(run(1, free).1, seed);
}

#[test]
fn an_answer_does_not_depend_on_those_before() {
    let mut session = session(long(12).with_sampling(warm(3)));
    let first = session.generate("the one").unwrap().text().unwrap();
    session.generate("other").unwrap().text().unwrap();
    assert_eq!(session.generate("the one").unwrap().text().unwrap(), first);
}

#[test]
fn resuming_goes_on_where_the_answer_stopped() {
    let mut whole = session(long(20));
    whole.generate("the one").unwrap().finish().unwrap();
    let mut parts = session(long(8));
    parts.generate("the one").unwrap().finish().unwrap();
    parts.resume("").unwrap().finish().unwrap();
    parts.options_mut().clone_from(&long(4));
    parts.resume("").unwrap().finish().unwrap();
    assert_eq!(parts.tokens(), whole.tokens());
    let before = parts.tokens().to_vec();
    parts.resume("and").unwrap().finish().unwrap();
    assert!(parts.tokens().starts_with(&before));
    assert_eq!(parts.tokens().len(), before.len() + 2 + 4, "an + d, and four more");
    let mut empty = session(long(3));
    empty.resume("the").unwrap().finish().unwrap();
    assert_eq!(empty.tokens().len(), 4);
}

#[test]
fn prompts_that_cannot_be_are_refused_and_change_nothing() {
    let model = sized(16);
    let mut session = model.session().unwrap().with_options(long(2));
    session.generate("the").unwrap().finish().unwrap();
    let before = session.tokens().to_vec();
    let kind = |result: rkllm::Result<Answer<'_>>| result.unwrap_err().kind();
    assert_eq!(kind(session.generate("xxxxxxxxxxxxxxxxx")), ErrorKind::Context);
    assert_eq!(kind(session.generate_tokens(&[])), ErrorKind::Input);
    assert_eq!(kind(session.generate_tokens(&[1, 64])), ErrorKind::Tokenizer);
    assert_eq!(session.tokens(), before);
    // An empty prompt begins with BOS; without one there is nothing to begin with.
    session.generate("").unwrap().finish().unwrap();
    assert_eq!((session.tokens()[0], session.tokens().len()), (1, 3));
    let checkpoint = Checkpoint::open(data("golden/llama-f32"), Load::Map).unwrap();
    let tokenizer = Tokenizer::from_json(&tokenizer_json()).unwrap();
    let plain = options().build(&checkpoint, tokenizer).unwrap();
    let mut plain = plain.session().unwrap();
    assert_eq!(kind(plain.generate("")), ErrorKind::Input);
}

#[test]
fn each_reason_to_stop() {
    let run = |context: usize, prompt: &[u32], options: GenerateOptions| {
        let (model, _) = counting(context);
        let mut session = model.session().unwrap().with_options(options);
        let mut answer = session.generate_tokens(prompt).unwrap();
        answer.by_ref().for_each(|piece| drop(piece.unwrap()));
        (answer.tokens().to_vec(), answer.statistics().stop.unwrap())
    };
    let most = |tokens| GenerateOptions::default().with_max_tokens(tokens);
    assert_eq!(run(99, &[7, 8], most(3)), (vec![9, 10, 11], Stop::MaxTokens));
    assert_eq!(run(99, &[62], most(30)), (vec![63, 0, 1], Stop::Eos));
    assert_eq!(run(99, &[1], most(30)), (vec![], Stop::Eos));
    assert_eq!(run(99, &[1], most(2).with_ignore_eos(true)), (vec![2, 3], Stop::MaxTokens));
    assert_eq!(run(99, &[8], most(0)), (vec![], Stop::MaxTokens));
    // A context of 4 takes the prompt and 2 new tokens; the third is known but cannot be fed.
    assert_eq!(run(4, &[7, 8], most(30)), (vec![9, 10, 11], Stop::Context));
    assert_eq!(run(2, &[7, 8], GenerateOptions::default()), (vec![9], Stop::Context));
}

#[test]
fn a_backend_that_keeps_all_or_nothing_computes_anew() {
    let (model, log) = counting(64);
    let mut session = model.session().unwrap().with_options(long(2));
    session.generate_tokens(&[7, 8, 9]).unwrap().finish().unwrap();
    log.lock().unwrap().fed.clear();
    let statistics = session.generate_tokens(&[7, 8, 20]).unwrap().finish().unwrap();
    assert_eq!(statistics.reused_tokens, 0);
    assert_eq!(log.lock().unwrap().fed, [vec![7, 8, 20], vec![21]]);
    // What only grows is reused.
    let statistics = session.resume("").unwrap().finish().unwrap();
    assert_eq!(statistics.reused_tokens, 4, "the last new token had not been fed");
    assert_eq!(log.lock().unwrap().fed[2..], [vec![22], vec![23]]);
}

#[test]
fn an_error_of_the_backend_ends_the_answer_and_takes_the_question_back() {
    let (model, log) = counting(64);
    let mut chat = model.chat().with_options(long(20)).start().unwrap();
    chat.ask("one").unwrap().finish().unwrap();
    let before = chat.messages().to_vec();
    let calls = log.lock().unwrap().fed.len();
    log.lock().unwrap().before = Some(Box::new(move |call| match call == calls + 12 {
        true => Err(Error::new(ErrorKind::Io, "the device is gone")),
        false => Ok(()),
    }));
    let mut answer = chat.ask("two").unwrap();
    let results: Vec<_> = answer.by_ref().collect();
    assert!(results.len() > 2 && results[..results.len() - 1].iter().all(Result::is_ok));
    assert_eq!(results.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Io);
    assert!(answer.next().is_none());
    assert_eq!(answer.statistics().stop, None);
    drop(answer);
    assert_eq!(chat.messages(), before);
    assert!(chat.session().tokens().is_empty(), "nothing is believed of what the device holds");
    log.lock().unwrap().before = None;
    assert_eq!(chat.ask("two").unwrap().finish().unwrap().new_tokens, 20);
}

#[test]
fn logits_that_are_not_finite_are_an_error() {
    struct Broken(usize);
    impl Backend for Broken {
        fn vocab_size(&self) -> usize {
            64
        }
        fn context(&self) -> usize {
            64
        }
        fn position(&self) -> usize {
            self.0
        }
        fn reset(&mut self) {
            self.0 = 0;
        }
        fn forward(
            &mut self,
            tokens: &[u32],
            _: Want,
            sink: &mut dyn FnMut(usize, &[f32]) -> rkllm::Result<()>,
        ) -> rkllm::Result<()> {
            self.0 += tokens.len();
            sink(self.0 - 1, &[f32::NAN; 64])
        }
    }
    let mut session = Session::with_backend(model(), Box::new(Broken(0)));
    let error = session.generate("the").unwrap().text().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NonFinite);
}

#[test]
fn sessions_share_a_model_across_threads() {
    fn everywhere<T: Send + Sync>() {}
    fn movable<T: Send>() {}
    everywhere::<Model>();
    everywhere::<CancelHandle>();
    movable::<Session>();
    movable::<Chat>();
    movable::<Answer<'_>>();

    let model = model();
    let text = |model: &Model, prompt: &str| {
        let mut session = model.session().unwrap().with_options(long(20));
        session.generate(prompt).unwrap().text().unwrap()
    };
    let prompts = ["the one", "and", "on the other?"];
    let expected = prompts.map(|prompt| text(&model, prompt));
    let found: Vec<String> = std::thread::scope(|scope| {
        let running = prompts.map(|prompt| {
            let model = model.clone();
            scope.spawn(move || text(&model, prompt))
        });
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(found, expected);
}
