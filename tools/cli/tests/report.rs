//! `compare` with questions and a page, and `eval --terms`, on a small model made on the spot.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Small, failure_of, json_of, rkllm, text};
use serde_json::{Value, json};

/// A file name that must stay text wherever it is shown.
const HOSTILE: &str = "eval.<script>alert('x')<b>&amp;\".txt";

/// The small model with two texts of its own and three questions.
fn tutor() -> Small {
    let small = Small::new();
    fs::write(small.model().join("eval.en.txt"), text(120)).unwrap();
    fs::write(small.model().join(HOSTILE), text(90)).unwrap();
    let question = |id: &str, lang: &str, expect: &str, kind: &str| {
        json!({
            "id": id, "family": "<i>words</i>", "lang": lang, "question": "w1 <script>w2</script>",
            "expect": expect, "kind": kind,
        })
        .to_string()
    };
    let lines = [
        question("a", "es", "12 V", "number"),
        question("b", "en", "w3", "term"),
        // Words are split by spaces alone, so an answer is one of them: this is always right.
        question("c", "en", "w0", "term").replace("\"expect\":\"w0\"", &accept_all()),
    ];
    fs::write(small.model().join("terms.jsonl"), lines.join("\n")).unwrap();
    small
}

fn accept_all() -> String {
    let all: Vec<String> = (0..common::WORDS).map(|i| format!("w{i}")).collect();
    format!("\"expect\":\"w0\",\"accept\":{}", json!(all))
}

fn compare(small: &Small, extra: &[&str]) -> assert_cmd::Command {
    let mut command = rkllm();
    command.arg("compare").arg(small.model()).arg("--no-bench");
    command.args(["--dtype", "w8a8,w8a8_g128,w4a16_g32"]).args(extra);
    command
}

fn page(small: &Small) -> PathBuf {
    small.path("out.html")
}

#[test]
fn compare_takes_the_texts_and_questions_the_model_brings() {
    let small = tutor();
    let report = json_of(&mut compare(&small, &[]));
    let texts: Vec<&str> =
        report["texts"].as_array().unwrap().iter().map(|t| t["file"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts[0].ends_with(HOSTILE) && texts[1].ends_with("eval.en.txt"), "{texts:?}");
    assert_eq!(report["terms"]["questions"], 3);
    assert_eq!(report["terms"]["prompt"], "plain");
    let rows = report["rows"].as_array().unwrap();
    let dtypes: Vec<&str> = rows.iter().map(|row| row["dtype"].as_str().unwrap()).collect();
    assert_eq!(dtypes, ["f32", "w8a8_g128", "w8a8", "w4a16_g32"]);
    for row in rows.iter().filter(|row| row.get("error").is_none()) {
        assert_eq!(row["terms_total"], 3);
        assert!(row["terms_correct"].as_u64().unwrap() >= 1, "{row:#}");
        let accuracy = row["term_accuracy"].as_f64().unwrap();
        assert_eq!(accuracy, row["terms_correct"].as_f64().unwrap() / 3.0);
        assert_eq!(row["term_accuracy_by_family"]["<i>words</i>"], accuracy);
        assert_eq!(row["term_accuracy_by_language"]["es"], 0.0);
        assert!(row.get("answers").is_none());
    }
    assert!(rows[1]["error"].as_str().unwrap().contains("128"), "{:#}", rows[1]);
    assert!(rows[2]["kl_p05"].as_f64().unwrap() <= rows[2]["kl_p95"].as_f64().unwrap());

    let none = json_of(&mut compare(&small, &["--no-terms"]));
    assert!(none.get("terms").is_none() && none["rows"][0].get("term_accuracy").is_none());
    let output = compare(&small, &[]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.lines().any(|l| l.starts_with("dtype") && l.contains("terms")), "{table}");
}

#[test]
fn threads_move_no_answer_and_a_template_is_used() {
    let small = tutor();
    let run = |extra: &[&str]| {
        let report = json_of(&mut compare(&small, extra));
        let rows = report["rows"].as_array().unwrap().clone();
        let keep = |row: &Value| (row["term_accuracy"].clone(), row["logits_hash"].clone());
        (rows.iter().map(keep).collect::<Vec<_>>(), report["terms"]["prompt"].clone())
    };
    let (one, prompt) = run(&["--threads", "1"]);
    assert_eq!((one, prompt), run(&["--threads", "5"]));
    fs::write(
        small.model().join("chat_template.jinja"),
        "{{ bos_token }}{% for m in messages %}w7 {{ m.content }} w8{% endfor %}",
    )
    .unwrap();
    assert_eq!(run(&[]).1, "chat_template");
}

#[test]
fn an_f16_checkpoint_is_computed_once_for_f32_and_f16() {
    // The small model is f32: its f16 is another model.
    let small = tutor();
    let mut command = compare(&small, &["--no-terms"]);
    let report = json_of(command.args(["--dtype", "f16"]));
    let row = report["rows"].as_array().unwrap().iter().find(|row| row["dtype"] == "f16").unwrap();
    assert!(row.get("same_as").is_none(), "{row:#}");
    let Some(model) = common::shared("models/fisica-19m") else { return };
    let mut command = rkllm();
    command.arg("compare").arg(model).args(["--max-chars", "200", "--no-bench"]);
    let report = json_of(command.args(["--no-terms", "--dtype", "f16"]));
    let [f32, f16] = &report["rows"].as_array().unwrap()[..] else { panic!("{report:#}") };
    assert_eq!(f16["same_as"], "f32");
    for key in ["perplexity", "logits_hash", "kl_mean"] {
        assert_eq!(f16[key], f32[key]);
    }
}

#[test]
fn the_page_is_written_whole_and_shows_names_as_text() {
    let small = tutor();
    let before = small.names();
    let report = page(&small);
    let found = json_of(compare(&small, &["--report"]).arg(&report));
    let html = fs::read_to_string(&report).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"));
    assert!(!html.contains("<script") && !html.contains("<i>words"), "escaped");
    assert!(html.contains("eval.&lt;script&gt;alert(&#39;x&#39;)&lt;b&gt;&amp;amp;&quot;.txt"));
    for load in ["http://", "https://", "url(", "@import", " src=", " href="] {
        assert!(!html.contains(load), "{load}");
    }
    for row in found["rows"].as_array().unwrap() {
        assert!(html.contains(&format!("<th scope=\"row\">{}", row["dtype"].as_str().unwrap())));
    }
    // Replaced by the next run; nothing else is left behind.
    json_of(compare(&small, &["--no-terms", "--report"]).arg(&report));
    assert!(!fs::read_to_string(&report).unwrap().contains("words</i>"));
    fs::remove_file(&report).unwrap();
    assert_eq!(small.names(), before);
}

#[test]
fn what_cannot_be_done_is_said_before_the_work() {
    let small = tutor();
    let said = failure_of(compare(&small, &["--report"]).arg(small.model()), 1);
    assert!(said.contains("directory"), "{said}");
    let absent = small.path("no/such/folder/out.html");
    let said = failure_of(compare(&small, &["--report"]).arg(absent), 1);
    assert!(said.contains("no/such/folder"), "{said}");
    let said = failure_of(&mut compare(&small, &["--terms", "absent.jsonl"]), 1);
    assert!(said.contains("absent.jsonl"), "{said}");

    let terms = small.model().join("terms.jsonl");
    let lines = fs::read_to_string(&terms).unwrap();
    let first = lines.lines().next().unwrap();
    for (content, part) in [
        (format!("{first}\n{first}\n"), "line 2"),
        (first.replace("\"number\"", "\"essay\""), "essay"),
        (format!("{first}\n\nnot json"), "line 3"),
    ] {
        fs::write(&terms, content).unwrap();
        let said = failure_of(&mut compare(&small, &[]), 1);
        assert!(said.contains("terms.jsonl") && said.contains(part), "{said}");
    }
    fs::remove_file(terms).unwrap();
    assert!(json_of(&mut compare(&small, &[])).get("terms").is_none());
    for name in [HOSTILE, "eval.en.txt"] {
        fs::remove_file(small.model().join(name)).unwrap();
    }
    let said = failure_of(&mut compare(&small, &[]), 1);
    assert!(said.contains("eval.*.txt") && said.contains("--text"), "{said}");
}

#[test]
fn eval_asks_the_questions_too() {
    let small = tutor();
    let mut command = rkllm();
    command.arg("eval").arg(small.model()).arg("--text").arg(small.text());
    command.args(["--dtype", "w8a8", "--terms"]).arg(small.model().join("terms.jsonl"));
    let report = json_of(&mut command);
    assert_eq!(report["terms_total"], 3);
    let compared = json_of(&mut compare(&small, &[]));
    let rows = compared["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["dtype"] == "w8a8").unwrap();
    assert_eq!(row["term_accuracy"], report["term_accuracy"]);
}
