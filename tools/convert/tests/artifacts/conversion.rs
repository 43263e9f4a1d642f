//! Conversion of made checkpoints: what is written, and what is left when it fails.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use super::made::{Made, Stored, names};
use half::f16;
use rkllm::ErrorKind;
use rkllm::quant::nibble::pack_zero_points;
use rkllm::quant::{
    Clip, Group, QuantScheme, QuantizedRows, ScaleType, WeightSpec, ZeroPoints, quantize,
};
use rkllm_convert::{ConvertOptions, ConvertReport, Embedding, Manifest, Progress, convert};
use safetensors::{Dtype, SafeTensors};

const W8A8: QuantScheme = QuantScheme::W8A8(Group::Channel);
const W4A16_G32: QuantScheme = QuantScheme::W4A16(Group::Columns(32));

fn go_on(_: &Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn run(src: &Path, dst: &Path, options: &ConvertOptions) -> rkllm::Result<ConvertReport> {
    convert(src, dst, options, &mut go_on)
}

/// Every tensor of an artifact.
fn read(dir: &Path) -> BTreeMap<String, Stored> {
    let mut tensors = BTreeMap::new();
    for name in names(dir).iter().filter(|name| name.ends_with(".safetensors")) {
        let bytes = std::fs::read(dir.join(name)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (name, view) in file.tensors() {
            let (dtype, shape) = (view.dtype(), view.shape().to_vec());
            let stored = Stored { dtype, shape, data: view.data().to_vec() };
            assert!(tensors.insert(name, stored).is_none());
        }
    }
    tensors
}

/// The parts of a matrix must be exactly what the quantiser makes of it in memory.
fn assert_matrix(
    made: &Made,
    source: &str,
    out: &mut BTreeMap<String, Stored>,
    name: &str,
    spec: &WeightSpec,
) {
    let stored = &made.tensors[source];
    let [n, k] = stored.shape[..] else { panic!("{source} is no matrix") };
    let rows: QuantizedRows = quantize(&stored.to_f32(), n, k, spec, 1).unwrap();
    let mut take = |suffix: &str, dtype: Dtype, shape: &[usize]| {
        let part =
            out.remove(&format!("{name}{suffix}")).unwrap_or_else(|| panic!("{name}{suffix}"));
        assert_eq!((part.dtype, part.shape.as_slice()), (dtype, shape), "{name}{suffix}");
        part.data
    };
    let scale_dtype = match rows.scales().scale_type() {
        ScaleType::F16 => Dtype::F16,
        ScaleType::F32 => Dtype::F32,
    };
    assert_eq!(take("_scale", scale_dtype, &[n, rows.groups()]), rows.scales().bytes()[..]);
    if rows.bits() == 4 {
        assert_eq!(take("_packed", Dtype::I32, &[n, k.div_ceil(8)]), rows.data()[..], "{name}");
        let shape: Vec<u8> = [n as i64, k as i64].iter().flat_map(|d| d.to_le_bytes()).collect();
        assert_eq!(take("_shape", Dtype::I64, &[2]), shape);
    } else {
        assert_eq!(take("", Dtype::I8, &[n, k]), rows.data()[..], "{name}");
    }
    match rows.zero_points() {
        None => {}
        Some(ZeroPoints::I8(z)) => {
            let z: Vec<u8> = z.iter().map(|&z| z as u8).collect();
            assert_eq!(take("_zero_point", Dtype::I8, &[n, rows.groups()]), z);
        }
        Some(ZeroPoints::U4(z)) => {
            let packed = pack_zero_points(z, n, rows.groups()).unwrap();
            assert_eq!(take("_zero_point", Dtype::I32, &[n.div_ceil(8), rows.groups()]), packed);
        }
    }
}

/// Checks every tensor of the artifact, and that there are no others.
fn assert_artifact(made: &Made, dir: &Path, options: &ConvertOptions) {
    let layers =
        WeightSpec { scheme: options.scheme, symmetric: options.symmetric, clip: options.clip };
    let head = WeightSpec::new(W8A8).with_clip(options.clip);
    let embedding = "model.embed_tokens.weight";
    let tied = !made.tensors.contains_key("lm_head.weight");
    let mut out = read(dir);
    for (name, stored) in &made.tensors {
        if name == embedding && options.embedding == Embedding::Int8 {
            assert_matrix(made, name, &mut out, name, &head);
        } else if name == embedding {
            let half = out.remove(name).unwrap();
            assert_eq!((half.dtype, &half.shape), (Dtype::F16, &stored.shape));
            let expected: Vec<u8> =
                stored.to_f32().iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
            assert_eq!(half.data, expected);
        } else if name == "lm_head.weight" {
            assert_matrix(made, name, &mut out, name, &head);
        } else if stored.shape.len() == 2 {
            assert_matrix(made, name, &mut out, name, &layers);
        } else {
            let copy = out.remove(name).unwrap();
            assert_eq!(
                (copy.dtype, &copy.shape, &copy.data),
                (stored.dtype, &stored.shape, &stored.data)
            );
        }
    }
    if tied && options.embedding == Embedding::F16 {
        assert_matrix(made, embedding, &mut out, "lm_head.weight", &head);
    }
    assert_eq!(out.keys().collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_architecture_and_scheme_holds_what_the_quantiser_makes() {
    let root = tempfile::tempdir().unwrap();
    for (number, architecture) in
        ["llama", "mistral", "qwen2", "qwen3", "phi3"].into_iter().enumerate()
    {
        let dtype = [Dtype::F32, Dtype::F16, Dtype::BF16][number % 3];
        let mut made = Made::new(architecture, dtype);
        if number % 2 == 1 {
            made = made.tied();
        }
        let src = root.path().join(architecture);
        made.write(&src);
        for (variant, options) in [
            ConvertOptions::new(W8A8),
            ConvertOptions::new(W4A16_G32),
            ConvertOptions { symmetric: false, ..ConvertOptions::new(W8A8) },
            ConvertOptions {
                symmetric: false,
                clip: Clip::Mse,
                threads: 3,
                ..ConvertOptions::new(W4A16_G32)
            },
            ConvertOptions {
                embedding: Embedding::Int8,
                ..ConvertOptions::new(QuantScheme::W4A16(Group::Channel))
            },
        ]
        .into_iter()
        .enumerate()
        {
            let dst = root.path().join(format!("{architecture}-{variant}"));
            let report = run(&src, &dst, &options).unwrap();
            assert_artifact(&made, &dst, &options);
            assert_eq!(Manifest::read(&dst).unwrap(), report.manifest);
            assert!(report.manifest.f32_scales.is_empty());
        }
    }
}

#[test]
fn files_and_configuration_are_those_of_a_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let (src, dst) = (root.path().join("src"), root.path().join("dst"));
    Made::new("llama", Dtype::F32).tied().write(&src);
    std::fs::write(src.join("LICENSE.txt"), "free").unwrap();
    std::fs::write(src.join("chat_template.jinja"), "{{ x }}").unwrap();
    let report = run(&src, &dst, &ConvertOptions::new(W4A16_G32)).unwrap();
    assert_eq!(
        names(&dst),
        [
            "LICENSE.txt",
            "chat_template.jinja",
            "config.json",
            "model.safetensors",
            "rkllm.json",
            "tokenizer.json"
        ]
    );
    assert_eq!(std::fs::read(dst.join("tokenizer.json")).unwrap(), b"{\"untouched\":  true}");
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dst.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["tie_word_embeddings"], false);
    assert_eq!(config["vocab_size"], 50);
    assert_eq!(config["quantization_config"]["quant_method"], "compressed-tensors");

    let manifest = report.manifest;
    assert_eq!(manifest.source.name, "src");
    let files = |digests: &[rkllm_convert::FileDigest]| -> Vec<String> {
        digests.iter().map(|digest| digest.name.clone()).collect()
    };
    assert_eq!(
        files(&manifest.source.files),
        [
            "LICENSE.txt",
            "chat_template.jinja",
            "config.json",
            "model.safetensors",
            "tokenizer.json"
        ]
    );
    assert_eq!(files(&manifest.files), files(&manifest.source.files));
    // 2 layers of attention 64 x 192, mlp 3 x 64 x 96, two norms; embedding once; last norm.
    let parameters = 2 * (64 * 192 + 3 * 64 * 96 + 2 * 64) + 50 * 64 + 64;
    assert_eq!(manifest.parameters, parameters);
    // 4 bits and an f16 scale per 32.
    assert!((manifest.linear_bits_per_weight - 4.5).abs() < 1e-12);
    let bytes = std::fs::read(dst.join("model.safetensors")).unwrap();
    let (header, _) = SafeTensors::read_metadata(&bytes).unwrap();
    let data = bytes.len() - 8 - header;
    assert_eq!(manifest.bits_per_weight, data as f64 * 8.0 / parameters as f64);
    // No path of this machine in what others will download.
    let text = std::fs::read_to_string(dst.join("rkllm.json")).unwrap();
    assert!(!text.contains(root.path().to_str().unwrap()));
}

#[test]
fn threads_and_shards_change_no_tensor_and_no_run_differs() {
    let root = tempfile::tempdir().unwrap();
    let src = root.path().join("src");
    let made = Made::new("qwen2", Dtype::BF16);
    made.write(&src);
    let options = ConvertOptions { clip: Clip::Mse, ..ConvertOptions::new(W4A16_G32) };
    let runs: Vec<Vec<(String, Vec<u8>)>> = [1, 1, 2, 5]
        .iter()
        .enumerate()
        .map(|(run_number, &threads)| {
            let dst = root.path().join(format!("dst-{run_number}"));
            run(&src, &dst, &ConvertOptions { threads, ..options.clone() }).unwrap();
            names(&dst)
                .into_iter()
                .map(|name| {
                    let bytes = std::fs::read(dst.join(&name)).unwrap();
                    (name, bytes)
                })
                .collect()
        })
        .collect();
    assert!(runs.iter().all(|run| *run == runs[0]));

    let dst = root.path().join("sharded");
    let sharded = ConvertOptions { shard_bytes: 20_000, ..options };
    run(&src, &dst, &sharded).unwrap();
    let weights: Vec<String> =
        names(&dst).into_iter().filter(|name| name.ends_with(".safetensors")).collect();
    assert!(weights.len() > 2, "{weights:?}");
    let count = weights.len();
    assert_eq!(weights[0], format!("model-00001-of-{count:05}.safetensors"));
    assert_artifact(&made, &dst, &sharded);
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dst.join("model.safetensors.index.json")).unwrap())
            .unwrap();
    let tensors = read(&dst);
    assert_eq!(index["weight_map"].as_object().unwrap().len(), tensors.len());
    let total: usize = tensors.values().map(|tensor| tensor.data.len()).sum();
    assert_eq!(index["metadata"]["total_size"], total);
    for name in &weights {
        assert!(std::fs::metadata(dst.join(name)).unwrap().len() < 20_000 + 4096);
    }
}

#[test]
fn cancelled_at_any_point_nothing_is_left() {
    let root = tempfile::tempdir().unwrap();
    let (src, dst) = (root.path().join("src"), root.path().join("dst"));
    Made::new("llama", Dtype::F32).write(&src);
    let options = ConvertOptions::new(W4A16_G32);
    let mut calls = 0;
    let count = |_: &Progress<'_>| {
        calls += 1;
        ControlFlow::Continue(())
    };
    convert(&src, &root.path().join("whole"), &options, &mut { count }).unwrap();
    assert!(calls > 30, "{calls}");
    for stop in 0..calls {
        let mut call = 0;
        let mut cancel = |_: &Progress<'_>| {
            call += 1;
            if call > stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let error = convert(&src, &dst, &options, &mut cancel).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert_eq!(names(root.path()), ["src", "whole"]);
    }
}

#[test]
fn progress_counts_every_stage_to_its_end() {
    let root = tempfile::tempdir().unwrap();
    let (src, dst) = (root.path().join("src"), root.path().join("dst"));
    Made::new("llama", Dtype::F32).write(&src);
    let mut ends = BTreeMap::new();
    let mut watch = |progress: &Progress<'_>| {
        assert!(progress.done <= progress.total);
        ends.insert(format!("{:?}", progress.stage), (progress.done, progress.total));
        ControlFlow::Continue(())
    };
    convert(&src, &dst, &ConvertOptions::new(W8A8), &mut watch).unwrap();
    assert_eq!(ends.len(), 3);
    assert!(ends.values().all(|(done, total)| done == total), "{ends:?}");
}

#[test]
fn a_scale_outside_f16_stores_that_tensor_in_f32() {
    let root = tempfile::tempdir().unwrap();
    let (src, dst) = (root.path().join("src"), root.path().join("dst"));
    let mut made = Made::new("llama", Dtype::F32);
    let name = "model.layers.1.mlp.up_proj.weight";
    let tiny = made.tensors.get_mut(name).unwrap();
    for value in tiny.data[64 * 4..96 * 4].as_chunks_mut().0 {
        *value = 1e-7f32.to_le_bytes();
    }
    made.write(&src);
    let options = ConvertOptions::new(W4A16_G32);
    let report = run(&src, &dst, &options).unwrap();
    assert_eq!(report.manifest.f32_scales, [name]);
    assert_artifact(&made, &dst, &options);
}

fn refusal(made: &Made, options: &ConvertOptions) -> rkllm::Error {
    let root = tempfile::tempdir().unwrap();
    let (src, dst) = (root.path().join("src"), root.path().join("dst"));
    made.write(&src);
    let error = run(&src, &dst, options).unwrap_err();
    assert_eq!(names(root.path()), ["src"], "{error}");
    error
}

#[test]
fn a_group_that_does_not_divide_is_refused_with_tensor_and_numbers() {
    let options = ConvertOptions::new(QuantScheme::W4A16(Group::Columns(64)));
    let error = refusal(&Made::new("llama", Dtype::F32), &options);
    assert_eq!(error.kind(), ErrorKind::Quantization);
    let text = error.to_string();
    for part in ["model.layers.0.mlp.down_proj.weight", "64", "96"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let error = refusal(&Made::new("llama", Dtype::F32), &ConvertOptions::new(QuantScheme::F32));
    assert_eq!(error.kind(), ErrorKind::Quantization);
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    for (name, at) in [
        ("model.layers.1.mlp.gate_proj.weight", 64 * 3 + 5),
        ("model.embed_tokens.weight", 64 * 3 + 5),
        ("lm_head.weight", 64 * 3 + 5),
        ("model.layers.0.self_attn.q_proj.bias", 7),
    ] {
        for value in [f32::NAN, f32::NEG_INFINITY] {
            let mut made = Made::new("qwen2", Dtype::F32);
            let tensor = made.tensors.get_mut(name).unwrap();
            tensor.data.as_chunks_mut().0[at] = value.to_le_bytes();
            for scheme in [W8A8, W4A16_G32] {
                let error = refusal(&made, &ConvertOptions::new(scheme));
                assert_eq!(error.kind(), ErrorKind::NonFinite, "{error}");
                let text = error.to_string();
                let place = if at == 7 { "element 7" } else { "row 3, column 5" };
                assert!(text.contains(name) && text.contains(place), "{text}");
            }
        }
    }
}

#[test]
fn checkpoints_that_are_not_what_they_say_are_refused() {
    let options = ConvertOptions::new(W8A8);
    let mut made = Made::new("llama", Dtype::F32);
    made.tensors.remove("model.layers.1.self_attn.k_proj.weight");
    let error = refusal(&made, &options);
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
    assert!(error.to_string().contains("model.layers.1.self_attn.k_proj.weight"), "{error}");

    let mut made = Made::new("llama", Dtype::F32);
    made.add("model.norm.weight", Dtype::F32, &[63]);
    assert_eq!(refusal(&made, &options).kind(), ErrorKind::Shape);

    // A bias that the configuration does not mention: quantising around it would make another model.
    let mut made = Made::new("llama", Dtype::F32);
    made.add("model.layers.0.self_attn.q_proj.bias", Dtype::F32, &[64]);
    assert_eq!(refusal(&made, &options).kind(), ErrorKind::Unsupported);

    let mut made = Made::new("llama", Dtype::F32);
    made.config["architectures"] = serde_json::json!(["GPT2LMHeadModel"]);
    made.config["model_type"] = serde_json::json!("gpt2");
    assert_eq!(refusal(&made, &options).kind(), ErrorKind::Unsupported);
}

#[test]
fn tables_that_every_reader_computes_are_left_out() {
    let root = tempfile::tempdir().unwrap();
    let (src, dst) = (root.path().join("src"), root.path().join("dst"));
    let mut made = Made::new("llama", Dtype::F32);
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    made.add(name, Dtype::F32, &[8]);
    made.write(&src);
    let report = run(&src, &dst, &ConvertOptions::new(W8A8)).unwrap();
    assert_eq!(report.manifest.left_out, [name]);
    assert!(!read(&dst).contains_key(name));
}

#[test]
fn truncated_and_missing_sources_leave_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (src, dst) = (root.path().join("src"), root.path().join("dst"));
    let options = ConvertOptions::new(W8A8);
    let made = Made::new("llama", Dtype::F32);
    made.write(&src);
    let path = src.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for keep in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let error = run(&src, &dst, &options).unwrap_err();
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(run(&src, &dst, &options).unwrap_err().kind(), ErrorKind::Missing);
    let nowhere = root.path().join("nowhere");
    assert_eq!(run(&nowhere, &dst, &options).unwrap_err().kind(), ErrorKind::Missing);
    assert_eq!(names(root.path()), ["src"]);
}

#[test]
fn an_artifact_is_no_source() {
    let root = tempfile::tempdir().unwrap();
    let (src, dst) = (root.path().join("src"), root.path().join("dst"));
    Made::new("llama", Dtype::F32).write(&src);
    run(&src, &dst, &ConvertOptions::new(W8A8)).unwrap();
    let error = run(&dst, &root.path().join("again"), &ConvertOptions::new(W8A8)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quantization, "{error}");
}

#[test]
fn what_exists_is_replaced_only_when_asked_and_only_if_it_is_an_artifact() {
    let root = tempfile::tempdir().unwrap();
    let (src, dst) = (root.path().join("src"), root.path().join("dst"));
    Made::new("llama", Dtype::F32).write(&src);
    let first = ConvertOptions::new(W8A8);
    run(&src, &dst, &first).unwrap();
    let second = ConvertOptions::new(W4A16_G32);
    let error = run(&src, &dst, &second).unwrap_err();
    assert!(error.to_string().contains("--force"), "{error}");
    assert_eq!(Manifest::read(&dst).unwrap().scheme, W8A8);

    // A failed replacement leaves the old artifact as it was.
    let second = ConvertOptions { overwrite: true, ..second };
    let mut stop = |_: &Progress<'_>| ControlFlow::Break(());
    assert!(convert(&src, &dst, &second, &mut stop).is_err());
    assert_eq!(Manifest::read(&dst).unwrap().scheme, W8A8);

    run(&src, &dst, &second).unwrap();
    assert_eq!(Manifest::read(&dst).unwrap().scheme, W4A16_G32);
    assert_eq!(names(root.path()), ["dst", "src"]);

    for precious in [&src, &root.path().to_owned()] {
        let error = run(&src, precious, &second).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    }
    assert_eq!(names(root.path()), ["dst", "src"]);
}

#[cfg(unix)]
#[test]
fn an_unwritable_folder_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let src = root.path().join("src");
    Made::new("llama", Dtype::F32).write(&src);
    // /proc takes no folders from anybody, root included.
    let error = run(&src, Path::new("/proc/rkllm-test"), &ConvertOptions::new(W8A8)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    let missing = root.path().join("not/there");
    let error = run(&src, &missing, &ConvertOptions::new(W8A8)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
}
