//! The container of a small dense model: a safetensors file.
//!
//! | part | what |
//! |---|---|
//! | metadata `format` | `rkllm-host-dense` |
//! | metadata `rows` | rows of an input, 1 where not given |
//! | metadata `activation` | `none` (as where not given) or `relu`, between layers |
//! | metadata `custom` | answer to `RKNN_QUERY_CUSTOM_STRING` |
//! | `layers.0.weight`, `layers.1.weight`, ... | (out, in) of F32, F16 or I8 |
//! | `layers.I.scale` | F32 (out), with I8 |
//! | `layers.I.bias` | F32 (out), or none |
//!
//! A layer is `y = (sum over k, ascending, of x[k] * w[k]) * scale + bias` in float32.

use std::collections::HashMap;

use half::f16;
use safetensors::{Dtype, SafeTensors};

/// More rows than this are a mistake.
const MOST_ROWS: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Model {
    pub(super) rows: usize,
    pub(super) custom: String,
    relu: bool,
    layers: Vec<Layer>,
    /// Bytes of the weights.
    pub(super) weight_bytes: usize,
}

#[derive(Debug)]
struct Layer {
    inputs: usize,
    outputs: usize,
    weight: Vec<f32>,
    scale: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
}

impl Model {
    /// Reads a container, or says what is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| {
            format!("no model this stand-in reads (a .rknn model needs the board): {error}")
        })?;
        let empty = HashMap::new();
        let about = header.metadata().as_ref().unwrap_or(&empty);
        let word = |name: &str| about.get(name).map(String::as_str);
        if word("format") != Some("rkllm-host-dense") {
            return Err("metadata \"format\" is not \"rkllm-host-dense\"".to_owned());
        }
        let rows = word("rows").map_or(Ok(1), str::parse).unwrap_or(0);
        if !(1..=MOST_ROWS).contains(&rows) {
            return Err(format!("metadata \"rows\" is none of 1..={MOST_ROWS}"));
        }
        let relu = match word("activation") {
            None | Some("none") => false,
            Some("relu") => true,
            Some(other) => return Err(format!("activation {other:?}; none and relu are known")),
        };
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let mut layers: Vec<Layer> = Vec::new();
        while let Ok(weight) = tensors.tensor(&format!("layers.{}.weight", layers.len())) {
            let name = format!("layers.{}", layers.len());
            let &[outputs, inputs] = weight.shape() else {
                return Err(format!("{name}.weight: expected two dimensions"));
            };
            let vector = |part: &str| match tensors.tensor(&format!("{name}.{part}")) {
                Err(_) => Ok(None),
                Ok(it) if it.dtype() == Dtype::F32 && it.shape() == [outputs] => {
                    Ok(Some(floats(it.data(), Dtype::F32)?))
                }
                Ok(_) => Err(format!("{name}.{part}: expected F32 [{outputs}]")),
            };
            let (scale, bias) = (vector("scale")?, vector("bias")?);
            if (weight.dtype() == Dtype::I8) != scale.is_some() {
                return Err(format!("{name}.scale: expected with I8 weights and no others"));
            }
            if layers.last().is_some_and(|before| before.outputs != inputs) {
                return Err(format!(
                    "{name}.weight: takes {inputs}, the layer before gives another"
                ));
            }
            let fits = rows.checked_mul(inputs.max(outputs)).and_then(|n| n.checked_mul(4));
            if inputs == 0 || outputs == 0 || fits.is_none_or(|n| u32::try_from(n).is_err()) {
                return Err(format!("{name}.weight: [{outputs}, {inputs}] times {rows} rows"));
            }
            let weight = floats(weight.data(), weight.dtype())?;
            layers.push(Layer { inputs, outputs, weight, scale, bias });
        }
        if layers.is_empty() {
            return Err("no layers.0.weight".to_owned());
        }
        let custom = word("custom").unwrap_or_default().to_owned();
        Ok(Self { rows, custom, relu, layers, weight_bytes: bytes.len() })
    }

    pub(super) fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    pub(super) fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    /// Of `(rows, inputs)`: `(rows, outputs)`.
    pub(super) fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut x = x.to_vec();
        for (i, layer) in self.layers.iter().enumerate() {
            x = x.chunks_exact(layer.inputs).flat_map(|row| layer.row(row)).collect();
            if self.relu && i + 1 < self.layers.len() {
                x.iter_mut().for_each(|x| *x = x.max(0.0));
            }
        }
        x
    }
}

impl Layer {
    fn row<'a>(&'a self, x: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        self.weight.chunks_exact(self.inputs).enumerate().map(move |(n, weight)| {
            let mut sum = 0.0_f32;
            for (x, w) in x.iter().zip(weight) {
                sum += x * w;
            }
            let scaled = self.scale.as_ref().map_or(sum, |scale| sum * scale[n]);
            self.bias.as_ref().map_or(scaled, |bias| scaled + bias[n])
        })
    }
}

fn floats(bytes: &[u8], dtype: Dtype) -> Result<Vec<f32>, String> {
    Ok(match dtype {
        Dtype::F32 => {
            bytes.as_chunks().0.iter().map(|bytes: &[u8; 4]| f32::from_le_bytes(*bytes)).collect()
        }
        Dtype::F16 => {
            let halves = bytes.as_chunks().0.iter();
            halves.map(|bytes: &[u8; 2]| f16::from_le_bytes(*bytes).to_f32()).collect()
        }
        Dtype::I8 => bytes.iter().map(|byte| f32::from(byte.cast_signed())).collect(),
        other => return Err(format!("weights of {other:?}; F32, F16 and I8 are known")),
    })
}
