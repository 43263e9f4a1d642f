//! The embedded model is what its card says: data that the model never saw, and answers that are right.

mod common;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{json_of, rkllm};

fn tutor_nano() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tutor-nano")
}

/// Regenerates the training corpus: no prompt and no tuple of numbers of the held-out files is in it.
#[test]
fn held_out_files_share_nothing_with_the_training_corpus() {
    let script = tutor_nano().join("generate.py");
    match Command::new("python3").arg("-B").arg(script).arg("--check").output() {
        Ok(output) => {
            assert!(output.status.success(), "{output:?}");
            let summary = String::from_utf8(output.stdout).unwrap();
            assert!(summary.contains("0 overlaps"), "{summary}");
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let required = std::env::var("RKLLM_REQUIRE_SHARED").is_ok_and(|value| value == "1");
            assert!(!required, "python3 is required and not found");
            eprintln!("skipped: python3 not found");
        }
        Err(error) => panic!("python3: {error}"),
    }
}

/// The bars of the card: 85 % in float, w8a8 within two points.
#[test]
fn terms_survive_w8a8() {
    let accuracy = |dtype: &str| {
        let mut command = rkllm();
        command.arg("eval").arg(tutor_nano()).args(["--dtype", dtype]).arg("--text");
        command.arg(tutor_nano().join("eval.en.txt")).args(["--max-chars", "1000", "--terms"]);
        let report = json_of(command.arg(tutor_nano().join("terms.jsonl")));
        assert!(report["terms_total"].as_u64().unwrap() >= 200);
        report["term_accuracy"].as_f64().unwrap()
    };
    let float = accuracy("f32");
    assert!(float >= 0.85, "{float}");
    let w8a8 = accuracy("w8a8");
    assert!((float - w8a8).abs() <= 0.02, "float {float}, w8a8 {w8a8}");
}

/// Without options `compare` takes the texts and questions that lie in the model's directory.
#[test]
fn compare_finds_texts_and_questions() {
    let mut command = rkllm();
    command.arg("compare").arg(tutor_nano());
    let report =
        json_of(command.args(["--dtype", "w4a16_g32", "--max-chars", "800", "--no-bench"]));
    let texts = report["texts"].as_array().unwrap();
    assert_eq!(texts.len(), 2);
    for row in report["rows"].as_array().unwrap() {
        assert!(row["term_accuracy"].as_f64().unwrap() > 0.5, "{row}");
        assert!(row["term_accuracy_by_family"].as_object().unwrap().len() >= 40);
    }
}
