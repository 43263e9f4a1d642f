//! Models of the matrix: one per architecture, made here, so that a lone clone has them and every scheme
//! applies; and trained ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

const HIDDEN: usize = 128;
const INTERMEDIATE: usize = 384;
const LAYERS: usize = 2;
/// Rows of the head that no kernel's block divides.
const VOCAB: usize = 517;

/// What tells an architecture's checkpoint from Llama's.
pub(crate) struct Made {
    pub(crate) name: &'static str,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    tied: bool,
    config: fn() -> Value,
}

/// The architectures the engine knows, each with what is its own: window, biases, norms of q and k, fused
/// projections, scaled RoPE.
pub(crate) const MADE: [Made; 5] = [
    Made {
        name: "llama",
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        tied: false,
        config: || {
            json!({
                "rope_scaling": {
                    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0, "original_max_position_embeddings": 128,
                },
            })
        },
    },
    Made {
        name: "mistral",
        heads: 4,
        kv_heads: 4,
        head_dim: 32,
        tied: false,
        config: || json!({ "sliding_window": 24 }),
    },
    Made {
        name: "qwen2",
        heads: 4,
        kv_heads: 1,
        head_dim: 32,
        tied: true,
        config: || json!({ "rope_theta": 1e6, "use_sliding_window": false }),
    },
    Made {
        name: "qwen3",
        heads: 4,
        kv_heads: 2,
        head_dim: 64,
        tied: true,
        config: || json!({ "rope_theta": 1e6, "use_sliding_window": false }),
    },
    Made {
        name: "phi3",
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        tied: false,
        config: || {
            let factors =
                |step: f64| (0..16).map(|i| 1.0 + step * f64::from(i)).collect::<Vec<_>>();
            json!({
                "original_max_position_embeddings": 256, "pad_token_id": 0, "sliding_window": null,
                "rope_scaling": {
                    "type": "longrope", "short_factor": factors(0.0625), "long_factor": factors(0.5),
                },
            })
        },
    },
];

impl Made {
    /// Writes the checkpoint below `parent` and says where.
    pub(crate) fn write(&self, parent: &Path) -> PathBuf {
        let dir = parent.join(self.name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("config.json"), self.config().to_string()).unwrap();
        let tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = self
            .shapes()
            .into_iter()
            .map(|(name, shape)| {
                let values = values(&name, shape.iter().product());
                (name, (shape, values))
            })
            .collect();
        let views = tensors.iter().map(|(name, (shape, data))| {
            (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap())
        });
        std::fs::write(dir.join("model.safetensors"), serialize(views, None).unwrap()).unwrap();
        dir
    }

    fn config(&self) -> Value {
        let mut config = json!({
            "model_type": self.name, "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE,
            "num_hidden_layers": LAYERS, "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads, "head_dim": self.head_dim, "vocab_size": VOCAB,
            "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "hidden_act": "silu", "tie_word_embeddings": self.tied, "bos_token_id": 1,
            "eos_token_id": 2, "torch_dtype": "float32",
        });
        let Value::Object(own) = (self.config)() else { unreachable!("an object above") };
        config.as_object_mut().unwrap().extend(own);
        config
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let mut all = vec![
            ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
            ("model.norm.weight".to_owned(), vec![HIDDEN]),
        ];
        if !self.tied {
            all.push(("lm_head.weight".to_owned(), vec![VOCAB, HIDDEN]));
        }
        for layer in 0..LAYERS {
            let mut add = |name: &str, shape: &[usize]| {
                all.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
            };
            add("input_layernorm.weight", &[HIDDEN]);
            add("post_attention_layernorm.weight", &[HIDDEN]);
            add("self_attn.o_proj.weight", &[HIDDEN, q]);
            add("mlp.down_proj.weight", &[HIDDEN, INTERMEDIATE]);
            if self.name == "phi3" {
                add("self_attn.qkv_proj.weight", &[q + 2 * kv, HIDDEN]);
                add("mlp.gate_up_proj.weight", &[2 * INTERMEDIATE, HIDDEN]);
                continue;
            }
            add("mlp.gate_proj.weight", &[INTERMEDIATE, HIDDEN]);
            add("mlp.up_proj.weight", &[INTERMEDIATE, HIDDEN]);
            for (name, rows) in [("q", q), ("k", kv), ("v", kv)] {
                add(&format!("self_attn.{name}_proj.weight"), &[rows, HIDDEN]);
                if self.name == "qwen2" {
                    add(&format!("self_attn.{name}_proj.bias"), &[rows]);
                }
            }
            if self.name == "qwen3" {
                add("self_attn.q_norm.weight", &[self.head_dim]);
                add("self_attn.k_norm.weight", &[self.head_dim]);
            }
        }
        all
    }
}

/// `count` little-endian f32 values of a tensor, from its name alone and without rounding: multiples of
/// 2^-18 in ±0.125, now and then 16 times that; about 1 for norms.
fn values(name: &str, count: usize) -> Vec<u8> {
    // FNV-1a of the name, then a linear congruential generator of which the upper bits count.
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let norm = name.contains("norm");
    let mut bytes = Vec::with_capacity(4 * count);
    for _ in 0..count {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let small = f32::from((state >> 48) as i16) / f32::from(1u16 << 15) / 8.0;
        let outlier = (state >> 32) & 0xff == 0;
        let value = match (norm, outlier) {
            (true, _) => 1.0 + small,
            (false, true) => 16.0 * small,
            (false, false) => small,
        };
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}
