//! The rule on text, the file format, and answers of a backend whose next token is known.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{Backend, Want};

fn question(kind: TermKind, expect: &str) -> Term {
    Term {
        id: "1".into(),
        family: "f".into(),
        lang: "es".into(),
        question: "?".into(),
        expect: expect.into(),
        kind,
        accept: vec![],
    }
}

fn number(expect: &str, answer: &str) -> bool {
    question(TermKind::Number, expect).accepts(answer)
}

#[test]
fn the_last_number_and_its_unit_decide() {
    for (expect, answer) in [
        ("282 V", "V = I * R = 94 * 3 = 282 V."),
        ("282 V", "282V"),
        ("282 V", "  the voltage is\n 282.0  V, as R2 is in series"),
        ("1.5 A", "I = 1,50 A"),
        ("1,5 A", "I = 1.5 A"),
        ("-5 °C", "T = \u{2212}5 °C"),
        ("5 °C", "+5 °C"),
        ("3 kΩ", "R = 3 k\u{2126}"),
        ("4 µF", "4 \u{03bc}F"),
        ("9.8 m/s^2", "a = 9.8 m/s^2"),
        ("20 m/s", "v = v0 + 20 m/s, como x^2"),
        ("7", "7"),
        ("7", "son 7."),
        ("0 V", "-0.00 V"),
        ("3 A", "10-3 A"),
        ("50 %", "50%"),
        ("1000 W", "001000 W"),
    ] {
        assert!(number(expect, answer), "{expect:?} in {answer:?}");
    }
    for (expect, answer) in [
        ("282 V", "282 V with 3 A"),
        ("282 V", "281 V"),
        ("282 V", "282"),
        ("282 V", "282 v"),
        ("282 V", "282 VA"),
        ("282 V", "282  kV"),
        ("282 V", "V = 282"),
        ("282 V", ""),
        ("5 m", "5 m/s"),
        ("5 m", "5 m^2"),
        ("5 m", "5 m²"),
        ("5 m", "5 min"),
        ("5 m", "5 m·s"),
        ("5 V", "-5 V"),
        ("5 mW", "5 MW"),
        ("12 V", "12.01 V"),
        ("12 V", "112 V"),
        ("7", "7a"),
        ("7", "R7"),
        ("no", "no"),
    ] {
        assert!(!number(expect, answer), "{expect:?} not in {answer:?}");
    }
}

#[test]
fn terms_are_whole_words() {
    let mut term = question(TermKind::Term, "Módulo de Young");
    assert!(term.accepts("Es el módulo  de\nyoung (E)."));
    assert!(!term.accepts("submódulo de young") && !term.accepts("módulo de youngs"));
    assert!(!term.accepts("módulo de"));
    term.accept = vec!["elastic modulus".into(), "0x1F".into()];
    assert!(term.accepts("The ELASTIC MODULUS"));
    assert!(term.accepts("es 0x1f") && !term.accepts("0x1ff") && !term.accepts("_0x1f"));
}

#[test]
fn lines_become_questions() {
    let line = |id: &str| {
        format!(
            r#"{{"id":"{id}","family":"ohm","lang":"en","question":"U?","expect":"2 V","kind":"number","seed":3}}"#
        )
    };
    let text = format!(
        "{}\n\n{}\n",
        line("a"),
        r#"{"id":"b","family":"f","lang":"es","question":"q","expect":"x","kind":"term","accept":["y"]}"#
    );
    let terms = parse_terms(&text).unwrap();
    assert_eq!((terms.len(), terms[0].kind, &*terms[1].accept[0]), (2, TermKind::Number, "y"));

    let refused = |text: &str, says: &[&str]| {
        let error = parse_terms(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        for part in says {
            assert!(error.to_string().contains(part), "{part} in {error}");
        }
    };
    refused("", &["no question"]);
    refused(&format!("{}\n{{", line("a")), &["line 2", "not a question"]);
    refused(&format!("{}\n\n{}", line("a"), line("a")), &["line 3", "\"a\" came before"]);
    refused(&line("a").replace("\"kind\":\"number\"", "\"kind\":\"prose\""), &["line 1", "prose"]);
    refused(&line("a").replace("2 V", "two V"), &["line 1", "two V"]);
    refused(&line("a").replace("U?", " "), &["question is empty"]);
    refused(&line("a").replace("\"seed\":3", "\"accept\":[\"3 V\"]"), &["no other answers"]);
    refused(&line("a").replace("number", "term").replace("2 V", " "), &["answer is empty"]);
    refused("[1, 2]", &["line 1"]);
    refused(&"[".repeat(100_000), &["line 1"]);
}

#[test]
fn accuracy_by_family_and_language() {
    let mut terms = vec![question(TermKind::Term, "x"); 5];
    terms[3].family = "g".into();
    terms[4].family = "g".into();
    terms[4].lang = "en".into();
    let found = TermAccuracy::of(&terms, &[true, false, true, true, false]).unwrap();
    assert_eq!((found.terms_correct, found.terms_total, found.term_accuracy), (3, 5, 0.6));
    assert_eq!(found.term_accuracy_by_family["f"], 2.0 / 3.0);
    assert_eq!(found.term_accuracy_by_family["g"], 0.5);
    assert_eq!(found.term_accuracy_by_language["es"], 0.75);
    assert_eq!(found.term_accuracy_by_language["en"], 0.0);
    assert!(TermAccuracy::of(&[], &[]).is_none());
}

/// Token 0 ends; every other token is followed by the one below it.
struct Countdown {
    fed: Vec<u32>,
    context: usize,
    used: usize,
}

impl Countdown {
    fn new(context: usize) -> Self {
        Self { fed: vec![], context, used: 0 }
    }
}

impl Backend for Countdown {
    fn vocab_size(&self) -> usize {
        20
    }

    fn context(&self) -> usize {
        self.context
    }

    fn position(&self) -> usize {
        self.fed.len()
    }

    fn reset(&mut self) {
        self.used += 1;
        self.fed.clear();
    }

    fn forward(
        &mut self,
        tokens: &[u32],
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        if self.fed.len() + tokens.len() > self.context {
            return Err(Error::new(ErrorKind::Context, "full"));
        }
        self.fed.extend_from_slice(tokens);
        if want == Want::Nothing {
            return Ok(());
        }
        let last = self.fed[self.fed.len() - 1];
        let mut logits = vec![0.0; 20];
        logits[last.saturating_sub(1) as usize] = if last == 19 { f32::NAN } else { 1.0 };
        sink(self.fed.len() - 1, &logits)
    }
}

fn go(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn answers_end_at_eos_at_the_limit_and_at_the_context() {
    let options = AnswerOptions { max_tokens: 4, eos: vec![0] };
    let prompts = [vec![7, 3], vec![9], vec![1], vec![5, 5, 5, 5]];
    let mut one = [Countdown::new(5)];
    let found = answers(&mut one, &prompts, &options, &go).unwrap();
    assert_eq!(found, [vec![2, 1], vec![8, 7, 6, 5], vec![], vec![4, 3]]);
    let none = AnswerOptions { max_tokens: 0, eos: vec![] };
    assert_eq!(answers(&mut one, &prompts, &none, &go).unwrap(), vec![Vec::<u32>::new(); 4]);
}

#[test]
fn many_backends_answer_as_one() {
    let prompts: Vec<Vec<u32>> = (0..200).map(|i| vec![i % 17 + 1, i % 11 + 1]).collect();
    let options = AnswerOptions { eos: vec![0], ..AnswerOptions::default() };
    let alone = answers(&mut [Countdown::new(99)], &prompts, &options, &go).unwrap();
    let mut three = [Countdown::new(99), Countdown::new(99), Countdown::new(99)];
    let most = AtomicUsize::new(0);
    let found = answers(&mut three, &prompts, &options, &|done| {
        most.fetch_max(done, Ordering::Relaxed);
        ControlFlow::Continue(())
    });
    assert_eq!(found.unwrap(), alone);
    assert_eq!(most.into_inner(), 200);
    assert_eq!(three.iter().map(|backend| backend.used).sum::<usize>(), 200);
}

#[test]
fn failures_name_the_question_and_stop_the_rest() {
    let options = AnswerOptions::default();
    let fails = |prompts: &[Vec<u32>], backends: usize| {
        let mut backends: Vec<Countdown> = (0..backends).map(|_| Countdown::new(4)).collect();
        answers(&mut backends, prompts, &options, &go).unwrap_err()
    };
    let error = fails(&[vec![1], vec![], vec![1]], 2);
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("question 2"), "{error}");
    assert_eq!(fails(&[vec![1; 5]], 1).kind(), ErrorKind::Context);
    assert_eq!(fails(&[vec![19]], 1).kind(), ErrorKind::NonFinite);
    assert_eq!(fails(&[vec![1]], 0).kind(), ErrorKind::Input);
    let stopped = answers(&mut [Countdown::new(9)], &[vec![1], vec![1]], &options, &|_| {
        ControlFlow::Break(())
    });
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
}
