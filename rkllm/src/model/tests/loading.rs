//! Float checkpoints, and what they become in memory.

use half::f16;
use serde_json::json;

use super::super::{Embedding, LinearData, LinearWeights, ModelWeights, StoredDtype};
use super::{
    CLASSES, Checkpoint, HIDDEN, INNER, KV, LOADS, Load, Q, QuantScheme, Tensors, Tiny, VOCAB,
    WeightOptions, values,
};
use crate::quant::{Clip, Group, WeightSpec, quantize};
use crate::testing::shared;
use crate::{Dtype, ErrorKind};

pub(super) fn linears(weights: &ModelWeights) -> Vec<&LinearWeights> {
    let layers = weights.layers.iter().flat_map(|layer| {
        layer.qkv.iter().chain(&layer.gate_up).chain([&layer.o_proj, &layer.down_proj])
    });
    layers.chain([&weights.lm_head]).collect()
}

/// Every bit of a model's matrices, for comparisons.
pub(super) fn fingerprint(weights: &ModelWeights) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut parts: Vec<_> = linears(weights)
        .into_iter()
        .map(|linear| match &linear.data {
            LinearData::Float(dtype, bytes) => {
                (format!("{} {dtype}", linear.name), bytes.to_vec(), Vec::new())
            }
            LinearData::Quantized(rows) => (
                format!(
                    "{} int{} {} {:?} {:?}",
                    // An artifact's packed tensors have another last name.
                    linear.name.trim_end_matches("_packed"),
                    rows.bits(),
                    rows.group(),
                    rows.scales().scale_type(),
                    rows.zero_points()
                ),
                rows.data().to_vec(),
                rows.scales().bytes().to_vec(),
            ),
        })
        .collect();
    let mut row = vec![0.0; weights.config.hidden_size];
    for id in 0..weights.config.vocab_size as u32 {
        weights.embed_tokens.row(id, &mut row).unwrap();
        let bytes = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        parts.push((format!("row {id}"), bytes, Vec::new()));
    }
    parts
}

#[test]
fn the_real_models_load_both_ways() {
    for name in [
        "golden/llama",
        "golden/llama3rope",
        "golden/mistral",
        "golden/phi3",
        "golden/qwen2",
        "golden/qwen3",
        "golden/ct-w8a8-int",
        "golden/ct-w4a16-g32-pack",
        "golden/ct-w4a16-g128-pack",
        "models/tinystories-656k",
        "models/stories260k/hf",
        "models/fisica-19m",
    ] {
        let Some(dir) = shared(name) else { continue };
        let [map, copy] = LOADS.map(|load| {
            let checkpoint = Checkpoint::open(&dir, load).unwrap();
            let weights = checkpoint.weights(None, &WeightOptions::default()).unwrap();
            assert_eq!(weights.scheme, checkpoint.scheme(), "{name}");
            fingerprint(&weights)
        });
        assert!(map == copy, "{name}");
    }
    if let Some(dir) = shared("golden/gemma2") {
        let error = Checkpoint::open(dir, Load::Map).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn every_architecture_finds_its_tensors() {
    for class in CLASSES {
        let weights = Tiny::new(class).weights(None).unwrap();
        let layer = &weights.layers[1];
        let shapes: Vec<_> = layer.qkv.iter().chain(&layer.gate_up).map(|w| (w.n, w.k)).collect();
        if class == "Phi3ForCausalLM" {
            assert_eq!(shapes, [(Q + 2 * KV, HIDDEN), (2 * INNER, HIDDEN)]);
        } else {
            let expected =
                [(Q, HIDDEN), (KV, HIDDEN), (KV, HIDDEN), (INNER, HIDDEN), (INNER, HIDDEN)];
            assert_eq!(shapes, expected, "{class}");
        }
        assert_eq!((layer.down_proj.n, layer.down_proj.k), (HIDDEN, INNER));
        assert_eq!(layer.q_norm.is_some(), class == "Qwen3ForCausalLM");
        let bias = values("model.layers.1.self_attn.q_proj.bias", Q);
        let expected = (class == "Qwen2ForCausalLM").then_some(bias);
        assert_eq!(layer.qkv[0].bias, expected, "{class}");
        assert_eq!(weights.norm, values("model.norm.weight", HIDDEN));
        assert_eq!(weights.scheme, QuantScheme::F32);
        for linear in linears(&weights) {
            let LinearData::Float(Dtype::F32, bytes) = &linear.data else { panic!() };
            let expected = values(&linear.name, linear.n * linear.k);
            let found: Vec<f32> =
                bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            assert_eq!(found, expected, "{}", linear.name);
        }
    }
}

#[test]
fn embedding_rows_are_exact_and_bounded() {
    let weights = Tiny::llama().weights(None).unwrap();
    let all = values("model.embed_tokens.weight", VOCAB * HIDDEN);
    let mut row = [0.0; HIDDEN];
    weights.embed_tokens.row(39, &mut row).unwrap();
    assert_eq!(row, all[39 * HIDDEN..]);
    assert_eq!(weights.embed_tokens.row(40, &mut row).unwrap_err().kind(), ErrorKind::Tokenizer);
    let error = weights.embed_tokens.row(0, &mut row[1..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    let half = Tiny::llama().stored_as("BF16").weights(None).unwrap();
    half.embed_tokens.row(39, &mut row).unwrap();
    assert_eq!(row[3], half::bf16::from_f32(all[39 * HIDDEN + 3]).to_f32());
}

#[test]
fn f16_rounds_matrices_and_keeps_vectors() {
    let model = Tiny::new("Qwen2ForCausalLM");
    let weights = model.weights(Some(QuantScheme::F16)).unwrap();
    assert_eq!(weights.scheme, QuantScheme::F16);
    let LinearData::Float(Dtype::F16, bytes) = &weights.lm_head.data else { panic!() };
    let rounded: Vec<u8> = values("lm_head.weight", VOCAB * HIDDEN)
        .iter()
        .flat_map(|&v| f16::from_f32(v).to_le_bytes())
        .collect();
    assert_eq!(**bytes, rounded);
    assert_eq!(weights.norm, values("model.norm.weight", HIDDEN));
    assert!(matches!(&weights.embed_tokens, Embedding::Float(t) if t.dtype == Dtype::F16));

    let mut large = Tiny::llama();
    large.tensors.get("model.layers.0.mlp.up_proj.weight").3[4 * 37..][..4]
        .copy_from_slice(&1e5f32.to_le_bytes());
    let error = large.weights(Some(QuantScheme::F16)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NonFinite);
    let text = error.to_string();
    assert!(
        text.contains("layers.0.mlp.up_proj.weight") && text.contains("row 1, column 5"),
        "{text}"
    );
}

#[test]
fn quantising_takes_every_layer_and_the_head_as_w8a8() {
    let scheme = QuantScheme::W4A16(Group::Columns(32));
    for class in ["LlamaForCausalLM", "Phi3ForCausalLM"] {
        let options = WeightOptions { clip: Clip::Mse, symmetric: false, threads: 2 };
        let checkpoint = Tiny::new(class).open().unwrap();
        let weights = checkpoint.weights(Some(scheme), &options).unwrap();
        assert_eq!(weights.scheme, scheme);
        for linear in linears(&weights) {
            let head = linear.name == "lm_head.weight";
            let spec = match head {
                true => WeightSpec::new(QuantScheme::W8A8(Group::Channel)).with_clip(Clip::Mse),
                false => WeightSpec { scheme, symmetric: false, clip: Clip::Mse },
            };
            let floats = values(&linear.name, linear.n * linear.k);
            let expected = quantize(&floats, linear.n, linear.k, &spec, 1).unwrap();
            let LinearData::Quantized(rows) = &linear.data else { panic!("{}", linear.name) };
            assert_eq!(rows.data()[..], expected.data()[..], "{}", linear.name);
            assert_eq!(rows.scales().bytes()[..], expected.scales().bytes()[..]);
            assert_eq!(rows.zero_points(), expected.zero_points());
            assert_eq!(rows.zero_points().is_none(), head);
        }
        assert!(matches!(&weights.embed_tokens, Embedding::Float(t) if t.dtype == Dtype::F16));
        let one = WeightOptions { threads: 1, ..options };
        let single = checkpoint.weights(Some(scheme), &one).unwrap();
        assert_eq!(fingerprint(&single), fingerprint(&weights));
    }
}

/// The golden artifact was made by compressed-tensors from the model beside it, by the same rule.
#[test]
fn w8a8_gives_the_integers_of_compressed_tensors() {
    let (Some(float), Some(golden)) =
        (shared("models/tinystories-656k"), shared("golden/ct-w8a8-int"))
    else {
        return;
    };
    let scheme = QuantScheme::W8A8(Group::Channel);
    let options = WeightOptions::default();
    let ours = Checkpoint::open(float, Load::Map).unwrap().weights(Some(scheme), &options).unwrap();
    let golden = Checkpoint::open(golden, Load::Map).unwrap().weights(None, &options).unwrap();
    let mut compared = 0;
    for (ours, golden) in linears(&ours).into_iter().zip(linears(&golden)) {
        if let (LinearData::Quantized(ours), LinearData::Quantized(golden)) =
            (&ours.data, &golden.data)
        {
            assert_eq!(ours.scales().bytes()[..], golden.scales().bytes()[..]);
            assert_eq!(ours.data()[..], golden.data()[..]);
            compared += 1;
        }
    }
    assert_eq!(compared, 14);
}

#[test]
fn a_group_size_that_does_not_divide_is_named_before_any_work() {
    let mut model = Tiny::llama();
    model.config["intermediate_size"] = json!(48);
    for scheme in [QuantScheme::W4A16(Group::Columns(32)), QuantScheme::W8A8(Group::Columns(32))] {
        // The tensors do not even fit the configuration: the size is refused first.
        let error = model.weights(Some(scheme)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Quantization);
        let text = error.to_string();
        assert!(text.contains("mlp.down_proj.weight") && text.contains("32"), "{text}");
        assert!(text.contains("48"), "{text}");
    }
}

#[test]
fn tied_models_in_every_storage() {
    let names = ["model.embed_tokens.weight", "lm_head.weight"];
    let mut tied = Tiny::llama();
    tied.config["tie_word_embeddings"] = json!(true);
    // Twice in the file: the embedding counts.
    let both = tied.weights(None).unwrap();
    assert_eq!(both.lm_head.name, names[0]);

    let mut only_embedding = tied.clone();
    only_embedding.tensors.remove(names[1]);
    let expected = fingerprint(&only_embedding.weights(None).unwrap());
    assert_eq!(fingerprint(&both), expected);

    // As the head, with and without the alias in the metadata.
    let mut only_head = tied.clone();
    only_head.tensors.remove(names[1]);
    only_head.tensors.get(names[0]).0 = names[1].into();
    let rows = |weights: &ModelWeights| fingerprint(weights).split_off(linears(weights).len());
    let plain = only_head.weights(None).unwrap();
    assert_eq!(rows(&plain)[..], expected[linears(&plain).len()..]);
    only_head.tensors.metadata = Some(json!({"format": "pt", names[0]: names[1]}));
    let aliased = only_head.weights(None).unwrap();
    assert_eq!(fingerprint(&aliased), expected);

    // Quantised, the head comes from the floats and the table is rounded.
    let scheme = QuantScheme::W8A8(Group::Channel);
    let quantised = only_embedding.weights(Some(scheme)).unwrap();
    let floats = values(names[0], VOCAB * HIDDEN);
    let expected = quantize(&floats, VOCAB, HIDDEN, &WeightSpec::new(scheme), 1).unwrap();
    let LinearData::Quantized(head) = &quantised.lm_head.data else { panic!() };
    assert_eq!(head.data()[..], expected.data()[..]);
    let mut row = [0.0; HIDDEN];
    quantised.embed_tokens.row(1, &mut row).unwrap();
    assert_eq!(row[0], f16::from_f32(floats[HIDDEN]).to_f32());

    let mut untied = only_embedding;
    untied.config["tie_word_embeddings"] = json!(false);
    let error = untied.error();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.to_string().contains("tie_word_embeddings"), "{error}");
}

#[test]
fn shards_hold_the_same_model() {
    let model = Tiny::llama();
    let expected = fingerprint(&model.weights(None).unwrap());
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), model.config.to_string()).unwrap();
    let mut weight_map = serde_json::Map::new();
    for shard in 0..3 {
        let file = format!("model-{shard}.safetensors");
        let part = model.tensors.all.iter().skip(shard).step_by(3).cloned();
        let tensors = Tensors { metadata: None, all: part.collect() };
        for (name, ..) in &tensors.all {
            weight_map.insert(name.clone(), json!(file));
        }
        std::fs::write(dir.path().join(file), tensors.bytes()).unwrap();
    }
    let index = dir.path().join("model.safetensors.index.json");
    std::fs::write(&index, json!({"metadata": {}, "weight_map": weight_map}).to_string()).unwrap();
    for load in LOADS {
        let checkpoint = Checkpoint::open(dir.path(), load).unwrap();
        assert_eq!(checkpoint.tensors().files().len(), 3);
        let weights = checkpoint.weights(None, &WeightOptions::default()).unwrap();
        assert_eq!(fingerprint(&weights), expected);
    }

    for (name, file, word) in [
        ("model.norm.weight", json!("../model-0.safetensors"), "same directory"),
        ("model.norm.weight", json!("/etc/passwd"), "same directory"),
        ("model.norm.weight", json!(".."), "same directory"),
        ("model.norm.weight", json!(""), "same directory"),
        ("model.norm.weight", json!("a\\b"), "same directory"),
        ("model.norm.weight", json!(7), "same directory"),
        ("model.norm.weight", json!("model-9.safetensors"), "model-9"),
        ("model.other.weight", json!("model-0.safetensors"), "model.other.weight"),
    ] {
        let mut map = weight_map.clone();
        map.insert(name.into(), file);
        std::fs::write(&index, json!({"weight_map": map}).to_string()).unwrap();
        let error = Checkpoint::open(dir.path(), Load::Map).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    let first = dir.path().join("model-0.safetensors");
    std::fs::copy(first, dir.path().join("model-1.safetensors")).unwrap();
    std::fs::write(&index, json!({"weight_map": weight_map}).to_string()).unwrap();
    let error = Checkpoint::open(dir.path(), Load::Map).unwrap_err();
    assert!(error.to_string().contains("also in"), "{error}");
}

#[test]
fn tensors_are_read_in_parts_without_a_map() {
    let dir = Tiny::llama().write();
    let checkpoint = Checkpoint::open(dir.path(), Load::Map).unwrap();
    let tensors = checkpoint.tensors();
    let name = "model.layers.1.mlp.down_proj.weight";
    let info = tensors.get(name).unwrap();
    assert_eq!((&info.dtype, &info.shape[..]), (&StoredDtype::Known(Dtype::F32), &[32, 64][..]));
    let whole = tensors.tensor(name).unwrap();
    let mut part = [0; 40];
    tensors.read_range(name, 100, &mut part).unwrap();
    assert_eq!(part, whole.data[100..140]);
    for start in [info.bytes() - 39, u64::MAX - 3] {
        let error = tensors.read_range(name, start, &mut part).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
    }
    // A file that shrinks after its header was read.
    let path = dir.path().join("model.safetensors");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(info.range.start + 120).unwrap();
    let checkpoint_error = tensors.read_range(name, 100, &mut part).unwrap_err();
    let text = checkpoint_error.to_string();
    assert!(text.contains("truncated") && text.contains("model.safetensors"), "{text}");
    assert!(text.contains("download"), "{text}");
}

#[test]
fn ends_of_sequence_come_from_both_files() {
    let mut model = Tiny::llama();
    model.config["eos_token_id"] = json!([5, 6]);
    let dir = model.write();
    let generation = dir.path().join("generation_config.json");
    std::fs::write(&generation, r#"{"eos_token_id": [6, 9]}"#).unwrap();
    let checkpoint = Checkpoint::open(dir.path(), Load::Map).unwrap();
    assert_eq!(checkpoint.config().eos_token_ids, [5, 6, 9]);
    std::fs::write(&generation, r#"{"eos_token_id": "x"}"#).unwrap();
    let error = Checkpoint::open(dir.path(), Load::Map).unwrap_err();
    assert!(error.to_string().contains("generation_config.json"), "{error}");
}
