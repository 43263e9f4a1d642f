//! Questions with an exact answer: a quantised tutor fails first on numbers, units and technical terms.
//!
//! The steps are apart, so that this floor needs neither tokenizer nor chat template: [`parse_terms`]
//! reads the questions, the caller turns each into token ids, [`answers`] lets a model answer them, the
//! caller decodes, [`Term::accepts`] judges one answer and [`TermAccuracy`] counts.

mod answer;
mod score;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

pub use answer::{AnswerOptions, answers};

use crate::{Error, ErrorKind, Result};

/// How an answer is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TermKind {
    /// A number, with or without a unit.
    Number,
    /// A word or some words.
    Term,
}

/// A question with the answer that is right: one line of `terms.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Term {
    /// What tells it from the others.
    pub id: String,
    /// The subject it belongs to, such as `ohm_voltage`.
    pub family: String,
    /// Its language, such as `es`.
    pub lang: String,
    /// What the model is asked.
    pub question: String,
    /// What is right: `282 V`, `young's modulus`.
    pub expect: String,
    /// How an answer is judged.
    pub kind: TermKind,
    /// Other terms that are right, too. Not for numbers.
    pub accept: Vec<String>,
}

impl Term {
    /// Whether `answer` is right. Both sides are first normalised: a comma between two digits becomes a
    /// point, white space becomes single spaces, U+2212 a minus sign, and the ohm and micro signs the Greek
    /// letters.
    ///
    /// - [`TermKind::Number`]: the **last** number of the answer equals the expected one exactly, as decimals
    ///   (`12.0` is `12`), and the expected unit follows, after at most one space, as a whole word: what
    ///   comes after it is the end, white space, or one of `. , ; : ! ? )`, because `5 m/s`, `5 m²` and
    ///   `5 m^2` are not `5 m`. Capitals count, because `mW` is not `MW`. Without an expected unit,
    ///   anything but a letter or a digit may follow. A number is an
    ///   optional sign, digits and, after a point, more digits; digits after a letter, `_` or `^` are part
    ///   of a name or a unit (`R2`, `m/s^2`), and a sign after a digit or a letter is an operator.
    /// - [`TermKind::Term`]: the expected term, or one of `accept`, occurs in lower case as whole words: no
    ///   letter, digit or `_` before or after it.
    pub fn accepts(&self, answer: &str) -> bool {
        match self.kind {
            TermKind::Number => score::number(&self.expect, answer),
            TermKind::Term => {
                let mut terms = std::iter::once(&self.expect).chain(&self.accept);
                terms.any(|term| score::term(term, answer))
            }
        }
    }
}

/// A line as it stands in the file; what else it holds is left alone.
#[derive(Deserialize)]
struct Line {
    id: String,
    family: String,
    lang: String,
    question: String,
    expect: String,
    kind: String,
    #[serde(default)]
    accept: Vec<String>,
}

/// Reads JSON lines of `{"id", "family", "lang", "question", "expect", "kind": "number" | "term",
/// "accept": [...]?}`. Empty lines are skipped.
///
/// # Errors
/// [`ErrorKind::Format`], naming the line, for text that is not JSON of that shape, an unknown kind, an `id`
/// that came before, an empty question or answer, a number that is none, and a file without questions.
pub fn parse_terms(text: &str) -> Result<Vec<Term>> {
    let mut terms: Vec<Term> = Vec::new();
    let mut ids = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let term = parse_line(line).map_err(|error| error.about(format!("line {}", index + 1)))?;
        if !ids.insert(term.id.clone()) {
            return Err(bad(format!("the id {:?} came before", term.id), "give each its own id")
                .about(format!("line {}", index + 1)));
        }
        terms.push(term);
    }
    if terms.is_empty() {
        return Err(bad("no question in it".into(), "write one JSON object per line"));
    }
    Ok(terms)
}

fn parse_line(line: &str) -> Result<Term> {
    const SHAPE: &str = "expected an object of id, family, lang, question, expect and kind";
    let line: Line = serde_json::from_str(line)
        .map_err(|error| bad(format!("not a question: {error}"), SHAPE))?;
    let kind = match line.kind.as_str() {
        "number" => TermKind::Number,
        "term" => TermKind::Term,
        other => return Err(bad(format!("unknown kind {other:?}"), "expected number or term")),
    };
    if line.question.trim().is_empty() {
        return Err(bad("the question is empty".into(), "ask something"));
    }
    if kind == TermKind::Number {
        if !score::is_quantity(&line.expect) {
            let message = format!("expect {:?} does not begin with a number", line.expect);
            return Err(bad(message, "write a number and its unit, or use the kind term"));
        }
        if !line.accept.is_empty() {
            return Err(bad("a number has no other answers".into(), "leave accept out"));
        }
    }
    let blank = |text: &String| text.trim().is_empty();
    if blank(&line.expect) || line.accept.iter().any(blank) {
        return Err(bad("an expected answer is empty".into(), "every answer would be right"));
    }
    Ok(Term {
        id: line.id,
        family: line.family,
        lang: line.lang,
        question: line.question,
        expect: line.expect,
        kind,
        accept: line.accept,
    })
}

fn bad(message: String, hint: &str) -> Error {
    Error::new(ErrorKind::Format, message).with_hint(hint)
}

/// How many answers were right.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TermAccuracy {
    /// The part that was right, 0 to 1.
    pub term_accuracy: f64,
    /// Right answers.
    pub terms_correct: usize,
    /// Questions.
    pub terms_total: usize,
    /// The part of each family that was right, 0 to 1.
    pub term_accuracy_by_family: BTreeMap<String, f64>,
    /// The part of each language that was right, 0 to 1.
    pub term_accuracy_by_language: BTreeMap<String, f64>,
}

impl TermAccuracy {
    /// Counts `correct`, one for each of `terms` and in their order. `None` if there are none.
    pub fn of(terms: &[Term], correct: &[bool]) -> Option<Self> {
        let mut all = Count::default();
        let mut families: BTreeMap<&str, Count> = BTreeMap::new();
        let mut languages: BTreeMap<&str, Count> = BTreeMap::new();
        for (term, &correct) in terms.iter().zip(correct) {
            all.add(correct);
            families.entry(&term.family).or_default().add(correct);
            languages.entry(&term.lang).or_default().add(correct);
        }
        let parts = |counts: BTreeMap<&str, Count>| {
            counts.into_iter().map(|(name, count)| (name.to_owned(), count.part())).collect()
        };
        (all.total > 0).then(|| Self {
            term_accuracy: all.part(),
            terms_correct: all.correct,
            terms_total: all.total,
            term_accuracy_by_family: parts(families),
            term_accuracy_by_language: parts(languages),
        })
    }
}

#[derive(Default)]
struct Count {
    correct: usize,
    total: usize,
}

impl Count {
    fn add(&mut self, correct: bool) {
        self.total += 1;
        self.correct += usize::from(correct);
    }

    fn part(&self) -> f64 {
        self.correct as f64 / self.total.max(1) as f64
    }
}
