//! What a runtime may tell, and what becomes of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rkllm::npu::{End, Flow, Mode, NpuModel, NpuOptions, Output, RunOptions};
use rkllm::{Error, ErrorKind};

use crate::board::{BOTH, Board, Fake};

fn text_of(model: &mut NpuModel) -> rkllm::Result<String> {
    model.generate("x", &RunOptions::default()).map(|(text, _)| text)
}

#[test]
fn a_panic_ends_the_run_and_goes_on_in_the_caller() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in ["", "thread", "double_finish", "ignore_pause+slow=1+tokens=200"] {
            let mut model = board.load(words);
            let alive = Arc::new(());
            let (seen, calls) = (Arc::clone(&alive), AtomicUsize::new(0));
            let run = catch_unwind(AssertUnwindSafe(|| {
                model.run("x", &RunOptions::default(), |output| {
                    let _seen = &seen;
                    assert_eq!(calls.fetch_add(1, Ordering::SeqCst), 0, "called after its panic");
                    assert!(!output.text.is_empty());
                    panic!("of the closure: {}", output.text);
                })
            }));
            let panic = *run.unwrap_err().downcast::<String>().unwrap();
            assert_eq!(panic, "of the closure: t0 ", "{words}");
            drop(seen);
            assert_eq!(Arc::strong_count(&alive), 1);
            // The model is as good as before, and does not go on after the pause.
            if words.is_empty() {
                assert_eq!(text_of(&mut model).unwrap(), "t0 t1 t2 t3 ");
                assert_eq!(model.kv_cache_sizes().unwrap(), [5]);
            }
        }
        board.assert_clean();
        assert_eq!(board.alive(), 0);
    }
}

#[test]
fn a_panic_in_the_callers_tokenizer_arrives_too() {
    let board = Board::new(Fake::V1_3);
    let options = NpuOptions::default().with_tokenizer(|_| panic!("no words"));
    let mut model = board.load_with("no_tokenizer", options);
    let run = catch_unwind(AssertUnwindSafe(|| text_of(&mut model)));
    assert_eq!(*run.unwrap_err().downcast::<&str>().unwrap(), "no words");
    let failing = NpuOptions::default()
        .with_tokenizer(|_| Err(Error::new(ErrorKind::Tokenizer, "no such word")));
    let mut model = board.load_with("no_tokenizer", failing);
    assert_eq!(text_of(&mut model).unwrap_err().to_string(), "no such word");
    let long = NpuOptions::default().with_tokenizer(|_| Ok(vec![1; 1000]));
    let mut model = board.load_with("no_tokenizer", long);
    assert_eq!(text_of(&mut model).unwrap_err().kind(), ErrorKind::Context);
    let failing = NpuOptions::default()
        .with_embedding(|_, _| Err(Error::new(ErrorKind::Missing, "no such row")));
    let mut model = board.load_with("no_embedding", failing);
    assert_eq!(text_of(&mut model).unwrap_err().to_string(), "no such row");
    // Nobody to ask: the library is answered with an error, not with a jump to nowhere.
    let mut model = board.load("no_tokenizer+no_embedding");
    assert!(text_of(&mut model).is_ok());
    board.assert_clean();
}

#[test]
fn a_second_end_is_harmless() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in ["double_finish", "token_after_finish", "double_finish+thread"] {
            let mut model = board.load(words);
            for _ in 0..3 {
                assert_eq!(text_of(&mut model).unwrap(), "t0 t1 t2 t3 ", "{words}");
            }
        }
        board.assert_clean();
    }
}

#[test]
fn a_callback_after_its_run_touches_nothing() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("late_finish");
        for _ in 0..3 {
            let text = {
                let mut text = String::new();
                let closure = |output: Output<'_>| {
                    text += output.text;
                    Flow::Continue
                };
                model.run("x", &RunOptions::default(), closure).unwrap();
                text
            };
            assert_eq!(text, "t0 t1 t2 t3 ");
        }
        drop(model);
        thread::sleep(Duration::from_millis(60));
        board.assert_clean();
    }
}

#[test]
fn the_error_state_is_an_error() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in ["error", "error_but_0", "error+thread", "unknown_state", "no_finish"] {
            let mut model = board.load(words);
            let mut told = 0;
            let run = model.run("x", &RunOptions::default(), |_| {
                told += 1;
                Flow::Continue
            });
            let error = run.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Runtime, "{words}: {error}");
            assert!(error.hint().is_some(), "{error}");
            let expected = match words {
                "unknown_state" => 0,
                "no_finish" => 4,
                _ => 2,
            };
            assert_eq!(told, expected, "{words}");
        }
        // Whether FINISH follows states is not documented, and it is not needed there.
        let mut model = board.load("no_finish");
        let states = RunOptions::default().with_mode(Mode::LastHiddenLayer);
        let report = model.run("x", &states, |_| Flow::Continue).unwrap();
        assert_eq!((report.end, report.performance), (End::Finished, None));
        board.assert_clean();
    }
}

#[test]
fn texts_that_are_none_or_no_utf8() {
    for fake in BOTH {
        let board = Board::new(fake);
        for (words, expected) in [
            ("null_text", String::new()),
            ("invalid_utf8+tokens=2", "x\u{fffd}\u{fffd}(".repeat(2)),
            ("null_result", "t0 t1 t2 t3 ".into()),
            ("utf8_split", "aé汉🙂b".into()),
            ("utf8_waiting", "aé汉🙂b".into()),
            ("utf8_split+thread", "aé汉🙂b".into()),
            ("tokens=0", String::new()),
        ] {
            let mut model = board.load(words);
            let mut text = String::new();
            let mut tokens = 0;
            let report = model.run("x", &RunOptions::default(), |output| {
                // Whole characters only, so nothing was replaced that came whole later.
                text += output.text;
                tokens += usize::from(output.token.is_some());
                Flow::Continue
            });
            let report = report.unwrap();
            assert_eq!((text, report.tokens), (expected, tokens), "{words}");
            assert_eq!(report.performance.is_none(), words == "null_result");
        }
        board.assert_clean();
    }
}

#[test]
fn callbacks_may_come_from_another_thread() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("thread+tokens=8");
        let here = thread::current().id();
        let mut text = String::new();
        model
            .run("x", &RunOptions::default(), |output| {
                assert_ne!(thread::current().id(), here);
                text += output.text;
                Flow::Continue
            })
            .unwrap();
        assert_eq!(text, "t0 t1 t2 t3 t4 t5 t6 t7 ");
        // And models may go to other threads.
        let text = thread::spawn(move || text_of(&mut model).unwrap()).join().unwrap();
        assert_eq!(text.len(), 24);
        board.assert_clean();
    }
}

#[test]
fn several_models_keep_to_themselves() {
    for fake in BOTH {
        let board = Board::new(fake);
        thread::scope(|scope| {
            for letter in ["a", "b", "c", "d"] {
                let mut model = board.load("echo+thread");
                scope.spawn(move || {
                    for _ in 0..20 {
                        let prompt = letter.repeat(10);
                        let (text, _) =
                            model.generate(prompt.as_str(), &RunOptions::default()).unwrap();
                        assert_eq!(text, prompt);
                    }
                });
            }
        });
        board.assert_clean();
        assert_eq!(board.alive(), 0);
    }
}

#[test]
fn a_stream_is_the_same_as_a_run() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in ["", "thread", "utf8_split", "slow=1"] {
            let mut model = board.load(words);
            let expected = text_of(&mut model).unwrap();
            let mut stream = model.stream("x", &RunOptions::default()).unwrap();
            assert!(stream.report().is_none());
            let text: String = stream.by_ref().map(|piece| piece.unwrap().text).collect();
            assert_eq!(text, expected);
            assert_eq!(stream.report().unwrap().end, End::Finished);
            assert!(stream.next().is_none());
        }
        let mut model = board.load("error");
        let pieces: Vec<_> = model.stream("x", &RunOptions::default()).unwrap().collect();
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[2].as_ref().unwrap_err().kind(), ErrorKind::Runtime);
        assert!(model.stream("a\0", &RunOptions::default()).is_err());
        drop(model);
        board.assert_clean();
        assert_eq!(board.alive(), 0);
    }
}
