//! `models`: the manifests an installed program carries, and what `compare` makes of them.

mod common;

use std::fs;

use common::{Small, failure_of, json_of, rkllm};

const SCHEMES: [&str; 4] = ["w8a8", "w8a8_g128", "w4a16_g128", "w4a16"];

#[test]
fn the_list_has_every_model_and_says_what_is_computed() {
    let output = rkllm().arg("models").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let list = json_of(rkllm().arg("models"));
    let list = list.as_array().unwrap();
    assert!(list.len() >= 13, "{}", list.len());
    for model in list {
        let id = model["id"].as_str().unwrap();
        assert!(text.lines().any(|line| line.starts_with(&format!("{id} "))), "{id} in {text}");
        assert!(model["parameters"].as_u64().unwrap() > 1_000_000, "{id}");
        for soc in ["rk3588", "rk3576", "rk3562", "rv1126b"] {
            assert!(model["soc"][soc]["why"].is_string(), "{id} {soc}");
            let scheme = model["soc"][soc]["scheme"].as_str().unwrap();
            assert!(model["computed_bytes"][scheme].is_u64(), "{id} {soc}");
        }
        // A baseline is a measurement or absent.
        for baseline in model["baseline"].as_array().unwrap() {
            assert!(baseline["perplexity"].as_f64().unwrap() > 1.0, "{id}");
            assert_eq!(baseline["sha256"].as_str().unwrap().len(), 64, "{id}");
        }
    }
    assert!(
        text.contains("computed from the dimensions") && text.contains("(w4a16_g128)"),
        "{text}"
    );
    let tiny = list.iter().find(|model| model["id"] == "tinyllama-1.1b-chat").unwrap();
    assert_eq!(tiny["parameters"], 1_100_048_384);
    assert!(text.contains("1.10 B"), "{text}");
}

#[test]
fn one_model_tells_everything() {
    let output = rkllm().args(["models", "Qwen3-0.6B"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "Qwen/Qwen3-0.6B, revision main",
        "Apache-2.0",
        "596.0 M (596049920)",
        "enable_thinking",
        "published by Rockchip: Qwen2 0.5B in w8a8, 41.58 tokens/s",
        "not measured yet. To be measured: method windows, window 512, wikitext-2-raw",
        "computed size",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let json = json_of(rkllm().args(["models", "qwen3-0.6b"]));
    assert_eq!((&json["id"], &json["dimensions"]["head_dim"]), (&"qwen3-0.6b".into(), &128.into()));
    let output = rkllm().args(["models", "smollm2-360m-instruct"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("group size 128 does not divide K = 960"), "{text}");
    let json = json_of(rkllm().args(["models", "smollm2-360m-instruct"]));
    assert!(json["computed_bytes"]["w4a16_g128"].is_null());
}

#[test]
fn an_unknown_name_gets_the_nearest() {
    let said = failure_of(rkllm().args(["models", "qwen2.5-0.5"]), 1);
    assert!(
        said.contains("qwen2.5-0.5b-instruct") && said.contains("rkllm models lists"),
        "{said}"
    );
}

/// The sizes said to be computed are those `convert` writes.
#[test]
fn computed_sizes_are_those_of_artifacts() {
    let Some(nano) = nano() else { return };
    let computed = json_of(rkllm().args(["models", "tutor-nano"]));
    let out = tempfile::tempdir().unwrap();
    for scheme in SCHEMES {
        let target = out.path().join(scheme);
        let mut convert = rkllm();
        convert.arg("convert").arg(&nano).args(["--dtype", scheme]).arg("-o").arg(&target);
        assert!(convert.output().unwrap().status.success(), "{scheme}");
        let file = fs::read(target.join("model.safetensors")).unwrap();
        let header = u64::from_le_bytes(file[..8].try_into().unwrap());
        let tensors = file.len() as u64 - 8 - header;
        assert_eq!(computed["computed_bytes"][scheme], tensors, "{scheme}");
    }
}

/// The embedded tutor, where its folder is.
fn nano() -> Option<std::path::PathBuf> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tutor-nano");
    if path.join("model.safetensors").exists() {
        return Some(path);
    }
    eprintln!("skipped: {} not found", path.display());
    None
}

#[test]
fn a_checkpoint_of_no_manifest_has_no_baseline() {
    let small = Small::new();
    let mut command = rkllm();
    command.arg("compare").arg(small.model()).arg("--text").arg(small.text());
    command.args(["--no-bench", "--dtype", "w8a8"]);
    let report = json_of(&mut command);
    assert!(report.as_object().unwrap().contains_key("baseline"));
    assert!(report["baseline"].is_null());
}
