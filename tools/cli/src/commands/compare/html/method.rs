//! What was done, on what, and what was not.

use std::fmt::Write;

use super::super::Report;
use super::text::{decimal, escape};
use crate::terms::Prompt;

pub(super) fn section(report: &Report) -> Option<String> {
    let mut items: Vec<(&str, String)> = vec![
        ("Model", code(&report.model)),
        ("Command", code(&command(&report.command))),
        ("Date", escape(&report.date)),
        ("Program", format!("rkllm {}", escape(report.version))),
        (
            "Machine",
            format!(
                "{}, kernel <code>{}</code>, {} threads",
                escape(&report.measured_on.cpu),
                escape(&report.measured_on.kernel),
                report.measured_on.threads
            ),
        ),
        ("Not measured", format!("The NPU: {}.", escape(npu_reason(report.npu)))),
        (
            "Quantisation",
            format!(
                "ranges by <code>{}</code>, {}; made in memory from the checkpoint, so load times include it",
                escape(&report.clip),
                if report.asymmetric { "with zero points" } else { "symmetric" }
            ),
        ),
    ];
    for text in &report.texts {
        items.push((
            "Text",
            format!(
                "{}: {} tokens scored of {}, {} characters<br/>SHA-256 {}",
                code(&text.file),
                text.tokens_scored,
                text.tokens,
                text.characters,
                code(&text.sha256)
            ),
        ));
    }
    items.push((
        "Perplexity",
        format!(
            "method <code>{}</code>, windows of {} tokens; the float model is fed the same tokens in the same step, \
             and KL divergence is in nats per token",
            report.method, report.window
        ),
    ));
    items.push(("Terms", terms(report)));
    items.push(("Speed", speed(report)));
    items.push((
        "Recommendation",
        format!(
            "may lose {}\u{a0}% of perplexity{}",
            decimal(report.max_loss_percent, 2),
            match report.terms {
                Some(_) => format!(
                    " and {} points of term accuracy",
                    decimal(report.max_terms_loss_points, 1)
                ),
                None => String::new(),
            }
        ),
    ));
    let mut out = String::from("<dl class=\"method\">\n");
    for (name, value) in items {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    Some(out + "</dl>\n")
}

/// The last line of the page.
pub(super) fn footer(report: &Report) -> String {
    format!(
        "<footer><p>Made by rkllm {} on {}. The same model and texts give the same figures, but for the \
         speeds, on every CPU.</p></footer>\n",
        escape(report.version),
        escape(report.date.split('T').next().unwrap_or_default())
    )
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

/// The command line as a shell would take it; the program by its name.
fn command(args: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@%+".contains(c);
    let quoted = args.iter().enumerate().map(|(index, arg)| match arg {
        arg if index == 0 => super::text::file_name(arg).to_owned(),
        arg if !arg.is_empty() && arg.chars().all(plain) => arg.clone(),
        arg => format!("'{}'", arg.replace('\'', r"'\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn npu_reason(text: &str) -> &str {
    text.strip_prefix("not measured: ").unwrap_or(text)
}

fn terms(report: &Report) -> String {
    let Some(terms) = &report.terms else {
        return "no questions were asked".into();
    };
    let prompt = match terms.prompt {
        Prompt::ChatTemplate => "asked through the model’s chat template",
        Prompt::Plain => "asked as plain text, because the model has no chat template",
    };
    format!(
        "{}: {} questions, {prompt}; greedy answers of at most 96 tokens. A number is right if the last number \
         of the answer equals it and its unit follows; a term, if it occurs as whole words<br/>SHA-256 {}",
        code(&terms.file),
        terms.questions,
        code(&terms.sha256)
    )
}

fn speed(report: &Report) -> String {
    match &report.speed_runs {
        None => "not measured".into(),
        Some(runs) => format!(
            "{} rounds, each scheme in a process of its own, in turn; {} prompt tokens and {} new ones, after a \
             warm-up; medians",
            runs.rounds, runs.prompt, runs.generate
        ),
    }
}
