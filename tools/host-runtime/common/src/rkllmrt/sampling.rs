//! How the next token is chosen, by the vendor's parameters.

use std::cmp::Ordering;

use rkllm::{Error, ErrorKind, Result};

use super::params::SamplingParams;

/// Ranks whose probabilities tell mirostat 1 the distribution's slope.
const MIROSTAT_RANKS: usize = 100;

/// Chooses the tokens of one answer, in the order of `rkllm::session::Sampling`: penalties, temperature,
/// top-k, top-p, draw. The repeat penalty sees prompt and answer, the others the answer alone. Mirostat
/// takes the place of top-k and top-p.
#[derive(Debug)]
pub(super) struct Sampler {
    params: SamplingParams,
    random: u64,
    /// Mirostat's bound of surprise, in bits.
    mu: f64,
    logits: Vec<f32>,
    left: Vec<(u32, f64)>,
}

impl Sampler {
    /// # Errors
    /// [`ErrorKind::Input`] for a number that means nothing.
    pub(super) fn new(params: SamplingParams, seed: u64) -> Result<Self> {
        let p = &params;
        for (name, value, least, most) in [
            ("top_p", p.top_p, 0.0, f32::MAX),
            ("temperature", p.temperature, 0.0, f32::MAX),
            ("repeat_penalty", p.repeat_penalty, 0.0, f32::MAX),
            ("frequency_penalty", p.frequency_penalty, f32::MIN, f32::MAX),
            ("presence_penalty", p.presence_penalty, f32::MIN, f32::MAX),
            ("mirostat_tau", p.mirostat_tau, f32::MIN, f32::MAX),
            ("mirostat_eta", p.mirostat_eta, f32::MIN, f32::MAX),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Error::new(ErrorKind::Input, format!("{name} is {value}")));
            }
        }
        let mu = 2.0 * f64::from(params.mirostat_tau);
        Ok(Self { params, random: seed, mu, logits: Vec::new(), left: Vec::new() })
    }

    /// Chooses after `tokens`, of which those from `prompt` on are the answer.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] for logits that are not finite.
    pub(super) fn choose(&mut self, logits: &[f32], tokens: &[u32], prompt: usize) -> Result<u32> {
        if let Some(index) = logits.iter().position(|value| !value.is_finite()) {
            let message = format!("logit {index} is {}", logits[index]);
            return Err(Error::new(ErrorKind::NonFinite, message));
        }
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        self.penalise(tokens, prompt);
        let best = first_maximum(&self.logits);
        let greedy = self.params.temperature == 0.0 || self.params.top_k == 1;
        if greedy || self.logits.is_empty() {
            return Ok(best as u32);
        }
        let (top, temperature) = (f64::from(self.logits[best]), f64::from(self.params.temperature));
        let weight = |logit: f32| libm::exp((f64::from(logit) - top) / temperature);
        self.left.clear();
        self.left.extend((0..).zip(self.logits.iter().map(|&logit| weight(logit))));
        if matches!(self.params.mirostat, 1 | 2) {
            self.left.sort_unstable_by(by_rank);
            return Ok(self.mirostat());
        }
        self.top_k();
        self.top_p();
        self.left.sort_unstable_by_key(|&(id, _)| id);
        let drawn = self.draw();
        Ok(self.left[drawn].0)
    }

    fn penalise(&mut self, tokens: &[u32], prompt: usize) {
        let p = self.params;
        let clamp = |value: f32| value.clamp(f32::MIN, f32::MAX);
        let runs = |tokens: &[u32]| {
            let mut seen = tokens.to_vec();
            seen.sort_unstable();
            seen
        };
        // 0 is what a program that knows no such penalty leaves there.
        if p.repeat_penalty != 1.0 && p.repeat_penalty != 0.0 {
            for run in runs(tokens).chunk_by(|a, b| a == b) {
                if let Some(logit) = self.logits.get_mut(run[0] as usize) {
                    *logit = clamp(match *logit > 0.0 {
                        true => *logit / p.repeat_penalty,
                        false => *logit * p.repeat_penalty,
                    });
                }
            }
        }
        if p.frequency_penalty != 0.0 || p.presence_penalty != 0.0 {
            for run in runs(&tokens[prompt.min(tokens.len())..]).chunk_by(|a, b| a == b) {
                if let Some(logit) = self.logits.get_mut(run[0] as usize) {
                    *logit = clamp(*logit - p.frequency_penalty * run.len() as f32);
                    *logit = clamp(*logit - p.presence_penalty);
                }
            }
        }
    }

    fn top_k(&mut self) {
        let k = usize::try_from(self.params.top_k).unwrap_or(0);
        if k > 0 && k < self.left.len() {
            self.left.select_nth_unstable_by(k - 1, by_rank);
            self.left.truncate(k);
        }
    }

    fn top_p(&mut self) {
        let p = f64::from(self.params.top_p);
        if p >= 1.0 {
            return;
        }
        self.left.sort_unstable_by(by_rank);
        let total: f64 = self.left.iter().map(|&(_, weight)| weight).sum();
        let mut sum = 0.0;
        let last = self.left.iter().position(|&(_, weight)| {
            sum += weight;
            sum >= p * total
        });
        self.left.truncate(last.map_or(self.left.len(), |last| last + 1));
    }

    /// Mirostat (Basu et al. 2021): keeps the surprise of what is drawn near a target.
    fn mirostat(&mut self) -> u32 {
        let total: f64 = self.left.iter().map(|&(_, weight)| weight).sum();
        let surprise = |weight: f64, of: f64| -libm::log2((weight / of).max(f64::MIN_POSITIVE));
        let kept = match self.params.mirostat {
            1 => self.mirostat_k(),
            _ => {
                let mu = self.mu;
                self.left.iter().take_while(|&&(_, w)| surprise(w, total) <= mu).count()
            }
        };
        self.left.truncate(kept.clamp(1, self.left.len()));
        let kept: f64 = self.left.iter().map(|&(_, weight)| weight).sum();
        let drawn = self.draw();
        let (id, weight) = self.left[drawn];
        let (tau, eta) = (f64::from(self.params.mirostat_tau), f64::from(self.params.mirostat_eta));
        self.mu -= eta * (surprise(weight, kept) - tau);
        id
    }

    /// Version 1: how many candidates a Zipf distribution of the slope seen has below the bound.
    fn mirostat_k(&self) -> usize {
        let (mut above, mut below) = (0.0, 0.0);
        let ranks = MIROSTAT_RANKS.min(self.left.len().saturating_sub(1));
        for i in 0..ranks {
            let t = libm::log((i + 2) as f64 / (i + 1) as f64);
            let b = libm::log(self.left[i].1 / self.left[i + 1].1.max(f64::MIN_POSITIVE));
            above += t * b;
            below += t * t;
        }
        let slope = above / f64::max(below, f64::MIN_POSITIVE);
        let excess = slope - 1.0;
        let n = self.left.len() as f64;
        let k = excess * libm::exp2(self.mu) / (1.0 - libm::pow(n, -excess));
        let k = libm::pow(k, 1.0 / slope);
        if k.is_finite() { k as usize } else { self.left.len() }
    }

    /// The index of a candidate, in proportion to its weight.
    fn draw(&mut self) -> usize {
        let mark = self.unit() * self.left.iter().map(|&(_, weight)| weight).sum::<f64>();
        let mut sum = 0.0;
        let drawn = self.left.iter().position(|&(_, weight)| {
            sum += weight;
            sum > mark
        });
        drawn.unwrap_or(self.left.len() - 1)
    }

    /// SplitMix64, uniform in [0, 1).
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

/// `RKLLM_HOST_SEED`, else one nobody chose: the vendor's interface has no seed.
pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let chosen = std::env::var("RKLLM_HOST_SEED").ok().and_then(|text| text.trim().parse().ok());
    chosen.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish())
}

fn first_maximum(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, &value) in logits.iter().enumerate().skip(1) {
        if value > logits[best] {
            best = index;
        }
    }
    best
}

/// Likeliest first, of equals the smaller id.
fn by_rank(a: &(u32, f64), b: &(u32, f64)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}
