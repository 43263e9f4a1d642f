//! The page of comparisons made up here, read as a document.

use rkllm::eval::{Divergence, Limits, Samples, Term, TermAccuracy, parse_terms, recommend};
use rkllm::quant::QuantScheme;
use rkllm::soc::Soc;
use roxmltree::{Document, Node, ParsingOptions};

use super::super::report::{KlQuantiles, Row, Speed};
use super::super::{MeasuredOn, Report, SpeedRuns, TermsReport, TextReport, measured};
use super::render;
use crate::model::Size;
use crate::terms::{Answer, Prompt};

/// What no name and no answer may become.
const HOSTILE: &str = "<script>alert('x')</script>&amp;\"><img src=x onerror=alert(1)>\u{1}";

fn terms() -> Vec<Term> {
    let line = |id: &str, family: &str, question: &str, expect: &str, kind: &str| {
        serde_json::json!({
            "id": id, "family": family, "lang": "en", "question": question, "expect": expect, "kind": kind,
        })
        .to_string()
    };
    let lines = [
        line("1", "ohm_voltage", "2 A through 3 Ω?", "6 V", "number"),
        line("2", "ohm_voltage", "2 A through 4 Ω?", "8 V", "number"),
        line("3", HOSTILE, HOSTILE, HOSTILE, "term"),
        line("4", "materials", "Stress over strain?", "Young's modulus", "term"),
    ];
    parse_terms(&lines.join("\n")).unwrap()
}

fn speed(decode: f64) -> Speed {
    let samples = |median: f64| Samples::new(vec![median * 0.9, median, median * 1.2]);
    Speed {
        prefill_tokens_per_s: Some(decode * 3.0),
        decode_tokens_per_s: Some(decode),
        ttft_ms_p50: Some(10.0),
        load_ms: 5.0,
        quantized_in_memory: true,
        peak_rss_bytes: None,
        rss_bytes: None,
        weight_bytes: 1,
        samples: rkllm::eval::Speed {
            prefill_tokens_per_s: samples(decode * 3.0),
            decode_tokens_per_s: samples(decode),
            ttft_ms: samples(10.0),
        },
    }
}

/// A measured row; `said` are its answers.
fn row(dtype: &str, megabytes: u64, loss: f64, said: [&str; 4], texts: &[&str]) -> Row {
    let mut row = Row::new(dtype.parse().unwrap());
    row.size =
        Some(Size { bits_per_weight: 8.0, bits_per_parameter: 8.1, bytes: megabytes * 1_000_000 });
    for text in texts {
        row.perplexity.insert((*text).to_owned(), 10.0 * (1.0 + loss / 100.0));
        row.loss_percent.insert((*text).to_owned(), loss);
    }
    let kl = loss.abs() / 100.0;
    row.divergence = Some(Divergence {
        kl_mean: kl,
        kl_median: kl * 0.7,
        kl_p99: kl * 5.0,
        kl_max: kl * 9.0,
        top1: 1.0 - kl,
        cosine: 1.0,
        mse: kl,
        mae: kl,
    });
    row.vendor_runtime = Soc::Rk3588.vendor_runtime_takes(row.dtype);
    if !row.dtype.is_float() {
        row.kl_quantiles = Some(KlQuantiles {
            kl_p05: kl * 0.01,
            kl_p25: kl * 0.2,
            kl_p75: kl * 1.5,
            kl_p95: kl * 3.0,
        });
    }
    let terms = terms();
    row.answers = terms
        .iter()
        .zip(said)
        .map(|(term, said)| Answer { text: said.to_owned(), correct: term.accepts(said) })
        .collect();
    let correct: Vec<bool> = row.answers.iter().map(|answer| answer.correct).collect();
    row.terms = TermAccuracy::of(&terms, &correct);
    row.speed = Some(speed(1000.0 / megabytes as f64));
    row
}

fn report(rows: Vec<Row>, texts: &[&str]) -> Report {
    let figures: Vec<_> = rows.iter().filter_map(measured).collect();
    Report {
        version: "0.0.0",
        date: "2026-01-31T23:59:59Z".into(),
        command: vec!["/opt/rkllm".into(), "compare".into(), "a 'b'".into(), HOSTILE.into()],
        model: format!("/models/{}", HOSTILE.replace('/', "")),
        target: Soc::Rk3588,
        measured_on: MeasuredOn { cpu: HOSTILE.into(), kernel: "avx2".into(), threads: 2 },
        npu: super::super::NPU,
        method: rkllm::eval::Method::Windows,
        window: 512,
        clip: "absmax".into(),
        asymmetric: false,
        speed_runs: Some(SpeedRuns { prompt: 512, generate: 64, rounds: 3 }),
        texts: texts
            .iter()
            .map(|text| TextReport {
                file: (*text).to_owned(),
                sha256: "00".repeat(32),
                characters: 9,
                tokens: 5,
                tokens_scored: 4,
            })
            .collect(),
        terms: Some(TermsReport {
            file: HOSTILE.into(),
            sha256: "11".repeat(32),
            questions: 4,
            prompt: Prompt::Plain,
            asked: terms(),
        }),
        max_loss_percent: 1.0,
        max_terms_loss_points: 2.0,
        recommendation: recommend("rk3588", &figures, &Limits::default()),
        baseline: None,
        rows,
    }
}

const RIGHT: [&str; 4] = ["U = 2 * 3 = 6 V", "8 V", HOSTILE, "Young's modulus"];

fn usual() -> Report {
    let texts = ["eval.es.txt", HOSTILE];
    let mut f16 = row("f16", 40, 0.0, RIGHT, &texts);
    f16.same_as = Some(QuantScheme::F32);
    let mut failed = Row::new("w8a8_g128".parse().unwrap());
    failed.error = Some(format!("group size 128 does not divide {HOSTILE}"));
    let wrong = ["U = 2 * 3 = 7 V", "8 V", "<script>alert(2)</script>", "Young's modulus"];
    let rows = vec![
        row("f32", 40, 0.0, RIGHT, &texts),
        f16,
        failed,
        row("w8a8", 20, 0.02, RIGHT, &texts),
        row("w4a16_g32", 12, 3.5, wrong, &texts),
        row("w4a16", 10, 40.0, wrong, &texts),
    ];
    report(rows, &texts)
}

/// The page as a document: it is well-formed XML, too, so nothing was left open and nothing unescaped.
fn parsed(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap_or_else(|error| panic!("{error}\n{page}"))
}

fn all<'a>(document: &'a Document<'_>, tag: &'a str) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.tag_name().name() == tag).collect()
}

fn words(node: Node<'_, '_>) -> String {
    let text: String = node.descendants().filter(Node::is_text).filter_map(|n| n.text()).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn headings(document: &Document<'_>) -> Vec<String> {
    all(document, "h2").into_iter().map(words).collect()
}

/// The tables by class.
fn table<'a>(document: &'a Document<'_>, class: &str) -> Node<'a, 'a> {
    let tables = all(document, "table");
    tables.into_iter().find(|table| table.attribute("class") == Some(class)).unwrap()
}

fn body_rows<'a>(table: Node<'a, 'a>) -> Vec<Node<'a, 'a>> {
    let body = table.children().find(|node| node.has_tag_name("tbody")).unwrap();
    body.children().filter(Node::is_element).collect()
}

#[test]
fn every_question_has_its_section() {
    let page = render(&usual());
    let document = parsed(&page);
    let expected = [
        "Every scheme",
        "Size against loss",
        "How far from the float model",
        "Speed",
        "Terms by family",
        "What changed in the answers",
        "How this was measured",
    ];
    assert_eq!(headings(&document), expected);
    let title = words(all(&document, "h1")[0]);
    assert_eq!(title, "Use w8a8 on the RK3588");
    assert!(page.contains("smallest scheme (to 2 %) the rk3588 vendor runtime takes"));
    assert!(page.contains("Of 4 questions it answers 4 right"));
    // Tables are announced, every chart says what it shows.
    for table in all(&document, "table") {
        assert!(table.children().any(|node| node.has_tag_name("caption")));
    }
    for heading in all(&document, "th") {
        assert!(heading.has_attribute("scope"), "{}", words(heading));
    }
    let charts = all(&document, "svg");
    assert_eq!(charts.len(), 6, "three charts in two widths");
    for chart in charts {
        let children: Vec<&str> =
            chart.children().filter(Node::is_element).map(|n| n.tag_name().name()).collect();
        assert_eq!(children[..2], ["title", "desc"]);
    }
    assert_eq!(document.root_element().attribute("lang"), Some("en"));
}

#[test]
fn the_table_has_a_row_for_every_scheme() {
    let report = usual();
    let page = render(&report);
    let document = parsed(&page);
    let rows = body_rows(table(&document, "schemes"));
    assert_eq!(rows.len(), report.rows.len());
    let cells = |row: Node<'_, '_>| {
        row.children()
            .filter(Node::is_element)
            .map(|cell| cell.attribute("colspan").map_or(1, |span| span.parse::<usize>().unwrap()))
            .sum::<usize>()
    };
    // Thirteen figures, with two texts, terms and speeds, and the name.
    let widths: Vec<usize> = rows.iter().map(|row| cells(*row)).collect();
    assert_eq!(widths, [14; 6]);
    assert!(words(rows[2]).contains("does not divide"));
    assert!(words(rows[3]).contains("(recommended)"));
    // Best and worst are of the quantised schemes: f32 loses least and is neither.
    let marked = |row: Node<'_, '_>, class: &str| {
        row.children()
            .filter(|cell| {
                cell.attribute("class").is_some_and(|all| all.split(' ').any(|c| c == class))
            })
            .count()
    };
    assert_eq!((marked(rows[0], "best"), marked(rows[0], "worst")), (0, 0));
    // Both losses, both divergences, agreement and terms; the smallest is the fastest.
    assert_eq!((marked(rows[3], "best"), marked(rows[3], "worst")), (6, 3));
    assert_eq!((marked(rows[5], "best"), marked(rows[5], "worst")), (3, 6));
}

#[test]
fn hostile_names_stay_text() {
    let page = render(&usual());
    let document = parsed(&page);
    for tag in ["script", "img", "a", "iframe", "link", "object", "base"] {
        assert!(all(&document, tag).is_empty(), "{tag}");
    }
    let known = ["aria-hidden", "aria-label", "aria-labelledby"];
    for node in document.descendants() {
        for attribute in node.attributes() {
            let name = attribute.name();
            assert!(!name.starts_with("on") && name != "src" && name != "href", "{name}");
            assert!(!name.starts_with("aria") || known.contains(&name), "{name}");
        }
    }
    let shown = HOSTILE.replace('\u{1}', "\u{fffd}");
    let texts: Vec<&str> = document.descendants().filter_map(|node| node.text()).collect();
    for place in ["h3", "b", "code"] {
        assert!(all(&document, place).iter().any(|n| n.text() == Some(&shown)), "{place}");
    }
    assert!(texts.iter().any(|text| text.contains("alert(2)")));
    assert!(texts.iter().any(|text| text.contains(r"'a '\''b'\'''")), "quoted for a shell");
}

#[test]
fn nothing_is_loaded() {
    let page = render(&usual());
    for load in ["http:", "https:", "url(", "@import", "src=", "href=", "<script", "<link", "file:"]
    {
        // What the hostile text spells out is escaped: a bare `src=` of it stands in no tag.
        let found = page.replace(&super::escape(HOSTILE), "").replace("src=x", "");
        assert!(!found.contains(load), "{load}");
    }
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
}

#[test]
fn answers_show_what_turned_wrong_first() {
    let page = render(&usual());
    let document = parsed(&page);
    let examples = all(&document, "article");
    assert_eq!(examples.len(), 2, "two of four answers differ");
    let first = words(examples[0]);
    assert!(first.contains("expected 6 V") || first.contains("alert"), "{first}");
    let changed: Vec<String> = all(&document, "ins").into_iter().map(words).collect();
    assert!(changed.contains(&"7".to_owned()), "{changed:?}");
    let ohm = examples.iter().map(|example| words(*example)).find(|text| text.contains("6 V"));
    let ohm = ohm.unwrap();
    assert!(ohm.contains("float✓ right") && ohm.contains("w4a16_g32 and w4a16✗ wrong"), "{ohm}");
    // Families: the hurt ones have a row, the others a sentence.
    let rows = body_rows(table(&document, "families"));
    let names: Vec<String> =
        rows.iter().map(|row| words(row.first_element_child().unwrap())).collect();
    assert_eq!(names.len(), 4, "all, one language, two families: {names:?}");
    assert!(names.contains(&"ohm voltage".to_owned()), "{names:?}");
    assert!(page.contains("The same in every scheme: materials (100"));
    assert!(page.contains("class=\"d5\">50<"));
}

#[test]
fn what_was_not_measured_is_left_out() {
    let texts = ["t"];
    let mut rows = vec![row("f32", 40, 0.0, RIGHT, &texts), row("w8a8", 20, -0.2, RIGHT, &texts)];
    for row in &mut rows {
        row.speed = None;
        row.terms = None;
        row.answers.clear();
    }
    let mut small = report(rows, &texts);
    small.terms = None;
    small.speed_runs = None;
    let page = render(&small);
    let document = parsed(&page);
    let expected = [
        "Every scheme",
        "Size against loss",
        "How far from the float model",
        "How this was measured",
    ];
    assert_eq!(headings(&document), expected);
    assert!(page.contains("no questions were asked") && page.contains("better than the float"));
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");

    // One row without its speed among others that have it.
    let mut rows = vec![row("f32", 40, 0.0, RIGHT, &texts), row("w8a8", 20, 0.2, RIGHT, &texts)];
    rows[1].speed = None;
    rows[1].terms = None;
    rows[1].answers.clear();
    let page = render(&report(rows, &texts));
    assert!(parsed(&page).descendants().any(|node| node.text() == Some("not measured")));

    // Nothing but failures, and nothing but the baseline.
    let mut failed = Row::new("w8a8".parse().unwrap());
    failed.error = Some("no".into());
    let page = render(&report(vec![row("f32", 40, 0.0, RIGHT, &texts), failed], &texts));
    let document = parsed(&page);
    assert_eq!(words(all(&document, "h1")[0]), "No quantised scheme could be measured");
    assert!(page.contains("1 of 2 schemes could not be measured"));
    let page = render(&report(vec![row("f32", 40, 0.0, RIGHT, &texts)], &texts));
    assert!(!page.contains("NaN"));
    parsed(&page);
}

#[test]
fn the_headline_tells_when_nothing_is_good_enough() {
    let texts = ["t"];
    let bad = report(
        vec![row("f32", 40, 0.0, RIGHT, &texts), row("w8a8", 20, 9.0, RIGHT, &texts)],
        &texts,
    );
    let page = render(&bad);
    let document = parsed(&page);
    let title = words(all(&document, "h1")[0]);
    assert_eq!(title, "Nothing stays within the limits; w8a8 comes nearest");
    let cpu = report(
        vec![row("f32", 40, 0.0, RIGHT, &texts), row("w4a16", 10, 0.1, RIGHT, &texts)],
        &texts,
    );
    let page = render(&cpu);
    let document = parsed(&page);
    assert_eq!(words(all(&document, "h1")[0]), "Use w4a16 on the RK3588’s CPU cores");
}

#[test]
fn extreme_figures_stay_within_the_chart() {
    let texts = ["t"];
    for losses in [[0.0, 0.0], [1e-9, 5e4], [-80.0, 0.5], [1e300, 1e300]] {
        let rows = vec![
            row("f32", 40, 0.0, RIGHT, &texts),
            row("w8a8", 40, losses[0], RIGHT, &texts),
            row("w4a16", 40, losses[1], RIGHT, &texts),
        ];
        let page = render(&report(rows, &texts));
        let document = parsed(&page);
        for chart in all(&document, "svg") {
            let view: Vec<f64> = chart
                .attribute("viewBox")
                .unwrap()
                .split(' ')
                .map(|n| n.parse().unwrap())
                .collect();
            for mark in chart.descendants() {
                for (name, limit) in
                    [("x", 2), ("cx", 2), ("x1", 2), ("x2", 2), ("y", 3), ("cy", 3), ("y1", 3)]
                {
                    let Some(value) = mark.attribute(name) else { continue };
                    let value: f64 = value.parse().unwrap();
                    assert!(
                        (-1.0..=view[limit] + 1.0).contains(&value),
                        "{name} {value} {losses:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn figures_read_well() {
    use super::text::{decimal, file_name, list, signed, small};
    assert_eq!(decimal(-0.001, 2), "0.00");
    assert_eq!(decimal(-1.25, 1), "\u{2212}1.2");
    assert_eq!((signed(0.5, 1), signed(-0.04, 1)), ("+0.5".into(), "0.0".into()));
    assert_eq!(
        (small(0.0), small(0.000_19), small(0.0233)),
        ("0".into(), "0.00019".into(), "0.023".into())
    );
    assert_eq!((file_name("a/b/"), file_name("/"), file_name("c")), ("b", "/", "c"));
    let words = ["a", "b", "c"].map(str::to_owned);
    assert_eq!(
        (list(&words), list(&words[..2]), list(&words[..1])),
        ("a, b and c".into(), "a and b".into(), "a".into())
    );
}
