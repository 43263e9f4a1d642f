//! `rkllm generate`: continues a text.

use std::ops::ControlFlow;
use std::time::Instant;

use clap::Args;
use rkllm::model::Tokenizer;
use rkllm::quant::QuantScheme;
use rkllm::session::{GenerateOptions, Stop, generate, greedy};
use serde::Serialize;

use crate::args::{ModelArgs, Settings};
use crate::model::Model;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to continue
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// New tokens at most
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = super::positive())]
    max_tokens: usize,
    /// Always take the most likely token (the default: there is no other choice yet)
    #[arg(long)]
    greedy: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    dtype: QuantScheme,
    kernel: String,
    threads: usize,
    prompt_tokens: Vec<u32>,
    tokens: Vec<u32>,
    text: String,
    stop: Stop,
    ttft_ms: Option<f64>,
    decode_tokens_per_s: Option<f64>,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    let model = Model::open(&options.model, settings)?;
    let tokenizer = Tokenizer::open(&options.model.path)?;
    let mut prompt = tokenizer.encode_with_special_tokens(&options.prompt)?;
    if prompt.is_empty() {
        prompt.extend(tokenizer.bos());
    }
    let context = prompt.len().saturating_add(options.max_tokens);
    let mut engine = model.engine(context, None, settings)?;
    let eos = model.checkpoint.config().eos_token_ids.clone();
    let limits = GenerateOptions { max_tokens: options.max_tokens, eos };
    let mut pieces = tokenizer.stream();
    // The text of a token may depend on those before it, such as the space between two words.
    prompt.iter().try_for_each(|&id| pieces.push(id).map(drop))?;
    let mut text = String::new();
    let mut failure = None;
    let started = Instant::now();
    let mut first = None;
    let generation = generate(&mut engine, &prompt, &limits, &mut greedy, &mut |token| {
        first.get_or_insert_with(Instant::now);
        let shown = pieces.push(token).map_err(anyhow::Error::from).and_then(|piece| {
            text += &piece;
            if settings.json { Ok(()) } else { output::print(&piece) }
        });
        match shown {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    let ended = Instant::now();
    if let Some(error) = failure {
        return Err(error);
    }
    let rest = pieces.finish()?;
    text += &rest;
    let after_first = generation.tokens.len().saturating_sub(1);
    let decode = first
        .filter(|_| after_first > 0)
        .map(|first| after_first as f64 / ended.duration_since(first).as_secs_f64().max(1e-9));
    let report = Report {
        model: options.model.path.display().to_string(),
        dtype: model.dtype(),
        kernel: engine.kernel_name().to_owned(),
        threads: settings.threads,
        prompt_tokens: prompt,
        tokens: generation.tokens,
        text,
        stop: generation.stop,
        ttft_ms: first.map(|first| first.duration_since(started).as_secs_f64() * 1e3),
        decode_tokens_per_s: decode,
    };
    if settings.json {
        return output::json(&report);
    }
    output::print(&format!("{rest}\n"))?;
    if !settings.quiet {
        output::note(&statistics(&report));
    }
    Ok(())
}

/// One line about the run.
fn statistics(report: &Report) -> String {
    let ttft =
        report.ttft_ms.map_or("no token".into(), |ms| format!("first token after {ms:.0} ms"));
    let decode = report.decode_tokens_per_s.map_or(String::new(), |s| format!(", {s:.1} tokens/s"));
    let why = match report.stop {
        Stop::Eos => "the model ended it",
        Stop::MaxTokens => "--max-tokens reached",
        Stop::Context => "context full",
        _ => "stopped",
    };
    format!(
        "[{}, {}, {} threads: {} prompt tokens, {ttft}; {} new tokens{decode}; {why}]",
        report.dtype,
        report.kernel,
        report.threads,
        report.prompt_tokens.len(),
        report.tokens.len(),
    )
}
