//! `Sampling`: how the next token is chosen from logits.

use std::cmp::Ordering;

use super::random::SplitMix64;
use crate::logits::first_maximum;
use crate::{Error, ErrorKind, Result};

/// How tokens are chosen. The default is greedy: the most likely token, of equals the first.
///
/// In this order, each step on what the one before left:
/// 1. Penalties. Repetition, as in CTRL and transformers: the logit of each token that occurs in the
///    prompt or the answer is divided by the penalty where positive and multiplied where not.
///    Frequency and presence, as at OpenAI: from the logit of each token of the *answer* is
///    subtracted frequency times how often it occurs, and presence once.
/// 2. Temperature: logits are divided by it. At 0 the largest is taken and nothing below applies.
/// 3. Top-k: the `k` largest stay; of equals the smaller ids.
/// 4. Top-p: the fewest largest whose probabilities sum to `p` or more stay.
/// 5. Min-p: those at least `min_p` times as likely as the likeliest stay.
/// 6. One is drawn. With the tokens that are left in order of their ids, and `u` uniform in [0, 1)
///    from SplitMix64 in steps of 2^-53, it is the first at which the running sum of weights exceeds
///    `u` times their sum.
///
/// Weights are `exp` of f64 differences by the `libm` crate and sums are f64 in a fixed order, so the same
/// logits and seed give the same token on every CPU. Every answer begins the stream of its seed anew:
/// it depends on history, options and seed alone, not on what was asked or cancelled before.
///
/// ```
/// use rkllm::session::Sampling;
///
/// let creative = Sampling::default().with_temperature(0.8).with_top_p(0.95).with_seed(7);
/// let careful = Sampling::greedy().with_repetition_penalty(1.1).with_penalty_window(64);
/// assert!(creative.check().is_ok() && careful.check().is_ok());
/// assert!(Sampling::default().with_temperature(f32::NAN).check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    temperature: f32,
    top_k: Option<usize>,
    top_p: f32,
    min_p: f32,
    repetition: f32,
    frequency: f32,
    presence: f32,
    window: Option<usize>,
    seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition: 1.0,
            frequency: 0.0,
            presence: 0.0,
            window: None,
            seed: None,
        }
    }
}

impl Sampling {
    /// The most likely token; the default.
    pub fn greedy() -> Self {
        Self::default()
    }

    /// Flattens (above 1) or sharpens (below 1) the distribution; 0 is greedy.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f32) -> Self {
        self.temperature = temperature;
        self
    }

    /// Draws from the `k` likeliest tokens only; at least 1.
    #[must_use]
    pub fn with_top_k(mut self, k: usize) -> Self {
        self.top_k = Some(k);
        self
    }

    /// Draws from the fewest tokens that have the probability `p` together; in (0, 1].
    #[must_use]
    pub fn with_top_p(mut self, p: f32) -> Self {
        self.top_p = p;
        self
    }

    /// Draws from tokens at least `p` times as likely as the likeliest; in [0, 1].
    #[must_use]
    pub fn with_min_p(mut self, p: f32) -> Self {
        self.min_p = p;
        self
    }

    /// Makes tokens of prompt and answer less likely; above 0, 1 does nothing, 1.1 is usual.
    #[must_use]
    pub fn with_repetition_penalty(mut self, penalty: f32) -> Self {
        self.repetition = penalty;
        self
    }

    /// Makes tokens of the answer less likely each time they occur; finite, 0 does nothing.
    #[must_use]
    pub fn with_frequency_penalty(mut self, penalty: f32) -> Self {
        self.frequency = penalty;
        self
    }

    /// Makes tokens of the answer less likely once; finite, 0 does nothing.
    #[must_use]
    pub fn with_presence_penalty(mut self, penalty: f32) -> Self {
        self.presence = penalty;
        self
    }

    /// Lets penalties see the last `tokens` tokens only, at least 1; all without it.
    #[must_use]
    pub fn with_penalty_window(mut self, tokens: usize) -> Self {
        self.window = Some(tokens);
        self
    }

    /// Draws the same each time. Without it every answer takes a new seed, which
    /// [`Statistics::seed`](super::Statistics::seed) tells.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The seed that was chosen.
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// Checks every number; sessions do it before they begin.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] naming the number and what it may be.
    pub fn check(&self) -> Result<()> {
        let refuse = |name: &str, found: &dyn std::fmt::Display, expected: &str| {
            Err(Error::new(ErrorKind::Input, format!("expected {expected}, found {found}"))
                .about(name))
        };
        let temperature = self.temperature;
        if !temperature.is_finite() || temperature < 0.0 {
            return refuse("temperature", &temperature, "0 or a positive number");
        }
        if self.top_k == Some(0) {
            return refuse("top_k", &0, "at least 1 (leave it out to keep every token)");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top_p", &self.top_p, "a number above 0 and up to 1");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return refuse("min_p", &self.min_p, "a number from 0 to 1");
        }
        if !self.repetition.is_finite() || self.repetition <= 0.0 {
            return refuse("repetition penalty", &self.repetition, "a number above 0");
        }
        for (name, found) in
            [("frequency penalty", self.frequency), ("presence penalty", self.presence)]
        {
            if !found.is_finite() {
                return refuse(name, &found, "a finite number");
            }
        }
        if self.window == Some(0) {
            return refuse("penalty window", &0, "at least 1 (leave it out for all tokens)");
        }
        Ok(())
    }
}

/// A candidate: its id and its logit after penalties.
type Candidate = (u32, f32);

/// Chooses the tokens of one answer.
#[derive(Debug, Clone)]
pub(super) struct Sampler {
    options: Sampling,
    random: SplitMix64,
    /// Scratch: logits after penalties, tokens seen, what is left of the vocabulary, its weights.
    logits: Vec<f32>,
    seen: Vec<u32>,
    left: Vec<Candidate>,
    weights: Vec<f64>,
}

impl Sampler {
    /// `options` that were checked.
    pub(super) fn new(options: Sampling, seed: u64) -> Self {
        Self {
            options,
            random: SplitMix64::new(seed),
            logits: Vec::new(),
            seen: Vec::new(),
            left: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// Chooses after `tokens`, the first `prompt` of which were given. Tokens that `allowed` refuses
    /// are not there.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if a logit is not finite, [`ErrorKind::Input`] if no token is allowed.
    pub(super) fn choose(
        &mut self,
        logits: &[f32],
        tokens: &[u32],
        prompt: usize,
        allowed: Option<&dyn Fn(u32) -> bool>,
    ) -> Result<u32> {
        if let Some(index) = logits.iter().position(|value| !value.is_finite()) {
            let found = format!("logit {index} is {}", logits[index]);
            return Err(Error::new(ErrorKind::NonFinite, found)
                .with_hint("the weights overflow in this scheme; try the float baseline"));
        }
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        self.penalise(tokens, prompt);
        if allowed.is_none() && self.options.temperature == 0.0 {
            return Ok(first_maximum(&self.logits) as u32);
        }
        let ids = (0u32..).zip(self.logits.iter().copied());
        self.left.clear();
        self.left.extend(ids.filter(|&(id, _)| allowed.is_none_or(|allowed| allowed(id))));
        let Some(&first) = self.left.first() else {
            return Err(Error::new(ErrorKind::Input, "no token can follow under the constraint")
                .with_hint("the vocabulary cannot spell what the constraint asks for"));
        };
        let best = self.left.iter().fold(first, |a, &b| if b.1 > a.1 { b } else { a });
        if self.options.temperature == 0.0 {
            return Ok(best.0);
        }
        self.top_k();
        self.top_p(best.1);
        self.min_p(best.1);
        Ok(self.draw(best.1))
    }

    fn penalise(&mut self, tokens: &[u32], prompt: usize) {
        let options = &self.options;
        let window = options.window.unwrap_or(tokens.len()).min(tokens.len());
        let first = tokens.len() - window;
        let clamp = |value: f32| value.clamp(f32::MIN, f32::MAX);
        if options.repetition != 1.0 {
            for run in runs(&mut self.seen, &tokens[first..]) {
                if let Some(logit) = self.logits.get_mut(run[0] as usize) {
                    *logit = clamp(match *logit > 0.0 {
                        true => *logit / options.repetition,
                        false => *logit * options.repetition,
                    });
                }
            }
        }
        if options.frequency != 0.0 || options.presence != 0.0 {
            for run in runs(&mut self.seen, &tokens[first.max(prompt)..]) {
                if let Some(logit) = self.logits.get_mut(run[0] as usize) {
                    *logit = clamp(*logit - options.frequency * run.len() as f32);
                    *logit = clamp(*logit - options.presence);
                }
            }
        }
    }

    fn top_k(&mut self) {
        let Some(k) = self.options.top_k.filter(|&k| k < self.left.len()) else { return };
        self.left.select_nth_unstable_by(k - 1, by_rank);
        self.left.truncate(k);
        self.left.sort_unstable_by_key(|&(id, _)| id);
    }

    fn top_p(&mut self, best: f32) {
        let p = f64::from(self.options.top_p);
        if p >= 1.0 {
            return;
        }
        let weight = |logit: f32| weight(logit, best, self.options.temperature);
        let total: f64 = self.left.iter().map(|&(_, logit)| weight(logit)).sum();
        // All tokens below this share of the rest have less than the rest together, so those above
        // hold the nucleus, and only they need sorting. Half of it leaves room for rounding.
        let floor = 0.5 * (1.0 - p) * total / self.left.len() as f64;
        self.left.retain(|&(_, logit)| weight(logit) >= floor);
        self.left.sort_unstable_by(by_rank);
        let mut sum = 0.0;
        let kept = self.left.iter().position(|&(_, logit)| {
            sum += weight(logit);
            sum >= p * total
        });
        self.left.truncate(kept.map_or(self.left.len(), |last| last + 1));
        self.left.sort_unstable_by_key(|&(id, _)| id);
    }

    fn min_p(&mut self, best: f32) {
        let (p, temperature) = (f64::from(self.options.min_p), self.options.temperature);
        if p > 0.0 {
            self.left.retain(|&(_, logit)| weight(logit, best, temperature) >= p);
        }
    }

    fn draw(&mut self, best: f32) -> u32 {
        let temperature = self.options.temperature;
        self.weights.clear();
        self.weights.extend(self.left.iter().map(|&(_, l)| weight(l, best, temperature)));
        let mark = self.random.unit() * self.weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let drawn = self.weights.iter().position(|weight| {
            sum += weight;
            sum > mark
        });
        // The sums are the same, so the last one exceeds the mark unless rounding met it.
        let index = drawn.unwrap_or(self.left.len() - 1);
        self.left[index].0
    }
}

/// The tokens sorted, in runs of equals.
fn runs<'a>(seen: &'a mut Vec<u32>, tokens: &[u32]) -> impl Iterator<Item = &'a [u32]> {
    seen.clear();
    seen.extend_from_slice(tokens);
    seen.sort_unstable();
    seen.chunk_by(|a, b| a == b)
}

/// Likeliest first, of equals the smaller id.
fn by_rank(a: &Candidate, b: &Candidate) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Relative to the likeliest's, whose weight is 1.
fn weight(logit: f32, best: f32, temperature: f32) -> f64 {
    libm::exp((f64::from(logit) - f64::from(best)) / f64::from(temperature))
}
