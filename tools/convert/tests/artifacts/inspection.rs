//! Inspection and verification of made checkpoints and artifacts.

use std::path::Path;

use super::made::Made;
use rkllm::model::{Checkpoint, Embedding, LinearData, LinearWeights, Load, WeightOptions};
use rkllm::quant::{Group, QuantScheme};
use rkllm_convert::{ConvertOptions, Kind, Manifest, convert, inspect, verify};
use safetensors::Dtype;

const W4A16_G32: QuantScheme = QuantScheme::W4A16(Group::Columns(32));

fn artifact(root: &Path, made: &Made, options: &ConvertOptions) -> std::path::PathBuf {
    let (src, dst) = (root.join("src"), root.join("dst"));
    made.write(&src);
    convert(&src, &dst, options, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
    dst
}

/// The text of every problem.
fn problems(dir: &Path) -> Vec<String> {
    let report = verify(dir).unwrap();
    assert_eq!(report.is_ok(), report.problems.is_empty());
    report.problems.iter().map(|p| format!("{}: {}", p.subject, p.message)).collect()
}

#[test]
fn an_artifact_is_the_model_that_quantising_in_memory_makes() {
    fn rows(linear: &LinearWeights) -> (Vec<u8>, Vec<u8>, Option<Vec<f32>>) {
        let LinearData::Quantized(rows) = &linear.data else { panic!("{} is float", linear.name) };
        (rows.data().to_vec(), rows.scales().bytes().to_vec(), linear.bias.clone())
    }
    for (architecture, scheme, symmetric) in [
        ("qwen2", W4A16_G32, true),
        ("phi3", QuantScheme::W8A8(Group::Channel), false),
        ("qwen3", W4A16_G32, false),
    ] {
        let root = tempfile::tempdir().unwrap();
        let made = Made::new(architecture, Dtype::BF16).tied();
        let options = ConvertOptions { symmetric, ..ConvertOptions::new(scheme) };
        let dst = artifact(root.path(), &made, &options);
        let weight_options = WeightOptions { symmetric, ..WeightOptions::default() };
        let open = |dir: &Path| Checkpoint::open(dir, Load::Map).unwrap();
        let stored = open(&dst).weights(None, &WeightOptions::default()).unwrap();
        let memory = open(&root.path().join("src")).weights(Some(scheme), &weight_options).unwrap();
        assert_eq!(stored.scheme, scheme);
        let (Embedding::Float(a), Embedding::Float(b)) =
            (&stored.embed_tokens, &memory.embed_tokens)
        else {
            panic!("an int8 embedding")
        };
        assert_eq!((a.dtype, &a.data[..]), (b.dtype, &b.data[..]));
        assert_eq!(rows(&stored.lm_head), rows(&memory.lm_head));
        assert_eq!(stored.norm, memory.norm);
        for (a, b) in stored.layers.iter().zip(&memory.layers) {
            for (a, b) in a.qkv.iter().chain(&a.gate_up).zip(b.qkv.iter().chain(&b.gate_up)) {
                assert_eq!(rows(a), rows(b));
            }
            assert_eq!(rows(&a.down_proj), rows(&b.down_proj));
            assert_eq!((&a.q_norm, &a.input_layernorm), (&b.q_norm, &b.input_layernorm));
        }
    }
}

#[test]
fn good_directories_verify() {
    let root = tempfile::tempdir().unwrap();
    let dst =
        artifact(root.path(), &Made::new("qwen3", Dtype::F16), &ConvertOptions::new(W4A16_G32));
    let report = verify(&dst).unwrap();
    assert!(report.is_ok(), "{:?}", report.problems);
    assert!(report.has_manifest);
    assert_eq!(report.files_verified, 3);
    let plain = verify(&root.path().join("src")).unwrap();
    assert!(plain.is_ok() && !plain.has_manifest, "{:?}", plain.problems);

    let int8 = ConvertOptions {
        embedding: rkllm_convert::Embedding::Int8,
        ..ConvertOptions::new(QuantScheme::W8A8(Group::Channel))
    };
    for made in [Made::new("llama", Dtype::F32), Made::new("llama", Dtype::F32).tied()] {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(problems(&artifact(root.path(), &made, &int8)), [""; 0]);
    }
    assert!(verify(&root.path().join("nowhere")).is_err());
}

#[test]
fn every_changed_file_is_listed() {
    let root = tempfile::tempdir().unwrap();
    let dst =
        artifact(root.path(), &Made::new("llama", Dtype::F32), &ConvertOptions::new(W4A16_G32));
    std::fs::write(dst.join("notes.txt"), "mine").unwrap();
    assert_eq!(verify(&dst).unwrap().unlisted, ["notes.txt"]);

    // One bit of one weight, a longer text, a file that went.
    let path = dst.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    std::fs::write(dst.join("tokenizer.json"), "{\"untouched\":  false}").unwrap();
    let found = problems(&dst);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("model.safetensors: expected SHA-256"), "{found:?}");
    assert_eq!(found[1], "tokenizer.json: expected 20 bytes, found 21");
    std::fs::remove_file(dst.join("tokenizer.json")).unwrap();
    assert!(problems(&dst)[1].starts_with("tokenizer.json: cannot be read"), "{found:?}");

    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let found = problems(&dst);
    assert!(found.iter().any(|problem| problem.contains("truncated")), "{found:?}");
}

#[test]
fn a_manifest_cannot_lead_out_of_its_directory() {
    let root = tempfile::tempdir().unwrap();
    let dst =
        artifact(root.path(), &Made::new("llama", Dtype::F32), &ConvertOptions::new(W4A16_G32));
    let mut manifest = Manifest::read(&dst).unwrap();
    manifest.files[0].name = "../src/config.json".into();
    manifest.write(&dst).unwrap();
    assert_eq!(problems(&dst), ["../src/config.json: expected a plain file name"]);
    manifest.files.remove(0);
    manifest.scheme = QuantScheme::W8A8(Group::Channel);
    manifest.write(&dst).unwrap();
    assert_eq!(problems(&dst), ["rkllm.json: says w8a8, config.json says w4a16_g32"]);
}

#[test]
fn every_wrong_tensor_is_listed() {
    let root = tempfile::tempdir().unwrap();
    let mut made = Made::new("llama", Dtype::F32);
    made.tensors.remove("model.layers.1.mlp.up_proj.weight");
    made.tensors.remove("lm_head.weight");
    made.add("model.norm.weight", Dtype::F32, &[63]);
    made.write(root.path());
    assert_eq!(
        problems(root.path()),
        [
            "model.layers.1.mlp.up_proj.weight: the tensor is absent",
            "model.norm.weight: expected [64] by config.json, found [63]",
            "lm_head.weight: the tensor is absent",
        ]
    );

    let mut made = Made::new("llama", Dtype::F32);
    let data = &mut made.tensors.get_mut("model.layers.0.mlp.up_proj.weight").unwrap().data;
    data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    made.write(root.path());
    let found = problems(root.path());
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("model.layers.0.mlp.up_proj.weight"), "{found:?}");
}

#[test]
fn inspection_counts_what_is_there() {
    let root = tempfile::tempdir().unwrap();
    let made = Made::new("llama", Dtype::BF16).tied();
    let dst = artifact(root.path(), &made, &ConvertOptions::new(W4A16_G32));
    let source = inspect(&root.path().join("src")).unwrap();
    let parameters = 2 * (64 * 192 + 3 * 64 * 96 + 2 * 64) + 50 * 64 + 64;
    assert_eq!((source.kind, source.parameters), (Kind::Checkpoint, parameters));
    assert_eq!((source.scheme, source.tied), (QuantScheme::F32, true));
    assert_eq!(source.bits_per_weight, 16.0);
    assert_eq!(source.dtypes.len(), 1);
    assert_eq!(source.dtypes[0].dtype, "bf16");
    assert_eq!(source.dtypes[0].bytes, 2 * parameters);
    // Two layers, keys and values of 2 heads of 16, f32.
    assert_eq!(source.kv_bytes_per_token, 2 * 2 * 32 * 4);
    assert!(source.tokenizer.tokenizer_json && !source.tokenizer.chat_template);
    assert!(source.manifest.is_none());

    let artifact = inspect(&dst).unwrap();
    assert_eq!((artifact.kind, artifact.parameters), (Kind::Artifact, parameters));
    assert_eq!((artifact.scheme, artifact.tied), (W4A16_G32, false));
    assert_eq!(artifact.kv_bytes_per_token, 2 * 2 * 32 * 2);
    let manifest = artifact.manifest.as_ref().unwrap();
    assert_eq!(artifact.bits_per_weight, manifest.bits_per_weight);
    let weights = 2 * (64 * 192 + 3 * 64 * 96);
    let shapes = 2 * 7 * 16;
    assert_eq!(artifact.parts.layers, weights / 2 + weights / 32 * 2 + shapes);
    assert_eq!(artifact.parts.embedding, 50 * 64 * 2);
    assert_eq!(artifact.parts.head, 50 * 64 + 50 * 4);
    assert_eq!(artifact.parts.other, (2 * 2 + 1) * 64 * 2);
    let total: u64 = artifact.tensors.iter().map(|tensor| tensor.bytes).sum();
    assert_eq!(artifact.memory.last().unwrap().total, total + 128 * artifact.kv_bytes_per_token);
    assert_eq!(artifact.files[0].tensor_bytes, total);

    let text = artifact.to_string();
    for part in ["artifact, LlamaForCausalLM", "w4a16_g32", "theta 10000", "from src by"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let json = serde_json::to_value(&artifact).unwrap();
    assert_eq!(json["scheme"], "w4a16_g32");
    assert_eq!(json["tensors"][0]["file"], "model.safetensors");
}
