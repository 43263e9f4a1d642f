//! The sampler against plain definitions.

use super::super::random::SplitMix64;
use super::super::sampling::{Sampler, Sampling};
use crate::ErrorKind;

fn choose(options: &Sampling, logits: &[f32], tokens: &[u32], prompt: usize, seed: u64) -> u32 {
    options.check().unwrap();
    Sampler::new(options.clone(), seed).choose(logits, tokens, prompt, None).unwrap()
}

fn random_logits(random: &mut SplitMix64, n: usize) -> Vec<f32> {
    // Multiples of 1/4 give ties.
    (0..n).map(|_| ((random.unit() * 48.0) as i32 - 24) as f32 / 4.0).collect()
}

/// The tokens that the documented order of filters leaves, and their weights, by id.
fn kept(logits: &[f32], t: f32, k: Option<usize>, p: f32, min_p: f32) -> Vec<(u32, f64)> {
    let best = logits.iter().copied().fold(f32::MIN, f32::max);
    let weight = |l: f32| libm::exp((f64::from(l) - f64::from(best)) / f64::from(t));
    let mut all: Vec<(u32, f64)> =
        logits.iter().enumerate().map(|(id, &l)| (id as u32, weight(l))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(k.unwrap_or(usize::MAX));
    let total: f64 = all.iter().map(|(_, w)| w).sum();
    let mut sum = 0.0;
    let mut nucleus = Vec::new();
    for (id, w) in all {
        if sum < f64::from(p) * total || p >= 1.0 {
            nucleus.push((id, w));
        }
        sum += w;
    }
    nucleus.retain(|&(_, w)| w >= f64::from(min_p));
    nucleus.sort_by_key(|&(id, _)| id);
    nucleus
}

#[test]
fn filters_leave_what_their_definitions_say() {
    let mut random = SplitMix64::new(11);
    for round in 0..400 {
        let n = 1 + (random.next() % 60) as usize;
        let logits = random_logits(&mut random, n);
        let t = 0.25 + random.unit() as f32 * 2.0;
        let k = random.next().is_multiple_of(2).then(|| 1 + (random.next() % 70) as usize);
        let p =
            if random.next().is_multiple_of(3) { 1.0 } else { 0.05 + random.unit() as f32 * 0.9 };
        let min_p = if random.next().is_multiple_of(2) { 0.0 } else { random.unit() as f32 };
        let mut options = Sampling::default().with_temperature(t).with_top_p(p).with_min_p(min_p);
        if let Some(k) = k {
            options = options.with_top_k(k);
        }
        let expected = kept(&logits, t, k, p, min_p);
        let total: f64 = expected.iter().map(|(_, w)| w).sum();
        for seed in 0..20 {
            let mark = SplitMix64::new(seed).unit() * total;
            let mut sum = 0.0;
            let drawn = expected.iter().find(|(_, w)| {
                sum += w;
                sum > mark
            });
            let found = choose(&options, &logits, &[], 0, seed);
            assert_eq!(found, drawn.unwrap().0, "round {round}, seed {seed}: {options:?}");
        }
    }
}

/// Chi-square with 7 degrees of freedom: 24.3 is passed once in a thousand seeds, and this seed is fixed.
#[test]
fn tokens_come_as_often_as_their_probabilities_say() {
    let logits = [0.0f32, 1.0, -1.0, 2.0, 0.5, -0.5, 1.5, -2.0];
    let options = Sampling::default().with_temperature(1.3);
    let mut sampler = Sampler::new(options, 2024);
    let draws = 40_000;
    let mut counts = [0u32; 8];
    for _ in 0..draws {
        counts[sampler.choose(&logits, &[], 0, None).unwrap() as usize] += 1;
    }
    let weights = logits.map(|l| libm::exp(f64::from(l) / f64::from(1.3f32)));
    let total: f64 = weights.iter().sum();
    let chi_square: f64 = weights
        .iter()
        .zip(counts)
        .map(|(w, count)| {
            let expected = w / total * f64::from(draws);
            (f64::from(count) - expected) * (f64::from(count) - expected) / expected
        })
        .sum();
    assert!(chi_square < 24.3, "chi-square {chi_square}: {counts:?}");
    assert!(chi_square > 0.5, "too even to be random: {chi_square}");
}

#[test]
fn penalties_are_those_of_ctrl_and_openai() {
    let logits = [1.0, 2.0, -1.0, 1.9];
    // CTRL: 2.0 / 2 = 1.0 lies below 1.9; once, however often the token occurs, in prompt or answer.
    let repetition = Sampling::greedy().with_repetition_penalty(2.0);
    assert_eq!(choose(&repetition, &logits, &[1, 1, 1], 3, 0), 3);
    assert_eq!(
        choose(&repetition, &logits, &[1, 3], 1, 0),
        0,
        "1.0, 1.0, 0.95: the first of equals"
    );
    // A negative logit is multiplied: -1 becomes -2.
    assert_eq!(choose(&repetition, &[-3.0, -1.0, -1.5], &[1], 0, 0), 2);
    // OpenAI: the answer's tokens only.
    let presence = Sampling::greedy().with_presence_penalty(0.2);
    assert_eq!(choose(&presence, &logits, &[1, 1], 2, 0), 1, "the prompt does not count");
    assert_eq!(choose(&presence, &logits, &[1, 1], 1, 0), 3);
    let frequency = Sampling::greedy().with_frequency_penalty(0.06);
    assert_eq!(choose(&frequency, &logits, &[0, 1], 1, 0), 1, "1.94");
    assert_eq!(choose(&frequency, &logits, &[1, 1], 0, 0), 3, "1.88");
    // The window forgets.
    let window = repetition.with_penalty_window(2);
    assert_eq!(choose(&window, &logits, &[1, 0, 0], 3, 0), 1);
    assert_eq!(choose(&window, &logits, &[0, 1, 0], 3, 0), 3);
    // Tokens outside the logits are of no account.
    assert_eq!(choose(&Sampling::greedy().with_repetition_penalty(2.0), &logits, &[99], 1, 0), 1);
}

#[test]
fn numbers_that_mean_nothing_are_refused_by_name() {
    let d = Sampling::default;
    for (options, name) in [
        (d().with_temperature(f32::NAN), "temperature"),
        (d().with_temperature(-0.1), "temperature"),
        (d().with_temperature(f32::INFINITY), "temperature"),
        (d().with_top_k(0), "top_k"),
        (d().with_top_p(0.0), "top_p"),
        (d().with_top_p(1.1), "top_p"),
        (d().with_top_p(f32::NAN), "top_p"),
        (d().with_min_p(-0.1), "min_p"),
        (d().with_min_p(f32::NAN), "min_p"),
        (d().with_repetition_penalty(0.0), "repetition"),
        (d().with_repetition_penalty(f32::NAN), "repetition"),
        (d().with_frequency_penalty(f32::INFINITY), "frequency"),
        (d().with_presence_penalty(f32::NAN), "presence"),
        (d().with_penalty_window(0), "window"),
    ] {
        let error = options.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.subject().unwrap().contains(name), "{error}");
    }
}

#[test]
fn extremes_stay_within_the_vocabulary() {
    let logits = [f32::MAX, f32::MIN, 0.0];
    let smallest = f32::from_bits(1);
    for options in [
        Sampling::default().with_temperature(smallest),
        Sampling::default().with_temperature(f32::MAX),
        Sampling::default().with_temperature(1.0).with_top_p(smallest).with_min_p(1.0),
        Sampling::default().with_temperature(1.0).with_repetition_penalty(smallest),
        Sampling::default().with_temperature(1.0).with_frequency_penalty(f32::MIN),
        Sampling::default().with_temperature(1.0).with_top_k(usize::MAX),
    ] {
        for seed in 0..50 {
            assert!(choose(&options, &logits, &[0, 1, 2, 1], 1, seed) < 3, "{options:?}");
        }
    }
    let mut sampler = Sampler::new(Sampling::default().with_temperature(1.0), 1);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = sampler.choose(&[0.0, bad], &[], 0, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite);
    }
}

#[test]
fn tokens_that_are_not_allowed_never_come() {
    let logits = [5.0, 4.0, 3.0, 2.0];
    let odd = |id: u32| id % 2 == 1;
    let mut greedy = Sampler::new(Sampling::greedy(), 0);
    assert_eq!(greedy.choose(&logits, &[], 0, Some(&odd)).unwrap(), 1);
    let mut warm = Sampler::new(Sampling::default().with_temperature(3.0).with_top_k(2), 0);
    let mut seen = [false; 4];
    for _ in 0..200 {
        seen[warm.choose(&logits, &[], 0, Some(&odd)).unwrap() as usize] = true;
    }
    assert_eq!(seen, [false, true, false, true]);
    let error = greedy.choose(&logits, &[], 0, Some(&|_| false)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
}
