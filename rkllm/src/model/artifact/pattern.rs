//! The regular expressions of `re:` targets: the few constructs real files use, in linear time.
//!
//! As Python's `re.match`: anchored at the beginning, free at the end unless `$` says otherwise.
//! Literals, `.`, `\d`, `\w`, `[...]`, `*`, `+`, `?`, `^`, `$`, and groups `(a|b)` that are not repeated.
//! A dependency on a regular expression crate would be larger than all the patterns ever written.

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    alternatives: Vec<Sequence>,
}

#[derive(Debug, Clone, Default)]
struct Sequence {
    steps: Vec<(Atom, Repeat)>,
    to_end: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Atom {
    Any,
    /// Ranges of characters, or all others.
    Set(Vec<(char, char)>, bool),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Repeat {
    Once,
    Optional,
    Many,
}

const MAX_LENGTH: usize = 1024;
const MAX_ALTERNATIVES: usize = 256;

impl Pattern {
    /// Compiles a pattern; the error says which construct is unknown.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("longer than {MAX_LENGTH} characters"));
        }
        let mut parser = Parser { rest: text.chars().collect(), at: 0 };
        parser.eat('^');
        let alternatives = parser.alternatives(false)?;
        match parser.peek() {
            None => Ok(Self { alternatives }),
            Some(other) => Err(format!("unexpected {other:?}")),
        }
    }

    /// Whether the pattern matches the beginning of `name`.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.alternatives.iter().any(|sequence| sequence.matches(name))
    }
}

impl Sequence {
    /// Follows all positions in the pattern at once, so no pattern takes exponential time.
    fn matches(&self, name: &str) -> bool {
        let end = self.steps.len();
        let mut states = vec![false; end + 1];
        states[0] = true;
        self.skip_optional(&mut states);
        for c in name.chars() {
            if states[end] && !self.to_end {
                return true;
            }
            let mut next = vec![false; end + 1];
            for (i, (atom, repeat)) in self.steps.iter().enumerate() {
                if states[i] && atom.takes(c) {
                    next[i + 1] = true;
                    next[i] |= *repeat == Repeat::Many;
                }
            }
            self.skip_optional(&mut next);
            states = next;
        }
        states[end]
    }

    fn skip_optional(&self, states: &mut [bool]) {
        for (i, (_, repeat)) in self.steps.iter().enumerate() {
            states[i + 1] |= states[i] && *repeat != Repeat::Once;
        }
    }
}

impl Atom {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Any => c != '\n',
            Self::Set(ranges, negated) => {
                ranges.iter().any(|&(from, to)| (from..=to).contains(&c)) != *negated
            }
        }
    }
}

struct Parser {
    rest: Vec<char>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    /// `a|b|c`, to the end or to the closing parenthesis.
    fn alternatives(&mut self, inside: bool) -> Result<Vec<Sequence>, String> {
        let mut all = self.sequence(inside)?;
        while self.eat('|') {
            all.extend(self.sequence(inside)?);
        }
        check_count(&all)?;
        Ok(all)
    }

    /// One alternative; groups in it multiply it.
    fn sequence(&mut self, inside: bool) -> Result<Vec<Sequence>, String> {
        let mut all = vec![Sequence::default()];
        while let Some(c) = self.peek() {
            if c == '|' || (c == ')' && inside) {
                break;
            }
            if c == '$' {
                self.at += 1;
                if inside || !matches!(self.peek(), None | Some('|')) {
                    return Err("$ that is not at the end".into());
                }
                all.iter_mut().for_each(|sequence| sequence.to_end = true);
                break;
            }
            if c == '(' {
                let group = self.group(inside)?;
                let mut product = Vec::new();
                for head in &all {
                    for tail in &group {
                        let mut sequence = head.clone();
                        sequence.steps.extend(tail.steps.iter().cloned());
                        product.push(sequence);
                    }
                    check_count(&product)?;
                }
                all = product;
                continue;
            }
            let atom = self.atom()?;
            self.repeat(&atom, &mut all)?;
        }
        Ok(all)
    }

    fn group(&mut self, inside: bool) -> Result<Vec<Sequence>, String> {
        self.at += 1;
        if inside {
            return Err("groups in groups".into());
        }
        if self.eat('?') && !self.eat(':') {
            return Err("a group that looks ahead or has a name".into());
        }
        let group = self.alternatives(true)?;
        if !self.eat(')') {
            return Err("a group that does not end".into());
        }
        match self.peek() {
            Some('*' | '+' | '?' | '{') => Err("a repeated group".into()),
            _ => Ok(group),
        }
    }

    fn repeat(&mut self, atom: &Atom, all: &mut [Sequence]) -> Result<(), String> {
        let repeat: &[Repeat] = match self.peek() {
            Some('*') => &[Repeat::Many],
            Some('+') => &[Repeat::Once, Repeat::Many],
            Some('?') => &[Repeat::Optional],
            Some('{') => return Err("a counted repetition".into()),
            _ => &[Repeat::Once],
        };
        if repeat != [Repeat::Once] {
            self.at += 1;
            // Which of several matches is taken does not matter here; `+` after `*` is Python 3.11's.
            if !self.eat('?') && matches!(self.peek(), Some('*' | '+')) {
                return Err("a possessive or doubled repetition".into());
            }
        }
        for sequence in all {
            sequence.steps.extend(repeat.iter().map(|&repeat| (atom.clone(), repeat)));
        }
        Ok(())
    }

    fn atom(&mut self) -> Result<Atom, String> {
        match self.next() {
            Some('.') => Ok(Atom::Any),
            Some('\\') => Ok(Atom::Set(self.escape()?, false)),
            Some('[') => self.set(),
            Some(c @ ('*' | '+' | '?' | '{' | ')' | '^')) => Err(format!("a misplaced {c:?}")),
            Some(c) => Ok(Atom::Set(vec![(c, c)], false)),
            None => Err("an unfinished pattern".into()),
        }
    }

    fn escape(&mut self) -> Result<Vec<(char, char)>, String> {
        match self.next() {
            Some('d') => Ok(vec![('0', '9')]),
            Some('w') => Ok(vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')]),
            Some(c) if !c.is_alphanumeric() => Ok(vec![(c, c)]),
            Some(c) => Err(format!("an escape \\{c}")),
            None => Err("an unfinished escape".into()),
        }
    }

    fn set(&mut self) -> Result<Atom, String> {
        let negated = self.eat('^');
        let mut ranges = Vec::new();
        loop {
            let from = match self.next() {
                None => return Err("a [ without its ]".into()),
                Some(']') if !ranges.is_empty() => return Ok(Atom::Set(ranges, negated)),
                Some('\\') => {
                    ranges.extend(self.escape()?);
                    continue;
                }
                Some(c) => c,
            };
            let dash = self.peek() == Some('-') && self.rest.get(self.at + 1) != Some(&']');
            if !dash {
                ranges.push((from, from));
                continue;
            }
            self.at += 1;
            match self.next() {
                Some(to) if to != '\\' => ranges.push((from, to)),
                _ => return Err("a range without its end".into()),
            }
        }
    }
}

fn check_count(all: &[Sequence]) -> Result<(), String> {
    match all.len() > MAX_ALTERNATIVES {
        true => Err(format!("more than {MAX_ALTERNATIVES} alternatives")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    /// Expected values are those of Python's `re.match(pattern, name) is not None`.
    #[test]
    fn matches_as_python_does() {
        let name = "model.layers.12.self_attn.q_proj";
        for (pattern, expected) in [
            (".*lm_head", false),
            (".*", true),
            ("", true),
            ("model", true),
            ("model$", false),
            ("odel", false),
            (".*q_proj", true),
            (".*q_proj$", true),
            (".*self_attn$", false),
            (".*self_attn.*", true),
            (r"model\.layers\.\d+\.self_attn\.(q|k|v)_proj$", true),
            (r"model\.layers\.\d+\.self_attn\.(?:k|v)_proj$", false),
            (r"^model\.layers\.[0-9]\.", false),
            (r"^model\.layers\.[0-9]+\..*", true),
            (r".*\.(mlp|self_attn)\.[^k]_proj", true),
            (r".*(k_proj|q_proj)$|lm_head", true),
            (r"lm_head|.*\.q_proj$", true),
            (r"model\.x?layers", true),
            (r"model\.xlayers", false),
            (r"\w+\.layers\.1\d\.", true),
            (".*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*x", false),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().matches(name), expected, "{pattern}");
        }
    }

    #[test]
    fn what_it_does_not_know_is_an_error() {
        for pattern in
            ["(a", "a)", "*", "(?!a)", "(a)*", "a{2}", "[a", r"\b", r"a\", "a$b", "((a))", "a++"]
        {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::new(&"(a|b)".repeat(100)).is_err());
        assert!(Pattern::new(&"a".repeat(5000)).is_err());
    }
}
