//! The comparison as one page: no script, nothing loaded, readable on paper, in the dark and on a phone.
//!
//! Charts are drawn twice, for a wide and a narrow column, and the style sheet shows one of them: text in a
//! chart that is merely scaled to a phone cannot be read.

mod answers;
mod bars;
mod diff;
mod families;
mod headline;
mod method;
mod scatter;
mod strip;
mod svg;
mod table;
#[cfg(test)]
mod tests;
mod text;

#[cfg(unix)]
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;

use super::Report;
use crate::interrupt;
use text::escape;

/// Nothing may be loaded and nothing may run, whatever a file's name or a model's answer says.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Where the page goes: complete under its name, or not there.
pub(super) struct Page {
    path: PathBuf,
}

impl Page {
    /// Makes sure that the page can be written, before the work whose result it shows.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        if path.is_dir() {
            anyhow::bail!("{}: is a directory; name a file", path.display());
        }
        let page = Self { path: path.to_owned() };
        page.temporary().map(drop)?;
        Ok(page)
    }

    /// Writes the report and gives the file its name.
    pub(super) fn write(self, report: &Report) -> anyhow::Result<()> {
        let _writing = interrupt::Writing::begin();
        let mut file = self.temporary()?;
        file.write_all(render(report).as_bytes()).with_context(|| self.failed())?;
        file.persist(&self.path).map_err(|error| error.error).with_context(|| self.failed())?;
        Ok(())
    }

    /// A file beside the page's place, so that it can be renamed to it.
    fn temporary(&self) -> anyhow::Result<NamedTempFile> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new file: the caller's umask decides, not tempfile's 0600.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        builder.prefix(".rkllm-report-").tempfile_in(folder).with_context(|| self.failed())
    }

    fn failed(&self) -> String {
        format!("{}: cannot write the report", self.path.display())
    }
}

/// The whole page, well-formed as HTML and as XML.
fn render(report: &Report) -> String {
    let title = format!("{}: what each scheme costs", text::model_name(report));
    let sections = [
        ("schemes", "Every scheme", table::section(report)),
        ("size", "Size against loss", scatter::section(report)),
        ("divergence", "How far from the float model", strip::section(report)),
        ("speed", "Speed", bars::section(report)),
        ("terms", "Terms by family", families::section(report)),
        ("answers", "What changed in the answers", answers::section(report)),
        ("method", "How this was measured", method::section(report)),
    ];
    let body: String = sections
        .into_iter()
        .filter_map(|(id, heading, content)| Some((id, heading, content?)))
        .map(|(id, heading, content)| {
            format!(
                "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n{content}</section>\n"
            )
        })
        .collect();
    format!(
        "<!DOCTYPE html>\n\
         <html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <meta name=\"generator\" content=\"rkllm {version}\"/>\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         {header}<main>\n{body}</main>\n{footer}</body>\n</html>\n",
        version = escape(report.version),
        title = escape(&title),
        style = include_str!("html/style.css"),
        header = headline::header(report),
        footer = method::footer(report),
    )
}
