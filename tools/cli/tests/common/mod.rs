//! What the black-box tests share: the command, and a small model made on the spot.
#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// The program under test, silent about progress.
pub(crate) fn rkllm() -> Command {
    let mut command = Command::cargo_bin("rkllm").unwrap();
    command.env_remove("RKLLM_KERNEL").env_remove("RKLLM_THREADS").arg("--quiet");
    command
}

/// The one JSON document a successful run prints.
pub(crate) fn json_of(command: &mut Command) -> Value {
    let output = command.arg("--json").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "", "nothing beside the document");
    serde_json::from_slice(&output.stdout).expect("one JSON document on standard output")
}

/// Keys of the object that are numbers.
pub(crate) fn numbers<const N: usize>(value: &Value, keys: [&str; N]) -> [f64; N] {
    keys.map(|key| value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value:#}")))
}

/// What a failed run says, after checking its exit code and that standard output is empty.
pub(crate) fn failure_of(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "no result of a failed run");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

/// A path below the folder `shared` beside the checkout, or `None`, said aloud, where it is absent.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if full.exists() {
        return Some(full);
    }
    let required = std::env::var("RKLLM_REQUIRE_SHARED").is_ok_and(|v| v == "1");
    assert!(!required, "{} is required and not found", full.display());
    eprintln!("skipped: {} not found", full.display());
    None
}

/// Words the small model knows; word `i` is token `i + 3`.
pub(crate) const WORDS: usize = 61;
const HIDDEN: usize = 64;
const INNER: usize = 128;
const VOCAB: usize = WORDS + 3;

/// A Llama of two layers with K of 64 and 128 (so that groups of 128 do not divide all), and a text.
pub(crate) struct Small {
    dir: tempfile::TempDir,
}

impl Small {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let small = Self { dir };
        fs::create_dir(small.model()).unwrap();
        let write = |name: &str, value: &Value| {
            fs::write(small.model().join(name), value.to_string()).unwrap();
        };
        write("config.json", &config());
        write("tokenizer.json", &tokenizer());
        write("tokenizer_config.json", &json!({ "bos_token": "<s>", "eos_token": "</s>" }));
        safetensors::serialize_to_file(tensors(), None, &small.model().join("model.safetensors"))
            .unwrap();
        fs::write(small.text(), text(300)).unwrap();
        small
    }

    /// A LoRA adapter of the model: a strong one of its second layer, of rank 1.
    pub(crate) fn adapter(&self) -> PathBuf {
        let dir = self.path("adapter");
        fs::create_dir(&dir).unwrap();
        let config = json!({ "peft_type": "LORA", "r": 1, "lora_alpha": 8, "bias": "none",
            "target_modules": ["down_proj"], "layers_to_transform": [1] });
        fs::write(dir.join("adapter_config.json"), config.to_string()).unwrap();
        let values = |count: usize| -> Vec<u8> {
            (0..count).flat_map(|i| (((i * 37) % 19) as f32 - 9.0).to_le_bytes()).collect()
        };
        let (a, b) = (values(INNER), values(HIDDEN));
        let name =
            |m: &str| format!("base_model.model.model.layers.1.mlp.down_proj.lora_{m}.weight");
        let tensors = [
            (name("A"), TensorView::new(Dtype::F32, vec![1, INNER], &a).unwrap()),
            (name("B"), TensorView::new(Dtype::F32, vec![HIDDEN, 1], &b).unwrap()),
        ];
        let file = dir.join("adapter_model.safetensors");
        safetensors::serialize_to_file(tensors, None, &file).unwrap();
        dir
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.path("model")
    }

    pub(crate) fn text(&self) -> PathBuf {
        self.path("text.txt")
    }

    /// Names in the folder that holds the model and the text.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Words by a linear congruence.
pub(crate) fn text(words: usize) -> String {
    let mut state = 7usize;
    let words: Vec<String> = (0..words)
        .map(|_| {
            state = (state * 1103 + 331) % 7919;
            format!("w{}", state % WORDS)
        })
        .collect();
    words.join(" ")
}

fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": VOCAB,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "rope_theta": 10000.0,
        "tie_word_embeddings": true,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    })
}

fn tokenizer() -> Value {
    let special = |id: usize, content: &str| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    let mut vocab =
        BTreeMap::from([("<unk>".to_owned(), 0), ("<s>".to_owned(), 1), ("</s>".to_owned(), 2)]);
    vocab.extend((0..WORDS).map(|i| (format!("w{i}"), i + 3)));
    json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": null,
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "<unk>" },
    })
}

fn tensors() -> Vec<(String, TensorView<'static>)> {
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("model.embed_tokens.weight".into(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".into(), vec![HIDDEN]),
    ];
    for layer in 0..2 {
        for (name, shape) in [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![HIDDEN / 2, HIDDEN]),
            ("self_attn.v_proj", vec![HIDDEN / 2, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("mlp.gate_proj", vec![INNER, HIDDEN]),
            ("mlp.up_proj", vec![INNER, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, INNER]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    shapes
        .into_iter()
        .map(|(name, shape)| {
            let count: usize = shape.iter().product();
            let norm = shape.len() == 1;
            let bytes: Vec<u8> = (0..count)
                .map(|_| if norm { 1.0 + next() / 8.0 } else { next() / 4.0 })
                .flat_map(f32::to_le_bytes)
                .collect();
            // The test process keeps its few models.
            (name, TensorView::new(Dtype::F32, shape, bytes.leak()).unwrap())
        })
        .collect()
}
