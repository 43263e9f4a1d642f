//! Calls from within closures: of the same model, of another one.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rkllm::ErrorKind;
use rkllm::npu::{Flow, NpuModel, NpuOptions, RunOptions};

use crate::board::{BOTH, Board, Fake, soon};

/// A place for a model that its own closure can reach, by a stream that was leaked.
type Place = Arc<Mutex<Option<NpuModel>>>;

fn with_itself(act: impl Fn(&mut Option<NpuModel>) + Send + 'static) -> (Board, Place) {
    let board = Board::new(Fake::V1_3);
    let place = Place::default();
    let own = Arc::clone(&place);
    let mut acted = false;
    let options = NpuOptions::default().with_tokenizer(move |_| {
        let started = Instant::now();
        if std::mem::replace(&mut acted, true) {
            return Ok(vec![1, 2]);
        }
        // The main thread puts it there once the stream has begun.
        while own.lock().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(30));
            thread::sleep(Duration::from_millis(1));
        }
        act(&mut own.lock().unwrap());
        Ok(vec![1, 2])
    });
    let mut model = board.load_with("no_tokenizer+slow=1", options);
    std::mem::forget(model.stream("x", &RunOptions::default()).unwrap());
    *place.lock().unwrap() = Some(model);
    (board, place)
}

fn until(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_closure_may_drop_the_model_of_its_own_leaked_stream() {
    let (board, _place) = with_itself(|place| drop(place.take()));
    until("the run has ended and freed its model", || board.alive() == 0);
    board.assert_clean();
}

#[test]
fn a_closure_may_close_the_model_of_its_own_leaked_stream() {
    let told = Arc::new(Mutex::new(None));
    let found = Arc::clone(&told);
    let (board, _place) = with_itself(move |place| {
        let closed = place.take().unwrap().close();
        *found.lock().unwrap() = Some(closed.unwrap_err().kind());
    });
    until("the run has ended and freed its model", || board.alive() == 0);
    assert_eq!(*told.lock().unwrap(), Some(ErrorKind::Input), "it frees it later");
    board.assert_clean();
}

#[test]
fn a_call_from_a_closure_of_its_own_leaked_stream_is_refused() {
    let errors = Arc::new(Mutex::new(Vec::new()));
    let found = Arc::clone(&errors);
    let (board, place) = with_itself(move |place| {
        let model = place.as_mut().unwrap();
        let run = model.generate("again", &RunOptions::default()).map(drop);
        let call = model.set_chat_template("a", "b", "c");
        let stream = model.stream("again", &RunOptions::default()).unwrap().next().unwrap();
        found.lock().unwrap().extend(
            [run, call, stream.map(drop)].map(|result| result.map_err(|error| error.kind())),
        );
    });
    until("the closure was asked", || errors.lock().unwrap().len() == 3);
    assert_eq!(*errors.lock().unwrap(), [Err(ErrorKind::Input); 3]);
    let model = place.lock().unwrap().take();
    soon("the model is dropped", move || drop(model));
    assert_eq!(board.alive(), 0);
    board.assert_clean();
}

#[test]
fn closures_of_one_model_may_use_another() {
    for fake in BOTH {
        let board = Board::new(fake);
        let (outer, inner) = (board.load("tokens=3"), board.load("echo"));
        let (hanging, unused) = (board.load("hang"), board.load(""));
        let said = soon("models of one runtime, one within the other", move || {
            let (mut outer, mut inner, mut hanging) = (outer, inner, hanging);
            let mut unused = Some(unused);
            let mut said = Vec::new();
            outer
                .run("x", &RunOptions::default(), |output| {
                    drop(unused.take());
                    // Its run is no run of ours: it is aborted at once and waited for.
                    drop(hanging.stream("x", &RunOptions::default()).unwrap());
                    said.push(inner.generate(output.text, &RunOptions::default()).unwrap().0);
                    Flow::Continue
                })
                .unwrap();
            said
        });
        assert_eq!(said, ["t0 ", "t1 ", "t2 "]);
        assert_eq!(board.alive(), 0);
        board.assert_clean();
    }
}
