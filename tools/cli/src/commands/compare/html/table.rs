//! Every scheme and every figure.

use std::fmt::Write;

use super::super::Report;
use super::super::report::Row;
use super::text::{bytes, decimal, escape, file_name, is_chosen, signed, small};

/// Which end of a column is the good one.
#[derive(Clone, Copy, PartialEq)]
enum Better {
    Less,
    More,
}

/// A column, of a group that shares a heading.
struct Column {
    group: String,
    name: &'static str,
    better: Option<Better>,
    /// Per row: what is compared, and what is shown.
    cells: Vec<Option<(f64, String)>>,
}

pub(super) fn section(report: &Report) -> Option<String> {
    let columns = columns(report);
    let mut out = String::from(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Table of all schemes\" tabindex=\"0\">\n<table class=\"schemes\">\n",
    );
    let _ = writeln!(out, "<caption><span>{}</span></caption>", caption(report));
    out += &head(&columns);
    out += "<tbody>\n";
    for (index, row) in report.rows.iter().enumerate() {
        out += &body_row(report, row, index, &columns);
    }
    out += "</tbody>\n</table>\n</div>\n";
    Some(out)
}

fn caption(report: &Report) -> String {
    let mut text = String::from(
        "Among the quantised schemes, <b class=\"best\">the best</b> of a column is bold and \
         <span class=\"worst\">the worst</span> is grey.",
    );
    for row in &report.rows {
        if let Some(other) = row.same_as {
            let _ = write!(
                text,
                " {} and {other} are the same numbers in this checkpoint; they were computed once.",
                row.dtype
            );
        }
    }
    text
}

fn column(
    report: &Report,
    group: &str,
    name: &'static str,
    better: Option<Better>,
    cell: impl Fn(&Row) -> Option<(f64, String)>,
) -> Column {
    let cells = report.rows.iter().map(cell).collect();
    Column { group: group.to_owned(), name, better, cells }
}

fn columns(report: &Report) -> Vec<Column> {
    use Better::{Less, More};
    let mut all = vec![
        column(report, "Weights", "bits", None, |row| {
            row.size.map(|s| (s.bits_per_weight, decimal(s.bits_per_weight, 2)))
        }),
        column(report, "Weights", "size", Some(Less), |row| {
            row.size.map(|s| (s.bytes as f64, bytes(s.bytes)))
        }),
    ];
    for text in &report.texts {
        let group = file_name(&text.file);
        all.push(column(report, group, "perplexity", None, |row| {
            row.perplexity.get(&text.file).map(|&p| (p, decimal(p, if p < 10.0 { 4 } else { 2 })))
        }));
        all.push(column(report, group, "loss", Some(Less), |row| {
            row.loss_percent.get(&text.file).map(|&l| (l, format!("{}\u{a0}%", signed(l, 2))))
        }));
    }
    let group = "From the float model";
    all.push(column(report, group, "mean KL", Some(Less), |row| {
        row.divergence.as_ref().map(|d| (d.kl_mean, small(d.kl_mean)))
    }));
    all.push(column(report, group, "KL p99", Some(Less), |row| {
        row.divergence.as_ref().map(|d| (d.kl_p99, small(d.kl_p99)))
    }));
    all.push(column(report, group, "same top", Some(More), |row| {
        row.divergence.as_ref().map(|d| (d.top1, format!("{}\u{a0}%", decimal(d.top1 * 100.0, 2))))
    }));
    if report.terms.is_some() {
        all.push(column(report, "Terms", "right", Some(More), |row| {
            let part = row.terms.as_ref()?.term_accuracy;
            Some((part, format!("{}\u{a0}%", decimal(part * 100.0, 1))))
        }));
    }
    if report.rows.iter().any(|row| row.speed.is_some()) {
        let group = "Tokens/s here";
        let shown = |value: Option<f64>| value.map(|v| (v, decimal(v, 0)));
        all.push(column(report, group, "prefill", Some(More), |row| {
            shown(row.speed.as_ref()?.prefill_tokens_per_s)
        }));
        all.push(column(report, group, "decode", Some(More), |row| {
            shown(row.speed.as_ref()?.decode_tokens_per_s)
        }));
    }
    all.push(column(report, report.target.facts().name, "vendor", None, |row| {
        let word = if row.vendor_runtime { "yes" } else { "no" };
        Some((0.0, word.to_owned()))
    }));
    all
}

fn head(columns: &[Column]) -> String {
    let mut groups = String::from("<tr><td></td>");
    let mut names = String::from("<tr><th scope=\"col\" class=\"name\">scheme</th>");
    let mut index = 0;
    while index < columns.len() {
        let group = &columns[index].group;
        let span = columns[index..].iter().take_while(|column| column.group == *group).count();
        let _ = write!(groups, "<th scope=\"colgroup\" colspan=\"{span}\">{}</th>", escape(group));
        for (place, column) in columns[index..index + span].iter().enumerate() {
            let class = if place == 0 { " class=\"first\"" } else { "" };
            let _ = write!(names, "<th scope=\"col\"{class}>{}</th>", column.name);
        }
        index += span;
    }
    format!("<thead>\n{groups}</tr>\n{names}</tr>\n</thead>\n")
}

fn body_row(report: &Report, row: &Row, index: usize, columns: &[Column]) -> String {
    let chosen = is_chosen(report, row);
    let class = if chosen { " class=\"chosen\"" } else { "" };
    let note = if chosen { "<span class=\"hidden\"> (recommended)</span>" } else { "" };
    let mut out = format!("<tr{class}><th scope=\"row\">{}{note}</th>", row.dtype);
    if let Some(error) = &row.error {
        let _ = writeln!(
            out,
            "<td class=\"error\" colspan=\"{}\">{}</td></tr>",
            columns.len(),
            escape(error)
        );
        return out;
    }
    for (place, column) in columns.iter().enumerate() {
        let first = place == 0 || columns[place - 1].group != column.group;
        let mut classes = if first { vec!["first"] } else { vec![] };
        let shown = match &column.cells[index] {
            None => "<span class=\"none\">–</span>".to_owned(),
            Some((value, shown)) => {
                let mark = mark(report, column, *value).filter(|_| !row.dtype.is_float());
                classes.extend(mark);
                match mark {
                    Some("best") => {
                        format!("{}<span class=\"hidden\"> best</span>", escape(shown))
                    }
                    _ => escape(shown),
                }
            }
        };
        let class = match classes.is_empty() {
            true => String::new(),
            false => format!(" class=\"{}\"", classes.join(" ")),
        };
        let _ = write!(out, "<td{class}>{shown}</td>");
    }
    out + "</tr>\n"
}

/// Whether a value is an extreme of its column among the quantised schemes.
fn mark(report: &Report, column: &Column, value: f64) -> Option<&'static str> {
    let better = column.better?;
    let rows = report.rows.iter().zip(&column.cells);
    let values = rows
        .filter(|(row, _)| !row.dtype.is_float())
        .filter_map(|(_, cell)| cell.as_ref().map(|(value, _)| *value));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low >= high {
        return None;
    }
    match (better, value) {
        (Better::Less, value) if value == low => Some("best"),
        (Better::More, value) if value == high => Some("best"),
        (Better::Less, value) if value == high => Some("worst"),
        (Better::More, value) if value == low => Some("worst"),
        _ => None,
    }
}
