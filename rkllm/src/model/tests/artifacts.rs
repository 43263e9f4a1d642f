//! Artifacts in the compressed-tensors schema.

use serde_json::{Value, json};

use super::super::{Embedding, LinearData};
use super::loading::{fingerprint, linears};
use super::{Checkpoint, ModelWeights, QuantScheme, Stored, Tensors, Tiny, WeightOptions};
use crate::quant::{Clip, Group, QuantizedRows, ScaleType, ZeroPoints, nibble};
use crate::{Dtype, Error, ErrorKind};

fn arguments(bits: u32, symmetric: bool, size: Option<usize>, token: bool) -> Value {
    let strategy = match (size, token) {
        (Some(_), _) => "group",
        (None, true) => "token",
        (None, false) => "channel",
    };
    json!({"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy,
        "group_size": size, "dynamic": token, "actorder": null, "block_structure": null})
}

fn group(scheme: QuantScheme, symmetric: bool, target: &str) -> Value {
    let bits = scheme.weight_bits();
    let size = match scheme.group() {
        Some(Group::Columns(size)) => Some(size),
        _ => None,
    };
    let inputs = (bits == 8).then(|| arguments(8, true, size, true));
    json!({
        "targets": [target], "weights": arguments(bits, symmetric, size, false),
        "input_activations": inputs, "output_activations": null,
        "format": if bits == 4 { "pack-quantized" } else { "int-quantized" }
    })
}

/// The artifact of a model: what a converter writes, from the weights it would quantise.
fn artifact(model: &Tiny, scheme: QuantScheme, options: &WeightOptions) -> (Tiny, ModelWeights) {
    let weights = model.open().unwrap().weights(Some(scheme), options).unwrap();
    let mut config = model.config.clone();
    config["tie_word_embeddings"] = json!(false);
    config["quantization_config"] = json!({
        "quant_method": "compressed-tensors", "format": "mixed-precision",
        "quantization_status": "compressed", "ignore": [], "kv_cache_scheme": null,
        "sparsity_config": {}, "transform_config": {}, "version": "0.12.2",
        "config_groups": {
            "group_0": group(QuantScheme::W8A8(Group::Channel), true, "re:.*lm_head$"),
            "group_1": group(scheme, options.symmetric, "Linear")
        }
    });
    let mut tensors = Tensors::default();
    let Embedding::Float(table) = &weights.embed_tokens else { panic!() };
    tensors.push("model.embed_tokens.weight", "F16", &table.shape, table.data.to_vec());
    for linear in linears(&weights) {
        let module = linear.name.strip_suffix(".weight").unwrap();
        let LinearData::Quantized(rows) = &linear.data else { panic!() };
        push_rows(&mut tensors, module, rows);
    }
    for (name, dtype, shape, data) in &model.tensors.all {
        if shape.len() == 1 {
            tensors.push(name, dtype, shape, data.clone());
        }
    }
    (Tiny { config, tensors }, weights)
}

fn push_rows(tensors: &mut Tensors, module: &str, rows: &QuantizedRows) {
    let (n, k, groups) = (rows.n(), rows.k(), rows.groups());
    let name = |part: &str| format!("{module}.{part}");
    if rows.bits() == 4 {
        let shape = [n as i64, k as i64].iter().flat_map(|dim| dim.to_le_bytes()).collect();
        tensors.push(&name("weight_packed"), "I32", &[n, k.div_ceil(8)], rows.data().to_vec());
        tensors.push(&name("weight_shape"), "I64", &[2], shape);
    } else {
        tensors.push(&name("weight"), "I8", &[n, k], rows.data().to_vec());
    }
    let scale_type = match rows.scales().scale_type() {
        ScaleType::F32 => "F32",
        ScaleType::F16 => "F16",
    };
    tensors.push(&name("weight_scale"), scale_type, &[n, groups], rows.scales().bytes().to_vec());
    match rows.zero_points() {
        None => {}
        Some(ZeroPoints::I8(z)) => {
            let bytes = z.iter().map(|&z| z as u8).collect();
            tensors.push(&name("weight_zero_point"), "I8", &[n, groups], bytes);
        }
        Some(ZeroPoints::U4(z)) => {
            let packed = nibble::pack_zero_points(z, n, groups).unwrap();
            tensors.push(&name("weight_zero_point"), "I32", &[n.div_ceil(8), groups], packed);
        }
    }
}

#[test]
fn an_artifact_is_what_quantising_in_memory_gives() {
    let mut tied = Tiny::llama();
    tied.config["tie_word_embeddings"] = json!(true);
    tied.tensors.remove("lm_head.weight");
    for (model, scheme, symmetric) in [
        (Tiny::llama(), QuantScheme::W8A8(Group::Channel), true),
        (Tiny::llama(), QuantScheme::W8A8(Group::Columns(16)), false),
        (Tiny::llama(), QuantScheme::W4A16(Group::Channel), false),
        (Tiny::new("Qwen2ForCausalLM"), QuantScheme::W4A16(Group::Columns(32)), true),
        (Tiny::new("Qwen3ForCausalLM"), QuantScheme::W4A16(Group::Columns(16)), false),
        (Tiny::new("Phi3ForCausalLM"), QuantScheme::W4A16(Group::Columns(32)), true),
        (Tiny::new("MistralForCausalLM"), QuantScheme::W8A8(Group::Columns(32)), true),
        (Tiny::llama().stored_as("BF16"), QuantScheme::W8A8(Group::Channel), true),
    ] {
        let options = WeightOptions { clip: Clip::Mse, symmetric, threads: 1 };
        let (artifact, expected) = artifact(&model, scheme, &options);
        let checkpoint = artifact.open().unwrap();
        assert!(checkpoint.is_quantized());
        assert_eq!(checkpoint.scheme(), scheme);
        for dtype in [None, Some(scheme)] {
            let weights = checkpoint.weights(dtype, &WeightOptions::default()).unwrap();
            assert_eq!(weights.scheme, scheme);
            assert_eq!(fingerprint(&weights), fingerprint(&expected), "{scheme}");
            assert_eq!(weights.norm, expected.norm);
            assert_eq!(weights.layers[0].qkv[0].bias, expected.layers[0].qkv[0].bias);
        }
        let error = checkpoint.weights(Some(QuantScheme::F16), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains(&format!("already quantised as {scheme}")), "{text}");
        assert!(text.contains("original checkpoint"), "{text}");
    }
}

#[test]
fn int8_embeddings_serve_as_head() {
    let scheme = QuantScheme::W4A16(Group::Columns(32));
    let (mut model, expected) = artifact(&Tiny::llama(), scheme, &WeightOptions::default());
    let LinearData::Quantized(head) = &expected.lm_head.data else { panic!() };
    // The head's rows under the embedding's name, or only under the head's own.
    model.tensors.remove("model.embed_tokens.weight");
    let only_head = model.clone();
    for part in ["weight", "weight_scale"] {
        model.tensors.get(&format!("lm_head.{part}")).0 = format!("model.embed_tokens.{part}");
    }
    let mut tied = model.clone();
    tied.config["tie_word_embeddings"] = json!(true);
    for model in [model, only_head, tied] {
        let weights = model.weights(None).unwrap();
        let LinearData::Quantized(rows) = &weights.lm_head.data else { panic!() };
        assert_eq!(rows.data()[..], head.data()[..]);
        let Embedding::Int8(table) = &weights.embed_tokens else { panic!() };
        assert_eq!(table.data()[..], head.data()[..]);
        let mut row = vec![0.0; table.k()];
        weights.embed_tokens.row(7, &mut row).unwrap();
        let scale = head.scales().get(7).unwrap();
        assert_eq!(row[3], f32::from(head.data()[7 * table.k() + 3] as i8) * scale);
    }
}

#[test]
fn other_storages_of_scales() {
    let scheme = QuantScheme::W8A8(Group::Channel);
    let (model, expected) = artifact(&Tiny::llama(), scheme, &WeightOptions::default());
    let name = "model.layers.0.self_attn.q_proj.weight_scale";
    let scales = |model: &Tiny| {
        let weights = model.weights(None).unwrap();
        let LinearData::Quantized(rows) = &weights.layers[0].qkv[0].data else { panic!() };
        (0..rows.n()).map(|row| rows.scales().get(row).unwrap()).collect::<Vec<f32>>()
    };
    let LinearData::Quantized(rows) = &expected.layers[0].qkv[0].data else { panic!() };
    let floats: Vec<f32> = (0..rows.n()).map(|row| rows.scales().get(row).unwrap()).collect();

    let mut flat = model.clone();
    flat.tensors.get(name).2 = vec![rows.n()];
    assert_eq!(scales(&flat), floats);

    let mut brain = model.clone();
    let tensor = brain.tensors.get(name);
    tensor.1 = "BF16";
    tensor.3 = floats.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect();
    let rounded: Vec<f32> = floats.iter().map(|&v| half::bf16::from_f32(v).to_f32()).collect();
    assert_eq!(scales(&brain), rounded);

    // One scale for a matrix.
    let mut one = model.clone();
    let groups = &mut one.config["quantization_config"]["config_groups"];
    groups["group_2"] = groups["group_1"].clone();
    groups["group_2"]["targets"] = json!(["model.layers.0.self_attn.o_proj"]);
    groups["group_2"]["weights"]["strategy"] = json!("tensor");
    for shape in [vec![1], vec![], vec![1, 1]] {
        let tensor = one.tensors.get("model.layers.0.self_attn.o_proj.weight_scale");
        (tensor.2, tensor.3) = (shape, 0.25f32.to_le_bytes().to_vec());
        let weights = one.weights(None).unwrap();
        let LinearData::Quantized(rows) = &weights.layers[0].o_proj.data else { panic!() };
        assert!((0..rows.n()).all(|row| rows.scales().get(row) == Some(0.25)));
    }
}

#[test]
fn ignored_layers_stay_float() {
    let scheme = QuantScheme::W8A8(Group::Channel);
    let (mut model, _) = artifact(&Tiny::llama(), scheme, &WeightOptions::default());
    let module = "model.layers.1.mlp.down_proj";
    let original = Tiny::llama().tensors.get(&format!("{module}.weight")).clone();
    *model.tensors.get(&format!("{module}.weight")) = original.clone();
    // Stored as floats, but not said so.
    let error = model.error();
    assert_eq!(error.kind(), ErrorKind::Dtype);
    assert!(error.to_string().contains(module), "{error}");

    model.tensors.remove(&format!("{module}.weight_scale"));
    for rule in [module, r"re:.*layers\.1\.mlp\.down.*"] {
        model.config["quantization_config"]["ignore"] = json!([rule]);
        let weights = model.weights(None).unwrap();
        let LinearData::Float(Dtype::F32, bytes) = &weights.layers[1].down_proj.data else {
            panic!()
        };
        assert_eq!(bytes[..], original.3[..]);
    }
}

#[test]
fn one_input_is_quantised_one_way() {
    let scheme = QuantScheme::W8A8(Group::Channel);
    let (mut model, _) = artifact(&Tiny::llama(), scheme, &WeightOptions::default());
    let module = "model.layers.1.self_attn.k_proj";
    let original = Tiny::llama().tensors.get(&format!("{module}.weight")).clone();
    *model.tensors.get(&format!("{module}.weight")) = original;
    model.tensors.remove(&format!("{module}.weight_scale"));
    model.config["quantization_config"]["ignore"] = json!([module]);
    let error = model.error();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().contains("k_proj") && error.to_string().contains("q_proj"),
        "{error}"
    );
}

/// The error of a w8a8 artifact after `change` to its `quantization_config`.
fn refused(change: impl FnOnce(&mut Value)) -> Error {
    let scheme = QuantScheme::W8A8(Group::Channel);
    let (mut model, _) = artifact(&Tiny::llama(), scheme, &WeightOptions::default());
    change(&mut model.config["quantization_config"]);
    match model.open() {
        Ok(checkpoint) => checkpoint.weights(None, &WeightOptions::default()).unwrap_err(),
        Err(error) => error,
    }
}

#[test]
fn what_other_tools_write_is_refused_by_name() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 24] = [
        (|q| q["quant_method"] = json!("gptq"), "\"gptq\""),
        (|q| q["quant_method"] = json!(null), "quant_method"),
        (|q| q["quantization_status"] = json!("frozen"), "frozen"),
        (|q| q["kv_cache_scheme"] = json!({"num_bits": 8}), "kv_cache_scheme"),
        (|q| q["sparsity_config"] = json!({"format": "sparse-24-bitmask"}), "sparsity_config"),
        (
            |q| q["transform_config"] = json!({"config_groups": {"u": {"type": "hadamard"}}}),
            "transform",
        ),
        (|q| q["config_groups"] = json!(null), "config_groups"),
        (|q| q["config_groups"] = json!({}), "no target"),
        (|q| q["config_groups"] = json!({"W8A8": ["Linear"]}), "W8A8"),
        (|q| q["ignore"] = json!("lm_head"), "ignore"),
        (|q| q["ignore"] = json!([7]), "ignore"),
        (|q| q["ignore"] = json!(["re:(?!x)"]), "re:(?!x)"),
        (|q| q["config_groups"]["group_1"]["targets"] = json!(["Embedding"]), "Embedding"),
        (|q| q["config_groups"]["group_1"]["format"] = json!("marlin-24"), "marlin-24"),
        (|q| q["config_groups"]["group_1"]["format"] = json!("pack-quantized"), "8-bit"),
        (|q| q["config_groups"]["group_1"]["input_activations"] = json!(null), "float inputs"),
        (
            |q| q["config_groups"]["group_1"]["input_activations"]["dynamic"] = json!(false),
            "dynamic",
        ),
        (
            |q| q["config_groups"]["group_1"]["input_activations"]["strategy"] = json!("tensor"),
            "grouped",
        ),
        (|q| q["config_groups"]["group_1"]["output_activations"] = json!({}), "output_activations"),
        (|q| q["config_groups"]["group_1"]["weights"]["type"] = json!("float"), "float"),
        (|q| q["config_groups"]["group_1"]["weights"]["actorder"] = json!("group"), "actorder"),
        (|q| q["config_groups"]["group_1"]["weights"]["strategy"] = json!("block"), "block"),
        (|q| q["config_groups"]["group_1"]["weights"]["dynamic"] = json!(true), "stored scales"),
        (|q| q["config_groups"]["group_1"]["weights"]["num_bits"] = json!(6), "6-bit"),
    ];
    for (change, word) in cases {
        let error = refused(change);
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    let order = refused(|q| q["config_groups"]["group_1"]["weights"]["strategy"] = json!("group"));
    assert!(order.to_string().contains("group_size"), "{order}");
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let scheme = QuantScheme::W4A16(Group::Columns(16));
    let options = WeightOptions { symmetric: false, ..WeightOptions::default() };
    let (model, _) = artifact(&Tiny::llama(), scheme, &options);
    let prefix = "model.layers.1.self_attn.o_proj";
    let broken = |part: &str, change: &dyn Fn(&mut Stored)| {
        let mut model = model.clone();
        change(model.tensors.get(&format!("{prefix}.{part}")));
        let error = model.error();
        assert!(error.to_string().contains(&format!("{prefix}.")), "{part}: {error}");
        error
    };
    let renamed = |part: &str| broken(part, &|tensor| tensor.0 = format!("{prefix}.other"));
    for part in ["weight_packed", "weight_scale", "weight_zero_point"] {
        assert_eq!(renamed(part).kind(), ErrorKind::Missing, "{part}");
    }
    let retyped = broken("weight_packed", &|tensor| tensor.1 = "F32");
    assert_eq!(retyped.kind(), ErrorKind::Dtype);
    for part in ["weight_packed", "weight_scale", "weight_zero_point"] {
        let transposed = broken(part, &|tensor| tensor.2.reverse());
        assert_eq!(transposed.kind(), ErrorKind::Shape, "{part}");
    }
    let lying = broken("weight_shape", &|tensor| tensor.3[0] = 99);
    assert_eq!(lying.kind(), ErrorKind::Shape);
    let negative = broken("weight_shape", &|tensor| tensor.3[7] = 0xff);
    assert_eq!(negative.kind(), ErrorKind::Shape);
    let infinite = broken("weight_scale", &|tensor| tensor.3[..2].copy_from_slice(&[0, 0x7c]));
    assert_eq!(infinite.kind(), ErrorKind::NonFinite);

    let mut reordered = model.clone();
    reordered.tensors.push(&format!("{prefix}.weight_g_idx"), "I32", &[32], vec![0; 128]);
    let error = reordered.error();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("weight_g_idx"), "{error}");

    // A group size that cannot be.
    let mut odd = model.clone();
    odd.config["quantization_config"]["config_groups"]["group_1"]["weights"]["group_size"] =
        json!(24);
    let error = odd.error();
    assert_eq!(error.kind(), ErrorKind::Quantization);
    assert!(error.to_string().contains("24") && error.to_string().contains("32"), "{error}");
}

#[test]
fn a_zero_point_tensor_needs_its_rule() {
    // Asymmetric tensors under a symmetric rule would be read without their zero points.
    let scheme = QuantScheme::W8A8(Group::Channel);
    let options = WeightOptions { symmetric: false, ..WeightOptions::default() };
    let (mut model, _) = artifact(&Tiny::llama(), scheme, &options);
    model.config["quantization_config"]["config_groups"]["group_1"]["weights"]["symmetric"] =
        json!(true);
    let error = model.error();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("weight_zero_point"), "{error}");
}

#[test]
fn integers_without_their_rules_are_refused() {
    let scheme = QuantScheme::W8A8(Group::Channel);
    let (mut model, _) = artifact(&Tiny::llama(), scheme, &WeightOptions::default());
    model.config["quantization_config"] = json!(null);
    let checkpoint: Checkpoint = model.open().unwrap();
    assert!(!checkpoint.is_quantized());
    let error = checkpoint.weights(None, &WeightOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dtype);
    assert!(error.to_string().contains("i8"), "{error}");
}
