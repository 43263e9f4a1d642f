//! Adapters made here, and the checkpoints they would be merged into.

use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// Values in -1..1, the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 33
    }

    fn value(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 30) as f32 - 1.0
    }
}

/// A stored tensor: name, type, shape, bytes.
pub(crate) type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

/// One adapted module: `[N, rank]` times `[rank, K]`.
struct Module {
    name: String,
    n: usize,
    k: usize,
    a: Vec<f32>,
    b: Vec<f32>,
}

/// A random adapter of every linear layer of a checkpoint.
pub(crate) struct Made {
    pub(crate) rank: usize,
    pub(crate) alpha: f64,
    dtype: Dtype,
    modules: Vec<Module>,
}

impl Made {
    /// For the modules of `dir` that `chosen` takes, by their names without `.weight`.
    pub(crate) fn new(
        dir: &Path,
        rank: usize,
        dtype: Dtype,
        seed: u64,
        chosen: impl Fn(&str) -> bool,
    ) -> Self {
        let mut random = Random(seed);
        let bytes = std::fs::read(dir.join("model.safetensors")).unwrap();
        let mut modules = Vec::new();
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            let Some(name) = name.strip_suffix(".weight") else { continue };
            if !(name.ends_with("_proj") || name == "lm_head") || !chosen(name) {
                continue;
            }
            let (n, k) = (view.shape()[0], view.shape()[1]);
            modules.push(Module { name: name.to_owned(), n, k, a: Vec::new(), b: Vec::new() });
        }
        // The order of a file is not part of what the test means.
        modules.sort_by(|a, b| a.name.cmp(&b.name));
        for module in &mut modules {
            let value = |_| rounded(random.value() * 0.2, dtype);
            module.a = (0..rank * module.k).map(value).collect();
            let value = |_| rounded(random.value() * 0.2, dtype);
            module.b = (0..rank * module.n).map(value).collect();
        }
        assert!(!modules.is_empty());
        Self { rank, alpha: 2.0 * rank as f64, dtype, modules }
    }

    pub(crate) fn config(&self) -> Value {
        let mut targets: Vec<&str> =
            self.modules.iter().map(|module| module.name.rsplit('.').next().unwrap()).collect();
        targets.sort_unstable();
        targets.dedup();
        json!({
            "alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": "x", "bias": "none",
            "corda_config": null, "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false,
            "inference_mode": true, "init_lora_weights": true, "layer_replication": null,
            "layers_pattern": null, "layers_to_transform": null, "loftq_config": {},
            "lora_alpha": self.alpha, "lora_bias": false, "lora_dropout": 0.05,
            "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": null,
            "peft_type": "LORA", "qalora_group_size": 16, "r": self.rank, "rank_pattern": {},
            "revision": null, "target_modules": targets, "target_parameters": null,
            "task_type": "CAUSAL_LM", "trainable_token_indices": null, "use_dora": false,
            "use_qalora": false, "use_rslora": false
        })
    }

    pub(crate) fn tensors(&self) -> Vec<Stored> {
        let mut all = Vec::new();
        for module in &self.modules {
            let name = |matrix| format!("base_model.model.{}.lora_{matrix}.weight", module.name);
            let a = stored(&module.a, self.dtype);
            all.push((name("A"), self.dtype, vec![self.rank, module.k], a));
            let b = stored(&module.b, self.dtype);
            all.push((name("B"), self.dtype, vec![module.n, self.rank], b));
        }
        all
    }

    /// Writes the adapter as PEFT does.
    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        write(dir, &self.config(), &self.tensors())
    }

    /// Writes the checkpoint `base` with `W + scale * B A` in the place of each `W`.
    pub(crate) fn merge(&self, base: &Path, dir: &Path, scale: f32) {
        let bytes = std::fs::read(base.join("model.safetensors")).unwrap();
        let mut tensors: Vec<Stored> = SafeTensors::deserialize(&bytes)
            .unwrap()
            .tensors()
            .into_iter()
            .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
            .collect();
        for module in &self.modules {
            let name = format!("{}.weight", module.name);
            let weight = tensors.iter_mut().find(|(other, ..)| *other == name).unwrap();
            let floats = floats(weight.1, &weight.3);
            let values = floats.into_iter().enumerate().flat_map(|(index, value)| {
                let (n, k) = (index / module.k, index % module.k);
                let sum: f32 = (0..self.rank)
                    .map(|j| module.b[n * self.rank + j] * module.a[j * module.k + k])
                    .sum();
                (value + scale * sum).to_le_bytes()
            });
            (weight.1, weight.3) = (Dtype::F32, values.collect());
        }
        std::fs::copy(base.join("config.json"), dir.join("config.json")).unwrap();
        std::fs::write(dir.join("model.safetensors"), bytes_of(&tensors)).unwrap();
    }
}

fn rounded(value: f32, dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F16 => f16::from_f32(value).to_f32(),
        Dtype::BF16 => bf16::from_f32(value).to_f32(),
        _ => value,
    }
}

fn floats(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let dtype = match dtype {
        Dtype::F32 => rkllm::Dtype::F32,
        Dtype::F16 => rkllm::Dtype::F16,
        Dtype::BF16 => rkllm::Dtype::Bf16,
        other => panic!("{other:?} are no floats"),
    };
    let mut values = vec![0.0; bytes.len() / dtype.size()];
    rkllm::floats_to_f32(dtype, bytes, &mut values).unwrap();
    values
}

fn stored(values: &[f32], dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// A safetensors file.
pub(crate) fn bytes_of(tensors: &[Stored]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// An adapter's directory.
pub(crate) fn write(dir: &Path, config: &Value, tensors: &[Stored]) -> PathBuf {
    std::fs::write(dir.join("adapter_config.json"), config.to_string()).unwrap();
    std::fs::write(dir.join("adapter_model.safetensors"), bytes_of(tensors)).unwrap();
    dir.to_owned()
}
