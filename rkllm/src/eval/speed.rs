//! How fast a backend prefills and decodes. Token ids only: no tokenizer is timed.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::logits::first_maximum;
use crate::{Backend, Error, ErrorKind, Result, Want};

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeedOptions {
    /// Tokens of the prompt; 0 measures no prefill.
    pub prompt: usize,
    /// Tokens decoded one by one after it; 0 measures no decode.
    pub generate: usize,
    /// Measured runs.
    pub repeat: usize,
    /// Runs before them that are not measured.
    pub warmup: usize,
}

impl Default for SpeedOptions {
    fn default() -> Self {
        Self { prompt: 512, generate: 64, repeat: 5, warmup: 1 }
    }
}

/// Measured values, in the order they were taken, and their middle.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Samples {
    /// The median: of an even number, the mean of the middle two.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// All of them.
    pub values: Vec<f64>,
}

impl Samples {
    /// Of `values`; `None` if there are none.
    pub fn new(values: Vec<f64>) -> Option<Self> {
        let mut sorted = values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        };
        Some(Self { median, min, max, values })
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Speed {
    /// Prompt tokens per second, the logits of the last one included.
    pub prefill_tokens_per_s: Option<Samples>,
    /// Tokens per second after the prompt, one at a time, the choice of the next token included.
    pub decode_tokens_per_s: Option<Samples>,
    /// Milliseconds from the first prompt token going in to the first new token chosen.
    pub ttft_ms: Option<Samples>,
}

/// Times `options.repeat` runs of prefill and greedy decode. The prompt is the same for every run and every
/// backend of the same vocabulary. `on_run` is told (runs done, all runs), warm-up included, and stops by
/// [`ControlFlow::Break`].
///
/// # Errors
/// [`ErrorKind::Input`] if nothing is asked for, [`ErrorKind::Context`] if prompt and new tokens do not fit,
/// [`ErrorKind::Cancelled`], and what the backend reports.
pub fn speed(
    backend: &mut dyn Backend,
    options: &SpeedOptions,
    on_run: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Speed> {
    let SpeedOptions { prompt, generate, repeat, warmup } = *options;
    if repeat == 0 || (prompt == 0 && generate == 0) {
        return Err(Error::new(
            ErrorKind::Input,
            format!("{repeat} runs of {prompt} prompt and {generate} new tokens measure nothing"),
        )
        .with_hint("ask for at least one run and one token"));
    }
    let tokens = prompt_ids(prompt.max(1), backend.vocab_size());
    let (mut prefill, mut decode, mut ttft) = (Vec::new(), Vec::new(), Vec::new());
    let runs = warmup.saturating_add(repeat);
    for run in 0..runs {
        let times = one_run(backend, &tokens[..prompt], tokens[0], generate)?;
        if run >= warmup {
            if prompt > 0 {
                prefill.push(per_second(prompt, times.prefill));
                ttft.push(times.first_token.as_secs_f64() * 1e3);
            }
            if generate > 0 {
                decode.push(per_second(generate, times.decode));
            }
        }
        if on_run(run + 1, runs).is_break() {
            return Err(Error::new(ErrorKind::Cancelled, "measurement cancelled"));
        }
    }
    Ok(Speed {
        prefill_tokens_per_s: Samples::new(prefill),
        decode_tokens_per_s: Samples::new(decode),
        ttft_ms: Samples::new(ttft),
    })
}

struct Times {
    prefill: Duration,
    first_token: Duration,
    decode: Duration,
}

fn one_run(
    backend: &mut dyn Backend,
    prompt: &[u32],
    first: u32,
    generate: usize,
) -> Result<Times> {
    backend.reset();
    let mut next = first;
    let started = Instant::now();
    let mut prefill = Duration::ZERO;
    if !prompt.is_empty() {
        backend.forward(prompt, Want::Last, &mut |_, logits| {
            prefill = started.elapsed();
            next = first_maximum(logits) as u32;
            Ok(())
        })?;
    }
    let first_token = started.elapsed();
    let started = Instant::now();
    for _ in 0..generate {
        backend.forward(&[next], Want::Last, &mut |_, logits| {
            next = first_maximum(logits) as u32;
            Ok(())
        })?;
    }
    Ok(Times { prefill, first_token, decode: started.elapsed() })
}

fn per_second(tokens: usize, time: Duration) -> f64 {
    // A clock that did not move would give infinity, which JSON cannot hold.
    tokens as f64 / time.as_secs_f64().max(1e-9)
}

/// `count` pseudo-random ids below `vocab`, always the same.
fn prompt_ids(count: usize, vocab: usize) -> Vec<u32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..count)
        .map(|_| {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let high = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
            ((high * vocab as u64) >> 32) as u32
        })
        .collect()
}
