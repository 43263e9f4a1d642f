//! Answers that quantisation changed, beside the float model's.

use std::collections::BTreeMap;
use std::fmt::Write;

use rkllm::eval::Term;

use super::super::Report;
use super::super::report::Row;
use super::diff;
use super::text::{baseline, escape, is_chosen, list};
use crate::terms::Answer;

/// How many questions are shown, how many of them may be of the dull sort where nobody is right, and how many
/// different answers to each beside the float model's.
const EXAMPLES: usize = 8;
const DULL: usize = 2;
const VARIANTS: usize = 3;

/// An answer and the schemes that gave it.
struct Variant<'a> {
    answer: &'a Answer,
    schemes: Vec<String>,
    chosen: bool,
}

/// A question some scheme answered differently.
struct Example<'a> {
    term: &'a Term,
    float: &'a Answer,
    variants: Vec<Variant<'a>>,
    /// Larger is more worth showing.
    weight: usize,
}

pub(super) fn section(report: &Report) -> Option<String> {
    let terms = report.terms.as_ref()?;
    let float = baseline(report)?;
    let rows: Vec<&Row> = report
        .rows
        .iter()
        .filter(|row| !row.answers.is_empty() && row.same_as.is_none() && row.dtype != float.dtype)
        .collect();
    let all: Vec<Example<'_>> = terms
        .asked
        .iter()
        .zip(&float.answers)
        .enumerate()
        .filter_map(|(index, (term, answer))| example(report, term, answer, &rows, index))
        .collect();
    if all.is_empty() {
        return (!rows.is_empty()).then(|| {
            "<p>No scheme changed a single answer: all are the float model’s, word for word.</p>\n".into()
        });
    }
    let differing = all.len();
    let turned = all.iter().filter(|found| found.turned_wrong()).count();
    let shown = choose(all);
    let mut out = format!(
        "<p>{differing} of {} answers differ from the float model’s in at least one scheme; {turned} of them \
         turned from right to wrong. Here are {}. <ins>Marked</ins> words are new, \
         <del>struck</del> ones were the float model’s.</p>\n",
        terms.questions,
        shown.len()
    );
    for example in &shown {
        out += &card(example);
    }
    Some(out)
}

impl Example<'_> {
    fn turned_wrong(&self) -> bool {
        self.float.correct && self.variants.iter().any(|variant| !variant.answer.correct)
    }

    /// 0 if a right answer turned wrong, 1 if a wrong one turned right, 2 if all are right in other words, 3 if
    /// all are wrong.
    fn dullness(&self) -> u8 {
        match (self.float.correct, self.variants.iter().any(|variant| variant.answer.correct)) {
            (true, _) if self.turned_wrong() => 0,
            (false, true) => 1,
            (true, _) => 2,
            (false, false) => 3,
        }
    }
}

fn example<'a>(
    report: &Report,
    term: &'a Term,
    float: &'a Answer,
    rows: &[&'a Row],
    index: usize,
) -> Option<Example<'a>> {
    let mut variants: Vec<Variant<'a>> = Vec::new();
    for row in rows {
        let Some(answer) = row.answers.get(index).filter(|answer| *answer != float) else {
            continue;
        };
        let chosen = is_chosen(report, row);
        match variants.iter_mut().find(|variant| variant.answer == answer) {
            Some(variant) => {
                variant.schemes.push(row.dtype.to_string());
                variant.chosen |= chosen;
            }
            None => variants.push(Variant { answer, schemes: vec![row.dtype.to_string()], chosen }),
        }
    }
    // The recommended scheme first, then what turned wrong, then what most schemes say.
    variants.sort_by_key(|variant| {
        let wrong = float.correct && !variant.answer.correct;
        (!variant.chosen, !wrong, std::cmp::Reverse(variant.schemes.len()))
    });
    let turned = variants.iter().filter(|variant| float.correct && !variant.answer.correct);
    let weight = turned
        .map(|variant| if variant.chosen { 100 } else { 10 } + variant.schemes.len())
        .sum::<usize>()
        + variants.len();
    (!variants.is_empty()).then_some(Example { term, float, variants, weight })
}

/// The examples most worth showing: no family twice before every family once, languages in turn.
fn choose(mut all: Vec<Example<'_>>) -> Vec<Example<'_>> {
    all.sort_by_key(|found| std::cmp::Reverse(found.weight));
    let mut kept: Vec<Example<'_>> = Vec::new();
    while kept.len() < EXAMPLES && !all.is_empty() {
        let mut families: BTreeMap<&str, usize> = BTreeMap::new();
        let mut languages: BTreeMap<&str, usize> = BTreeMap::new();
        for found in &kept {
            *families.entry(&found.term.family).or_default() += 1;
            *languages.entry(&found.term.lang).or_default() += 1;
        }
        let seen =
            |counts: &BTreeMap<&str, usize>, name: &str| counts.get(name).copied().unwrap_or(0);
        let next = (0..all.len()).min_by_key(|&index| {
            let found = &all[index];
            // A right answer that turned wrong is worth more than variety.
            let order = (found.dullness(), seen(&families, &found.term.family));
            (order, seen(&languages, &found.term.lang) / 2, index)
        });
        let Some(next) = next else { break };
        let dull = |found: &Example<'_>| found.dullness() > 2;
        if dull(&all[next]) && kept.iter().filter(|found| dull(found)).count() == DULL {
            break;
        }
        kept.push(all.remove(next));
    }
    kept
}

fn card(example: &Example<'_>) -> String {
    let term = example.term;
    let lang = escape(&term.lang);
    let mut out = format!(
        "<article class=\"example\">\n<h3 lang=\"{lang}\">{}</h3>\n<p class=\"expect\">{} · expected \
         <b lang=\"{lang}\">{}</b></p>\n<div class=\"answers\">\n",
        escape(&term.question),
        escape(&term.family.replace('_', " ")),
        escape(&term.expect)
    );
    out += &answer("float", example.float, &escape(&example.float.text), &lang);
    for variant in example.variants.iter().take(VARIANTS) {
        let marked = diff::marked(&example.float.text, &variant.answer.text);
        out += &answer(&list(&variant.schemes), variant.answer, &marked, &lang);
    }
    out += "</div>\n";
    let more = example.variants.len().saturating_sub(VARIANTS);
    if more > 0 {
        let schemes: Vec<String> =
            example.variants[VARIANTS..].iter().flat_map(|v| v.schemes.clone()).collect();
        let _ = writeln!(out, "<p class=\"more\">Other wordings: {}.</p>", list(&schemes));
    }
    out + "</article>\n"
}

fn answer(schemes: &str, answer: &Answer, shown: &str, lang: &str) -> String {
    let (class, mark, word) =
        if answer.correct { ("right", "✓", "right") } else { ("wrong", "✗", "wrong") };
    let shown = if shown.is_empty() { "<span class=\"none\">(nothing)</span>" } else { shown };
    format!(
        "<div class=\"answer {class}\">\n<p class=\"who\">{}<span class=\"verdict\">\
         <span aria-hidden=\"true\">{mark}</span> {word}</span></p>\n<p class=\"said\" lang=\"{lang}\">{shown}</p>\n</div>\n",
        escape(schemes)
    )
}
