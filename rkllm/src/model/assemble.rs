//! From named tensors to [`ModelWeights`]: every name and shape checked against the configuration.

use std::cell::RefCell;
use std::collections::BTreeSet;

use half::f16;

use super::artifact::Quantization;
use super::config::ModelConfig;
use super::finite;
use super::header::StoredDtype;
use super::tensors::TensorIndex;
use super::weights::{
    Embedding, LayerWeights, LinearData, LinearWeights, ModelWeights, WeightOptions,
};
use crate::quant::{QuantScheme, QuantizedRows, WeightSpec, quantize};
use crate::{Bytes, Dtype, Error, ErrorKind, Result, Tensor, floats_to_f32};

/// Where matrices come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// Floats as they are stored.
    Stored,
    /// Floats rounded to f16.
    Half,
    /// Floats quantised now.
    Quantize(QuantScheme),
    /// Integers of an artifact.
    Artifact(&'a Quantization),
}

const EMBEDDING: &str = "model.embed_tokens";
const HEAD: &str = "lm_head";

/// Tensors that some files hold and no forward pass reads: tables that are computed here.
const COMPUTED: [&str; 4] =
    [".rotary_emb.inv_freq", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached", ".masked_bias"];

pub(super) struct Assembler<'a> {
    pub(super) config: &'a ModelConfig,
    pub(super) tensors: &'a TensorIndex,
    source: Source<'a>,
    options: WeightOptions,
    /// Stored names that were used, to find those that were not.
    used: RefCell<BTreeSet<String>>,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(
        config: &'a ModelConfig,
        tensors: &'a TensorIndex,
        source: Source<'a>,
        options: WeightOptions,
    ) -> Self {
        Self { config, tensors, source, options, used: RefCell::default() }
    }

    pub(super) fn model(&self) -> Result<ModelWeights> {
        self.check_groups()?;
        let (embed_tokens, lm_head) = self.embedding_and_head()?;
        let layers: Vec<LayerWeights> = (0..self.config.num_hidden_layers)
            .map(|layer| self.layer(&format!("model.layers.{layer}")))
            .collect::<Result<_>>()?;
        let norm = self.vector("model.norm.weight", self.config.hidden_size)?;
        self.refuse_unused()?;
        let scheme = match self.source {
            Source::Stored => QuantScheme::F32,
            Source::Half => QuantScheme::F16,
            Source::Quantize(scheme) => scheme,
            Source::Artifact(quantization) => quantization.scheme(),
        };
        // Our artifacts have a quantised head. Others leave it in float and their cache alone, so
        // they run as the tool that made them runs them.
        let kv_cache = match (&self.source, &lm_head.data) {
            (Source::Stored | Source::Half, _) => Dtype::F32,
            (Source::Artifact(_), LinearData::Float(..)) => Dtype::F32,
            (Source::Quantize(_) | Source::Artifact(_), _) => Dtype::F16,
        };
        Ok(ModelWeights {
            config: self.config.clone(),
            scheme,
            kv_cache,
            embed_tokens,
            layers,
            norm,
            lm_head,
        })
    }

    /// Refuses a group size before the first matrix is quantised: that can take minutes.
    fn check_groups(&self) -> Result<()> {
        let Source::Quantize(scheme) = self.source else { return Ok(()) };
        let config = self.config;
        let (input, ff) = match config.fused_projections {
            true => ("qkv_proj", "gate_up_proj"),
            false => ("q_proj", "up_proj"),
        };
        for (name, k) in [
            (format!("self_attn.{input}"), config.hidden_size),
            ("self_attn.o_proj".into(), config.q_size()),
            (format!("mlp.{ff}"), config.hidden_size),
            ("mlp.down_proj".into(), config.intermediate_size),
        ] {
            let spec = self.options.layer_spec(scheme);
            spec.check(k).map_err(|error| error.about(format!("model.layers.0.{name}.weight")))?;
        }
        Ok(())
    }

    fn layer(&self, prefix: &str) -> Result<LayerWeights> {
        let config = self.config;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.q_size(), config.kv_size());
        let attention = |name: &str| format!("{prefix}.self_attn.{name}");
        let mlp = |name: &str| format!("{prefix}.mlp.{name}");
        let norm = |name: &str| self.vector(&format!("{prefix}.{name}.weight"), hidden);
        let head_norm = |name: &str| match config.qk_norm {
            true => self.vector(&attention(name), config.head_dim).map(Some),
            false => Ok(None),
        };
        let qkv: &[(&str, usize)] = match config.fused_projections {
            true => &[("qkv_proj", q + 2 * kv)],
            false => &[("q_proj", q), ("k_proj", kv), ("v_proj", kv)],
        };
        let gate_up: &[(&str, usize)] = match config.fused_projections {
            true => &[("gate_up_proj", 2 * inner)],
            false => &[("gate_proj", inner), ("up_proj", inner)],
        };
        let qkv =
            qkv.iter().map(|&(name, n)| self.linear(&attention(name), n, hidden, config.qkv_bias));
        let gate_up =
            gate_up.iter().map(|&(name, n)| self.linear(&mlp(name), n, hidden, config.mlp_bias));
        Ok(LayerWeights {
            input_layernorm: norm("input_layernorm")?,
            qkv: alike(qkv.collect::<Result<_>>()?)?,
            q_norm: head_norm("q_norm.weight")?,
            k_norm: head_norm("k_norm.weight")?,
            o_proj: self.linear(&attention("o_proj"), hidden, q, config.o_bias)?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            gate_up: alike(gate_up.collect::<Result<_>>()?)?,
            down_proj: self.linear(&mlp("down_proj"), hidden, inner, config.mlp_bias)?,
        })
    }

    fn embedding_and_head(&self) -> Result<(Embedding, LinearWeights)> {
        let shape = [self.config.vocab_size, self.config.hidden_size];
        let (embedding, head) = (format!("{EMBEDDING}.weight"), format!("{HEAD}.weight"));
        let (embedding, shared) = match self.sharing()? {
            Sharing::Apart => (embedding, false),
            Sharing::Embedding => (embedding, true),
            Sharing::Head => (head, true),
        };
        let (table, of_table) = self.embedding(&embedding, shape)?;
        let lm_head = match shared {
            true => LinearWeights {
                name: embedding,
                n: shape[0],
                k: shape[1],
                data: of_table,
                bias: None,
            },
            false => self.linear(HEAD, shape[0], shape[1], false)?,
        };
        Ok((table, lm_head))
    }

    /// Which of the two matrices the file holds.
    fn sharing(&self) -> Result<Sharing> {
        let (embedding, head) = (format!("{EMBEDDING}.weight"), format!("{HEAD}.weight"));
        let (has_embedding, has_head) =
            (self.tensors.get(&embedding).is_some(), self.tensors.get(&head).is_some());
        // Integer rows of an artifact serve as both, whatever the configuration says of floats.
        let integers = |name: &str| {
            matches!(self.source, Source::Artifact(_))
                && self
                    .tensors
                    .get(name)
                    .is_some_and(|info| info.dtype == StoredDtype::Known(Dtype::I8))
        };
        let tied = self.config.tie_word_embeddings;
        match (has_embedding, has_head) {
            (true, true) if tied => {
                // Some files hold the one matrix twice.
                self.mark(&head);
                Ok(Sharing::Embedding)
            }
            (true, true) => Ok(Sharing::Apart),
            (true, false) if tied || integers(&embedding) => Ok(Sharing::Embedding),
            (false, true) if tied || integers(&head) => Ok(Sharing::Head),
            (true, false) => {
                Err(Error::new(ErrorKind::Missing, "the tensor is absent").about(head).with_hint(
                    "if the head is the embedding, config.json must say tie_word_embeddings: true",
                ))
            }
            (false, _) => self.tensors.require(&embedding).map(|_| Sharing::Apart),
        }
    }

    /// The embedding of tensor `name`, and the same matrix as a head would use it.
    fn embedding(&self, name: &str, shape: [usize; 2]) -> Result<(Embedding, LinearData)> {
        let float = |table: &Tensor| LinearData::Float(table.dtype, table.data.clone());
        let stored = match self.source {
            Source::Artifact(quantization) => {
                let module = name.strip_suffix(".weight").unwrap_or(name);
                if let Some(rows) = quantization.embedding(self, module, shape)? {
                    return Ok((Embedding::Int8(rows.clone()), LinearData::Quantized(rows)));
                }
                let table = self.matrix(name, shape)?;
                // As a head it is read whole, as a table row by row; then a scan of it all would cost
                // more than the pages it needs.
                if self.config.tie_word_embeddings {
                    self.check_finite(name, &table)?;
                }
                let data = float(&table);
                return Ok((Embedding::Float(table), data));
            }
            _ => self.matrix(name, shape)?,
        };
        self.check_finite(name, &stored)?;
        let half = || to_half(&stored).map_err(|error| error.about(name));
        match self.source {
            Source::Half => {
                let table = half()?;
                let data = float(&table);
                Ok((Embedding::Float(table), data))
            }
            // The head comes from the stored floats, not from the rounded table.
            Source::Quantize(_) => {
                let data = match self.config.tie_word_embeddings {
                    true => self.quantized(name, &stored, &self.options.head_spec())?,
                    false => return Ok((Embedding::Float(half()?), float(&stored))),
                };
                Ok((Embedding::Float(half()?), LinearData::Quantized(data)))
            }
            _ => {
                let data = float(&stored);
                Ok((Embedding::Float(stored), data))
            }
        }
    }

    /// The linear layer `module`: `[n, k]` and, where `bias`, a bias `[n]`.
    fn linear(&self, module: &str, n: usize, k: usize, bias: bool) -> Result<LinearWeights> {
        let name = format!("{module}.weight");
        let bias = match bias {
            true => Some(self.vector(&format!("{module}.bias"), n)?),
            false => None,
        };
        if let Source::Artifact(quantization) = self.source
            && let Some((name, rows)) = quantization.linear(self, module, [n, k])?
        {
            return Ok(LinearWeights { name, n, k, data: LinearData::Quantized(rows), bias });
        }
        let stored = self.matrix(&name, [n, k])?;
        let data = match self.source {
            Source::Quantize(scheme) => {
                let spec = match module {
                    HEAD => self.options.head_spec(),
                    _ => self.options.layer_spec(scheme),
                };
                LinearData::Quantized(self.quantized(&name, &stored, &spec)?)
            }
            source => {
                self.check_finite(&name, &stored)?;
                let matrix = match source {
                    Source::Half => to_half(&stored).map_err(|error| error.about(name.as_str()))?,
                    _ => stored,
                };
                LinearData::Float(matrix.dtype, matrix.data)
            }
        };
        Ok(LinearWeights { name, n, k, data, bias })
    }

    fn quantized(&self, name: &str, stored: &Tensor, spec: &WeightSpec) -> Result<QuantizedRows> {
        let [n, k] = stored.shape[..] else {
            return Err(Error::new(ErrorKind::Shape, "expected a matrix").about(name));
        };
        let floats = stored.to_f32()?;
        quantize(&floats, n, k, spec, self.options.threads).map_err(|error| error.about(name))
    }

    fn check_finite(&self, name: &str, tensor: &Tensor) -> Result<()> {
        let k = tensor.shape.last().copied().unwrap_or(1);
        finite::check(tensor.dtype, &tensor.data, k, self.options.threads)
            .map_err(|error| error.about(name))
    }

    /// A tensor of exactly this shape, marked as used.
    pub(super) fn shaped(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let info = self.tensors.require(name)?;
        if info.shape != shape {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("expected {shape:?} by config.json, found {:?}", info.shape),
            )
            .about(name));
        }
        self.mark(name);
        self.tensors.tensor(name)
    }

    /// A matrix of floats that products can read.
    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Tensor> {
        let tensor = self.shaped(name, &shape)?;
        match tensor.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => Ok(tensor),
            other => Err(Error::new(
                ErrorKind::Dtype,
                format!("expected f32, f16 or bf16, found {other}"),
            )
            .about(name)),
        }
    }

    /// A norm or a bias, as f32.
    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        let tensor = self.shaped(name, &[len])?;
        let values = tensor.to_f32().map_err(|error| error.about(name))?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(Error::new(
                ErrorKind::NonFinite,
                format!("element {index} is {}", values[index]),
            )
            .about(name)
            .with_hint(
                "the checkpoint is damaged or overflowed when it was saved; get a good one",
            )),
        }
    }

    /// Notes that a tensor is part of the model.
    pub(super) fn mark(&self, name: &str) {
        self.used.borrow_mut().extend(self.tensors.stored_name(name).map(str::to_owned));
    }

    /// A tensor nobody read is a bias, a norm or a layer that the configuration does not mention:
    /// without it the model would run, and be another.
    fn refuse_unused(&self) -> Result<()> {
        let used = self.used.borrow();
        let computed = |name: &str| COMPUTED.iter().any(|suffix| name.ends_with(suffix));
        match self.tensors.names().find(|name| !used.contains(*name) && !computed(name)) {
            None => Ok(()),
            Some(name) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("no part of the {} that config.json describes", self.config.architecture),
            )
            .about(name)
            .with_hint("take config.json and weights from the same model")),
        }
    }
}

/// Whether one matrix is both embedding and head, and under which name.
enum Sharing {
    Apart,
    Embedding,
    Head,
}

/// Matrices of one input must share how that input is quantised.
fn alike(matrices: Vec<LinearWeights>) -> Result<Vec<LinearWeights>> {
    let first = matrices.first().and_then(LinearWeights::quantized_as);
    match matrices.iter().find(|matrix| matrix.quantized_as() != first) {
        None => Ok(matrices),
        Some(other) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("quantised in another way than {}, which has the same input", matrices[0].name),
        )
        .about(&other.name)),
    }
}

/// Rounds a matrix to f16, half to even.
fn to_half(tensor: &Tensor) -> Result<Tensor> {
    if tensor.dtype == Dtype::F16 {
        return Ok(tensor.clone());
    }
    const BLOCK: usize = 4096;
    let size = tensor.dtype.size();
    let mut out = Vec::with_capacity(tensor.elements() * 2);
    let mut floats = vec![0.0; BLOCK];
    for (block, bytes) in tensor.data.chunks(BLOCK * size).enumerate() {
        let floats = &mut floats[..bytes.len() / size];
        floats_to_f32(tensor.dtype, bytes, floats)?;
        for (i, &value) in floats.iter().enumerate() {
            let half = f16::from_f32(value);
            if !half.is_finite() {
                let (index, k) = (block * BLOCK + i, tensor.shape.last().copied().unwrap_or(1));
                return Err(Error::new(
                    ErrorKind::NonFinite,
                    format!(
                        "the weight {value} of row {}, column {} does not fit f16",
                        index / k,
                        index % k
                    ),
                ));
            }
            out.extend(half.to_le_bytes());
        }
    }
    Tensor::new(Dtype::F16, tensor.shape.clone(), Bytes::new(out))
}
