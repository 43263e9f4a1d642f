//! The command line's grammar. Every value is parsed here, once, into the type it means.

use std::path::PathBuf;
use std::time::Instant;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use rkllm::cpu::Placement;
use rkllm::cpu::cores::Cores;
use rkllm::model::Load;
use rkllm::quant::{Clip, QuantScheme};
use rkllm::session::ModelOptions;

use crate::commands::parser;
use crate::commands::{
    bench, chat, compare, completions, convert, doctor, eval, generate, host_runtime, inspect,
    logits, models, usage, verify,
};

/// Quantise language models for Rockchip boards and measure what it costs.
#[derive(Debug, Parser)]
#[command(name = "rkllm", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "\
RKLLM_KERNEL=scalar|avx2|avxvnni|avx512vnni|amx|neon|neon-i8mm forces a kernel of the CPU engine; all give the same bits.
RKLLM_THREADS=N is the number of threads where --threads does not say.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Quantise a checkpoint into an artifact
    Convert(convert::Options),
    /// Show what a checkpoint, an artifact or a .rkllm file holds
    Inspect(inspect::Options),
    /// Check an artifact's files against its manifest
    Verify(verify::Options),
    /// Measure how well a model predicts a text
    Eval(eval::Options),
    /// Compare the quantisation schemes on a checkpoint: size, quality, speed
    Compare(compare::Options),
    /// Measure speed and memory
    Bench(bench::Options),
    /// Write the logits of given tokens to a safetensors file
    Logits(logits::Options),
    /// Continue a text
    Generate(generate::Options),
    /// Talk with a model
    Chat(chat::Options),
    /// List models to deploy: size, licence, the scheme to choose on each SoC
    Models(models::Options),
    /// Tell which board this is and what stands in the way of its NPU
    Doctor(doctor::Options),
    /// Stand-ins for Rockchip's libraries, to run programs written for the board on this computer
    HostRuntime(host_runtime::Options),
    /// Print a completion script for a shell
    Completions(completions::Options),
    /// Hold a model on the NPU for a program that asked for it
    #[command(hide = true)]
    Worker,
}

impl Command {
    /// Whether it may compute with the CPU engine or quantise: what threads and `--verbose` are for.
    fn computes(&self) -> bool {
        match self {
            Self::Convert(_)
            | Self::Eval(_)
            | Self::Compare(_)
            | Self::Bench(_)
            | Self::Logits(_)
            | Self::Generate(_)
            | Self::Chat(_) => true,
            Self::Inspect(_)
            | Self::Verify(_)
            | Self::Models(_)
            | Self::Doctor(_)
            | Self::HostRuntime(_)
            | Self::Completions(_)
            | Self::Worker => false,
        }
    }
}

/// Options of every command.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct GlobalArgs {
    /// Threads to compute with; the result does not depend on it [default: one per core, of unequal cores one per
    /// fast core]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON document on standard output and nothing else there
    #[arg(long, global = true)]
    json: bool,
    /// No progress
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Say which cores compute and what memory is planned; for commands that compute
    #[arg(long, short, global = true)]
    verbose: bool,
}

/// The options of every command, resolved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) threads: usize,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    /// When the program began.
    pub(crate) started: Instant,
}

impl Settings {
    /// Fills in what was left open.
    ///
    /// # Errors
    /// [`Usage`](crate::failure::Usage) for what means nothing to the command, and for an environment that says
    /// wrongly what the command line leaves to it.
    pub(crate) fn resolve(cli: &Cli, started: Instant) -> anyhow::Result<Self> {
        let GlobalArgs { threads, json, quiet, verbose } = cli.global;
        let computes = cli.command.computes();
        if verbose && !computes {
            return Err(usage(
                "--verbose is for commands that compute, which this one does not: leave it out",
            ));
        }
        let threads = match threads {
            Some(threads) => usize::from(threads),
            None if !computes => 1,
            None => {
                Placement::from_environment().map_err(|error| usage(error.to_string()))?.threads
            }
        };
        Ok(Self { threads, json, quiet, verbose, started })
    }

    /// How many threads compute, where and why.
    pub(crate) fn placement(&self) -> String {
        Cores::system().placement(Some(self.threads)).to_string()
    }
}

/// Which model runs, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// Directory of a Hugging Face checkpoint or of an artifact
    #[arg(value_name = "MODEL")]
    pub(crate) path: PathBuf,
    /// Quantise the checkpoint in memory; without it a checkpoint runs in f32 and an artifact as it is
    #[arg(long, value_name = "DTYPE", value_parser = dtype_parser(), hide_possible_values = true)]
    pub(crate) dtype: Option<QuantScheme>,
    #[command(flatten)]
    pub(crate) quantize: QuantizeArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

/// How weights become integers.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct QuantizeArgs {
    /// How a group's range is chosen: its largest magnitude, or the clip with the least squared error
    #[arg(long, value_name = "RULE", default_value = "absmax", value_parser = parser::<Clip>(["absmax", "mse"]))]
    pub(crate) clip: Clip,
    /// Weights with zero points
    #[arg(long)]
    pub(crate) asymmetric: bool,
}

/// How files come into memory.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LoadArgs {
    /// Map the files, or copy them to memory: a mapped file must not shrink while it is used
    #[arg(long = "load", value_name = "HOW", default_value = "map", value_parser = load_parser())]
    pub(crate) load: Load,
}

/// An adapter on top of the model.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoraArgs {
    /// LoRA adapter to run beside the weights: a directory that PEFT saved
    #[arg(long, value_name = "DIR")]
    lora: Option<PathBuf>,
    /// Strength of the adapter
    #[arg(long, value_name = "SCALE", default_value_t = 1.0, requires = "lora")]
    lora_scale: f32,
}

impl LoraArgs {
    /// `options` with the adapter, if there is one.
    pub(crate) fn add_to(&self, options: ModelOptions) -> ModelOptions {
        match &self.lora {
            Some(dir) => options.with_lora("lora", dir, self.lora_scale),
            None => options,
        }
    }
}

/// One of the schemes, by name.
pub(crate) fn dtype_parser() -> impl TypedValueParser<Value = QuantScheme> {
    parser(QuantScheme::ALL.map(|scheme| scheme.to_string()))
}

fn load_parser() -> impl TypedValueParser<Value = Load> {
    PossibleValuesParser::new(["map", "copy"]).map(|name| match name.as_str() {
        "copy" => Load::Copy,
        _ => Load::Map,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }
}
