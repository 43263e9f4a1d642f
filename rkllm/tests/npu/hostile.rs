//! Runtimes and callers that do what nobody expects: nothing is corrupted, nothing hangs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rkllm::ErrorKind;
use rkllm::npu::{
    CrossAttention, CrossAttentionSize, End, Flow, Input, Mode, NpuBackend, NpuModel, NpuOptions,
    RunOptions,
};

use crate::board::{BOTH, Board, Fake, HIDDEN, soon};

/// Long enough for whatever a fake does 5 ms later.
fn wait() {
    thread::sleep(Duration::from_millis(60));
}

/// Waits for what a fake does later, however busy the machine is.
fn wait_for(board: &Board, line: &str, count: usize) {
    let started = std::time::Instant::now();
    while board.count(line) < count {
        assert!(started.elapsed() < Duration::from_secs(30), "{line}: {:?}", board.record());
        thread::sleep(Duration::from_millis(1));
    }
}

fn text_of(model: &mut NpuModel) -> rkllm::Result<String> {
    model.generate("x", &RunOptions::default()).map(|(text, _)| text)
}

#[test]
fn a_token_after_its_run_reaches_no_other() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("late_token");
        for _ in 0..20 {
            assert_eq!(text_of(&mut model).unwrap(), "t0 t1 t2 t3 ");
        }
        drop(model);
        wait();
        board.assert_clean();
    }
}

#[test]
fn callbacks_after_destroy_find_nothing() {
    for fake in BOTH {
        let board = Board::new(fake);
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let options = match fake {
            Fake::V1_2 => {
                drop(counter);
                NpuOptions::default()
            }
            Fake::V1_3 => NpuOptions::default().with_tokenizer(move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok(vec![1])
            }),
        };
        let mut model = board.load_with("after_destroy", options);
        text_of(&mut model).unwrap();
        drop(model);
        wait_for(&board, "called back after the end: 1 -1", 3);
        // The run's number, the model's and null.
        assert_eq!(board.count("called back after the end: 1 -1"), 3, "{:?}", board.record());
        assert_eq!((asked.load(Ordering::SeqCst), Arc::strong_count(&asked)), (0, 1));
        board.assert_clean();
    }
}

/// Nobody knows what such a library still looks at. The name is for `--skip leaked`.
#[test]
fn what_a_failed_destroy_may_look_at_is_leaked() {
    for fake in BOTH {
        let board = Board::new(fake);
        for (times, explicit) in [(1, true), (2, false)] {
            let mut model = board.load("destroy_fails");
            text_of(&mut model).unwrap();
            if explicit {
                assert_eq!(model.close().unwrap_err().kind(), ErrorKind::Runtime);
            } else {
                drop(model);
            }
            // What would be used again if it had been freed.
            let filler: Vec<_> = (0..64).map(|i| vec![0x5a_u8; 8 * i]).collect();
            wait_for(&board, "looked again", times);
            drop(filler);
        }
        assert_eq!((board.count("looked again"), board.count("rkllm_destroy")), (2, 2));
        board.assert_clean();
        board.load("").close().unwrap();
        assert_eq!(board.alive(), 0);
    }
}

#[test]
fn the_last_input_stays_after_its_run() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load_with("late_reader", NpuOptions::default());
        text_of(&mut model).unwrap();
        let filler: Vec<_> = (0..64).map(|i| vec![0x5a_u8; 8 * i]).collect();
        wait_for(&board, "looked again", 1);
        assert_eq!(board.count("looked again"), 1);
        drop((filler, model));
        board.assert_clean();
    }
}

#[test]
fn user_data_of_nobody_is_told_nothing() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in ["wrong_userdata", "null_userdata", "wrong_userdata+thread"] {
            let mut model = board.load(words);
            let mut told = 0;
            let run = model.run("x", &RunOptions::default(), |_| {
                told += 1;
                Flow::Continue
            });
            assert_eq!((run.unwrap_err().kind(), told), (ErrorKind::Runtime, 0), "{words}");
        }
        board.assert_clean();
    }
}

#[test]
fn sizes_that_make_no_sense_are_errors() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in ["negative_rows", "negative_columns", "huge_rows", "many_rows"] {
            let mut model = board.load(words);
            for mode in [Mode::Logits, Mode::LastHiddenLayer] {
                let mut told = 0;
                let options = RunOptions::default().with_mode(mode);
                let run = model.run(Input::tokens([1, 2]), &options, |_| {
                    told += 1;
                    Flow::Continue
                });
                let error = run.unwrap_err();
                assert_eq!((error.kind(), told), (ErrorKind::Runtime, 0), "{words}: {error}");
            }
            assert!(NpuBackend::new(model).is_err());
        }
        let mut model = board.load("negative_sizes");
        assert_eq!(model.kv_cache_sizes().unwrap_err().kind(), ErrorKind::Runtime);
        // SAFETY: another size than the fake's, of which nothing is handed to it here.
        let other = unsafe { NpuOptions::default().with_hidden_size_unchecked(HIDDEN + 1) };
        let mut model = board.load_with("", other);
        let options = RunOptions::default().with_mode(Mode::LastHiddenLayer);
        let error = model.run(Input::tokens([1]), &options, |_| Flow::Continue).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Runtime, "{error}");
        board.assert_clean();
    }
}

#[test]
fn closures_are_not_asked_for_lengths_that_make_no_sense_1_3() {
    let board = Board::new(Fake::V1_3);
    let options = NpuOptions::default()
        .with_tokenizer(|_| panic!("asked for nonsense"))
        .with_embedding(|_, _| panic!("asked for nonsense"));
    let mut model = board.load_with("hostile_hooks", options);
    text_of(&mut model).unwrap();
    assert_eq!(board.count("tokenizer_callback of nonsense returned -1"), 5);
    assert_eq!(board.count("embed_callback of nonsense returned -1"), 9);
    board.assert_clean();
}

#[test]
fn what_closures_do_outside_of_runs_arrives_too_1_3() {
    let board = Board::new(Fake::V1_3);
    for words in ["ask_at_init", "ask_at_calls"] {
        let failing = NpuOptions::default()
            .with_tokenizer(|_| Err(rkllm::Error::new(ErrorKind::Tokenizer, "no such word")));
        let outcome = board
            .try_load(words, failing)
            .and_then(|mut model| model.set_chat_template("a", "b", "c"));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Tokenizer, "{words}");
        let panicking = NpuOptions::default().with_embedding(|_, _| panic!("no rows"));
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let mut model = board.load_with(words, panicking.with_tokenizer(|_| Ok(vec![1])));
            model.set_chat_template("a", "b", "c")
        }));
        assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "no rows", "{words}");
        assert_eq!(board.alive(), 0, "{words}");
    }
    board.assert_clean();
}

#[test]
fn several_threads_at_once_are_told_one_after_the_other() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("crowd+tokens=20");
        let inside = AtomicBool::new(false);
        let report = model.run("x", &RunOptions::default(), |_| {
            assert!(!inside.swap(true, Ordering::SeqCst), "two at once");
            thread::yield_now();
            inside.store(false, Ordering::SeqCst);
            Flow::Continue
        });
        assert_eq!(report.unwrap().tokens, 60);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            model.run("x", &RunOptions::default(), |_| panic!("once"))
        }));
        assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "once");
        board.assert_clean();
    }
}

#[test]
fn an_abort_that_tells_on_its_own_thread() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in ["abort_tells+hang", "abort_tells+slow=1+tokens=9999"] {
            let model = board.load(words);
            let end = soon(words, move || {
                let mut model = model;
                let abort = model.abort_handle();
                let within = abort.clone();
                let aborter = thread::spawn(move || {
                    while !abort.is_running().unwrap() {}
                    assert!(abort.abort());
                });
                let report = model.run("x", &RunOptions::default(), |_| {
                    assert!(within.is_running().unwrap());
                    Flow::Continue
                });
                aborter.join().unwrap();
                report.unwrap().end
            });
            assert_eq!(end, End::Aborted, "{words}");
        }
        board.assert_clean();
    }
}

/// The question held the lock by which a closure found its run.
#[test]
fn an_abort_is_not_lost_beside_a_question() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("slow_is_running+slow=1+tokens=400");
        let abort = model.abort_handle();
        let (asking, over) = (abort.clone(), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&over);
        let asker = thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                asking.is_running().unwrap();
            }
        });
        let mut told = 0;
        let report = model.run("x", &RunOptions::default(), |_| {
            told += 1;
            if told == 20 {
                assert!(abort.abort());
            }
            Flow::Continue
        });
        over.store(true, Ordering::SeqCst);
        asker.join().unwrap();
        assert_eq!((report.unwrap().end, told), (End::Aborted, 20));
        board.assert_clean();
    }
}

#[test]
fn an_answer_that_is_none_to_whether_it_runs() {
    for fake in BOTH {
        let board = Board::new(fake);
        let model = board.load("odd_is_running");
        let error = model.abort_handle().is_running().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Runtime, "{error}");
    }
}

#[test]
fn aborts_race_with_the_end() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("tokens=3");
        let (abort, over) = (model.abort_handle(), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&over);
        let aborter = thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                abort.abort();
            }
        });
        let mut ends = [0, 0];
        for _ in 0..300 {
            let report = model.run("x", &RunOptions::default(), |_| Flow::Continue).unwrap();
            ends[usize::from(report.end == End::Aborted)] += 1;
        }
        over.store(true, Ordering::SeqCst);
        aborter.join().unwrap();
        assert_eq!(ends[0] + ends[1], 300);
        assert_eq!(text_of(&mut model).unwrap(), "t0 t1 t2 ");
        board.assert_clean();
    }
}

#[test]
fn a_pause_that_is_ignored_is_an_error() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("ignore_pause");
        let mut told = 0;
        let run = model.run("x", &RunOptions::default(), |_| {
            told += 1;
            Flow::Pause
        });
        assert_eq!((run.unwrap_err().kind(), told), (ErrorKind::Runtime, 1));
        assert_eq!(model.kv_cache_sizes().unwrap(), [0], "nobody knows what was in it");
        board.assert_clean();
    }
}

#[test]
fn a_cache_that_could_not_be_cleared_is_not_gone_on_with() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("");
        board.configure("clear_fails");
        model.run("x", &RunOptions::default(), |_| Flow::Stop).unwrap();
        board.forget();
        assert_eq!(text_of(&mut model).unwrap_err().kind(), ErrorKind::Runtime);
        assert_eq!(board.count("rkllm_run"), 0);
        board.configure("");
        assert_eq!(text_of(&mut model).unwrap(), "t0 t1 t2 t3 ");
        assert_eq!(model.kv_cache_sizes().unwrap(), [5]);
        board.assert_clean();
    }
}

/// What a call was handed stays until another took its place, and after a failure both do.
#[test]
fn what_was_handed_over_before_a_failure_stays() {
    for fake in BOTH {
        let board = Board::new(fake);
        let size = CrossAttentionSize { layers: 2, kv_heads: 2, head_dim: 4 };
        // SAFETY: the fake's size.
        let options = unsafe { NpuOptions::default().with_cross_attention(size) };
        let mut model = board.load_with("", options);
        let state = |value: f32| CrossAttention {
            keys: vec![value; 16],
            values: vec![value; 16],
            mask: vec![value],
            positions: vec![0],
        };
        model.set_cross_attention(state(1.0)).unwrap();
        board.configure("calls_fail");
        assert!(model.set_cross_attention(state(2.0)).is_err());
        board.configure("");
        // The fake looks at the arrays of the last call that it took.
        text_of(&mut model).unwrap();
        board.assert_saw(&["rkllm_run attends to encoder_k_cache[0]=1"]);
        board.assert_clean();
    }
}

#[test]
fn sizes_that_nobody_told_are_not_checked_against() {
    for fake in BOTH {
        let board = Board::new(fake);
        board.configure("zero_defaults");
        let mut model = board.load("");
        assert_eq!((model.context(), model.max_new_tokens(&RunOptions::default())), (0, 0));
        model.generate(Input::tokens([1; 5000]), &RunOptions::default()).unwrap();
        assert_eq!(NpuBackend::new(model).unwrap_err().kind(), ErrorKind::Input);
        assert!(
            NpuBackend::new(board.load_with("", NpuOptions::default().with_context(64))).is_ok()
        );
    }
}

/// Opening a pipe would wait for its writer.
#[test]
fn pipes_and_directories_are_no_files() {
    for fake in BOTH {
        let board = Board::new(fake);
        let pipe = board.model("").with_file_name("pipe.rkllm");
        let made = Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo is of coreutils");
        let dir = pipe.parent().unwrap().to_owned();
        let (runtime, model) = (board.runtime.clone(), board.load(""));
        let kinds = soon("a pipe", move || {
            let mut model = model;
            // A directory may be an adapter, as for the host stand-in.
            let lora = model.load_lora(&pipe, "n", 1.0).unwrap_err().kind();
            let others = [pipe, dir].map(|path| {
                let options = NpuOptions::default().with_runtime(runtime.clone());
                [
                    options.load(&path).map(drop).unwrap_err().kind(),
                    model.load_prompt_cache(&path).unwrap_err().kind(),
                ]
            });
            (lora, others)
        });
        assert_eq!(kinds, (ErrorKind::Input, [[ErrorKind::Input; 2]; 2]));
        assert_eq!((board.count("rkllm_init"), board.count("rkllm_load_lora")), (1, 0));
    }
}

#[test]
fn a_stream_is_of_text() {
    let board = Board::new(Fake::V1_3);
    let mut model = board.load("");
    let options = RunOptions::default().with_mode(Mode::Logits);
    assert_eq!(model.stream("x", &options).unwrap_err().kind(), ErrorKind::Input);
}
