//! What the integration tests share.
#![allow(dead_code, unreachable_pub)] // each test file uses its part of this one

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rkllm::cpu::{Engine, EngineOptions};
use rkllm::kernels::Kernel;
use rkllm::model::{Checkpoint, Load, ModelWeights, WeightOptions};
use rkllm::quant::QuantScheme;
use rkllm::{Backend, Want};
use safetensors::SafeTensors;

/// A path below the folder `shared` beside the checkout, or `None`, said aloud, where it is absent.
///
/// # Panics
/// If it is absent and `RKLLM_REQUIRE_SHARED=1`.
pub fn shared(path: &str) -> Option<PathBuf> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    if full.exists() {
        return Some(full);
    }
    let required = std::env::var("RKLLM_REQUIRE_SHARED").is_ok_and(|v| v == "1");
    assert!(!required, "{} is required and not found", full.display());
    eprintln!("skipped: {} not found", full.display());
    None
}

/// A path below `tests/data`.
pub fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

/// The model in `dir`, as stored or quantised in memory.
pub fn weights(dir: &Path, dtype: Option<QuantScheme>) -> Arc<ModelWeights> {
    let checkpoint = Checkpoint::open(dir, Load::Map).unwrap();
    Arc::new(checkpoint.weights(dtype, &WeightOptions::default()).unwrap())
}

/// How a test runs a model.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub kernel: Kernel,
    pub threads: usize,
    pub chunk: usize,
}

impl Run {
    /// The best kernel on one thread, everything in one chunk.
    pub fn plain() -> Self {
        Self { kernel: Kernel::active().unwrap(), threads: 1, chunk: usize::MAX }
    }
}

/// Logits of every token, `[tokens, vocab]`, with a context of just these tokens.
pub fn logits(weights: &Arc<ModelWeights>, tokens: &[u32], run: Run) -> Vec<f32> {
    let options =
        EngineOptions { threads: run.threads, context: tokens.len(), prefill_chunk: run.chunk };
    let mut engine = Engine::with_kernel(Arc::clone(weights), options, run.kernel).unwrap();
    let mut all = Vec::new();
    engine
        .forward(tokens, Want::All, &mut |position, logits| {
            assert_eq!(position * engine_vocab(weights), all.len());
            all.extend_from_slice(logits);
            Ok(())
        })
        .unwrap();
    all
}

fn engine_vocab(weights: &ModelWeights) -> usize {
    weights.config.vocab_size
}

/// `input_ids` and another tensor of a golden file.
pub struct Golden {
    pub ids: Vec<u32>,
    bytes: Vec<u8>,
}

impl Golden {
    pub fn open(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let ids = SafeTensors::deserialize(&bytes)
            .unwrap()
            .tensor("input_ids")
            .unwrap()
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&id| u32::try_from(i64::from_le_bytes(id)).unwrap())
            .collect();
        Self { ids, bytes }
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = file.tensor(name).unwrap().data().to_vec();
        data.as_chunks().0.iter().map(|&v| f32::from_le_bytes(v)).collect()
    }
}

/// Largest and mean absolute difference.
pub fn difference(a: &[f32], b: &[f32]) -> (f32, f32) {
    assert_eq!(a.len(), b.len(), "different numbers of logits");
    let (mut max, mut sum) = (0.0f32, 0.0f64);
    for (a, b) in a.iter().zip(b) {
        let d = (a - b).abs();
        assert!(d.is_finite(), "{a} against {b}");
        max = max.max(d);
        sum += f64::from(d);
    }
    (max, (sum / a.len() as f64) as f32)
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}
