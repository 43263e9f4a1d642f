//! Whole models: prefill on the NPU, decoding on the CPU, the logits those of the CPU alone.

use std::path::Path;
use std::sync::Arc;

use rkllm::cpu::{Engine, EngineOptions, LinearRole};
use rkllm::kernels::Kernel;
use rkllm::layout::Chip;
use rkllm::model::ModelWeights;
use rkllm::npu::{NpuDevice, NpuDeviceOptions};
use rkllm::{Backend, Dtype, ErrorKind, Linear, Result, Want};
use safetensors::tensor::{Dtype as Stored, TensorView};

use crate::common::{Run, bits, data, logits, weights};
use crate::fake::Fake;
use crate::random::Random;

/// A Qwen2 checkpoint of random values whose every K is a multiple of 128.
fn write_model(dir: &Path) {
    let (hidden, inner, kv, vocab) = (128, 256, 64, 200);
    let config = serde_json::json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": hidden,
        "intermediate_size": inner, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": vocab, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": false, "torch_dtype": "float32",
    });
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
        ("lm_head.weight".to_owned(), vec![vocab, hidden]),
    ];
    for layer in 0..2 {
        let of_layer = [
            ("input_layernorm.weight", vec![hidden]),
            ("post_attention_layernorm.weight", vec![hidden]),
            ("self_attn.q_proj.weight", vec![hidden, hidden]),
            ("self_attn.q_proj.bias", vec![hidden]),
            ("self_attn.k_proj.weight", vec![kv, hidden]),
            ("self_attn.k_proj.bias", vec![kv]),
            ("self_attn.v_proj.weight", vec![kv, hidden]),
            ("self_attn.v_proj.bias", vec![kv]),
            ("self_attn.o_proj.weight", vec![hidden, hidden]),
            ("mlp.gate_proj.weight", vec![inner, hidden]),
            ("mlp.up_proj.weight", vec![inner, hidden]),
            ("mlp.down_proj.weight", vec![hidden, inner]),
        ];
        shapes
            .extend(of_layer.map(|(name, shape)| (format!("model.layers.{layer}.{name}"), shape)));
    }
    let random = &mut Random(77);
    let values: Vec<Vec<u8>> = shapes
        .iter()
        .map(|(_, shape)| {
            let count = shape.iter().product();
            (0..count).flat_map(|_| (random.float() * 0.2).to_le_bytes()).collect()
        })
        .collect();
    let tensors = shapes.iter().zip(&values).map(|((name, shape), values)| {
        (name.as_str(), TensorView::new(Stored::F32, shape.clone(), values).unwrap())
    });
    let file = dir.join("model.safetensors");
    safetensors::serialize_to_file(tensors, None, &file).unwrap();
}

/// Logits of all tokens, prefill in chunks of 7 but for the last tokens, which are decoded.
fn with_npu(
    weights: &Arc<ModelWeights>,
    tokens: &[u32],
    (fake, device): (&Fake, &NpuDevice),
) -> Vec<f32> {
    let options = EngineOptions { threads: 2, context: tokens.len(), prefill_chunk: 7 };
    let mut roles = Vec::new();
    let mut supply = |role, parts: &[_], cpu| -> Result<Box<dyn Linear>> {
        roles.push(role);
        device.for_prefill(parts, cpu)
    };
    let kernel = Kernel::active().unwrap();
    let mut engine =
        Engine::with_linears(Arc::clone(weights), options, kernel, &mut supply).unwrap();
    assert_eq!(roles.len(), 4 * weights.layers.len() + 1);
    assert_eq!(roles[0], LinearRole::Qkv(0));
    assert_eq!(roles[roles.len() - 1], LinearRole::LmHead);
    let mut all = Vec::new();
    let mut keep = |_: usize, logits: &[f32]| {
        all.extend_from_slice(logits);
        Ok(())
    };
    let (prompt, rest) = tokens.split_at(tokens.len() - 3);
    engine.forward(prompt, Want::All, &mut keep).unwrap();
    let runs = fake.count("rknn_matmul_run");
    for token in rest {
        engine.forward(std::slice::from_ref(token), Want::All, &mut keep).unwrap();
    }
    assert_eq!(fake.count("rknn_matmul_run"), runs, "decoding is the CPU's");
    all
}

fn compare(dir: &Path, schemes: &[&str]) {
    for scheme in schemes {
        let fake = Fake::new("strict_sync");
        let options = NpuDeviceOptions::new(Chip::Rk3588).with_rows(&[4, 16]);
        let device = NpuDevice::open(&fake.runtime, options).unwrap();
        let weights = weights(dir, Some(scheme.parse().unwrap()));
        let vocab = weights.config.vocab_size;
        let tokens: Vec<u32> = (0..20).map(|i| (i * i * 31 + i * 7 + 3) % vocab as u32).collect();
        let before = fake.count("rknn_matmul_run");
        let npu = with_npu(&weights, &tokens, (&fake, &device));
        let cpu = logits(&weights, &tokens, Run::plain());
        assert!(bits(&npu) == bits(&cpu), "{} {scheme}: other logits", dir.display());
        assert!(fake.count("rknn_matmul_run") > before, "{scheme}: the NPU was not used");
        drop(device);
        fake.expect_clean();
    }
}

#[test]
fn models_in_every_scheme_of_the_table() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path());
    compare(dir.path(), &["w8a8", "w8a8_g128", "w4a16", "w4a16_g128", "w4a16_g32"]);
}

#[test]
fn golden_models_of_odd_sizes() {
    for name in ["llama-odd-sizes", "qwen2-odd-sizes", "phi3-longrope-long", "qwen3-bias-head-dim"]
    {
        compare(&data(&format!("golden/{name}")), &["w8a8", "w4a16"]);
    }
}

#[test]
fn float_layers_stay_on_the_cpu() {
    let fake = Fake::new("");
    let device = NpuDevice::open(&fake.runtime, NpuDeviceOptions::new(Chip::Rk3588)).unwrap();
    let weights = weights(&data("golden/llama-f32"), None);
    assert_eq!(weights.kv_cache, Dtype::F32);
    let before = fake.count("rknn_matmul_run");
    let npu = with_npu(&weights, &[1, 2, 3, 4, 5], (&fake, &device));
    assert!(bits(&npu) == bits(&logits(&weights, &[1, 2, 3, 4, 5], Run::plain())));
    assert_eq!(fake.count("rknn_matmul_run"), before);
}

/// A layer of another shape would write where it may not.
#[test]
fn a_supplied_layer_of_another_shape_is_refused() {
    struct Other;
    impl Linear for Other {
        fn in_features(&self) -> usize {
            32
        }
        fn out_features(&self) -> usize {
            7
        }
        fn forward(&self, _: &[f32], _: &mut [f32]) -> Result<()> {
            Ok(())
        }
    }
    let weights = weights(&data("golden/llama-f32"), None);
    let options = EngineOptions { threads: 1, context: 4, prefill_chunk: 4 };
    let kernel = Kernel::active().unwrap();
    let mut supply = |_: LinearRole, _: &[_], _: Box<dyn Linear>| -> Result<Box<dyn Linear>> {
        Ok(Box::new(Other))
    };
    let error = Engine::with_linears(weights, options, kernel, &mut supply).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Shape, "{error}");
}
