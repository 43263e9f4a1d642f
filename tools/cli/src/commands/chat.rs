//! `rkllm chat`: a conversation at the terminal, or question by question from a pipe.

mod commands;
mod input;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rkllm::session::{Chat, ContextPolicy, Model, Statistics, Stop};
use serde::Serialize;

use crate::args::{LoraArgs, ModelArgs, Settings};
use crate::interrupt::Answering;
use crate::memory::plan;
use crate::output;
use crate::sampling::SamplingArgs;
use commands::Command;
use input::Input;

#[derive(Debug, Args)]
#[command(after_help = commands::HELP)]
pub(crate) struct Options {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    lora: LoraArgs,
    /// Instructions for the whole conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// New tokens of an answer, at most; without it until the model ends or the context is full
    #[arg(long, value_name = "N", value_parser = super::positive())]
    max_tokens: Option<usize>,
    /// Tokens the conversation can hold [default: 2048, or fewer if the model was made for fewer]
    #[arg(long, value_name = "N", value_parser = super::positive())]
    context: Option<usize>,
    /// What happens when the context is full
    #[arg(long, value_name = "POLICY", default_value = "slide")]
    when_full: WhenFull,
    /// Whether a reasoning model thinks first; without it, as its template decides
    #[arg(long, value_name = "BOOL")]
    thinking: Option<bool>,
    /// Go on with a conversation that /save wrote
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// A line of statistics after each answer
    #[arg(long)]
    stats: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WhenFull {
    /// Forget the oldest questions and answers, keep the system message
    Slide,
    /// Say so and stop
    Error,
}

/// An answer, as a line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    question: &'a str,
    answer: &'a str,
    tokens: &'a [u32],
    prompt_tokens: usize,
    reused_tokens: usize,
    new_tokens: usize,
    dropped_messages: usize,
    stop: Option<Stop>,
    seed: Option<u64>,
    ttft_ms: Option<f64>,
    prefill_tokens_per_s: Option<f64>,
    decode_tokens_per_s: Option<f64>,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    let model = open(options, settings)?;
    let mut chat = start(options, &model)?;
    if settings.verbose {
        output::note(&plan(&model, settings));
        if let Some(load) = model.tokenizer_load() {
            let bytes = output::bytes(load.file_bytes);
            output::note(&format!("tokenizer {} ms, of a file of {bytes}", load.time.as_millis()));
        }
    }
    let mut input = Input::open(options.model.path.display(), settings)?;
    let mut last = None;
    while let Some(line) = input.next()? {
        match Command::parse(&line) {
            None => match answer(&mut chat, &line, options, settings) {
                Ok(statistics) => last = Some(statistics),
                Err(error) => input.failed(error)?,
            },
            Some(Command::Exit) => break,
            Some(command) => {
                if let Err(error) = command.run(&mut chat, last.as_ref()) {
                    input.failed(error)?;
                }
            }
        }
    }
    Ok(())
}

fn open(options: &Options, settings: &Settings) -> anyhow::Result<Model> {
    let ModelArgs { path, dtype, quantize, load } = &options.model;
    let open = Model::options()
        .with_load(load.load)
        .with_threads(settings.threads)
        .with_clip(quantize.clip)
        .with_asymmetric(quantize.asymmetric);
    let mut open = options.lora.add_to(open);
    if let Some(dtype) = *dtype {
        open = open.with_dtype(dtype);
    }
    if let Some(context) = options.context {
        open = open.with_context(context);
    }
    Ok(open.open(path)?)
}

fn start(options: &Options, model: &Model) -> anyhow::Result<Chat> {
    let mut generate = options.sampling.options()?;
    if let Some(tokens) = options.max_tokens {
        generate = generate.with_max_tokens(tokens);
    }
    let mut chat =
        model.chat().with_options(generate).with_context_policy(match options.when_full {
            WhenFull::Slide => ContextPolicy::Slide,
            WhenFull::Error => ContextPolicy::Error,
        });
    if let Some(system) = &options.system {
        chat = chat.with_system(system);
    }
    if let Some(thinking) = options.thinking {
        chat = chat.with_thinking(thinking);
    }
    Ok(match &options.resume {
        Some(file) => chat.resume(file)?,
        None => chat.start()?,
    })
}

/// Asks and shows the answer as it comes. Ctrl-C ends the answer, not the conversation.
fn answer(
    chat: &mut Chat,
    question: &str,
    options: &Options,
    settings: &Settings,
) -> anyhow::Result<Statistics> {
    let mut answer = chat.ask(question)?;
    let under_way = Answering::begin(answer.cancel_handle());
    for piece in &mut answer {
        let piece = piece?;
        if !settings.json {
            output::print(&piece)?;
        }
    }
    drop(under_way);
    let statistics = *answer.statistics();
    if settings.json {
        output::json_line(&Line {
            question,
            answer: answer.so_far(),
            tokens: answer.tokens(),
            prompt_tokens: statistics.prompt_tokens,
            reused_tokens: statistics.reused_tokens,
            new_tokens: statistics.new_tokens,
            dropped_messages: statistics.dropped_messages,
            stop: statistics.stop,
            seed: options.sampling.is_random().then_some(statistics.seed),
            ttft_ms: statistics.time_to_first_token.map(|time| time.as_secs_f64() * 1e3),
            prefill_tokens_per_s: statistics.prefill_tokens_per_second(),
            decode_tokens_per_s: statistics.decode_tokens_per_second(),
        })?;
        return Ok(statistics);
    }
    output::print("\n")?;
    if statistics.dropped_messages > 0 {
        output::note(&format!("[{} old messages forgotten]", statistics.dropped_messages));
    }
    match statistics.stop {
        Some(Stop::Cancelled) => output::note("[interrupted]"),
        Some(Stop::Context) => output::note("[context full]"),
        Some(Stop::MaxTokens) => output::note("[--max-tokens reached]"),
        _ => {}
    }
    if let Some(degenerate) = statistics.degenerate {
        output::note(&format!("[ended: {degenerate}]"));
    }
    if options.stats && !settings.quiet {
        output::note(&commands::summary(&statistics));
    }
    Ok(statistics)
}
