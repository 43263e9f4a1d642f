use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rkllm::eval::Method;
use rkllm::model::ModelConfig;
use rkllm::quant::QuantScheme;
use rkllm::soc::Soc;
use serde_json::{Value, json};

use super::baseline::{Scored, among, describe};
use super::{Baseline, Dimensions, FILES, Manifest, all, find};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

#[test]
fn every_manifest_is_embedded_under_its_own_name() {
    let files: BTreeSet<String> = fs::read_dir(models())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .collect();
    assert_eq!(files, FILES.iter().map(|(file, _)| (*file).to_owned()).collect());
    for (manifest, (file, text)) in all().unwrap().iter().zip(FILES) {
        assert_eq!(manifest.id, file);
        // A revision nobody verified is a branch, and the file says so.
        let commit = manifest.revision.len() == 40
            && manifest.revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        let said = text.starts_with("# The commit could not be looked up");
        assert!(file == "tutor-nano" || commit != (said && manifest.revision == "main"), "{file}");
        for words in [&manifest.languages, &manifest.chat.template, &manifest.licence.name] {
            assert!(!words.is_empty(), "{file}");
        }
    }
}

#[test]
fn parameters_follow_from_the_dimensions() {
    for manifest in all().unwrap() {
        assert_eq!(manifest.parameters, manifest.dimensions.parameters(), "{}", manifest.id);
    }
    // By hand: 2 layers of q 64x64, k and v 32x64, o 64x64, three of 128x64, norms of 64; embedding and head.
    let mut tiny = find("tinyllama-1.1b-chat").unwrap().dimensions;
    tiny = Dimensions {
        layers: 2,
        hidden_size: 64,
        intermediate_size: 128,
        attention_heads: 4,
        key_value_heads: 2,
        head_dim: 16,
        vocab_size: 10,
        ..tiny
    };
    let layer = 64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 128 * 64 + 2 * 64;
    assert_eq!(tiny.parameters(), 2 * layer + 64 + 2 * 10 * 64);
    tiny.tie_word_embeddings = true;
    tiny.model_type = "qwen2".into();
    assert_eq!(tiny.parameters(), 2 * (layer + 128) + 64 + 10 * 64);
    tiny.model_type = "qwen3".into();
    assert_eq!(tiny.parameters(), 2 * (layer + 32) + 64 + 10 * 64);
}

#[test]
fn every_choice_can_run() {
    for manifest in all().unwrap() {
        for soc in Soc::ALL {
            let choice = manifest.soc.get(soc).unwrap();
            assert!(manifest.dimensions.bytes(choice.scheme).is_ok(), "{} {soc}", manifest.id);
            assert!(soc.vendor_runtime_takes(choice.scheme), "{} {soc}", manifest.id);
            assert!(choice.why.len() > 40, "{} {soc}", manifest.id);
        }
        assert!(manifest.soc.get(Soc::Rk3588).unwrap().advised, "{}", manifest.id);
    }
}

/// Figures said to be Rockchip's are.
#[test]
fn published_figures_are_the_published_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/reference/board-benchmarks.json");
    let Ok(text) = fs::read_to_string(&path) else {
        assert!(std::env::var_os("RKLLM_REQUIRE_SHARED").is_none_or(|value| value != "1"));
        eprintln!("skipped: {} not found", path.display());
        return;
    };
    let reference: Value = serde_json::from_str(&text).unwrap();
    let rows = reference["llm"].as_array().unwrap();
    let mut checked = 0;
    for manifest in all().unwrap() {
        for soc in Soc::ALL {
            let Some(nearest) = &manifest.soc.get(soc).unwrap().nearest else { continue };
            let nearest = serde_json::to_value(nearest).unwrap();
            let found = rows.iter().any(|row| {
                row["platform"] == soc.facts().name
                    && nearest.as_object().unwrap().iter().all(|(key, value)| row[key] == *value)
            });
            assert!(found, "{} {soc}: {nearest}", manifest.id);
            checked += 1;
        }
    }
    assert_eq!(checked, 12 * 4);
}

/// Once the folder with the weights is there, manifest and weights speak of the same model.
#[test]
fn tutor_nano_is_what_its_folder_holds() {
    let path = models().join("tutor-nano/config.json");
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("skipped: {} not found", path.display());
        return;
    };
    let config = ModelConfig::from_json(&text).unwrap();
    let manifest = find("tutor-nano").unwrap();
    assert_eq!(manifest.dimensions, Dimensions::of(&config));
    assert_eq!(manifest.context, config.max_position_embeddings);
}

#[test]
fn names_are_found_in_any_spelling_and_near_ones_offered() {
    for name in ["qwen3-0.6b", "Qwen3-0.6B", "qwen/qwen3-0.6b"] {
        assert_eq!(find(name).unwrap().id, "qwen3-0.6b");
    }
    for (name, expected) in [("qwen3-0.6", "qwen3-0.6b"), ("smollm", "smollm2"), ("fi-3", "phi-3")]
    {
        let said = find(name).unwrap_err().to_string();
        assert!(said.contains(expected) && said.contains(name), "{said}");
    }
}

fn config(manifest: &Manifest) -> ModelConfig {
    let d = &manifest.dimensions;
    ModelConfig::from_value(&json!({
        "model_type": d.model_type, "num_hidden_layers": d.layers, "hidden_size": d.hidden_size,
        "intermediate_size": d.intermediate_size, "num_attention_heads": d.attention_heads,
        "num_key_value_heads": d.key_value_heads, "head_dim": d.head_dim,
        "vocab_size": d.vocab_size, "tie_word_embeddings": d.tie_word_embeddings,
    }))
    .unwrap()
}

#[test]
fn a_baseline_is_compared_with_what_was_measured_alike() {
    let mut manifests = all().unwrap();
    let config = config(&find("qwen2.5-1.5b-instruct").unwrap());
    let scored = Scored { file: "t.txt", sha256: "ab", tokens_scored: 99, perplexity: 10.02 };
    let run = |manifests: &[Manifest], method, window, scored| {
        among(manifests, &config, method, window, &[scored])
    };
    assert_eq!(run(&manifests, Method::Windows, 512, scored), None);
    assert_eq!(describe(None), "");

    let baseline = Baseline {
        text: "some text".into(),
        sha256: "ab".into(),
        characters: 400,
        tokens_scored: 99,
        method: "windows".into(),
        window: 512,
        perplexity: 10.0,
        measured_with: "rkllm 0.1.0, f32".into(),
    };
    for manifest in &mut manifests {
        manifest.baseline.push(baseline.clone());
    }
    // Only the model of these dimensions: the distilled one has a head of its own.
    let checks = run(&manifests, Method::Windows, 512, scored).unwrap();
    assert_eq!((checks.len(), checks[0].model.as_str()), (1, "qwen2.5-1.5b-instruct"));
    assert!(!checks[0].agrees && (checks[0].difference_percent - 0.2).abs() < 1e-9);
    let said = describe(Some(&checks));
    assert!(said.contains("differs by +0.20 %") && said.contains("10.0200 on t.txt"), "{said}");
    let close = Scored { perplexity: 9.9999, ..scored };
    let checks = run(&manifests, Method::Windows, 512, close).unwrap();
    assert!(checks[0].agrees);
    assert!(describe(Some(&checks)).contains("agrees with the baseline of qwen2.5-1.5b-instruct"));

    // Another text, number of predictions, method or window is no match.
    for (method, window, scored) in [
        (Method::Windows, 512, Scored { sha256: "ac", ..scored }),
        (Method::Windows, 512, Scored { tokens_scored: 98, ..scored }),
        (Method::Llama, 512, scored),
        (Method::Windows, 256, scored),
    ] {
        assert_eq!(run(&manifests, method, window, scored), None);
    }
    // Models of the same shape are all named.
    let mut twin = find("qwen2.5-1.5b-instruct").unwrap();
    twin.id = "twin".into();
    twin.baseline.push(Baseline { perplexity: 11.0, ..baseline });
    manifests.push(twin);
    assert_eq!(run(&manifests, Method::Windows, 512, scored).unwrap().len(), 2);
}

#[test]
fn sizes_know_what_does_not_apply() {
    let small = find("smollm2-360m-instruct").unwrap().dimensions;
    let bytes = |name: &str| small.bytes(name.parse::<QuantScheme>().unwrap());
    let error = bytes("w4a16_g128").unwrap_err().to_string();
    assert!(error.contains("128 does not divide K = 960"), "{error}");
    assert!(bytes("w4a16_g64").unwrap() < bytes("w8a8").unwrap());
    assert_eq!(bytes("f16").unwrap(), 2 * small.parameters());
}

/// The computed size is what `convert` writes.
#[test]
fn sizes_are_those_of_artifacts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Norms and biases are kept as they are: the first model has them in f32.
    for (model, small_bytes) in
        [("rkllm/tests/data/numerics-model", 4), ("../shared/models/fisica-19m", 2)]
    {
        let source = root.join(model);
        let Ok(config) = fs::read_to_string(source.join("config.json")) else {
            eprintln!("skipped: {} not found", source.display());
            continue;
        };
        let dimensions = Dimensions::of(&ModelConfig::from_json(&config).unwrap());
        for scheme in ["w8a8", "w4a16", "w4a16_g32"] {
            let scheme: QuantScheme = scheme.parse().unwrap();
            let out = tempfile::tempdir().unwrap();
            let target = out.path().join("artifact");
            let options = rkllm_convert::ConvertOptions::new(scheme);
            rkllm_convert::convert(&source, &target, &options, &mut |_| {
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
            let file = fs::read(target.join("model.safetensors")).unwrap();
            let header = u64::from_le_bytes(file[..8].try_into().unwrap());
            let tensors = file.len() as u64 - 8 - header;
            let computed =
                dimensions.bytes(scheme).unwrap() + (small_bytes - 2) * dimensions.small();
            assert_eq!(computed, tensors, "{model} {scheme}");
        }
    }
}
