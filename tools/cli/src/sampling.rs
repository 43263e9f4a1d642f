//! How tokens are chosen, on the command line.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use rkllm::session::{Constraint, GenerateOptions, Sampling};

/// Sets a number of [`Sampling`].
type Set = fn(Sampling, f32) -> Sampling;

/// How the next token is chosen; greedy without any of these.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// Always take the most likely token (the default)
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "min_p", "seed"])]
    greedy: bool,
    /// Flatten (above 1) or sharpen (below 1) the distribution; 0 is greedy [default: 1 with --top-k, --top-p, --min-p or --seed]
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// Draw from the K most likely tokens
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw from the fewest tokens that have probability P together
    #[arg(long, value_name = "P")]
    top_p: Option<f32>,
    /// Draw from tokens at least P times as likely as the most likely
    #[arg(long, value_name = "P")]
    min_p: Option<f32>,
    /// Divide the logits of tokens in prompt and answer by this (CTRL); 1 does nothing
    #[arg(long, value_name = "X")]
    repeat_penalty: Option<f32>,
    /// Subtract this from the logit of a token for each time the answer has it
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    frequency_penalty: Option<f32>,
    /// Subtract this once from the logit of a token the answer has
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    presence_penalty: Option<f32>,
    /// Let penalties see the last N tokens only
    #[arg(long, value_name = "N")]
    penalty_window: Option<usize>,
    /// Draw the same every time
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// End at this text, which is cut off; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Let answers be JSON that the schema in this file allows
    #[arg(long, value_name = "FILE", conflicts_with = "regex")]
    json_schema: Option<PathBuf>,
    /// Let answers be texts that match this regular expression as a whole
    #[arg(long, value_name = "PATTERN")]
    regex: Option<String>,
}

impl SamplingArgs {
    /// True if random numbers are drawn.
    pub(crate) fn is_random(&self) -> bool {
        self.temperature() > 0.0
    }

    fn temperature(&self) -> f32 {
        let draws = self.top_k.is_some()
            || self.top_p.is_some()
            || self.min_p.is_some()
            || self.seed.is_some();
        self.temperature.unwrap_or(if draws { 1.0 } else { 0.0 })
    }

    /// The options of a session, checked when it begins.
    pub(crate) fn options(&self) -> anyhow::Result<GenerateOptions> {
        let mut sampling = Sampling::greedy().with_temperature(self.temperature());
        if let Some(k) = self.top_k {
            sampling = sampling.with_top_k(k);
        }
        if let Some(seed) = self.seed {
            sampling = sampling.with_seed(seed);
        }
        if let Some(tokens) = self.penalty_window {
            sampling = sampling.with_penalty_window(tokens);
        }
        let numbers: [(Option<f32>, Set); 5] = [
            (self.top_p, Sampling::with_top_p),
            (self.min_p, Sampling::with_min_p),
            (self.repeat_penalty, Sampling::with_repetition_penalty),
            (self.frequency_penalty, Sampling::with_frequency_penalty),
            (self.presence_penalty, Sampling::with_presence_penalty),
        ];
        for (value, set) in numbers {
            if let Some(value) = value {
                sampling = set(sampling, value);
            }
        }
        Ok(GenerateOptions::default()
            .with_sampling(sampling)
            .with_stop(self.stop.iter().cloned())
            .with_constraint(self.constraint()?))
    }

    fn constraint(&self) -> anyhow::Result<Option<Constraint>> {
        if let Some(pattern) = &self.regex {
            return Ok(Some(Constraint::regex(pattern)));
        }
        let Some(file) = &self.json_schema else { return Ok(None) };
        let name = file.display();
        let text = fs::read_to_string(file).with_context(|| format!("{name}: cannot read it"))?;
        let schema = serde_json::from_str(&text).with_context(|| format!("{name}: not JSON"))?;
        Ok(Some(Constraint::json_schema(schema)))
    }
}
