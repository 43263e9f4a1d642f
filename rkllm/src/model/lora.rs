//! `Lora`: a low-rank adapter in the format of PEFT.

mod config;

use std::collections::BTreeSet;
use std::path::Path;

use config::LoraConfig;

use super::config::ModelConfig;
use super::file::{Load, read_text};
use super::finite;
use super::tensors::TensorIndex;
use crate::{Bytes, Dtype, Error, ErrorKind, Result, Tensor};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
/// Longest configuration believed; those of the hub are a kilobyte.
const MAX_CONFIG: u64 = 1 << 20;
/// What PEFT puts before the name of a module.
const PREFIX: &str = "base_model.model.";

/// A low-rank adapter, checked against the model it is for: what it adds to linear layers,
/// `y += scaling * B (A x)`.
///
/// Read from a directory of PEFT: `adapter_config.json` and `adapter_model.safetensors`. Plain LoRA on
/// the linear layers and the output head, in f32, f16 or bf16, is taken; whatever would change the
/// result in another way (DoRA, biases, whole modules, ranks or alphas of their own) is refused.
#[derive(Debug, Clone)]
pub struct Lora {
    pub(crate) layers: Vec<LoraLayer>,
    pub(crate) lm_head: Vec<LoraPart>,
    rank: usize,
    scaling: f64,
}

/// What is added to one transformer layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoraLayer {
    pub(crate) qkv: Vec<LoraPart>,
    pub(crate) o_proj: Vec<LoraPart>,
    pub(crate) gate_up: Vec<LoraPart>,
    pub(crate) down_proj: Vec<LoraPart>,
}

/// What is added to one module: to the columns from `first` on of the outputs it stands among.
#[derive(Debug, Clone)]
pub(crate) struct LoraPart {
    /// The module, such as `model.layers.0.self_attn.q_proj`.
    pub(crate) name: String,
    pub(crate) first: usize,
    /// A `[rank, K]`, finite f32, f16 or bf16.
    pub(crate) a: Tensor,
    /// B `[N, rank]`, the same.
    pub(crate) b: Tensor,
}

impl LoraPart {
    /// N, K and the rank.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.b.shape[0], self.a.shape[1], self.a.shape[0])
    }
}

impl Lora {
    /// Opens the adapter in `dir` for a model of configuration `model`.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] or [`ErrorKind::Io`] for files or tensors that are absent or unreadable,
    /// [`ErrorKind::Format`] for damaged ones, [`ErrorKind::Unsupported`] for adapters that are not plain
    /// LoRA or change what the model does not have, [`ErrorKind::Shape`], [`ErrorKind::Dtype`] and
    /// [`ErrorKind::NonFinite`] for tensors that cannot be; each names the file or the tensor.
    pub fn open(dir: impl AsRef<Path>, model: &ModelConfig, load: Load) -> Result<Self> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            return Err(Error::new(ErrorKind::Missing, "no such directory")
                .about(dir.display().to_string())
                .with_hint(format!("give the directory that holds {CONFIG}")));
        }
        let path = dir.join(CONFIG);
        let config = LoraConfig::from_json(&read_text(&path, MAX_CONFIG)?)
            .map_err(|error| error.about(path.display().to_string()))?;
        let path = dir.join(TENSORS);
        if !path.exists() {
            let hint = match dir.join("adapter_model.bin").exists() {
                true => "save the adapter as safetensors: this reader takes no pickled weights",
                false => "give the directory that PEFT saved the adapter in",
            };
            return Err(Error::new(ErrorKind::Missing, "no such file")
                .about(path.display().to_string())
                .with_hint(hint));
        }
        let tensors = TensorIndex::open_file(&path, load)?;
        Self::assemble(&config, &tensors, model)
            .map_err(|error| error.about(path.display().to_string()))
    }

    /// An adapter in memory: the text of its `adapter_config.json` and the bytes of its safetensors file.
    ///
    /// # Errors
    /// As [`Lora::open`].
    pub fn from_bytes(config: &str, tensors: Bytes, model: &ModelConfig) -> Result<Self> {
        let config = LoraConfig::from_json(config).map_err(|error| error.about(CONFIG))?;
        let tensors = TensorIndex::from_bytes(TENSORS, tensors)?;
        Self::assemble(&config, &tensors, model).map_err(|error| error.about(TENSORS))
    }

    /// The rank of its matrices.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// What `B (A x)` is multiplied by: `lora_alpha / r`, or `lora_alpha / sqrt(r)` with `use_rslora`.
    pub fn scaling(&self) -> f64 {
        self.scaling
    }

    /// The modules it changes, such as `model.layers.0.self_attn.q_proj`.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.parts().map(|part| part.name.as_str())
    }

    /// Bytes stored.
    pub fn stored_bytes(&self) -> usize {
        self.parts().map(|part| part.a.data.len() + part.b.data.len()).sum()
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = &LoraPart> {
        let layers = self.layers.iter().flat_map(|layer| {
            [&layer.qkv, &layer.o_proj, &layer.gate_up, &layer.down_proj].into_iter().flatten()
        });
        layers.chain(&self.lm_head)
    }

    fn assemble(config: &LoraConfig, tensors: &TensorIndex, model: &ModelConfig) -> Result<Self> {
        let mut reader = Reader { config, tensors, unread: tensors.names().collect() };
        let modules = modules(model);
        let mut layers = Vec::new();
        for index in 0..model.num_hidden_layers {
            let mut layer = LoraLayer::default();
            for module in &modules {
                let name = format!("model.layers.{index}.{}", module.path);
                let part = reader.part(name, Some(index), module)?;
                module.site.of(&mut layer).extend(part);
            }
            layers.push(layer);
        }
        let (n, k) = (model.vocab_size, model.hidden_size);
        // The site of the head is of no layer, and not read.
        let head = Module { site: Site::Qkv, path: "lm_head", first: 0, n, k };
        let lm_head = reader.part("lm_head".into(), None, &head)?.into_iter().collect();
        reader.refuse_unread(model)?;
        let lora = Self { layers, lm_head, rank: config.rank, scaling: config.scaling };
        if lora.parts().next().is_none() {
            return Err(Error::new(ErrorKind::Missing, "the file has no tensors")
                .with_hint("save the adapter again"));
        }
        Ok(lora)
    }
}

/// Where among a layer's products a module stands.
#[derive(Debug, Clone, Copy)]
enum Site {
    Qkv,
    AttentionOutput,
    GateUp,
    Down,
}

impl Site {
    fn of(self, layer: &mut LoraLayer) -> &mut Vec<LoraPart> {
        match self {
            Self::Qkv => &mut layer.qkv,
            Self::AttentionOutput => &mut layer.o_proj,
            Self::GateUp => &mut layer.gate_up,
            Self::Down => &mut layer.down_proj,
        }
    }
}

/// A module of every layer: `[n, k]`, whose outputs begin at column `first` of its site.
struct Module {
    site: Site,
    path: &'static str,
    first: usize,
    n: usize,
    k: usize,
}

/// The modules of a layer by their names in the checkpoint; a fused projection is one.
fn modules(model: &ModelConfig) -> Vec<Module> {
    let (hidden, inner) = (model.hidden_size, model.intermediate_size);
    let (q, kv) = (model.q_size(), model.kv_size());
    let qkv = |path, first, n| Module { site: Site::Qkv, path, first, n, k: hidden };
    let gate_up = |path, first, n| Module { site: Site::GateUp, path, first, n, k: hidden };
    let mut modules = match model.fused_projections {
        true => vec![
            qkv("self_attn.qkv_proj", 0, q + 2 * kv),
            gate_up("mlp.gate_up_proj", 0, 2 * inner),
        ],
        false => vec![
            qkv("self_attn.q_proj", 0, q),
            qkv("self_attn.k_proj", q, kv),
            qkv("self_attn.v_proj", q + kv, kv),
            gate_up("mlp.gate_proj", 0, inner),
            gate_up("mlp.up_proj", inner, inner),
        ],
    };
    modules.push(Module {
        site: Site::AttentionOutput,
        path: "self_attn.o_proj",
        first: 0,
        n: hidden,
        k: q,
    });
    modules.push(Module { site: Site::Down, path: "mlp.down_proj", first: 0, n: hidden, k: inner });
    modules
}

struct Reader<'a> {
    config: &'a LoraConfig,
    tensors: &'a TensorIndex,
    unread: BTreeSet<&'a str>,
}

impl Reader<'_> {
    /// The matrices of module `name` of layer `layer`, if it has any and may have.
    fn part(
        &mut self,
        name: String,
        layer: Option<usize>,
        module: &Module,
    ) -> Result<Option<LoraPart>> {
        let [a, b] = ["A", "B"].map(|matrix| format!("{PREFIX}{name}.lora_{matrix}.weight"));
        let present = self.tensors.get(&a).is_some() || self.tensors.get(&b).is_some();
        if !present && !self.config.demands(&name, layer) {
            return Ok(None);
        }
        if !self.config.allows(&name) {
            return Err(Error::new(
                ErrorKind::Format,
                format!("{name} is not among the target_modules of {CONFIG}"),
            )
            .about(if self.tensors.get(&a).is_some() { a } else { b })
            .with_hint("take both files from the same adapter"));
        }
        let rank = self.config.rank;
        let a = self.matrix(&a, [rank, module.k])?;
        let b = self.matrix(&b, [module.n, rank])?;
        Ok(Some(LoraPart { name, first: module.first, a, b }))
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor> {
        let info = self.tensors.require(name)?;
        if info.shape != shape {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("expected {shape:?} by the model and {CONFIG}, found {:?}", info.shape),
            )
            .about(name)
            .with_hint("take an adapter that was made for this model"));
        }
        let dtype = info.known_dtype().map_err(|error| error.about(name))?;
        if !matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::Bf16) {
            return Err(Error::new(
                ErrorKind::Dtype,
                format!("expected f32, f16 or bf16, found {dtype}"),
            )
            .about(name));
        }
        let tensor = self.tensors.tensor(name)?;
        finite::check(dtype, &tensor.data, shape[1], 1).map_err(|error| error.about(name))?;
        self.unread.remove(name);
        Ok(tensor)
    }

    /// A tensor nobody read would change the model in a way that is not known here.
    fn refuse_unread(&self, model: &ModelConfig) -> Result<()> {
        let Some(&name) = self.unread.first() else { return Ok(()) };
        let what = match name {
            _ if name.contains(".lora_embedding_") => "an adapter of the embedding".into(),
            _ if name.contains(".lora_magnitude_vector") => "weight-decomposed (DoRA)".into(),
            _ => format!("not a low-rank matrix of a layer of this {}", model.architecture),
        };
        Err(Error::new(ErrorKind::Unsupported, what)
            .about(name)
            .with_hint("take a plain LoRA adapter that was made for this model, or merge it"))
    }
}
