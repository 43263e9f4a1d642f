//! The runtime's logits as a `Backend`.

use rkllm::npu::{Flow, Mode, NpuBackend, NpuOptions, RunOptions};
use rkllm::{Backend, Error, ErrorKind, Want};

use crate::board::{BOTH, Board, VOCAB};

/// The fake predicts the id after the one it was fed.
fn best(row: &[f32]) -> u32 {
    row.iter().position(|logit| *logit == 2.0).unwrap() as u32
}

fn fed(backend: &mut NpuBackend, tokens: &[u32], want: Want) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    backend
        .forward(tokens, want, &mut |position, row| {
            assert_eq!(row.len(), VOCAB);
            found.push((position, best(row)));
            Ok(())
        })
        .unwrap();
    found
}

#[test]
fn logits_of_all_of_the_last_or_of_none() {
    for fake in BOTH {
        for words in ["", "last_logits", "thread", "double_finish"] {
            let board = Board::new(fake);
            let mut backend =
                NpuBackend::new(board.load_with(words, NpuOptions::default().with_context(64)))
                    .unwrap();
            assert_eq!(
                (backend.vocab_size(), backend.context(), backend.position()),
                (VOCAB, 64, 0)
            );
            assert_eq!(fed(&mut backend, &[3, 9, 15], Want::All), [(0, 4), (1, 10), (2, 0)]);
            assert_eq!(fed(&mut backend, &[1, 2], Want::Nothing), []);
            assert_eq!(fed(&mut backend, &[7, 8], Want::Last), [(6, 9)]);
            assert_eq!(fed(&mut backend, &[], Want::All), []);
            assert_eq!(backend.position(), 7);
            // More than one run takes at once.
            let long: Vec<u32> = (0..50).map(|i| i % 16).collect();
            let all = fed(&mut backend, &long, Want::All);
            let expected: Vec<_> =
                long.iter().enumerate().map(|(i, id)| (7 + i, (id + 1) % 16)).collect();
            assert_eq!(all, expected);
            backend.reset();
            assert_eq!(
                (backend.position(), fed(&mut backend, &[5], Want::Last)),
                (0, vec![(0, 6)])
            );
            board.assert_saw(&[
                "rkllm_run infer.mode=2",
                "rkllm_run infer.keep_history=0",
                "rkllm_run paused",
            ]);
        }
    }
}

#[test]
fn a_sequence_can_be_cut() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut backend = NpuBackend::new(board.load("")).unwrap();
        fed(&mut backend, &[1, 2, 3, 4, 5], Want::Nothing);
        backend.truncate(5).unwrap();
        backend.truncate(2).unwrap();
        assert_eq!(backend.position(), 2);
        board.assert_saw(&[
            "rkllm_clear_kv_cache start_pos=[2]",
            "rkllm_clear_kv_cache end_pos=[5]",
        ]);
        assert_eq!(fed(&mut backend, &[6], Want::Last), [(2, 7)]);
        assert_eq!(backend.truncate(4).unwrap_err().kind(), ErrorKind::Input);
        backend.truncate(0).unwrap();
        assert_eq!(backend.position(), 0);
        assert_eq!(backend.truncate(1).unwrap_err().kind(), ErrorKind::Input);
        board.assert_clean();
    }
}

#[test]
fn what_does_not_fit_changes_nothing() {
    for fake in BOTH {
        let board = Board::new(fake);
        let model = board.load_with("", NpuOptions::default().with_context(4));
        let mut backend = NpuBackend::new(model).unwrap();
        fed(&mut backend, &[1, 2], Want::Nothing);
        let mut forward = |tokens: &[u32]| {
            backend.forward(tokens, Want::All, &mut |_, _| panic!("refused")).unwrap_err().kind()
        };
        assert_eq!(forward(&[1, 2, 3]), ErrorKind::Context);
        assert_eq!(forward(&[16]), ErrorKind::Tokenizer);
        assert_eq!(backend.position(), 2);
        let stop = backend.forward(&[1, 2], Want::All, &mut |_, _| {
            Err(Error::new(ErrorKind::Cancelled, "enough"))
        });
        assert_eq!(stop.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(backend.position(), 4, "what was fed was fed");
        board.assert_clean();
    }
}

#[test]
fn a_runtime_that_fails_says_so_until_a_reset() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut backend = NpuBackend::new(board.load("")).unwrap();
        let forward = |backend: &mut NpuBackend| {
            backend.forward(&[1], Want::Last, &mut |_, _| Ok(())).map_err(|error| error.kind())
        };
        board.configure("run_fails");
        assert_eq!(forward(&mut backend), Err(ErrorKind::Runtime));
        board.configure("");
        assert_eq!(forward(&mut backend), Err(ErrorKind::Runtime), "nobody knows what it holds");
        backend.reset();
        assert_eq!(forward(&mut backend), Ok(()));
        // A runtime that does not pause has not kept what it was fed as it was fed.
        board.configure("ignore_pause");
        assert!(forward(&mut backend).is_err() || backend.position() == 2);
        board.configure("calls_fail");
        assert_eq!(forward(&mut backend), Err(ErrorKind::Runtime), "its count is not known");
        backend.reset();
        assert_eq!(forward(&mut backend), Err(ErrorKind::Runtime), "and it could not forget");
        board.configure("");
        let refused = NpuBackend::new(board.load_with("", NpuOptions::default().with_batch(2)));
        assert!(refused.is_err());
        board.assert_clean();
    }
}

/// Logits by the safe interface alone, as a program that samples for itself would.
#[test]
fn sampling_by_the_caller() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("");
        let options = RunOptions::default().with_mode(Mode::Logits);
        let mut sequence = vec![2];
        let mut next = sequence.clone();
        for _ in 0..5 {
            let mut chosen = None;
            model
                .run(rkllm::npu::Input::tokens(next), &options, |output| {
                    chosen = output.logits.and_then(|rows| rows.rows().last().map(best));
                    Flow::Pause
                })
                .unwrap();
            sequence.extend(chosen);
            next = vec![chosen.unwrap()];
        }
        assert_eq!(sequence, [2, 3, 4, 5, 6, 7]);
        assert_eq!(model.kv_cache_sizes().unwrap(), [5]);
    }
}

#[cfg(feature = "eval")]
#[test]
fn perplexity_is_measured_through_it() {
    use rkllm::eval::{EvalOptions, perplexity};
    use std::ops::ControlFlow;
    // Of the text 0 1 2 ... the fake knows every next token with the same probability.
    let text: Vec<u32> = (0..40).map(|i| i % 16).collect();
    let options = EvalOptions { window: 12, bos: None, ..EvalOptions::default() };
    let row: Vec<f64> = (0..VOCAB).map(|v| if v == 1 { 2.0 } else { v as f64 / 64.0 }).collect();
    for fake in BOTH {
        let mut figures = Vec::new();
        for words in ["", "last_logits"] {
            let board = Board::new(fake);
            let mut backend = NpuBackend::new(board.load(words)).unwrap();
            let found =
                perplexity(&mut backend, &text, &options, &mut |_| ControlFlow::Continue(()));
            figures.push(found.unwrap());
            board.assert_clean();
        }
        assert_eq!(figures[0], figures[1], "one token at a time or all at once");
        assert_eq!(figures[0].tokens_scored, 39);
        let sum: f64 = row.iter().map(|l| libm_exp(*l)).sum();
        let likely = sum / libm_exp(2.0);
        assert!(
            (figures[0].perplexity / likely - 1.0).abs() < 0.02,
            "{} {likely}",
            figures[0].perplexity
        );
    }
}

/// `exp` of small numbers by its series; the standard library's is not allowed here.
#[cfg(feature = "eval")]
fn libm_exp(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..40 {
        term *= x / f64::from(n);
        sum += term;
    }
    sum
}
