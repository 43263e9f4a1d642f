//! Cancelling: at once, from anywhere, and without a trace.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rkllm::session::{CancelHandle, Sampling, Stop};

use crate::counter::counting;
use crate::small::{long, model};

/// A few random bits per call, the same in every run.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn cancelled_a_thousand_times_and_used_again() {
    let model = model();
    let sampling = Sampling::default().with_temperature(1.5).with_seed(5);
    let start = || {
        let options = long(12).with_sampling(sampling.clone());
        model.chat().with_system("be a tutor").with_options(options).start().unwrap()
    };
    let questions = ["the one", "and on the other?", "why", "in the end"];
    let expected = questions.map(|question| start().ask(question).unwrap().text().unwrap());

    let mut chat = start();
    let any = chat.cancel_handle();
    let mut state = 42;
    for round in 0..1_000 {
        let question = questions[random(&mut state) % 4];
        let at = random(&mut state) % 12;
        let mut answer = chat.ask(question).unwrap();
        let pieces = answer.by_ref().take(at).count();
        let way = round % 3;
        if way > 0 {
            match way {
                1 => answer.cancel_handle().cancel(),
                _ => any.cancel(),
            }
            assert!(answer.next().is_none(), "round {round}");
            let stop = answer.statistics().stop;
            assert!(matches!(stop, Some(Stop::Cancelled | Stop::MaxTokens)), "{stop:?}");
        }
        drop(answer);
        assert_eq!(chat.messages().len(), if pieces > 0 { 3 } else { 1 }, "round {round}");
        chat.clear();

        let which = random(&mut state) % 4;
        let answer = chat.ask(questions[which]).unwrap().text().unwrap();
        assert_eq!(
            answer, expected[which],
            "round {round}: {} after {}",
            questions[which], question
        );
        chat.clear();
    }
}

#[test]
fn a_prompt_is_left_after_the_chunk_under_way() {
    let (model, log) = counting(200);
    let mut session = model.session().unwrap().with_options(long(5));
    let handle = session.cancel_handle();
    log.lock().unwrap().before = Some(Box::new(move |call| {
        if call == 2 {
            handle.cancel();
        }
        Ok(())
    }));
    let prompt: Vec<u32> = (0..60).collect();
    let statistics = session.generate_tokens(&prompt).unwrap().finish().unwrap();
    assert_eq!((statistics.stop, statistics.new_tokens), (Some(Stop::Cancelled), 0));
    assert_eq!(log.lock().unwrap().fed.len(), 3, "chunks of 4 tokens, cancelled during the third");

    // What was computed is of use to the next one.
    log.lock().unwrap().before = None;
    let statistics = session.generate_tokens(&prompt).unwrap().finish().unwrap();
    assert_eq!((statistics.reused_tokens, statistics.stop), (12, Some(Stop::MaxTokens)));
}

#[test]
fn a_token_under_way_is_the_last() {
    let (model, log) = counting(200);
    let mut session = model.session().unwrap().with_options(long(50));
    let handle = session.cancel_handle();
    log.lock().unwrap().before = Some(Box::new(move |call| {
        if call == 10 {
            handle.cancel();
        }
        Ok(())
    }));
    let statistics = session.generate_tokens(&[7]).unwrap().finish().unwrap();
    assert_eq!((statistics.stop, statistics.new_tokens), (Some(Stop::Cancelled), 11));
}

#[test]
fn between_answers_a_cancellation_does_nothing() {
    let model = model();
    let mut chat = model.chat().with_options(long(4)).start().unwrap();
    let any = chat.cancel_handle();
    any.cancel();
    let first = chat.ask("the one").unwrap();
    let own = first.cancel_handle();
    assert_eq!(first.finish().unwrap().stop, Some(Stop::MaxTokens));
    own.cancel();
    any.cancel();
    let mut second = chat.ask("two").unwrap();
    own.cancel();
    assert!(second.next().is_some(), "a handle of the answer before");
    any.cancel();
    assert!(second.next().is_none());
    assert_eq!(second.statistics().stop, Some(Stop::Cancelled));
}

/// A thread that cancels all the time must end each answer it was meant for and none that begins after
/// it was told of the end.
#[test]
fn the_race_between_an_end_and_a_beginning_has_no_victim() {
    let model = model();
    let mut chat = model.chat().with_options(long(3)).start().unwrap();
    let target: Arc<Mutex<Option<CancelHandle>>> = Arc::default();
    let (stop, cancelled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let thread = {
        let (target, stop, cancelled) = (target.clone(), stop.clone(), cancelled.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // The handle outlives its answer: late calls must hit nothing.
                let handle = target.lock().unwrap().clone();
                if let Some(handle) = handle {
                    handle.cancel();
                    cancelled.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    let mut hit = 0;
    for _ in 0..300 {
        let answer = chat.ask("the one").unwrap();
        *target.lock().unwrap() = Some(answer.cancel_handle());
        hit += usize::from(answer.finish().unwrap().stop == Some(Stop::Cancelled));
        chat.clear();
        // The thread still holds the handle of the answer before.
        let statistics = chat.ask("why").unwrap().finish().unwrap();
        assert_eq!(statistics.stop, Some(Stop::MaxTokens));
        chat.clear();
    }
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    assert!(cancelled.load(Ordering::Relaxed) > 0);
    println!("{hit} of 300 answers were cancelled in time");
}
