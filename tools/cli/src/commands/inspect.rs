//! `rkllm inspect`: what a checkpoint, an artifact or a vendor's file holds.

mod vendor;

use std::path::PathBuf;

use clap::Args;
use rkllm::soc::Soc;
use rkllm_convert::{Inspection, inspect};

use super::{parser, usage};
use crate::args::Settings;
use crate::output;
use crate::table::Table;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Directory of a checkpoint or of an artifact, or a .rkllm file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// List every tensor, too
    #[arg(long)]
    tensors: bool,
    /// Of a .rkllm file: search all of it, not only 32 MiB at each end
    #[arg(long)]
    deep: bool,
    /// Of a .rkllm file: whether it was made for this chip; exit code 1 if not
    #[arg(long, visible_alias = "against", value_name = "SOC", value_parser = parser::<Soc>(Soc::ALL.map(|soc| soc.to_string())))]
    target: Option<Soc>,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    // What is neither there nor a directory gets the error of the checkpoint's reader.
    if options.model.is_file() {
        if options.tensors {
            return Err(usage(
                "--tensors is for directories: a .rkllm file's tensors cannot be read",
            ));
        }
        return vendor::run(options, settings);
    }
    if options.deep || options.target.is_some() {
        return Err(usage(format!(
            "--deep and --target are for .rkllm files, and {} is none",
            options.model.display()
        )));
    }
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
