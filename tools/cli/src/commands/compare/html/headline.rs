//! What to do, and why, before anything else.

use std::fmt::Write;

use super::super::Report;
use super::super::report::Row;
use super::text::{
    baseline, bytes, chosen, decimal, escape, is_chosen, model_name, signed, worst_loss,
};

/// The page's header: recommendation, reason, the figures that matter.
pub(super) fn header(report: &Report) -> String {
    let soc = report.target.facts().name;
    let mut out = format!(
        "<header>\n<p class=\"eyebrow\">{} for the {}</p>\n<h1>{}</h1>\n",
        escape(model_name(report)),
        escape(soc),
        heading(report)
    );
    if let (Some(row), Some(float)) = (chosen(report), baseline(report)) {
        let _ = writeln!(out, "<p class=\"lede\">{}</p>", in_words(row, float));
        out += &figures(report, row, float);
    }
    if let Some(found) = &report.recommendation {
        let mut reason = found.reason.clone();
        if let Some(first) = reason.get(..1) {
            reason = first.to_uppercase() + &reason[1..];
        }
        let _ = writeln!(out, "<p class=\"reason\"><strong>Why.</strong> {}.</p>", escape(&reason));
    }
    let failed = report.rows.iter().filter(|row| row.error.is_some()).count();
    if failed > 0 {
        let _ = writeln!(
            out,
            "<p class=\"reason\">{failed} of {} schemes could not be measured; the table says why.</p>",
            report.rows.len()
        );
    }
    out + "</header>\n"
}

fn heading(report: &Report) -> String {
    let Some(found) = &report.recommendation else {
        return "No quantised scheme could be measured".into();
    };
    let soc = escape(report.target.facts().name);
    let scheme = format!("<span class=\"scheme\">{}</span>", found.dtype);
    match (found.within_max_loss, found.vendor_runtime) {
        (true, true) => format!("Use {scheme} on the {soc}"),
        (true, false) => format!("Use {scheme} on the {soc}’s CPU cores"),
        (false, _) => format!("Nothing stays within the limits; {scheme} comes nearest"),
    }
}

/// The recommended scheme beside the float model, as one would say it.
fn in_words(row: &Row, float: &Row) -> String {
    let mut parts = Vec::new();
    if let (Some(own), Some(whole)) = (row.size, float.size) {
        parts.push(format!("It takes {} instead of {}.", bytes(own.bytes), bytes(whole.bytes)));
    }
    if let Some(loss) = worst_loss(row) {
        let (text, most) = match row.loss_percent.len() {
            1 => ("the text", ""),
            _ => ("the texts", "at most "),
        };
        parts.push(match loss {
            loss if loss.abs() < 0.005 => {
                format!("It predicts {text} as well as the float model.")
            }
            loss if loss < 0.0 => {
                let gain = decimal(-loss, 2);
                format!("It predicts {text} at least {gain}\u{a0}% better than the float model.")
            }
            loss => {
                let loss = decimal(loss, 2);
                format!("It predicts {text} {most}{loss}\u{a0}% worse than the float model.")
            }
        });
    }
    if let (Some(own), Some(whole)) = (&row.terms, &float.terms) {
        parts.push(format!(
            "Of {} questions it answers {} right; the float model answers {}.",
            own.terms_total, own.terms_correct, whole.terms_correct
        ));
    }
    parts.join(" ")
}

/// Four figures at most.
fn figures(report: &Report, row: &Row, float: &Row) -> String {
    let mut cells: Vec<(&str, String, String)> = Vec::new();
    if let (Some(own), Some(whole)) = (row.size, float.size) {
        let part = 100.0 * own.bytes as f64 / whole.bytes.max(1) as f64;
        cells.push(("Size", bytes(own.bytes), format!("{part:.0}\u{a0}% of float")));
    }
    if let Some(loss) = worst_loss(row) {
        let note = format!("limit {}\u{a0}%", decimal(report.max_loss_percent, 2));
        cells.push(("Perplexity lost", format!("{}\u{a0}%", decimal(loss, 2)), note));
    }
    if let (Some(own), Some(whole)) = (&row.terms, &float.terms) {
        let change = (own.term_accuracy - whole.term_accuracy) * 100.0;
        let note = format!("{} points against float", signed(change, 1));
        cells.push((
            "Terms right",
            format!("{}\u{a0}%", decimal(own.term_accuracy * 100.0, 1)),
            note,
        ));
    }
    let decode = |row: &Row| row.speed.as_ref().and_then(|speed| speed.decode_tokens_per_s);
    if let (Some(own), Some(whole)) = (decode(row), decode(float)) {
        let note = format!("tokens/s on this CPU, {:.1}× float", own / whole.max(1e-9));
        cells.push(("Decode", decimal(own, 0), note));
    }
    debug_assert!(is_chosen(report, row));
    let mut out = String::from("<dl class=\"figures\">\n");
    for (name, value, note) in cells {
        let _ = writeln!(
            out,
            "<div><dt>{name}</dt><dd>{value}<span class=\"note\">{note}</span></dd></div>"
        );
    }
    out + "</dl>\n"
}
