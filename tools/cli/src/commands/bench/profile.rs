//! `rkllm bench --profile`: which products the time goes to, and how much goes to none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use rkllm::cpu::{Engine, LinearRole};
use rkllm::{Backend, Linear, Want};
use serde::{Deserialize, Serialize};

/// Of one run, in parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// The prompt, if there was one.
    prefill: Option<Phase>,
    /// The tokens after it, if there were some.
    decode: Option<Phase>,
}

/// Seconds of a part of the run. A product's include quantising its input and the forks of both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Phase {
    tokens: usize,
    seconds: f64,
    qkv: f64,
    attention_output: f64,
    gate_up: f64,
    down: f64,
    lm_head: f64,
    /// All of these.
    products: f64,
    /// What is left: attention, norms, rotations, gates.
    rest: f64,
}

/// What the layers spent, in the order of [`Phase`].
#[derive(Debug, Default)]
struct Spent {
    running: AtomicBool,
    nanoseconds: [AtomicU64; 5],
}

/// Measures the products of an engine whose layers passed through [`Clock::time`].
#[derive(Debug, Default)]
pub(super) struct Clock(Arc<Spent>);

/// A layer whose calls are timed while the clock runs.
struct Timed {
    layer: Box<dyn Linear>,
    spent: Arc<Spent>,
    part: usize,
}

impl Linear for Timed {
    fn in_features(&self) -> usize {
        self.layer.in_features()
    }

    fn out_features(&self) -> usize {
        self.layer.out_features()
    }

    fn forward(&self, x: &[f32], y: &mut [f32]) -> rkllm::Result<()> {
        if !self.spent.running.load(Ordering::Relaxed) {
            return self.layer.forward(x, y);
        }
        let started = Instant::now();
        let result = self.layer.forward(x, y);
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.spent.nanoseconds[self.part].fetch_add(took, Ordering::Relaxed);
        result
    }
}

impl Clock {
    /// The layer, timed while the clock runs.
    pub(super) fn time(&self, role: LinearRole, layer: Box<dyn Linear>) -> Box<dyn Linear> {
        let part = match role {
            LinearRole::Qkv(_) => 0,
            LinearRole::AttentionOutput(_) => 1,
            LinearRole::GateUp(_) => 2,
            LinearRole::Down(_) => 3,
            LinearRole::LmHead => 4,
            // No layer of today; it counts to the rest.
            _ => return layer,
        };
        Box::new(Timed { layer, spent: Arc::clone(&self.0), part })
    }

    /// Runs `work` for `tokens` tokens and says where the time went.
    fn phase(
        &self,
        tokens: usize,
        work: impl FnOnce() -> rkllm::Result<()>,
    ) -> rkllm::Result<Phase> {
        for part in &self.0.nanoseconds {
            part.store(0, Ordering::Relaxed);
        }
        self.0.running.store(true, Ordering::Relaxed);
        let started = Instant::now();
        let result = work();
        let seconds = started.elapsed().as_secs_f64();
        self.0.running.store(false, Ordering::Relaxed);
        result?;
        let parts =
            [0, 1, 2, 3, 4].map(|i| self.0.nanoseconds[i].load(Ordering::Relaxed) as f64 / 1e9);
        let [qkv, attention_output, gate_up, down, lm_head] = parts;
        let products = parts.iter().sum();
        let rest = seconds - products;
        Ok(Phase { tokens, seconds, qkv, attention_output, gate_up, down, lm_head, products, rest })
    }
}

/// One run like those that were measured.
pub(super) fn measure(
    engine: &mut Engine,
    clock: &Clock,
    prompt: usize,
    generate: usize,
) -> rkllm::Result<Profile> {
    engine.reset();
    // Which ones they are moves no time, and choosing one is no part of it.
    let vocab = engine.vocab_size();
    let tokens: Vec<u32> = (0..prompt).map(|i| (37 * i % vocab) as u32).collect();
    let mut step = |tokens: &[u32]| engine.forward(tokens, Want::Last, &mut |_, _| Ok(()));
    let prefill = match prompt {
        0 => None,
        _ => Some(clock.phase(prompt, || step(&tokens))?),
    };
    let decode = match generate {
        0 => None,
        _ => Some(clock.phase(generate, || {
            (0..generate).try_for_each(|i| step(&[(37 * i % vocab) as u32]))
        })?),
    };
    Ok(Profile { prefill, decode })
}

impl Profile {
    /// A line for each part.
    pub(super) fn describe(&self) -> String {
        let parts = [("prefill", &self.prefill), ("decode", &self.decode)];
        let phases = parts.into_iter().filter_map(|(name, phase)| Some((name, (*phase)?)));
        phases.map(|(name, phase)| phase.describe(name)).collect()
    }
}

impl Phase {
    fn describe(&self, name: &str) -> String {
        let share = |seconds: f64| format!("{:.1} %", 100.0 * seconds / self.seconds.max(1e-9));
        format!(
            "time of {name:<8}      products {} (q/k/v {}, attention output {}, gate/up {}, down {}, head {}), rest {}\n",
            share(self.products),
            share(self.qkv),
            share(self.attention_output),
            share(self.gate_up),
            share(self.down),
            share(self.lm_head),
            share(self.rest),
        )
    }
}
