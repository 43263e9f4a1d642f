//! Evaluation of backends whose logits are known in closed form.

use std::ops::ControlFlow;

use super::*;
use crate::{Backend, Error, ErrorKind, Result, Want};

/// Logits as a function of the tokens fed so far, and a record of the sequences it was fed.
struct Fake<F> {
    vocab: usize,
    context: usize,
    tokens: Vec<u32>,
    sequences: Vec<Vec<u32>>,
    wanted: usize,
    logits: F,
}

impl<F: Fn(&[u32]) -> Vec<f32>> Fake<F> {
    fn new(vocab: usize, context: usize, logits: F) -> Self {
        Self { vocab, context, tokens: vec![], sequences: vec![], wanted: 0, logits }
    }

    fn fed(&self) -> Vec<Vec<u32>> {
        self.sequences
            .iter()
            .chain([&self.tokens])
            .filter(|tokens| !tokens.is_empty())
            .cloned()
            .collect()
    }
}

impl<F: Fn(&[u32]) -> Vec<f32>> Backend for Fake<F> {
    fn vocab_size(&self) -> usize {
        self.vocab
    }

    fn context(&self) -> usize {
        self.context
    }

    fn position(&self) -> usize {
        self.tokens.len()
    }

    fn reset(&mut self) {
        self.sequences.push(std::mem::take(&mut self.tokens));
    }

    fn forward(
        &mut self,
        tokens: &[u32],
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        assert!(!tokens.is_empty(), "an empty batch");
        if self.tokens.len() + tokens.len() > self.context {
            return Err(Error::new(ErrorKind::Context, "full"));
        }
        for (index, &token) in tokens.iter().enumerate() {
            self.tokens.push(token);
            if want == Want::All || (want == Want::Last && index + 1 == tokens.len()) {
                self.wanted += 1;
                sink(self.tokens.len() - 1, &(self.logits)(&self.tokens))?;
            }
        }
        Ok(())
    }
}

fn quiet(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn options(method: Method, window: usize, bos: Option<u32>) -> EvalOptions {
    EvalOptions { method, window, bos, chunk: 0 }
}

/// Logits that depend on everything fed so far, so that a wrong cut shows.
fn mixed(seed: u32) -> impl Fn(&[u32]) -> Vec<f32> {
    move |tokens| {
        let state =
            tokens.iter().fold(seed, |state, &token| state.wrapping_mul(31).wrapping_add(token));
        (0..19u32).map(|i| (state.wrapping_mul(2 * i + 1) >> 16 & 0xff) as f32 / 40.0).collect()
    }
}

fn text(length: u32) -> Vec<u32> {
    (0..length).map(|i| i * 7 % 19).collect()
}

#[test]
fn uniform_logits_give_the_vocabulary_as_perplexity() {
    let mut model = Fake::new(19, 8, |_| vec![2.5; 19]);
    let report =
        perplexity(&mut model, &text(30), &options(Method::Windows, 8, Some(0)), &mut quiet);
    let report = report.unwrap();
    assert!((report.perplexity - 19.0).abs() < 1e-9, "{}", report.perplexity);
    assert_eq!((report.tokens_scored, report.method, report.window), (30, Method::Windows, 8));
}

#[test]
fn cross_entropy_by_hand() {
    // Two tokens with logits 0 and ln 3: probabilities 1/4 and 3/4; the text is 1, 0, 1.
    let ln3 = libm::log(3.0) as f32;
    let mut model = Fake::new(2, 4, move |_| vec![0.0, ln3]);
    let report =
        perplexity(&mut model, &[1, 0, 1], &options(Method::Windows, 4, Some(0)), &mut quiet);
    let expected = -(2.0 * libm::log(0.75) + libm::log(0.25)) / 3.0;
    let report = report.unwrap();
    assert!((report.cross_entropy - expected).abs() < 1e-7);
    assert!((report.perplexity - libm::exp(expected)).abs() < 1e-6);
}

#[test]
fn windows_predict_every_token_once() {
    // 10 tokens and BOS: inputs 0..4, 4..8, 8..10 of 11 ids.
    let tokens: Vec<u32> = (1..=10).collect();
    let mut model = Fake::new(19, 4, mixed(1));
    let report = perplexity(&mut model, &tokens, &options(Method::Windows, 4, Some(0)), &mut quiet);
    assert_eq!(report.unwrap().tokens_scored, 10);
    assert_eq!(model.fed(), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);

    // A multiple of the window leaves no empty last window.
    let mut model = Fake::new(19, 5, mixed(1));
    let report = perplexity(&mut model, &tokens, &options(Method::Windows, 5, Some(0)), &mut quiet);
    assert_eq!(report.unwrap().tokens_scored, 10);
    assert_eq!(model.fed(), [vec![0, 1, 2, 3, 4], vec![5, 6, 7, 8, 9]]);

    // Without BOS the first token cannot be predicted.
    let mut model = Fake::new(19, 5, mixed(1));
    let report = perplexity(&mut model, &tokens, &options(Method::Windows, 5, None), &mut quiet);
    assert_eq!(report.unwrap().tokens_scored, 9);
    assert_eq!(model.fed(), [vec![1, 2, 3, 4, 5], vec![6, 7, 8, 9]]);
}

#[test]
fn targets_are_the_tokens_that_follow() {
    // A model sure that 1 is followed by 2, 2 by 3 and so on.
    let sure = |tokens: &[u32]| {
        let next = tokens.last().unwrap() + 1;
        (0..19).map(|i| if i == next { 40.0 } else { 0.0 }).collect()
    };
    let tokens: Vec<u32> = (1..=15).collect();
    for method in [Method::Windows, Method::Llama] {
        for window in [4, 5, 16] {
            let mut model = Fake::new(19, 16, sure);
            let report =
                perplexity(&mut model, &tokens, &options(method, window, Some(0)), &mut quiet);
            let perplexity = report.unwrap().perplexity;
            assert!((perplexity - 1.0).abs() < 1e-9, "{method} {window}: {perplexity}");
        }
    }
}

#[test]
fn llama_scores_the_second_half_of_whole_chunks() {
    // 11 ids in chunks of 5: two chunks, one id dropped; positions 2 and 3 scored, position 4 not fed.
    let tokens: Vec<u32> = (1..=10).collect();
    let mut model = Fake::new(19, 5, mixed(1));
    let report = perplexity(&mut model, &tokens, &options(Method::Llama, 5, Some(18)), &mut quiet);
    assert_eq!(report.unwrap().tokens_scored, 4);
    assert_eq!(model.fed(), [vec![18, 1, 2, 3], vec![18, 6, 7, 8]]);
    assert_eq!(model.wanted, 4);

    // Without BOS nothing is replaced.
    let mut model = Fake::new(19, 5, mixed(1));
    perplexity(&mut model, &tokens, &options(Method::Llama, 5, None), &mut quiet).unwrap();
    assert_eq!(model.fed(), [vec![1, 2, 3, 4], vec![6, 7, 8, 9]]);

    // llama.cpp's own case: positions 256 to 510.
    let mut model = Fake::new(19, 512, mixed(1));
    let report =
        perplexity(&mut model, &text(1100), &options(Method::Llama, 512, Some(0)), &mut quiet);
    assert_eq!(report.unwrap().tokens_scored, 2 * 255);
}

#[test]
fn chunks_do_not_move_a_bit() {
    for method in [Method::Windows, Method::Llama] {
        let run = |chunk| {
            let mut model = Fake::new(19, 8, mixed(3));
            let options = EvalOptions { chunk, ..options(method, 8, Some(0)) };
            perplexity(&mut model, &text(45), &options, &mut quiet).unwrap()
        };
        let whole = run(0);
        assert_eq!(whole.logits_hash.len(), 64);
        for chunk in [1, 3, 8, 100] {
            assert_eq!(run(chunk), whole);
        }
    }
}

#[test]
fn the_hash_is_of_little_endian_floats_in_order() {
    let mut hash = LogitsHash::default();
    hash.update(&[1.0, -2.0]);
    hash.update(&[0.5]);
    // printf '\x00\x00\x80\x3f\x00\x00\x00\xc0\x00\x00\x00\x3f' | sha256sum
    assert_eq!(
        hash.to_string(),
        "2ce4bdb6b34a50ac7092eb9fee94337a27498e9eb9bae44192f15b88831b2422"
    );
    let long: Vec<f32> = (0..5000).map(|i| i as f32).collect();
    let (mut whole, mut parts) = (LogitsHash::default(), LogitsHash::default());
    whole.update(&long);
    long.chunks(77).for_each(|part| parts.update(part));
    assert_eq!(whole.to_string(), parts.to_string());
}

#[test]
fn texts_too_short_and_windows_too_long_are_refused_with_numbers() {
    let mut model = Fake::new(19, 8, mixed(1));
    let mut fails = |tokens: &[u32], options: &EvalOptions| {
        perplexity(&mut model, tokens, options, &mut quiet).unwrap_err()
    };
    let error = fails(&[], &options(Method::Windows, 8, Some(0)));
    assert!(error.kind() == ErrorKind::Input && error.to_string().contains("empty"), "{error}");
    let error = fails(&[5], &options(Method::Windows, 8, None));
    assert!(error.kind() == ErrorKind::Input && error.to_string().contains("BOS"), "{error}");
    let error = fails(&text(6), &options(Method::Llama, 8, Some(0)));
    assert!(
        error.to_string().contains("chunk of 8") && error.to_string().contains("has 7"),
        "{error}"
    );
    let error = fails(&text(20), &options(Method::Windows, 9, Some(0)));
    assert_eq!(error.kind(), ErrorKind::Context);
    assert!(error.to_string().contains('9') && error.to_string().contains('8'), "{error}");
    assert_eq!(fails(&text(20), &options(Method::Windows, 0, Some(0))).kind(), ErrorKind::Input);
    assert_eq!(fails(&text(20), &options(Method::Llama, 2, Some(0))).kind(), ErrorKind::Input);
    let error = fails(&[3, 19], &options(Method::Windows, 8, Some(0)));
    assert_eq!(error.kind(), ErrorKind::Tokenizer);
}

#[test]
fn logits_that_are_not_finite_are_an_error_with_the_position() {
    let mut model = Fake::new(3, 4, |tokens: &[u32]| match tokens {
        [.., 2, 1] => vec![0.0, f32::NAN, 0.0],
        _ => vec![0.0; 3],
    });
    let tokens = [1, 2, 0, 2, 1, 0];
    let error = perplexity(&mut model, &tokens, &options(Method::Windows, 4, Some(0)), &mut quiet);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NonFinite);
    assert!(error.to_string().contains("logit 1 at scored position 5"), "{error}");
}

#[test]
fn the_caller_sees_progress_and_can_stop() {
    let mut seen = vec![];
    let mut model = Fake::new(19, 4, |_| vec![0.0; 19]);
    let result =
        perplexity(&mut model, &text(10), &options(Method::Windows, 4, Some(0)), &mut |progress| {
            seen.push((progress.done, progress.total));
            assert!((progress.perplexity - 19.0).abs() < 1e-9);
            if progress.done == 6 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(seen, (1..=6).map(|done| (done, 10)).collect::<Vec<_>>());
}

#[test]
fn divergence_by_hand() {
    // Baseline probabilities 1/4, 3/4; the other model's are 1/2, 1/2 at every position.
    let ln3 = libm::log(3.0) as f32;
    let mut baseline = Fake::new(2, 4, move |_| vec![0.0, ln3]);
    let mut same = Fake::new(2, 4, move |_| vec![0.0, ln3]);
    let mut even = Fake::new(2, 4, |_| vec![-1.0, -1.0]);
    let comparison = compare(
        &mut baseline,
        &mut [&mut same, &mut even],
        &[1, 0, 1, 1, 0, 1],
        &options(Method::Windows, 4, Some(0)),
        &mut quiet,
    )
    .unwrap();
    let [same, even] = &comparison.candidates[..] else { panic!() };
    let (same, even) = (same.as_ref().unwrap(), even.as_ref().unwrap());
    assert_eq!(same.perplexity, comparison.baseline);
    let nothing = Divergence {
        kl_mean: 0.0,
        kl_median: 0.0,
        kl_p99: 0.0,
        kl_max: 0.0,
        top1: 1.0,
        cosine: 1.0,
        mse: 0.0,
        mae: 0.0,
    };
    let found = same.differences.summary().unwrap();
    assert!((found.cosine - 1.0).abs() < 1e-12);
    assert_eq!(Divergence { cosine: 1.0, ..found }, nothing);

    let kl = 0.25 * libm::log(0.5) + 0.75 * libm::log(1.5);
    let found = even.differences.summary().unwrap();
    for value in [found.kl_mean, found.kl_median, found.kl_p99, found.kl_max] {
        assert!((value - kl).abs() < 1e-7, "{value} {kl}");
    }
    assert_eq!(found.top1, 0.0, "of equal logits the first is chosen");
    // cos of (0, ln 3) and (-1, -1)
    assert!((found.cosine + libm::sqrt(0.5)).abs() < 1e-7, "{}", found.cosine);
    let ln3 = f64::from(ln3);
    assert!((found.mse - (1.0 + (ln3 + 1.0) * (ln3 + 1.0)) / 2.0).abs() < 1e-9);
    assert!((found.mae - (1.0 + (ln3 + 1.0)) / 2.0).abs() < 1e-9);
    assert!((even.perplexity.perplexity - 2.0).abs() < 1e-9);

    // Both texts together: half the positions differ.
    let mut both = same.differences.clone();
    both.append(&even.differences);
    let both = both.summary().unwrap();
    assert!((both.kl_mean - kl / 2.0).abs() < 1e-7 && (both.kl_max - kl).abs() < 1e-7);
    assert!((both.mse - found.mse / 2.0).abs() < 1e-9 && both.top1 == 0.5);
    assert!(Differences::default().summary().is_none());
}

#[test]
fn quantiles_are_those_of_the_summary() {
    let (mut p, mut q) = (Fake::new(19, 7, mixed(3)), Fake::new(19, 7, mixed(8)));
    let eval = options(Method::Windows, 7, Some(0));
    let found = compare(&mut p, &mut [&mut q], &text(40), &eval, &mut quiet).unwrap();
    let differences = found.candidates.into_iter().next().unwrap().unwrap().differences;
    let summary = differences.summary().unwrap();
    let [least, median, p99, max] = differences.kl_quantiles([-1.0, 0.5, 0.99, 1.0]).unwrap();
    assert_eq!([median, p99, max], [summary.kl_median, summary.kl_p99, summary.kl_max]);
    assert!(least < median);
    assert!(Differences::default().kl_quantiles([0.5]).is_none());
}

#[test]
fn kl_is_the_definition_over_a_wider_vocabulary() {
    let tokens = text(40);
    let eval = options(Method::Windows, 7, Some(0));
    let (mut p, mut q) = (Fake::new(19, 7, mixed(3)), Fake::new(19, 7, mixed(8)));
    let found = compare(&mut p, &mut [&mut q], &tokens, &eval, &mut quiet).unwrap();
    let found =
        found.candidates.into_iter().next().unwrap().unwrap().differences.summary().unwrap();

    let softmax = |logits: Vec<f32>| -> Vec<f64> {
        let e: Vec<f64> = logits.iter().map(|&l| libm::exp(f64::from(l))).collect();
        let t: f64 = e.iter().sum();
        e.into_iter().map(|e| e / t).collect()
    };
    let ids: Vec<u32> = [0].into_iter().chain(tokens).collect();
    let mut all = vec![];
    let mut same = 0;
    for position in 0..40 {
        let seen = &ids[position / 7 * 7..=position];
        let (p, q) = (softmax(mixed(3)(seen)), softmax(mixed(8)(seen)));
        all.push(p.iter().zip(&q).map(|(p, q)| p * (libm::log(*p) - libm::log(*q))).sum::<f64>());
        let top = |x: &[f64]| (0..19).rev().max_by(|&a, &b| x[a].total_cmp(&x[b])).unwrap();
        same += usize::from(top(&p) == top(&q));
    }
    let mean = all.iter().sum::<f64>() / 40.0;
    all.sort_by(f64::total_cmp);
    assert!((found.kl_mean - mean).abs() < 1e-6, "{} {mean}", found.kl_mean);
    assert!((found.kl_median - (all[19] + all[20]) / 2.0).abs() < 1e-6);
    // numpy.percentile(all, 99): rank 38.61
    assert!((found.kl_p99 - (all[38] + 0.61 * (all[39] - all[38]))).abs() < 1e-6);
    assert!((found.kl_max - all[39]).abs() < 1e-6);
    assert_eq!(found.top1, same as f64 / 40.0);
}

#[test]
fn a_candidate_that_fails_leaves_the_others_alone() {
    let mut baseline = Fake::new(19, 8, mixed(1));
    let mut good = Fake::new(19, 8, mixed(2));
    let mut narrow = Fake::new(18, 8, |_| vec![0.0; 18]);
    let mut short = Fake::new(19, 7, mixed(2));
    let mut broken = Fake::new(19, 8, |tokens: &[u32]| {
        vec![if tokens.len() == 3 { f32::INFINITY } else { 0.0 }; 19]
    });
    let comparison = compare(
        &mut baseline,
        &mut [&mut narrow, &mut broken, &mut good, &mut short],
        &text(30),
        &EvalOptions { chunk: 3, ..options(Method::Llama, 8, Some(0)) },
        &mut quiet,
    )
    .unwrap();
    let kinds: Vec<_> =
        comparison.candidates.iter().map(|c| c.as_ref().err().map(Error::kind)).collect();
    let expected = [Some(ErrorKind::Shape), None, None, Some(ErrorKind::Context)];
    // The broken position is in the unscored half, so only the wrong shapes fail.
    assert_eq!(kinds, expected);
    let alone = {
        let mut good = Fake::new(19, 8, mixed(2));
        perplexity(&mut good, &text(30), &options(Method::Llama, 8, Some(0)), &mut quiet).unwrap()
    };
    assert_eq!(comparison.candidates[2].as_ref().unwrap().perplexity, alone);
    assert_eq!(narrow.fed(), Vec::<Vec<u32>>::new());

    let mut windows = options(Method::Windows, 8, Some(0));
    windows.chunk = 2;
    let comparison =
        compare(&mut baseline, &mut [&mut broken, &mut good], &text(30), &windows, &mut quiet)
            .unwrap();
    assert_eq!(comparison.candidates[0].as_ref().unwrap_err().kind(), ErrorKind::NonFinite);
    assert!(comparison.candidates[1].is_ok());
}

#[test]
fn speed_counts_runs_and_tokens() {
    let mut model = Fake::new(19, 24, mixed(1));
    let options = SpeedOptions { prompt: 16, generate: 8, repeat: 3, warmup: 2 };
    let mut runs = vec![];
    let report = speed(&mut model, &options, &mut |done, all| {
        runs.push((done, all));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(runs, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
    let fed = model.fed();
    assert_eq!(fed.len(), 5);
    assert!(fed.iter().all(|tokens| tokens.len() == 24 && tokens == &fed[0]), "runs differ");
    assert!(fed[0].iter().all(|&token| token < 19));
    for samples in [report.prefill_tokens_per_s, report.decode_tokens_per_s, report.ttft_ms] {
        let samples = samples.unwrap();
        assert_eq!(samples.values.len(), 3);
        assert!(0.0 < samples.min && samples.min <= samples.median);
        assert!(samples.median <= samples.max && samples.max.is_finite());
    }

    let options = SpeedOptions { prompt: 0, generate: 24, repeat: 1, warmup: 0 };
    let report = speed(&mut model, &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert!(report.prefill_tokens_per_s.is_none() && report.ttft_ms.is_none());
    assert!(report.decode_tokens_per_s.is_some());

    let options = SpeedOptions { prompt: 0, generate: 0, ..SpeedOptions::default() };
    let error = speed(&mut model, &options, &mut |_, _| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    let error = speed(&mut model, &SpeedOptions::default(), &mut |_, _| ControlFlow::Break(()));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Context);
    let options = SpeedOptions { prompt: 4, generate: 0, repeat: 1, warmup: 1 };
    let error = speed(&mut model, &options, &mut |_, _| ControlFlow::Break(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn medians_of_odd_and_even_counts() {
    assert_eq!(Samples::new(vec![3.0, 1.0, 2.0]).unwrap().median, 2.0);
    let even = Samples::new(vec![4.0, 1.0, 2.0, 3.0]).unwrap();
    assert_eq!((even.median, even.min, even.max), (2.5, 1.0, 4.0));
    assert_eq!(even.values, [4.0, 1.0, 2.0, 3.0]);
    assert!(Samples::new(vec![]).is_none());
}
