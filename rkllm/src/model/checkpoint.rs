//! `Checkpoint`: a model's directory, opened and checked.

use std::path::{Path, PathBuf};

use super::artifact::Quantization;
use super::assemble::{Assembler, Source};
use super::config::{self, ModelConfig};
use super::file::{Load, read_text};
use super::json::{self, Fields};
use super::tensors::TensorIndex;
use super::weights::{ModelWeights, WeightOptions};
use crate::quant::QuantScheme;
use crate::{Bytes, Error, ErrorKind, Result};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
/// Longest configuration believed; those of the hub are a few kilobytes.
const MAX_CONFIG: u64 = 1 << 20;

/// A Hugging Face checkpoint, or an artifact of `rkllm convert`: configuration and tensors.
#[derive(Debug)]
pub struct Checkpoint {
    dir: Option<PathBuf>,
    config: ModelConfig,
    quantization: Option<Quantization>,
    tensors: TensorIndex,
}

impl Checkpoint {
    /// Opens the model in `dir`: reads `config.json` and the headers of its safetensors files. The
    /// ids that `generation_config.json` adds to the ends of a sequence are taken, too.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] or [`ErrorKind::Io`] for files that are absent or unreadable,
    /// [`ErrorKind::Format`] for damaged ones, [`ErrorKind::Unsupported`] for models that cannot run.
    pub fn open(dir: impl AsRef<Path>, load: Load) -> Result<Self> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            let (message, hint) = match dir.exists() {
                true => ("not a directory", "give the directory that holds config.json"),
                false => ("no such directory", "check the path"),
            };
            return Err(Error::new(ErrorKind::Missing, message)
                .about(dir.display().to_string())
                .with_hint(hint));
        }
        let path = dir.join(CONFIG);
        let text = read_text(&path, MAX_CONFIG)?;
        let mut parsed =
            Parsed::new(&text).map_err(|error| error.about(path.display().to_string()))?;
        let path = dir.join(GENERATION_CONFIG);
        if path.exists() {
            let text = read_text(&path, MAX_CONFIG)?;
            parsed
                .add_generation_config(&text)
                .map_err(|error| error.about(path.display().to_string()))?;
        }
        parsed.with_tensors(Some(dir.to_owned()), TensorIndex::open(dir, load)?)
    }

    /// A model in memory, such as one embedded in the program: the text of its `config.json` and the
    /// bytes of its one safetensors file.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(config: &str, tensors: Bytes) -> Result<Self> {
        let parsed = Parsed::new(config).map_err(|error| error.about(CONFIG))?;
        parsed.with_tensors(None, TensorIndex::from_bytes("model.safetensors", tensors)?)
    }

    /// The directory, unless the model came from memory.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The stored tensors.
    pub fn tensors(&self) -> &TensorIndex {
        &self.tensors
    }

    /// True if the weights are stored as integers.
    pub fn is_quantized(&self) -> bool {
        self.quantization.is_some()
    }

    /// How the layers are stored; [`QuantScheme::F32`] for any float checkpoint, which is what it
    /// runs in unless another scheme is asked for.
    pub fn scheme(&self) -> QuantScheme {
        self.quantization.as_ref().map_or(QuantScheme::F32, Quantization::scheme)
    }

    /// The weights, ready to run.
    ///
    /// - A float checkpoint with `None` or `f32`: as stored, mapped.
    /// - With `f16`: its matrices rounded to f16.
    /// - With a quantised scheme: every linear layer quantised now, the head as w8a8 per channel, the
    ///   embedding as f16; the same bits as an artifact converted with the same options.
    /// - An artifact with `None` or its own scheme: mapped in place.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for an artifact and another scheme than its own,
    /// [`ErrorKind::Missing`], [`ErrorKind::Shape`] or [`ErrorKind::Dtype`] for tensors that are not
    /// what the configuration says, [`ErrorKind::Quantization`] for a group size that does not divide
    /// the K of a layer, [`ErrorKind::NonFinite`] for a NaN or infinite weight; each names the tensor.
    pub fn weights(
        &self,
        dtype: Option<QuantScheme>,
        options: &WeightOptions,
    ) -> Result<ModelWeights> {
        let source = match (&self.quantization, dtype) {
            (Some(quantization), dtype) => {
                let own = quantization.scheme();
                if let Some(other) = dtype.filter(|&dtype| dtype != own) {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        format!("cannot run as {other}: already quantised as {own}"),
                    )
                    .about(self.name())
                    .with_hint("start from the original checkpoint"));
                }
                Source::Artifact(quantization)
            }
            (None, None | Some(QuantScheme::F32)) => Source::Stored,
            (None, Some(QuantScheme::F16)) => Source::Half,
            (None, Some(scheme)) => Source::Quantize(scheme),
        };
        Assembler::new(&self.config, &self.tensors, source, *options)
            .model()
            .map_err(|error| error.about(self.name()))
    }

    fn name(&self) -> String {
        self.dir.as_ref().map_or_else(|| "the model".into(), |dir| dir.display().to_string())
    }
}

/// What the JSON files say.
struct Parsed {
    config: ModelConfig,
    quantization: Option<Quantization>,
}

impl Parsed {
    fn new(text: &str) -> Result<Self> {
        let map = json::parse_object(text)?;
        let config = ModelConfig::from_map(&map)?;
        let quantization = Quantization::from_fields(Fields::new(&map, ""), &config)?;
        Ok(Self { config, quantization })
    }

    fn add_generation_config(&mut self, text: &str) -> Result<()> {
        let map = json::parse_object(text)?;
        for id in config::token_ids(Fields::new(&map, ""), "eos_token_id")? {
            if !self.config.eos_token_ids.contains(&id) {
                self.config.eos_token_ids.push(id);
            }
        }
        Ok(())
    }

    fn with_tensors(self, dir: Option<PathBuf>, tensors: TensorIndex) -> Result<Checkpoint> {
        Ok(Checkpoint { dir, config: self.config, quantization: self.quantization, tensors })
    }
}
