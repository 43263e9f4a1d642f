//! Files that lie: every one is an error that names the file or tensor, and none a panic.

use std::path::Path;

use serde_json::{Value, json};

use super::super::TensorIndex;
use super::{Checkpoint, LOADS, Load, Tensors, Tiny, WeightOptions, file};
use crate::quant::{Group, QuantScheme};
use crate::{Bytes, Error, ErrorKind};

fn index(bytes: Vec<u8>) -> Result<TensorIndex, Error> {
    TensorIndex::from_bytes("hostile.safetensors", Bytes::new(bytes))
}

/// The error about a file with this header in front of `data` bytes.
fn header(header: &str, data: usize) -> Error {
    let error = index(file(header, &vec![0; data])).unwrap_err();
    assert!(error.to_string().starts_with("hostile.safetensors: "), "{error}");
    error
}

fn open(dir: &Path) -> Error {
    let errors = LOADS.map(|load| match Checkpoint::open(dir, load) {
        Ok(checkpoint) => checkpoint.weights(None, &WeightOptions::default()).unwrap_err(),
        Err(error) => error,
    });
    assert_eq!(errors[0].to_string(), errors[1].to_string());
    errors.into_iter().next().unwrap()
}

#[test]
fn headers_that_lie() {
    let one = |extra: &str| format!(r#"{{"a": {{"dtype": "F32", {extra}}}}}"#);
    for (text, data, word) in [
        (one(r#""shape": [2], "data_offsets": [0, 8]"#), 7, "truncated"),
        (one(r#""shape": [2], "data_offsets": [0, 8]"#), 9, "found"),
        (one(r#""shape": [2], "data_offsets": [8, 0]"#), 8, "backwards"),
        (one(r#""shape": [2], "data_offsets": [4, 12]"#), 12, "gap"),
        (one(r#""shape": [3], "data_offsets": [0, 8]"#), 8, "does not fit"),
        (one(r#""shape": [2], "data_offsets": [0, 18446744073709551615]"#), 8, "beyond"),
        (
            one(r#""shape": [2], "data_offsets": [18446744073709551600, 18446744073709551608]"#),
            8,
            "beyond",
        ),
        (one(r#""shape": [4294967296, 4294967296], "data_offsets": [0, 0]"#), 0, "too large"),
        (one(r#""shape": [9223372036854775807, 3], "data_offsets": [0, 0]"#), 0, "too large"),
        (one(r#""shape": [4611686018427387904], "data_offsets": [0, 0]"#), 0, "does not fit"),
        (one(r#""shape": [0, 0], "data_offsets": [0, 8]"#), 8, "does not fit"),
        (one(r#""shape": [-2], "data_offsets": [0, 8]"#), 8, "not valid"),
        (one(r#""shape": [2.0], "data_offsets": [0, 8]"#), 8, "not valid"),
        (one(r#""shape": [1,1,1,1,1,1,1,1,2], "data_offsets": [0, 8]"#), 8, "8 dimensions"),
        (one(r#""shape": [2], "data_offsets": [0, 8, 8]"#), 8, "not valid"),
        (one(r#""shape": [2], "data_offsets": [0]"#), 8, "not valid"),
        (one(r#""shape": [2]"#), 8, "data_offsets"),
        (one(r#""shape": [2], "shape": [2], "data_offsets": [0, 8]"#), 8, "duplicate"),
        (one(r#""shape": [2], "x": 1, "data_offsets": [0, 8]"#), 8, "unknown field"),
        (r#"{"a": 7}"#.into(), 0, "not valid"),
        (r#"{"__metadata__": {"a": 7}}"#.into(), 0, "not valid"),
        (r#"{"__metadata__": {}, "__metadata__": {}}"#.into(), 0, "twice"),
        ("[]".into(), 0, "not valid"),
        (String::new(), 0, "not valid"),
        ("{}".into(), 3, "expected"),
        ("{} x".into(), 0, "not valid"),
        (format!("{{\"a\": {}", "[".repeat(200_000)), 0, "not valid"),
    ] {
        let error = header(&text, data);
        assert_eq!(error.kind(), ErrorKind::Format, "{text:.100}");
        assert!(error.to_string().contains(word), "{text:.100}: {error}");
    }
}

#[test]
fn two_tensors_of_the_same_bytes_or_name() {
    let two = |names: [&str; 2], offsets: [[u64; 2]; 2]| {
        let entry = |offsets: [u64; 2]| {
            let len = (offsets[1] - offsets[0]) / 4;
            json!({"dtype": "F32", "shape": [len], "data_offsets": offsets}).to_string()
        };
        format!(
            r#"{{"{}": {}, "{}": {}}}"#,
            names[0],
            entry(offsets[0]),
            names[1],
            entry(offsets[1])
        )
    };
    let error = header(&two(["a", "b"], [[0, 8], [4, 12]]), 12);
    assert!(error.to_string().contains("overlap"), "{error}");
    let error = header(&two(["a", "b"], [[0, 8], [0, 8]]), 8);
    assert!(error.to_string().contains("overlap"), "{error}");
    let error = header(&two(["a", "b"], [[0, 8], [12, 16]]), 16);
    assert!(error.to_string().contains("gap"), "{error}");
    let error = header(&two(["a", "a"], [[0, 8], [8, 16]]), 16);
    assert!(error.to_string().contains("\"a\" occurs twice"), "{error}");
    // Any order is fine, and an empty tensor overlaps nothing.
    assert!(index(file(&two(["a", "b"], [[8, 16], [0, 8]]), &[0; 16])).is_ok());
    assert!(index(file(&two(["a", "b"], [[8, 8], [0, 8]]), &[0; 8])).is_ok());
}

#[test]
fn lengths_that_lie_are_refused_before_memory_is_asked_for() {
    for (length, word) in [
        (1u64 << 60, "1152921504606846976"),
        (u64::MAX, "18446744073709551615"),
        (100_000_001, "100000001"),
        (99_999_999, "truncated"),
        (40, "truncated"),
    ] {
        let mut bytes = file("{}", &[]);
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        let error = index(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.to_string().contains(word), "{error}");
    }
    for len in 0..8 {
        assert!(index(vec![0; len]).unwrap_err().to_string().contains("truncated"));
    }
}

#[test]
fn unknown_element_types_are_carried_until_they_are_needed() {
    let mut model = Tiny::llama();
    let tensor = model.tensors.get("model.layers.0.mlp.up_proj.weight");
    tensor.1 = "F8_E4M3";
    tensor.3.truncate(tensor.3.len() / 4);
    let checkpoint = model.open().unwrap();
    let info = checkpoint.tensors().get("model.layers.0.mlp.up_proj.weight").unwrap();
    assert_eq!(info.dtype.to_string(), "F8_E4M3");
    let error = checkpoint.weights(None, &WeightOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dtype);
    assert!(error.to_string().contains("mlp.up_proj.weight"), "{error}");
    assert!(error.to_string().contains("F8_E4M3"), "{error}");

    model.tensors.get("model.layers.0.mlp.up_proj.weight").3.pop();
    assert!(model.open().unwrap_err().to_string().contains("does not fit"));
    model.tensors.get("model.layers.0.mlp.up_proj.weight").1 = "NEW_9";
    assert!(model.open().is_ok());
}

#[test]
fn every_truncation_of_a_file_is_an_error() {
    let model = Tiny::llama();
    let bytes = model.tensors.bytes();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let near = (0..8 + header + 64).step_by(7);
    for len in near.chain((8 + header..bytes.len()).step_by(4099)).chain([bytes.len() - 1]) {
        let error = index(bytes[..len].to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{len}");
        assert!(error.to_string().contains("download"), "{len}: {error}");
    }
    let dir = model.write();
    let path = dir.path().join("model.safetensors");
    std::fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    let error = open(dir.path()).to_string();
    assert!(error.contains("model.safetensors") && error.contains("truncated"), "{error}");
    assert!(error.contains(&(bytes.len() - 100).to_string()), "{error}");
}

/// A flipped bit either leaves the header readable, and then every tensor stays in its bounds, or is
/// an error.
#[test]
fn flipped_bits_never_panic() {
    let model = Tiny::llama();
    let bytes = model.tensors.bytes();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut refused = 0;
    let config = model.config.to_string();
    for at in 0..8 + header {
        for bit in [at % 8, (at + 3) % 8] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            match Checkpoint::from_bytes(&config, Bytes::new(bytes)) {
                Err(_) => refused += 1,
                Ok(checkpoint) => {
                    for name in checkpoint.tensors().names() {
                        let _ = checkpoint.tensors().tensor(name);
                    }
                    refused +=
                        usize::from(checkpoint.weights(None, &WeightOptions::default()).is_err());
                }
            }
        }
    }
    // Case and blanks are what a flip may change without harm; nearly all others are noticed.
    assert!(refused > (8 + header) * 19 / 10, "{refused} of {}", 2 * (8 + header));
}

#[test]
fn tensors_that_are_not_what_the_configuration_says() {
    let with = |change: &dyn Fn(&mut Tensors)| {
        let mut model = Tiny::new("Qwen2ForCausalLM");
        change(&mut model.tensors);
        let error = model.error();
        assert!(error.to_string().starts_with("the model: "), "{error}");
        error
    };
    let missing = with(&|t| t.remove("model.layers.1.self_attn.k_proj.weight"));
    assert_eq!(missing.kind(), ErrorKind::Missing);
    let text = missing.to_string();
    assert!(text.contains("model.layers.1.self_attn.k_proj.weight: "), "{text}");
    assert!(text.contains("\"model.layers.0.self_attn.k_proj.weight\""), "{text}");
    let prefixed = with(&|t| {
        t.all.iter_mut().for_each(|(name, ..)| *name = format!("module.{name}"));
    });
    assert!(prefixed.to_string().contains("module.model.embed_tokens.weight"), "{prefixed}");

    let shape = with(&|t| t.get("model.layers.0.mlp.gate_proj.weight").2.reverse());
    assert_eq!(shape.kind(), ErrorKind::Shape);
    assert!(shape.to_string().contains("expected [64, 32]"), "{shape}");
    assert!(shape.to_string().contains("found [32, 64]"), "{shape}");
    let dtype = with(&|t| t.get("model.layers.0.mlp.gate_proj.weight").1 = "I32");
    assert_eq!(dtype.kind(), ErrorKind::Dtype);
    let bias = with(&|t| t.get("model.layers.0.self_attn.v_proj.bias").1 = "I32");
    assert_eq!(bias.kind(), ErrorKind::Dtype);
    let empty = with(&|t| {
        let tensor = t.get("model.norm.weight");
        (tensor.2, tensor.3) = (vec![0], vec![]);
    });
    assert_eq!(empty.kind(), ErrorKind::Shape);

    // What no part of the model reads would make it another model.
    for name in ["model.layers.0.self_attn.o_proj.bias", "model.layers.2.input_layernorm.weight"] {
        let extra = with(&|t| t.push(name, "F32", &[32], vec![0; 128]));
        assert_eq!(extra.kind(), ErrorKind::Unsupported);
        assert!(extra.to_string().contains(name), "{extra}");
    }
    let mut computed = Tiny::llama();
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    computed.tensors.push(name, "F32", &[4], vec![0; 16]);
    assert!(computed.weights(None).is_ok());
    assert_eq!(Tiny::llama().stored_as("F64").error().kind(), ErrorKind::Dtype);
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let schemes = [None, Some(QuantScheme::F16), Some(QuantScheme::W8A8(Group::Channel))];
    for (name, at) in [
        ("model.embed_tokens.weight", 77),
        ("model.layers.1.self_attn.o_proj.weight", 33),
        ("model.layers.0.self_attn.q_proj.bias", 3),
        ("model.layers.0.post_attention_layernorm.weight", 0),
        ("lm_head.weight", 1279),
    ] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut model = Tiny::new("Qwen2ForCausalLM");
            model.tensors.get(name).3[4 * at..][..4].copy_from_slice(&bad.to_le_bytes());
            for scheme in schemes {
                let error = model.weights(scheme).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NonFinite, "{name} {scheme:?}: {error}");
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }
}

#[test]
fn folders_that_hold_no_model() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(dir.path());
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.to_string().contains("config.json"), "{error}");
    let error = open(&dir.path().join("nowhere"));
    assert!(error.to_string().contains("nowhere: no such directory"), "{error}");

    let config = dir.path().join("config.json");
    std::fs::write(&config, Tiny::llama().config.to_string()).unwrap();
    let error = open(&config);
    assert!(error.to_string().contains("not a directory"), "{error}");
    let error = open(dir.path());
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.to_string().contains("no model.safetensors"), "{error}");
    std::fs::write(dir.path().join("pytorch_model.bin"), "").unwrap();
    assert!(open(dir.path()).to_string().contains("safetensors"), "{}", open(dir.path()));

    let weights = dir.path().join("model.safetensors");
    std::fs::write(&weights, "").unwrap();
    assert!(open(dir.path()).to_string().contains("truncated"));
    std::fs::write(
        &weights,
        "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n",
    )
    .unwrap();
    let error = open(dir.path()).to_string();
    assert!(error.contains("Git LFS pointer") && error.contains("git lfs pull"), "{error}");
    std::fs::remove_file(&weights).unwrap();
    std::fs::create_dir(&weights).unwrap();
    assert!(open(dir.path()).to_string().contains("not a regular file"));

    std::fs::write(&config, vec![b' '; 2 << 20]).unwrap();
    assert!(open(dir.path()).to_string().contains("at most"), "{}", open(dir.path()));
    std::fs::write(&config, [0xff, 0xfe, b'{']).unwrap();
    assert!(open(dir.path()).to_string().contains("UTF-8"), "{}", open(dir.path()));
}

/// A pipe without a writer would block whoever opens it.
#[test]
fn a_pipe_in_place_of_a_file_does_not_hang() {
    let dir = Tiny::llama().write();
    let path = dir.path().join("model.safetensors");
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if made.is_ok_and(|status| status.success()) {
        assert!(open(dir.path()).to_string().contains("not a regular file"));
    }
}

#[test]
fn huge_dimensions_fail_at_the_first_tensor() {
    let mut model = Tiny::llama();
    for (field, value) in [
        ("vocab_size", json!(1u64 << 31)),
        ("intermediate_size", json!(1u64 << 31)),
        ("num_hidden_layers", json!(4096)),
        ("head_dim", json!(65536)),
    ] {
        let before = std::mem::replace(&mut model.config[field], value);
        let error = model.error();
        assert!(matches!(error.kind(), ErrorKind::Shape | ErrorKind::Missing), "{field}: {error}");
        model.config[field] = before;
    }
    assert!(matches!(model.config, Value::Object(_)));
    assert!(Checkpoint::open(Tiny::llama().write().path(), Load::Copy).is_ok());
}
