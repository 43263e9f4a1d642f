//! `rkllm inspect`: what a checkpoint or an artifact holds.

use std::path::PathBuf;

use clap::Args;
use rkllm_convert::{Inspection, inspect};

use crate::args::Settings;
use crate::output;
use crate::table::Table;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Directory of a checkpoint or of an artifact
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// List every tensor, too
    #[arg(long)]
    tensors: bool,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    let found = inspect(&options.model)?;
    if settings.json {
        return output::json(&found);
    }
    let mut text = found.to_string();
    if options.tensors {
        text += &format!("\n{}", tensors(&found));
    }
    output::print(&text)
}

fn tensors(found: &Inspection) -> String {
    let headings = ["tensor", "dtype", "shape", "bytes", "file"];
    let mut table = Table::new(headings.map(str::to_owned).to_vec());
    for tensor in &found.tensors {
        table.push(vec![
            tensor.name.clone(),
            tensor.dtype.clone(),
            format!("{:?}", tensor.shape),
            tensor.bytes.to_string(),
            tensor.file.clone(),
        ]);
    }
    table.render()
}
