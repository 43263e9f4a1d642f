//! The rule of [`Term::accepts`](super::Term::accepts), on text.

/// Whether the last number of `answer` is `expect`, unit included.
pub(super) fn number(expect: &str, answer: &str) -> bool {
    let (expect, answer) = (normalize(expect), normalize(answer));
    let Some(expected) = numbers(&expect).next().filter(|found| found.start == 0) else {
        return false;
    };
    let Some(found) = numbers(&answer).last() else { return false };
    let unit = expect[expected.end..].trim();
    let rest = &answer[found.end..];
    expected.value == found.value && unit_follows(unit, rest)
}

/// Whether `term` occurs in `answer` as whole words.
pub(super) fn term(term: &str, answer: &str) -> bool {
    let (term, answer) = (normalize(term).to_lowercase(), normalize(answer).to_lowercase());
    if term.is_empty() {
        return false;
    }
    answer.match_indices(&term).any(|(at, _)| {
        let before = answer[..at].chars().next_back();
        let after = answer[at + term.len()..].chars().next();
        !before.is_some_and(in_word) && !after.is_some_and(in_word)
    })
}

/// Whether `expect` begins with a number.
pub(super) fn is_quantity(expect: &str) -> bool {
    numbers(&normalize(expect)).next().is_some_and(|found| found.start == 0)
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `unit` stands at the beginning of `rest` and ends there.
fn unit_follows(unit: &str, rest: &str) -> bool {
    if unit.is_empty() {
        return !rest.chars().next().is_some_and(in_word);
    }
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let Some(after) = rest.strip_prefix(unit) else { return false };
    after.chars().next().is_none_or(|c| c.is_whitespace() || ".,;:!?)".contains(c))
}

/// Decimal commas as points, white space as single spaces, one character for each sign that has several.
fn normalize(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut previous = ' ';
    while let Some(c) = chars.next() {
        let digit_follows = chars.peek().is_some_and(char::is_ascii_digit);
        out.push(match c {
            ',' if previous.is_ascii_digit() && digit_follows => '.',
            '\u{2212}' => '-',
            '\u{2126}' => '\u{03a9}',
            '\u{00b5}' => '\u{03bc}',
            other => other,
        });
        previous = c;
    }
    out
}

/// A number in a text.
#[derive(Debug, PartialEq, Eq)]
struct Number {
    start: usize,
    end: usize,
    /// Without what does not change its value: `-0012.50` is `-12.5`.
    value: String,
}

/// The numbers of normalised text, first to last.
fn numbers(text: &str) -> impl Iterator<Item = Number> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            if !bytes[at].is_ascii_digit() {
                at += 1;
                continue;
            }
            let first = at;
            at = digits_end(bytes, at);
            // Part of a name or a unit.
            if text[..first].chars().next_back().is_some_and(|c| in_word(c) || c == '^') {
                continue;
            }
            if bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
                at = digits_end(bytes, at + 1);
            }
            let start = first - usize::from(signed(text, first));
            return Some(Number { start, end: at, value: value(&text[start..at]) });
        }
        None
    })
}

fn digits_end(bytes: &[u8], from: usize) -> usize {
    from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Whether the digits at `first` have a sign: `5-3` and `x-3` subtract.
fn signed(text: &str, first: usize) -> bool {
    let mut before = text[..first].chars().rev();
    matches!(before.next(), Some('-' | '+'))
        && !before.next().is_some_and(|c| in_word(c) || ")²³".contains(c))
}

fn value(digits: &str) -> String {
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    let sign = if negative && !(whole.is_empty() && part.is_empty()) { "-" } else { "" };
    format!("{sign}{whole}.{part}")
}
