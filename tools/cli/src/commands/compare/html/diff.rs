//! What changed between two texts, word by word.

use super::text::escape;

/// Longer texts are compared up to here; an answer has at most 96 tokens.
const WORDS: usize = 400;

/// A stretch of words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Same(Vec<&'a str>),
    Removed(Vec<&'a str>),
    Added(Vec<&'a str>),
}

/// The shortest way from `before` to `after` in whole words.
pub(super) fn words<'a>(before: &'a str, after: &'a str) -> Vec<Part<'a>> {
    let old: Vec<&str> = before.split_whitespace().take(WORDS).collect();
    let new: Vec<&str> = after.split_whitespace().take(WORDS).collect();
    // common[i][j]: words in common of old[i..] and new[j..].
    let mut common = vec![vec![0u16; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut parts = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            push(&mut parts, Part::Same(vec![old[i]]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            push(&mut parts, Part::Removed(vec![old[i]]));
            i += 1;
        } else {
            push(&mut parts, Part::Added(vec![new[j]]));
            j += 1;
        }
    }
    parts
}

/// Adds to the last stretch where it is of the same kind.
fn push<'a>(parts: &mut Vec<Part<'a>>, part: Part<'a>) {
    match (parts.last_mut(), part) {
        (Some(Part::Same(all)), Part::Same(new))
        | (Some(Part::Removed(all)), Part::Removed(new))
        | (Some(Part::Added(all)), Part::Added(new)) => all.extend(new),
        (_, part) => parts.push(part),
    }
}

/// `after`, with what is new in it marked and what it lacks struck out.
pub(super) fn marked(before: &str, after: &str) -> String {
    let parts = words(before, after);
    let shown = parts.iter().map(|part| match part {
        Part::Same(words) => escape(&words.join(" ")),
        Part::Removed(words) => format!("<del>{}</del>", escape(&words.join(" "))),
        Part::Added(words) => format!("<ins>{}</ins>", escape(&words.join(" "))),
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_marked() {
        assert_eq!(
            marked("I = U / R = 3 A", "I = U / R = 4 A"),
            "I = U / R = <del>3</del> <ins>4</ins> A"
        );
        assert_eq!(marked("a b c", "a b c"), "a b c");
        assert_eq!(marked("", "x  y"), "<ins>x y</ins>");
        assert_eq!(marked("x", ""), "<del>x</del>");
        assert_eq!(marked("a <b> c", "a &c; c"), "a <del>&lt;b&gt;</del> <ins>&amp;c;</ins> c");
    }

    #[test]
    fn both_texts_can_be_read_from_the_parts() {
        let (before, after) = ("the force is 3 N up", "so the force equals 3 kN");
        let parts = words(before, after);
        let side = |removed: bool| {
            let words = parts.iter().flat_map(|part| match part {
                Part::Same(words) => words.clone(),
                Part::Removed(words) if removed => words.clone(),
                Part::Added(words) if !removed => words.clone(),
                _ => vec![],
            });
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!((&*side(true), &*side(false)), (before, after));
        let long = "w ".repeat(10_000);
        assert_eq!(words(&long, &long).len(), 1);
    }
}
