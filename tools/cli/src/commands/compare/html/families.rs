//! Term accuracy of every family of questions, in every scheme.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::Report;
use super::super::report::Row;
use super::text::{baseline, decimal, escape, is_chosen, list, signed};

/// A family and what each scheme made of it, in points against the float model.
struct Family<'a> {
    name: &'a str,
    questions: usize,
    float: f64,
    /// Per scheme: the part that was right.
    parts: Vec<Option<f64>>,
}

impl Family<'_> {
    /// What the schemes lost in all, gains not counted against it.
    fn damage(&self) -> f64 {
        self.parts.iter().flatten().map(|part| (self.float - part).max(0.0)).sum()
    }

    fn changed(&self) -> bool {
        self.parts.iter().flatten().any(|part| *part != self.float)
    }
}

pub(super) fn section(report: &Report) -> Option<String> {
    let terms = report.terms.as_ref()?;
    let float = baseline(report)?.terms.as_ref()?;
    let rows: Vec<&Row> =
        report.rows.iter().filter(|row| row.terms.is_some() && row.same_as.is_none()).collect();
    let mut questions: BTreeMap<&str, usize> = BTreeMap::new();
    for term in &terms.asked {
        *questions.entry(&term.family).or_default() += 1;
    }
    let part =
        |row: &Row, family: &str| row.terms.as_ref()?.term_accuracy_by_family.get(family).copied();
    let mut families: Vec<Family<'_>> = float
        .term_accuracy_by_family
        .iter()
        .map(|(name, &float)| Family {
            name,
            questions: questions.get(name.as_str()).copied().unwrap_or(0),
            float,
            parts: rows.iter().map(|row| part(row, name)).collect(),
        })
        .collect();
    families.sort_by(|a, b| b.damage().total_cmp(&a.damage()).then(a.name.cmp(b.name)));
    let (changed, same): (Vec<_>, Vec<_>) = families.into_iter().partition(Family::changed);

    let mut out = String::from(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Table of families\" tabindex=\"0\">\n<table class=\"families\">\n",
    );
    out += "<caption><span>Per cent of the answers that are right; the families that suffer most come first. \
            <span class=\"swatch d2\">Orange</span> is worse than the float model, \
            <span class=\"swatch u1\">blue</span> is better.</span></caption>\n";
    out +=
        "<thead>\n<tr><th scope=\"col\" class=\"name\">family</th><th scope=\"col\">questions</th>";
    for row in &rows {
        let class = if is_chosen(report, row) { " class=\"chosen\"" } else { "" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", row.dtype);
    }
    out += "</tr>\n</thead>\n<tbody>\n";
    out += &totals(&rows, float.term_accuracy, terms.questions);
    for (language, &all) in &float.term_accuracy_by_language {
        out += &language_row(&rows, language, all, terms);
    }
    for family in &changed {
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td>",
            words(family.name),
            family.questions
        );
        for part in &family.parts {
            out += &cell(*part, family.float);
        }
        out += "</tr>\n";
    }
    out += "</tbody>\n</table>\n</div>\n";
    out += &unchanged(&same);
    Some(out)
}

/// `ohm_voltage` may break a line as two words.
fn words(name: &str) -> String {
    escape(&name.replace('_', " "))
}

fn totals(rows: &[&Row], float: f64, questions: usize) -> String {
    let mut out = format!("<tr class=\"total\"><th scope=\"row\">all</th><td>{questions}</td>");
    for row in rows {
        out += &cell(row.terms.as_ref().map(|terms| terms.term_accuracy), float);
    }
    out + "</tr>\n"
}

fn language_row(
    rows: &[&Row],
    language: &str,
    float: f64,
    terms: &super::super::TermsReport,
) -> String {
    let questions = terms.asked.iter().filter(|term| term.lang == language).count();
    let mut out = format!(
        "<tr class=\"language\"><th scope=\"row\">language: {}</th><td>{questions}</td>",
        escape(language)
    );
    for row in rows {
        let part = row
            .terms
            .as_ref()
            .and_then(|terms| terms.term_accuracy_by_language.get(language).copied());
        out += &cell(part, float);
    }
    out + "</tr>\n"
}

/// A value, coloured by its distance from the float model's.
fn cell(part: Option<f64>, float: f64) -> String {
    let Some(part) = part else { return "<td><span class=\"none\">–</span></td>".into() };
    let points = (part - float) * 100.0;
    let class = match points {
        p if p <= -40.0 => "d5",
        p if p <= -25.0 => "d4",
        p if p <= -12.0 => "d3",
        p if p <= -4.0 => "d2",
        p if p < -1e-9 => "d1",
        p if p > 12.0 => "u2",
        p if p > 1e-9 => "u1",
        _ => "d0",
    };
    let digits = usize::from((part * 100.0 - libm::round(part * 100.0)).abs() > 0.05);
    let said = match class {
        "d0" => String::new(),
        _ => format!("<span class=\"hidden\"> ({} points)</span>", signed(points, 1)),
    };
    format!("<td class=\"{class}\">{}{said}</td>", decimal(part * 100.0, digits.min(1)))
}

/// The families that no scheme touched, in a sentence.
fn unchanged(same: &[Family<'_>]) -> String {
    if same.is_empty() {
        return String::new();
    }
    let names: Vec<String> = same
        .iter()
        .map(|family| {
            format!("{} ({}\u{a0}%)", words(family.name), decimal(family.float * 100.0, 0))
        })
        .collect();
    format!("<p class=\"unchanged\">The same in every scheme: {}.</p>\n", list(&names))
}
