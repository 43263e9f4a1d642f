//! Words and figures as the page shows them.

use rkllm::quant::QuantScheme;

use super::super::Report;
use super::super::report::Row;

/// `text` as it stands in an element or a quoted attribute. Control characters, which neither HTML nor XML
/// takes, become U+FFFD.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The last part of a path, for headings.
pub(super) fn file_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// What the model is called.
pub(super) fn model_name(report: &Report) -> &str {
    file_name(&report.model)
}

/// A value with `digits` decimals and a real minus sign; never a zero with a sign.
pub(super) fn decimal(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().any(|b| (b'1'..=b'9').contains(&b)) => {
            format!("\u{2212}{rest}")
        }
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// The same with a sign before gains, too.
pub(super) fn signed(value: f64, digits: usize) -> String {
    let text = decimal(value, digits);
    let zero = !text.bytes().any(|b| (b'1'..=b'9').contains(&b));
    if text.starts_with('\u{2212}') || zero { text } else { format!("+{text}") }
}

/// A small positive value with two significant digits: as decimals while those are few.
pub(super) fn small(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        v if v >= 1.0 => decimal(v, 2),
        v if v < 0.000_009_5 => format!("{v:.1e}").replace("e-", "e\u{2212}"),
        v => {
            // 0.0019 begins in the third decimal and shows the fourth.
            let digits = 1.0 - libm::floor(libm::log10(v));
            decimal(v, digits as usize)
        }
    }
}

/// Bytes in the decimal units of the terminal's table, held together.
pub(super) fn bytes(count: u64) -> String {
    crate::output::bytes(count).replace(' ', "\u{a0}")
}

/// The largest loss of perplexity over the texts, in per cent.
pub(super) fn worst_loss(row: &Row) -> Option<f64> {
    row.loss_percent.values().copied().reduce(f64::max)
}

/// The row that is recommended.
pub(super) fn chosen(report: &Report) -> Option<&Row> {
    let dtype = report.recommendation.as_ref()?.dtype;
    report.rows.iter().find(|row| row.dtype == dtype)
}

/// The float baseline.
pub(super) fn baseline(report: &Report) -> Option<&Row> {
    report.rows.iter().find(|row| row.dtype == QuantScheme::F32)
}

/// Whether a row is the recommended one.
pub(super) fn is_chosen(report: &Report, row: &Row) -> bool {
    report.recommendation.as_ref().is_some_and(|found| found.dtype == row.dtype)
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}
