//! Small made checkpoints, written with the reference library.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

/// A stored tensor.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<u8>,
}

/// A checkpoint in memory, to be changed and written.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) config: Value,
    pub(crate) tensors: BTreeMap<String, Stored>,
}

/// Floats in (-0.1, 0.1) from a linear congruence; the seed is the name, so that no two tensors are alike.
pub(crate) fn floats(name: &str, count: usize) -> Vec<f32> {
    let mut state = name.bytes().fold(1u32, |seed, byte| seed.wrapping_mul(31) ^ u32::from(byte));
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 8_388_608.0 - 1.0) * 0.1
    };
    std::iter::repeat_with(next).take(count).collect()
}

impl Stored {
    pub(crate) fn new(name: &str, dtype: Dtype, shape: &[usize]) -> Self {
        let values = floats(name, shape.iter().product());
        let data = match dtype {
            Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Dtype::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            Dtype::BF16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
            other => panic!("no floats of {other:?}"),
        };
        Self { dtype, shape: shape.to_vec(), data }
    }

    /// The stored floats, exactly.
    pub(crate) fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => self.data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Dtype::F16 => {
                self.data.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect()
            }
            Dtype::BF16 => {
                self.data.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()
            }
            other => panic!("no floats of {other:?}"),
        }
    }
}

impl Made {
    /// A model of `architecture` (`llama`, `qwen3`, `phi3` ...) with two layers, hidden size 64 and 96 inner
    /// columns.
    pub(crate) fn new(architecture: &str, dtype: Dtype) -> Self {
        let class = match architecture {
            "llama" => "LlamaForCausalLM",
            "mistral" => "MistralForCausalLM",
            "qwen2" => "Qwen2ForCausalLM",
            "qwen3" => "Qwen3ForCausalLM",
            "phi3" => "Phi3ForCausalLM",
            other => panic!("{other}"),
        };
        let config = json!({
            "architectures": [class],
            "model_type": architecture,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": 50,
            "max_position_embeddings": 128,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": false,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        });
        let mut made = Self { config, tensors: BTreeMap::new() };
        made.add("model.embed_tokens.weight", dtype, &[50, 64]);
        for layer in 0..2 {
            let mut add = |name: &str, shape: &[usize]| {
                made.add(&format!("model.layers.{layer}.{name}"), dtype, shape);
            };
            add("input_layernorm.weight", &[64]);
            add("post_attention_layernorm.weight", &[64]);
            add("self_attn.o_proj.weight", &[64, 64]);
            add("mlp.down_proj.weight", &[64, 96]);
            if architecture == "phi3" {
                add("self_attn.qkv_proj.weight", &[128, 64]);
                add("mlp.gate_up_proj.weight", &[192, 64]);
                continue;
            }
            for (name, n) in [("q", 64), ("k", 32), ("v", 32)] {
                add(&format!("self_attn.{name}_proj.weight"), &[n, 64]);
                if architecture == "qwen2" {
                    add(&format!("self_attn.{name}_proj.bias"), &[n]);
                }
            }
            add("mlp.gate_proj.weight", &[96, 64]);
            add("mlp.up_proj.weight", &[96, 64]);
            if architecture == "qwen3" {
                add("self_attn.q_norm.weight", &[16]);
                add("self_attn.k_norm.weight", &[16]);
            }
        }
        made.add("model.norm.weight", dtype, &[64]);
        made.add("lm_head.weight", dtype, &[50, 64]);
        made
    }

    pub(crate) fn add(&mut self, name: &str, dtype: Dtype, shape: &[usize]) {
        self.tensors.insert(name.into(), Stored::new(name, dtype, shape));
    }

    /// Makes the head the embedding.
    pub(crate) fn tied(mut self) -> Self {
        self.config["tie_word_embeddings"] = json!(true);
        self.tensors.remove("lm_head.weight");
        self
    }

    /// Writes `config.json`, `model.safetensors` and a tokenizer that is only copied.
    pub(crate) fn write(&self, dir: &Path) {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("config.json"), self.config.to_string()).unwrap();
        std::fs::write(dir.join("tokenizer.json"), "{\"untouched\":  true}").unwrap();
        std::fs::write(dir.join("pytorch_model.bin"), "never copied").unwrap();
        let views = self.tensors.iter().map(|(name, tensor)| {
            let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.data).unwrap();
            (name, view)
        });
        safetensors::serialize_to_file(views, None, &dir.join("model.safetensors")).unwrap();
    }
}

/// Every name under `dir`, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
