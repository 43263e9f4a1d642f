//! Attention of real heads, as steps of a model that is little else.
//!
//! Attention is not public by itself: the model has one layer with the heads of a real one, but 32 hidden and
//! intermediate values and a vocabulary of 32, so that its linear layers take no time that counts. `decode`: one
//! token after `depth` others, in bytes of keys and values read, beside a copy of as many bytes. `prefill`: a chunk of
//! 128 tokens after `depth` others, in multiply-accumulates (`elem`). One thread; f16 cache; `RKLLM_KERNEL`.
//! `cargo bench -p rkllm-benches --bench attention -- qwen2.5-0.5b/decode` picks a part.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rkllm::cpu::{Engine, EngineOptions};
use rkllm::model::{Checkpoint, Load, WeightOptions};
use rkllm::{Backend, Want};
use rkllm_benches::{MODELS, Shape};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::json;

const SMALL: usize = 32;
const CHUNK: usize = 128;
/// The deepest first: a sequence is cut, not filled again, for the next.
const DEPTHS: [usize; 3] = [4096, 1024, 128];

/// A checkpoint of one layer with the heads of `shape`.
fn write(dir: &Path, shape: &Shape) {
    let config = json!({
        "model_type": "llama", "hidden_size": SMALL, "intermediate_size": SMALL, "num_hidden_layers": 1,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_dim,
        "vocab_size": SMALL, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 1e4,
        "hidden_act": "silu", "tie_word_embeddings": true, "torch_dtype": "float32",
    });
    let (q, kv) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let layer = "model.layers.0";
    let shapes = [
        ("model.embed_tokens.weight".to_owned(), vec![SMALL, SMALL]),
        ("model.norm.weight".to_owned(), vec![SMALL]),
        (format!("{layer}.input_layernorm.weight"), vec![SMALL]),
        (format!("{layer}.post_attention_layernorm.weight"), vec![SMALL]),
        (format!("{layer}.self_attn.q_proj.weight"), vec![q, SMALL]),
        (format!("{layer}.self_attn.k_proj.weight"), vec![kv, SMALL]),
        (format!("{layer}.self_attn.v_proj.weight"), vec![kv, SMALL]),
        (format!("{layer}.self_attn.o_proj.weight"), vec![SMALL, q]),
        (format!("{layer}.mlp.gate_proj.weight"), vec![SMALL, SMALL]),
        (format!("{layer}.mlp.up_proj.weight"), vec![SMALL, SMALL]),
        (format!("{layer}.mlp.down_proj.weight"), vec![SMALL, SMALL]),
    ];
    let values = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|i| ((i * 37 % 255) as f32 / 255.0 - 0.5).to_le_bytes()).collect()
    };
    let data: BTreeMap<String, (Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let bytes = values(shape.iter().product());
            (name, (shape, bytes))
        })
        .collect();
    let views = data.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("sizes agree"))
    });
    std::fs::write(dir.join("config.json"), config.to_string()).expect("a temporary file");
    let file = serialize(views, None).expect("plain tensors");
    std::fs::write(dir.join("model.safetensors"), file).expect("a temporary file");
}

fn engine(shape: &Shape) -> Engine {
    let dir = tempfile::tempdir().expect("a temporary folder");
    write(dir.path(), shape);
    let checkpoint = Checkpoint::open(dir.path(), Load::Copy).expect("a checkpoint");
    let scheme = Some("w8a8".parse().expect("a scheme"));
    let weights = checkpoint.weights(scheme, &WeightOptions::default()).expect("weights");
    let context = DEPTHS[0] + CHUNK;
    let options = EngineOptions { threads: 1, context, prefill_chunk: CHUNK };
    Engine::new(Arc::new(weights), options).expect("an engine")
}

/// Tokens go in after `depth` others; what was there stays.
fn step(engine: &mut Engine, depth: usize, tokens: &[u32]) {
    engine.truncate(depth).expect("a shorter sequence");
    engine
        .forward(tokens, Want::Nothing, &mut |_, _| Ok(()))
        .expect("tokens of the vocabulary that fit");
}

fn attention(criterion: &mut Criterion) {
    let tokens: Vec<u32> = (0..DEPTHS[0] as u32).map(|i| i * 7 % SMALL as u32).collect();
    for shape in &MODELS {
        let mut engine_of_shape = None;
        for (what, count) in [("decode", 1), ("prefill", CHUNK)] {
            let mut group = criterion.benchmark_group(format!("{}/{what}", shape.name));
            for depth in DEPTHS {
                let cache = depth * 2 * shape.kv_heads * shape.head_dim * 2;
                let pairs = count * depth + count * (count + 1) / 2;
                group.throughput(match what {
                    "decode" => Throughput::Bytes(cache as u64),
                    _ => Throughput::Elements((2 * pairs * shape.heads * shape.head_dim) as u64),
                });
                group.bench_function(format!("depth{depth}"), |bencher| {
                    let engine = engine_of_shape.get_or_insert_with(|| engine(shape));
                    let length = engine.position();
                    if length < depth {
                        step(engine, length, &tokens[length..depth]);
                    }
                    bencher.iter(|| step(engine, depth, &tokens[..count]));
                });
                if what == "decode" {
                    let (from, mut to) = (vec![1u8; cache], vec![0u8; cache]);
                    group.bench_function(format!("copy{depth}"), |bencher| {
                        bencher.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
                    });
                }
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .without_plots();
    targets = attention
}
criterion_main!(benches);
