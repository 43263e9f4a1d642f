//! `rkllm doctor`: which board this is, and what stands in the way of its NPU.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use rkllm::npu::board::{Area, Board, Finding, Root, Severity, Verdict, diagnose};
use serde::Serialize;

use super::usage;
use crate::args::Settings;
use crate::output;

/// Of the JSON document; another number means that fields were removed or changed their meaning.
const FORMAT: u32 = 1;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Nothing is changed, started or loaded. Run it with sudo to see what only root may: debugfs, and which
processes have the NPU open. RKLLM_LIB_DIR and LD_LIBRARY_PATH are searched for the runtimes first.

A recorded tree holds copies of files of /proc, /sys, /etc, /dev and the library directories; a file
.modes in it says what copies lose (the documentation of rkllm::npu::board::Root has its format).

With --json: format (1), root, verdict (ready, unsure, blocked, no_npu), findings (id, area, severity,
what, cause, fix, reference), unread (what could not be read, and why) and board (the facts).

Exit codes: 0 nothing found prevents language models on the NPU, 1 a finding of severity error does
(a machine without a Rockchip NPU included), 2 wrong usage.")]
pub(crate) struct Options {
    /// Diagnose a recorded tree of /proc, /sys, /etc and /dev in place of this machine
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report<'a> {
    format: u32,
    root: Option<String>,
    verdict: Verdict,
    findings: &'a [Finding],
    unread: &'a [String],
    board: &'a Board,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    let root = match &options.root {
        Some(dir) => recorded(dir)?,
        None => system(),
    };
    let board = Board::probe(&root);
    let findings = diagnose(&board);
    let unread = board.unread();
    let verdict = Verdict::of(&board, &findings);
    if settings.json {
        output::json(&Report {
            format: FORMAT,
            root: options.root.as_ref().map(|dir| dir.display().to_string()),
            verdict,
            findings: &findings,
            unread: &unread,
            board: &board,
        })?;
    } else {
        output::print(&text(&findings, &unread, verdict))?;
    }
    match verdict {
        verdict if verdict.can_run() => Ok(()),
        Verdict::NoNpu => anyhow::bail!("there is no Rockchip NPU on this machine"),
        _ => match errors(&findings) {
            1 => anyhow::bail!("the NPU cannot be used: 1 error; do what stands beside `fix`"),
            n => anyhow::bail!("the NPU cannot be used: {n} errors; do what stands beside `fix`"),
        },
    }
}

/// This machine, its runtimes searched where a program of this user would.
fn system() -> Root {
    ["RKLLM_LIB_DIR", "LD_LIBRARY_PATH"]
        .into_iter()
        .filter_map(std::env::var_os)
        .flat_map(|dirs| std::env::split_paths(&dirs).collect::<Vec<_>>())
        .filter(|dir| dir.is_absolute())
        .filter_map(|dir| dir.into_os_string().into_string().ok())
        .fold(Root::system(), Root::with_library_dir)
}

fn recorded(dir: &Path) -> anyhow::Result<Root> {
    let advice = "--root takes a folder with copies of /proc and /sys in it";
    if !dir.is_dir() {
        return Err(usage(format!("{}: no such directory; {advice}", dir.display())));
    }
    let root = Root::open(dir).context("--root")?;
    if !root.is_board() {
        let none = "neither proc nor sys in it";
        return Err(usage(format!("{}: {none}; {advice}", dir.display())));
    }
    Ok(root)
}

fn errors(findings: &[Finding]) -> usize {
    findings.iter().filter(|finding| finding.severity == Severity::Error).count()
}

/// How a severity is written in the first column.
fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Info => "note",
        Severity::Warning => "WARNING",
        Severity::Error => "ERROR",
    }
}

/// The report for people.
fn text(findings: &[Finding], unread: &[String], verdict: Verdict) -> String {
    let width = findings.iter().map(|finding| finding.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut area: Option<Area> = None;
    for finding in findings {
        if area != Some(finding.area) {
            area = Some(finding.area);
            text += &format!("{}\n", finding.area.title());
        }
        let Finding { id, severity, what, cause, fix, reference, .. } = finding;
        text += &format!("  {:<7}  {id:<width$}  {what}\n", mark(*severity));
        let reference = reference.map(str::to_owned);
        for (name, said) in [("why", cause), ("fix", fix), ("see", &reference)] {
            if let Some(said) = said {
                text += &format!("  {:<7}  {:>width$}  {said}\n", "", name);
            }
        }
    }
    if !unread.is_empty() {
        text += "not read\n";
        for what in unread {
            text += &format!("  {what}\n");
        }
    }
    text + "\n" + &summary(findings, verdict) + "\n"
}

/// The last words: what it comes to.
fn summary(findings: &[Finding], verdict: Verdict) -> String {
    let count = |severity: Severity, name: &str| {
        let n = findings.iter().filter(|finding| finding.severity == severity).count();
        format!("{n} {name}{}", if n == 1 { "" } else { "s" })
    };
    let counts = format!(
        "{}, {}, {}",
        count(Severity::Error, "error"),
        count(Severity::Warning, "warning"),
        count(Severity::Info, "note")
    );
    match verdict {
        Verdict::Ready => format!("The NPU can be used ({counts})."),
        Verdict::Unsure => {
            format!("Nothing found prevents the use of the NPU, but not all could be seen ({counts}).")
        }
        Verdict::NoNpu => "There is no Rockchip NPU here. The CPU engine works: rkllm convert, compare, eval, generate \
                           and chat run on this machine, with the bits the board's CPU would give."
            .to_owned(),
        _ => format!(
            "The NPU cannot be used ({counts}). The CPU engine needs none of this: rkllm generate, chat and eval on \
             an artifact work."
        ),
    }
}
