//! The `rkllm` command: convert, evaluate, compare, benchmark and run language models for Rockchip boards.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod failure;
mod interrupt;
mod manifests;
mod memory;
mod model;
mod output;
mod progress;
mod sampling;
mod system;
mod table;
mod terms;
mod text;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use args::{Cli, Command, Settings};

fn main() -> ExitCode {
    let started = Instant::now();
    rkllm::npu::worker::serve_if_asked();
    let cli = Cli::parse();
    let settings = match Settings::resolve(&cli, started) {
        Ok(settings) => settings,
        Err(error) => return failure::report(&error),
    };
    interrupt::install();
    let result = match cli.command {
        Command::Convert(options) => commands::convert::run(&options, &settings),
        Command::Inspect(options) => commands::inspect::run(&options, &settings),
        Command::Verify(options) => commands::verify::run(&options, &settings),
        Command::Eval(options) => commands::eval::run(&options, &settings),
        Command::Compare(options) => commands::compare::run(&options, &settings),
        Command::Bench(options) => commands::bench::run(&options, &settings),
        Command::Logits(options) => commands::logits::run(&options, &settings),
        Command::Generate(options) => commands::generate::run(&options, &settings),
        Command::Chat(options) => commands::chat::run(&options, &settings),
        Command::Models(options) => commands::models::run(&options, &settings),
        Command::Doctor(options) => commands::doctor::run(&options, &settings),
        Command::HostRuntime(options) => commands::host_runtime::run(&options, &settings),
        Command::Completions(options) => commands::completions::run(&options),
        Command::Worker => commands::worker::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
