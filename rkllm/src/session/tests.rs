//! Generation with a model that counts.

use std::ops::ControlFlow;

use super::*;
use crate::{Backend, Error, ErrorKind, Result, Want};

/// Ranks the token after the last one first.
struct Counter {
    context: usize,
    tokens: Vec<u32>,
}

impl Backend for Counter {
    fn vocab_size(&self) -> usize {
        10
    }

    fn context(&self) -> usize {
        self.context
    }

    fn position(&self) -> usize {
        self.tokens.len()
    }

    fn reset(&mut self) {
        self.tokens.clear();
    }

    fn forward(
        &mut self,
        tokens: &[u32],
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        assert_eq!(want, Want::Last);
        if self.tokens.len() + tokens.len() > self.context {
            return Err(Error::new(ErrorKind::Context, "full"));
        }
        self.tokens.extend_from_slice(tokens);
        let mut logits = [0.0; 10];
        logits[(tokens[tokens.len() - 1] as usize + 1) % 10] = 1.0;
        sink(self.tokens.len() - 1, &logits)
    }
}

fn run(context: usize, prompt: &[u32], max_tokens: usize, eos: &[u32]) -> Result<Generation> {
    let mut backend = Counter { context, tokens: vec![] };
    let options = GenerateOptions { max_tokens, eos: eos.to_vec() };
    let mut seen = vec![];
    let result = generate(&mut backend, prompt, &options, &mut greedy, &mut |token| {
        seen.push(token);
        ControlFlow::Continue(())
    });
    if let Ok(generation) = &result {
        assert_eq!(generation.tokens, seen, "what was streamed is what is returned");
    }
    result
}

#[test]
fn each_reason_to_stop() {
    let expect = |tokens: &[u32], stop| Generation { tokens: tokens.to_vec(), stop };
    assert_eq!(run(99, &[1, 2], 3, &[9]).unwrap(), expect(&[3, 4, 5], Stop::MaxTokens));
    assert_eq!(run(99, &[6], 30, &[9, 1]).unwrap(), expect(&[7, 8], Stop::Eos));
    assert_eq!(run(99, &[8], 30, &[9]).unwrap(), expect(&[], Stop::Eos));
    assert_eq!(run(99, &[8], 0, &[]).unwrap(), expect(&[], Stop::MaxTokens));
    // A context of 4 takes the prompt and 2 new tokens; the third is known but cannot be fed.
    assert_eq!(run(4, &[1, 2], 30, &[9]).unwrap(), expect(&[3, 4, 5], Stop::Context));
    assert_eq!(run(1, &[1, 2], 30, &[9]).unwrap_err().kind(), ErrorKind::Context);
    assert_eq!(run(4, &[], 30, &[9]).unwrap_err().kind(), ErrorKind::Input);
}

#[test]
fn the_caller_stops_it() {
    let mut backend = Counter { context: 99, tokens: vec![] };
    let options = GenerateOptions { max_tokens: 30, eos: vec![] };
    let generation = generate(&mut backend, &[1], &options, &mut greedy, &mut |token| {
        if token == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(generation.unwrap(), Generation { tokens: vec![2, 3, 4], stop: Stop::Caller });
    assert_eq!(backend.position(), 3, "the last token is not fed");
}

#[test]
fn greedy_takes_the_first_of_equals_and_no_nan() {
    assert_eq!(greedy(&[0.0, 2.0, 2.0]).unwrap(), 1);
    assert_eq!(greedy(&[0.0, f32::NAN]).unwrap_err().kind(), ErrorKind::NonFinite);
}
