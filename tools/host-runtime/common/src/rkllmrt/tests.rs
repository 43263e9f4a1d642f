//! Of the parts that need no library to be loaded.

use super::SamplingParams;
use super::events::c_text;
use super::queue::Queue;
use super::sampling::Sampler;

fn greedy() -> SamplingParams {
    SamplingParams { top_k: 1, repeat_penalty: 1.0, ..SamplingParams::default() }
}

fn choose(params: SamplingParams, seed: u64, logits: &[f32]) -> u32 {
    Sampler::new(params, seed).unwrap().choose(logits, &[], 0).unwrap()
}

#[test]
fn one_candidate_or_no_temperature_is_greedy() {
    let logits = [0.5, 3.0, 3.0, -1.0];
    let cold = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    for seed in 0..20 {
        assert_eq!(choose(greedy(), seed, &logits), 1);
        assert_eq!(choose(cold, seed, &logits), 1);
    }
}

#[test]
fn top_k_and_top_p_bound_what_is_drawn() {
    let logits = [1.0, 2.0, 3.0, 2.5];
    let all = SamplingParams { top_k: 0, top_p: 1.0, temperature: 5.0, ..greedy() };
    let drawn = |params: SamplingParams| {
        let mut seen: Vec<u32> = (0..400).map(|seed| choose(params, seed, &logits)).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    assert_eq!(drawn(all), [0, 1, 2, 3]);
    assert_eq!(drawn(SamplingParams { top_k: 1_088_421_888, ..all }), [0, 1, 2, 3]);
    assert_eq!(drawn(SamplingParams { top_k: -3, ..all }), [0, 1, 2, 3]);
    assert_eq!(drawn(SamplingParams { top_k: 2, ..all }), [2, 3]);
    assert_eq!(drawn(SamplingParams { top_p: 0.3, ..all }), [2, 3]);
    assert_eq!(drawn(SamplingParams { top_p: 0.0, ..all }), [2]);
}

#[test]
fn penalties_see_prompt_and_answer_or_the_answer_alone() {
    let after = |params: SamplingParams, tokens: &[u32], prompt: usize| {
        let mut sampler = Sampler::new(params, 0).unwrap();
        sampler.choose(&[2.0, 1.9, -1.0], tokens, prompt).unwrap()
    };
    let repeat = SamplingParams { repeat_penalty: 1.5, ..greedy() };
    assert_eq!(after(repeat, &[0], 1), 1);
    let presence = SamplingParams { presence_penalty: 0.5, ..greedy() };
    assert_eq!(after(presence, &[0], 1), 0, "a token of the prompt");
    assert_eq!(after(presence, &[0], 0), 1, "a token of the answer");
    let frequency = SamplingParams { frequency_penalty: 0.06, ..greedy() };
    assert_eq!(after(frequency, &[0], 0), 0);
    assert_eq!(after(frequency, &[0, 0], 0), 1);
}

#[test]
fn mirostat_keeps_to_its_target() {
    let logits: Vec<f32> = (0..500).map(|i| -(i as f32) / 40.0).collect();
    let surprise = |version: i32, tau: f32| {
        let params = SamplingParams {
            mirostat: version,
            mirostat_tau: tau,
            temperature: 1.0,
            top_k: 40,
            ..greedy()
        };
        let mut sampler = Sampler::new(params, 7).unwrap();
        let total: f64 = logits.iter().map(|&l| libm::exp(f64::from(l))).sum();
        let bits = |id: u32| -libm::log2(libm::exp(f64::from(logits[id as usize])) / total);
        let drawn = (0..300).map(|_| bits(sampler.choose(&logits, &[], 0).unwrap()));
        drawn.skip(100).sum::<f64>() / 200.0
    };
    for version in [1, 2] {
        let (low, high) = (surprise(version, 1.0), surprise(version, 5.0));
        assert!(low < high, "version {version}: {low} {high}");
    }
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    for wrong in [
        SamplingParams { temperature: f32::NAN, ..greedy() },
        SamplingParams { temperature: -1.0, ..greedy() },
        SamplingParams { top_p: f32::INFINITY, ..greedy() },
        SamplingParams { mirostat_tau: f32::NAN, ..greedy() },
    ] {
        assert!(Sampler::new(wrong, 0).is_err(), "{wrong:?}");
    }
    let mut sampler = Sampler::new(greedy(), 0).unwrap();
    assert!(sampler.choose(&[0.0, f32::NAN], &[], 0).is_err());
}

#[test]
fn runs_go_in_the_order_they_came_and_an_abort_ends_one() {
    let queue = Queue::default();
    let (first, second) = (queue.join().unwrap(), queue.join().unwrap());
    assert!(queue.is_running() && queue.abort());
    let turn = queue.wait(first);
    assert!(turn.is_aborted());
    drop(turn);
    let turn = queue.wait(second);
    assert!(!turn.is_aborted(), "the abort was the first one's");
    drop(turn);
    // The end of the third is told: who heard of it means the fourth.
    let (third, fourth) = (queue.join().unwrap(), queue.join().unwrap());
    let turn = queue.wait(third);
    turn.tells_its_end();
    assert!(queue.abort());
    drop(turn);
    assert!(queue.wait(fourth).is_aborted());
    assert!(!queue.is_running() && !queue.abort());
    assert!(queue.close() && !queue.close() && queue.join().is_none());
    assert!(queue.wait_idle(std::time::Duration::ZERO));
}

#[test]
fn a_generated_nul_does_not_end_the_text() {
    assert_eq!(c_text(b"a\0b\0").as_bytes(), b"ab");
    assert_eq!(c_text(b"\0").as_bytes(), b"");
}
