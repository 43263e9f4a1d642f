//! The command line.

use std::path::PathBuf;

use rkllm::quant::QuantScheme;

use crate::language::Language;

pub(crate) const USAGE: &str = "\
engineering-tutor [MODEL] [--lang es|en] [--scheme SCHEME] [--max-tokens N] [--resume FILE]

  MODEL         directory of a checkpoint or artifact [default: models/tutor-nano]
  --lang        language of the tutor; without it, the language of each question
  --scheme      quantise in memory: w8a8, w4a16_g128, ...
  --max-tokens  of an answer, at most [default: 256]
  --resume      go on with a conversation that /save wrote";

pub(crate) struct Options {
    pub(crate) model: PathBuf,
    /// Fixed by the user; otherwise each question decides.
    pub(crate) language: Option<Language>,
    pub(crate) scheme: Option<QuantScheme>,
    pub(crate) max_tokens: usize,
    pub(crate) resume: Option<PathBuf>,
}

impl Options {
    /// `None` if only help is wanted.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            model: "models/tutor-nano".into(),
            language: None,
            scheme: None,
            max_tokens: 256,
            resume: None,
        };
        let mut args = args;
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "-h" | "--help" => return Ok(None),
                "--lang" => options.language = Some(value()?.parse()?),
                "--scheme" => options.scheme = Some(parsed(&value()?)?),
                "--max-tokens" => options.max_tokens = parsed(&value()?)?,
                "--resume" => options.resume = Some(value()?.into()),
                flag if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
                model => options.model = model.into(),
            }
        }
        Ok(Some(options))
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}
