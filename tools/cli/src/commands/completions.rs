//! `rkllm completions`: a completion script for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    // To memory first: the generator panics when a pipe breaks.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "rkllm", &mut script);
    output::print(&String::from_utf8(script)?)
}
