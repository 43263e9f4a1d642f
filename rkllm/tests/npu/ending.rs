//! Abort, pause, stop, drop: every way a run ends before its end.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rkllm::npu::{AbortHandle, End, Flow, Input, RunOptions};

use crate::board::{BOTH, Board};

/// Aborts until there was a run to abort and it took notice.
fn abort_soon(abort: AbortHandle) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let started = Instant::now();
        while !abort.is_running().unwrap_or(false) {
            assert!(started.elapsed() < Duration::from_secs(30), "nothing ran");
            thread::sleep(Duration::from_millis(1));
        }
        assert!(abort.abort());
    })
}

#[test]
fn abort_from_another_thread() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in
            ["hang", "hang+thread", "hang+abort_silent", "hang+abort_error", "slow=2+tokens=9999"]
        {
            let mut model = board.load(words);
            let aborter = abort_soon(model.abort_handle());
            let report = model.run("x", &RunOptions::default(), |_| Flow::Continue).unwrap();
            assert_eq!(report.end, End::Aborted, "{words}");
            aborter.join().unwrap();
            assert!(!model.abort_handle().is_running().unwrap());
            assert!(!model.abort_handle().abort(), "nothing runs");
        }
        board.assert_clean();
        assert_eq!(board.alive(), 0);
    }
}

#[test]
fn abort_from_within() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in ["tokens=99", "tokens=99+thread"] {
            let mut model = board.load(words);
            let abort = model.abort_handle();
            let mut told = 0;
            let report = model
                .run("x", &RunOptions::default(), |_| {
                    told += 1;
                    assert!(abort.is_running().unwrap());
                    assert!(abort.abort());
                    Flow::Continue
                })
                .unwrap();
            assert_eq!(report.end, End::Aborted);
            assert!(told <= 2, "{told}");
        }
        board.assert_clean();
    }
}

#[test]
fn a_pause_keeps_the_cache_and_the_next_run_goes_on() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("");
        let mut told = 0;
        let report = model
            .run(Input::tokens([1, 2, 3]), &RunOptions::default(), |_| {
                told += 1;
                if told == 2 { Flow::Pause } else { Flow::Continue }
            })
            .unwrap();
        assert_eq!((report.end, told, report.tokens), (End::Paused, 2, 2));
        assert_eq!(model.kv_cache_sizes().unwrap(), [5]);
        // Its own token, and on.
        let report = model.run(Input::tokens([9]), &RunOptions::default(), |_| Flow::Continue);
        assert_eq!(report.unwrap().end, End::Finished);
        assert_eq!(model.kv_cache_sizes().unwrap(), [10]);
        model.run("x", &RunOptions::default(), |_| Flow::Continue).unwrap();
        assert_eq!(model.kv_cache_sizes().unwrap(), [5], "a run of its own");
        board.assert_clean();
    }
}

#[test]
fn a_stop_leaves_nothing_behind() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("");
        let report = model.run("abc", &RunOptions::default(), |_| Flow::Stop).unwrap();
        assert_eq!((report.end, report.tokens), (End::Aborted, 1));
        model.run("x", &RunOptions::default(), |_| Flow::Continue).unwrap();
        assert_eq!(model.kv_cache_sizes().unwrap(), [5]);
        board.assert_clean();
    }
}

#[test]
fn a_runtime_that_ignores_the_stop_is_aborted() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("ignore_pause+slow=1+tokens=9999");
        let mut told = 0;
        let options = RunOptions::default().with_history(true);
        let report = model
            .run("abc", &options, |_| {
                told += 1;
                Flow::Stop
            })
            .unwrap();
        assert_eq!((report.end, told), (End::Aborted, 1));
        assert_eq!(board.count("rkllm_abort"), 1);
        board.assert_clean();
    }
}

#[test]
fn history_grows_and_is_cleared() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("");
        let turn = RunOptions::default().with_history(true);
        model.generate("abc", &turn).unwrap();
        model.generate("abc", &turn).unwrap();
        assert_eq!(model.kv_cache_sizes().unwrap(), [14]);
        model.clear_kv_cache(true).unwrap();
        assert_eq!(model.kv_cache_sizes().unwrap(), [2], "the system prompt");
        model.run("abc", &turn, |_| Flow::Pause).unwrap();
        assert!(model.clear_kv_ranges(&[0..1]).is_err(), "a run with history");
        board.assert_clean();
    }
}

#[test]
fn dropping_a_stream_ends_its_run() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in [
            "hang",
            "slow=2+tokens=9999",
            "tokens=50",
            "hang+abort_silent",
            "slow=3+thread+tokens=999",
        ] {
            let mut model = board.load(words);
            for taken in [0, 1] {
                let mut stream = model.stream("x", &RunOptions::default()).unwrap();
                if taken == 1 && !words.contains("hang") {
                    stream.next().unwrap().unwrap();
                }
                drop(stream);
                assert!(!model.abort_handle().is_running().unwrap());
            }
        }
        board.assert_clean();
        assert_eq!(board.alive(), 0);
    }
}

#[test]
fn a_stream_can_be_aborted_while_it_is_read() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("slow=1+tokens=9999");
        let mut stream = model.stream("x", &RunOptions::default()).unwrap();
        let abort = stream.abort_handle();
        stream.next().unwrap().unwrap();
        assert!(abort.abort());
        let rest = stream.by_ref().filter(Result::is_err).count();
        assert_eq!((rest, stream.report().unwrap().end), (0, End::Aborted));
        board.assert_clean();
    }
}

/// A leaked stream is safe code: its run goes on without a borrow of the model.
#[test]
fn dropping_a_model_ends_the_run_of_a_leaked_stream() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in ["hang", "slow=2+tokens=9999", "slow=2+tokens=9999+thread", "hang+abort_error"]
        {
            let mut model = board.load(words);
            std::mem::forget(model.stream("x", &RunOptions::default()).unwrap());
            drop(model);
            assert_eq!(board.alive(), 0, "{words}");
        }
        // Calls wait for it instead.
        let mut model = board.load("slow=5");
        std::mem::forget(model.stream("abc", &RunOptions::default()).unwrap());
        thread::sleep(Duration::from_millis(5));
        model.set_chat_template("a", "b", "c").unwrap();
        model.generate("abc", &RunOptions::default()).unwrap();
        drop(model);
        board.assert_clean();
        assert_eq!(board.alive(), 0);
    }
}

#[test]
fn handles_outlive_their_model() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("slow=1+tokens=9999");
        let abort = model.abort_handle();
        let (ready, started) = channel();
        let done = Arc::new(());
        let held = Arc::clone(&done);
        let worker = thread::spawn(move || {
            let _held = held;
            let report = model.run("x", &RunOptions::default(), |_| {
                let _ = ready.send(());
                Flow::Continue
            });
            report.unwrap().end
        });
        started.recv().unwrap();
        while !worker.is_finished() {
            abort.abort();
        }
        assert_eq!(worker.join().unwrap(), End::Aborted);
        assert_eq!((Arc::strong_count(&done), board.alive()), (1, 0));
        assert!(!abort.abort() && abort.is_running().is_err());
        board.assert_clean();
    }
}
