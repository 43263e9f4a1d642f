//! Whole models: the real ones beside the repository, and small ones made here.

mod artifacts;
mod hostile;
mod loading;

use half::{bf16, f16};
use serde_json::{Map, Value, json};

use super::{Checkpoint, Load, ModelWeights, WeightOptions};
use crate::quant::QuantScheme;
use crate::{Bytes, Error, Result};

/// A tensor to be written: name, element type, shape, data.
type Stored = (String, &'static str, Vec<usize>, Vec<u8>);

/// A safetensors file to be written.
#[derive(Debug, Clone, Default)]
struct Tensors {
    metadata: Option<Value>,
    all: Vec<Stored>,
}

impl Tensors {
    fn push(&mut self, name: &str, dtype: &'static str, shape: &[usize], data: Vec<u8>) {
        self.all.push((name.to_owned(), dtype, shape.to_vec(), data));
    }

    fn remove(&mut self, name: &str) {
        let before = self.all.len();
        self.all.retain(|(other, ..)| other != name);
        assert_eq!(self.all.len(), before - 1, "{name}");
    }

    fn get(&mut self, name: &str) -> &mut Stored {
        self.all.iter_mut().find(|(other, ..)| other == name).unwrap()
    }

    fn header(&self) -> Map<String, Value> {
        let mut header = Map::new();
        if let Some(metadata) = &self.metadata {
            header.insert("__metadata__".into(), metadata.clone());
        }
        let mut offset = 0;
        for (name, dtype, shape, data) in &self.all {
            let end = offset + data.len();
            header.insert(
                name.clone(),
                json!({"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}),
            );
            offset = end;
        }
        header
    }

    fn data(&self) -> Vec<u8> {
        self.all.iter().flat_map(|(.., data)| data.clone()).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        file(&Value::Object(self.header()).to_string(), &self.data())
    }
}

/// A safetensors file of this header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// A model of two layers with everything its architecture can have.
#[derive(Debug, Clone)]
struct Tiny {
    config: Value,
    tensors: Tensors,
}

const HIDDEN: usize = 32;
const INNER: usize = 64;
const VOCAB: usize = 40;
const Q: usize = 32;
const KV: usize = 16;

impl Tiny {
    /// f32 weights between -1 and 1 and a tensor of its own as head.
    fn new(class: &str) -> Self {
        let config = json!({
            "architectures": [class], "hidden_size": HIDDEN, "intermediate_size": INNER,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 8, "vocab_size": VOCAB, "tie_word_embeddings": false
        });
        let mut model = Self { config, tensors: Tensors::default() };
        model.float("model.embed_tokens.weight", &[VOCAB, HIDDEN]);
        for layer in 0..2 {
            model.layer(class, &format!("model.layers.{layer}"));
        }
        model.float("model.norm.weight", &[HIDDEN]);
        model.float("lm_head.weight", &[VOCAB, HIDDEN]);
        model
    }

    fn llama() -> Self {
        Self::new("LlamaForCausalLM")
    }

    fn layer(&mut self, class: &str, prefix: &str) {
        let mut put = |name: &str, shape: &[usize]| self.float(&format!("{prefix}.{name}"), shape);
        put("input_layernorm.weight", &[HIDDEN]);
        put("post_attention_layernorm.weight", &[HIDDEN]);
        put("self_attn.o_proj.weight", &[HIDDEN, Q]);
        put("mlp.down_proj.weight", &[HIDDEN, INNER]);
        if class == "Phi3ForCausalLM" {
            put("self_attn.qkv_proj.weight", &[Q + 2 * KV, HIDDEN]);
            put("mlp.gate_up_proj.weight", &[2 * INNER, HIDDEN]);
            return;
        }
        for (name, rows) in [("q", Q), ("k", KV), ("v", KV)] {
            put(&format!("self_attn.{name}_proj.weight"), &[rows, HIDDEN]);
            if class == "Qwen2ForCausalLM" {
                put(&format!("self_attn.{name}_proj.bias"), &[rows]);
            }
        }
        if class == "Qwen3ForCausalLM" {
            put("self_attn.q_norm.weight", &[8]);
            put("self_attn.k_norm.weight", &[8]);
        }
        put("mlp.gate_proj.weight", &[INNER, HIDDEN]);
        put("mlp.up_proj.weight", &[INNER, HIDDEN]);
    }

    fn float(&mut self, name: &str, shape: &[usize]) {
        let values = values(name, shape.iter().product());
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.push(name, "F32", shape, data);
    }

    /// The same model with its floats stored as `dtype`.
    fn stored_as(mut self, dtype: &'static str) -> Self {
        for (_, stored, _, data) in &mut self.tensors.all {
            let values = data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
            *data = match dtype {
                "F16" => values.flat_map(|v| f16::from_f32(v).to_le_bytes()).collect(),
                "BF16" => values.flat_map(|v| bf16::from_f32(v).to_le_bytes()).collect(),
                "F64" => values.flat_map(|v| f64::from(v).to_le_bytes()).collect(),
                other => panic!("{other}"),
            };
            *stored = dtype;
        }
        self
    }

    fn open(&self) -> Result<Checkpoint> {
        Checkpoint::from_bytes(&self.config.to_string(), Bytes::new(self.tensors.bytes()))
    }

    fn weights(&self, dtype: Option<QuantScheme>) -> Result<ModelWeights> {
        self.open()?.weights(dtype, &WeightOptions::default())
    }

    fn error(&self) -> Error {
        self.weights(None).unwrap_err()
    }

    /// The model as a directory.
    fn write(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), self.config.to_string()).unwrap();
        std::fs::write(dir.path().join("model.safetensors"), self.tensors.bytes()).unwrap();
        dir
    }
}

/// Numbers between -1 and 1 that depend on the name, none of them round.
fn values(name: &str, len: usize) -> Vec<f32> {
    let mut state = name
        .bytes()
        .fold(1u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

const CLASSES: [&str; 5] = [
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Phi3ForCausalLM",
];

/// Both ways into memory.
const LOADS: [Load; 2] = [Load::Map, Load::Copy];
