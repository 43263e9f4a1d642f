//! Resident memory does not grow with the model.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use rkllm::quant::{Group, QuantScheme};
use rkllm_convert::{ConvertOptions, convert};
use serde_json::{Map, Value, json};

const SRC: &str = "RKLLM_TEST_MEMORY_SRC";
const DST: &str = "RKLLM_TEST_MEMORY_DST";
const HIDDEN: u64 = 2048;
const INNER: u64 = 8192;
const VOCAB: u64 = 32_000;
const LAYERS: u64 = 2;

/// A bf16 checkpoint of zeros, which take no disk: nothing but a header is written. Returns its bytes.
fn write_hollow(dir: &Path) -> u64 {
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let mut add = |name: &str, shape: &[u64]| {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec()));
        };
        add("input_layernorm", &[HIDDEN]);
        add("post_attention_layernorm", &[HIDDEN]);
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}"), &[HIDDEN, HIDDEN]);
        }
        add("mlp.gate_proj", &[INNER, HIDDEN]);
        add("mlp.up_proj", &[INNER, HIDDEN]);
        add("mlp.down_proj", &[HIDDEN, INNER]);
    }
    let mut header = Map::new();
    let mut end = 0;
    for (name, shape) in shapes {
        let start = end;
        end += shape.iter().product::<u64>() * 2;
        let entry = json!({ "dtype": "BF16", "shape": shape, "data_offsets": [start, end] });
        header.insert(name, entry);
    }
    let header = Value::Object(header).to_string();
    let mut file = File::create(dir.join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + end).unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 16,
        "vocab_size": VOCAB,
        "tie_word_embeddings": true,
    });
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    end
}

/// The most memory this process ever had resident, in bytes.
fn peak_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_conversion_holds_blocks_not_models() {
    let root = tempfile::tempdir().unwrap();
    let bytes = write_hollow(root.path());
    // In a process of its own: other tests must not count.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["memory::child", "--exact", "--ignored", "--nocapture"])
        .env(SRC, root.path())
        .env(DST, root.path().join("artifact"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let peak = text.split("peak ").nth(1).unwrap().split_whitespace().next().unwrap();
    let peak: u64 = peak.parse().unwrap();
    let largest = VOCAB * HIDDEN * 2;
    assert!(bytes > 3 * largest, "the model must be larger than what is allowed");
    assert!(peak < largest, "{peak} bytes resident for a model of {bytes}");
}

#[test]
#[ignore = "run by a_conversion_holds_blocks_not_models"]
fn child() {
    let (Some(src), Some(dst)) = (std::env::var_os(SRC), std::env::var_os(DST)) else { return };
    let options = ConvertOptions {
        threads: 2,
        ..ConvertOptions::new(QuantScheme::W4A16(Group::Columns(128)))
    };
    convert(src.as_ref(), dst.as_ref(), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    println!("peak {}", peak_resident());
}
