//! What evaluation makes of given logits. Logarithms differ between mathematical libraries in the last
//! bit, so here, and only here, a little is allowed.

use std::ops::ControlFlow;

use rkllm::eval::{EvalOptions, Perplexity, compare, perplexity};
use rkllm::{Backend, Result, Want};

use crate::vectors::cases;

/// Gives row `i` of its logits at position `i`, whatever the token.
struct Rows {
    vocab: usize,
    logits: Vec<f32>,
    position: usize,
}

impl Rows {
    fn new(logits: Vec<f32>, rows: usize) -> Self {
        Self { vocab: logits.len() / rows, logits, position: 0 }
    }
}

impl Backend for Rows {
    fn vocab_size(&self) -> usize {
        self.vocab
    }

    fn context(&self) -> usize {
        self.logits.len() / self.vocab
    }

    fn position(&self) -> usize {
        self.position
    }

    fn reset(&mut self) {
        self.position = 0;
    }

    fn forward(
        &mut self,
        tokens: &[u32],
        _want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        for _ in tokens {
            let row = &self.logits[self.position * self.vocab..][..self.vocab];
            sink(self.position, row)?;
            self.position += 1;
        }
        Ok(())
    }
}

fn options(window: usize) -> EvalOptions {
    EvalOptions { window, bos: Some(0), ..EvalOptions::default() }
}

fn evaluate(logits: Vec<f32>, targets: &[u32]) -> Perplexity {
    let mut rows = Rows::new(logits, targets.len());
    perplexity(&mut rows, targets, &options(targets.len()), &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

#[track_caller]
fn assert_close(what: &str, expected: f64, found: f64) {
    let allowed = 1e-12 * expected.abs().max(1.0);
    assert!((expected - found).abs() <= allowed, "{what}: expected {expected:e}, found {found:e}");
}

#[test]
fn log_probabilities() {
    for case in cases("log_probabilities") {
        for (target, expected) in case.doubles("y").into_iter().enumerate() {
            let found = -evaluate(case.floats("logits"), &[target as u32]).cross_entropy;
            assert_close(&format!("{}, token {target}", case.label), expected, found);
        }
    }
}

#[test]
fn perplexity_of_a_text() {
    for case in cases("perplexity") {
        let targets: Vec<u32> = case.integers("targets").into_iter().map(|t| t as u32).collect();
        let found = evaluate(case.floats("logits"), &targets);
        assert_eq!(found.tokens_scored, targets.len(), "{}", case.label);
        assert_close(&case.label, case.doubles("y")[0], found.perplexity);
    }
}

#[test]
fn kl_divergence() {
    for case in cases("kl") {
        let mut p = Rows::new(case.floats("p"), 1);
        let mut q = Rows::new(case.floats("q"), 1);
        let found =
            compare(&mut p, &mut [&mut q], &[0], &options(1), &mut |_| ControlFlow::Continue(()));
        let differences = found.unwrap().candidates.remove(0).unwrap().differences;
        let found = differences.summary().unwrap().kl_mean;
        assert_close(&case.label, case.doubles("y")[0], found);
    }
}
