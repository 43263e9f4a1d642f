//! The tensors of one quantised layer, as compressed-tensors stores them.

use super::super::assemble::Assembler;
use super::super::header::StoredDtype;
use super::{LayerScheme, Quantization, mismatch};
use crate::quant::{Group, QuantScheme, QuantizedRows, Scales, ZeroPoints, nibble};
use crate::{Bytes, Dtype, Error, ErrorKind, Result, Tensor};

/// How int8 embeddings are stored: rows as those of a w8a8 head.
const EMBEDDING: LayerScheme =
    LayerScheme { scheme: QuantScheme::W8A8(Group::Channel), per_tensor: false, symmetric: true };

impl Quantization {
    /// The matrix `[n, k]` of a linear layer with the name of its tensor, or `None` where the layer is
    /// stored as floats.
    pub(in super::super) fn linear(
        &self,
        model: &Assembler<'_>,
        module: &str,
        shape: [usize; 2],
    ) -> Result<Option<(String, QuantizedRows)>> {
        match self.of(module) {
            Some(layer) => Layer { model, module, shape, layer }.read().map(Some),
            None => Ok(None),
        }
    }

    /// The embedding `[vocab, hidden]`, if it is stored as int8.
    pub(in super::super) fn embedding(
        &self,
        model: &Assembler<'_>,
        module: &str,
        shape: [usize; 2],
    ) -> Result<Option<QuantizedRows>> {
        let info = model.tensors.require(&format!("{module}.weight"))?;
        if info.dtype != StoredDtype::Known(Dtype::I8) {
            return Ok(None);
        }
        let (_, rows) = Layer { model, module, shape, layer: EMBEDDING }.read()?;
        Ok(Some(rows))
    }
}

struct Layer<'a> {
    model: &'a Assembler<'a>,
    module: &'a str,
    shape: [usize; 2],
    layer: LayerScheme,
}

impl Layer<'_> {
    fn read(&self) -> Result<(String, QuantizedRows)> {
        let [n, k] = self.shape;
        let name = self.name(match self.bits() {
            4 => "weight_packed",
            _ => "weight",
        });
        let group = self.layer.scheme.group_size(k).map_err(|error| error.about(name.as_str()))?;
        let order = self.name("weight_g_idx");
        if self.model.tensors.get(&order).is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "columns in another order cannot run")
                .about(order)
                .with_hint("quantise without actorder"));
        }
        let data = match self.bits() {
            4 => {
                self.check_shape_tensor()?;
                self.tensor(&name, &[n, k.div_ceil(8)], Dtype::I32)?
            }
            _ => self.tensor(&name, &[n, k], Dtype::I8)?,
        };
        let scales = self.scales(k / group)?;
        let zero_points = match self.layer.symmetric {
            true => None,
            false => Some(self.zero_points(k / group)?),
        };
        let rows = QuantizedRows::new((n, k), group, self.bits(), data.data, scales, zero_points)
            .map_err(|error| error.about(name.as_str()))?;
        rows.check_scales().map_err(|error| error.about(self.name("weight_scale")))?;
        Ok((name, rows))
    }

    fn bits(&self) -> u32 {
        self.layer.scheme.weight_bits()
    }

    fn name(&self, tensor: &str) -> String {
        format!("{}.{tensor}", self.module)
    }

    fn tensor(&self, name: &str, shape: &[usize], dtype: Dtype) -> Result<Tensor> {
        // The type first: a float matrix has the right shape and the wrong type.
        self.expect_dtype(name, &[dtype])?;
        self.model.shaped(name, shape)
    }

    fn expect_dtype(&self, name: &str, allowed: &[Dtype]) -> Result<()> {
        let found = &self.model.tensors.require(name)?.dtype;
        if allowed.iter().any(|&dtype| *found == StoredDtype::Known(dtype)) {
            return Ok(());
        }
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        let message = format!("expected {}, found {found}", allowed.join(" or "));
        Err(mismatch(ErrorKind::Dtype, name, message))
    }

    /// The optional `weight_shape` must say what the configuration does.
    fn check_shape_tensor(&self) -> Result<()> {
        let name = self.name("weight_shape");
        if self.model.tensors.get(&name).is_none() {
            return Ok(());
        }
        self.expect_dtype(&name, &[Dtype::I64, Dtype::I32])?;
        let tensor = self.model.shaped(&name, &[2])?;
        let found: Vec<i64> = match tensor.dtype {
            Dtype::I64 => {
                tensor.data.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect()
            }
            _ => {
                let values = tensor.data.as_chunks().0.iter();
                values.map(|&b| i64::from(i32::from_le_bytes(b))).collect()
            }
        };
        if found.iter().zip(self.shape).all(|(&found, dim)| usize::try_from(found) == Ok(dim)) {
            return Ok(());
        }
        let message = format!("expected {:?} by config.json, found {found:?}", self.shape);
        Err(mismatch(ErrorKind::Shape, &name, message))
    }

    /// Scales `[n, groups]`: in place where they are f32 or f16, else copies as f32.
    fn scales(&self, groups: usize) -> Result<Scales> {
        let name = self.name("weight_scale");
        self.expect_dtype(&name, &[Dtype::F32, Dtype::F16, Dtype::Bf16])?;
        let [n, _] = self.shape;
        let tensor = self.per_row(&name, groups)?;
        Ok(match (tensor.dtype, self.layer.per_tensor) {
            (Dtype::F32, false) => Scales::F32(tensor.data),
            (Dtype::F16, false) => Scales::F16(tensor.data),
            (_, per_tensor) => {
                let scales = tensor.to_f32()?;
                let repeat = if per_tensor { n } else { 1 };
                let bytes = scales.iter().flat_map(|scale| scale.to_le_bytes());
                let bytes: Vec<u8> = bytes.collect();
                Scales::F32(Bytes::new(bytes.repeat(repeat)))
            }
        })
    }

    fn zero_points(&self, groups: usize) -> Result<ZeroPoints> {
        let name = self.name("weight_zero_point");
        let [n, _] = self.shape;
        if self.bits() == 4 {
            let tensor = self.tensor(&name, &[n.div_ceil(8), groups], Dtype::I32)?;
            let unpacked = nibble::unpack_zero_points(&tensor.data, n, groups);
            return Ok(ZeroPoints::U4(unpacked.map_err(|error| error.about(name.as_str()))?));
        }
        self.expect_dtype(&name, &[Dtype::I8])?;
        let tensor = self.per_row(&name, groups)?;
        let values: Vec<i8> = tensor.data.iter().map(|&byte| byte as i8).collect();
        let repeat = if self.layer.per_tensor { n } else { 1 };
        Ok(ZeroPoints::I8(values.repeat(repeat)))
    }

    /// A tensor with a value per row and group: `[n, groups]`, `[n]` where a row is one group, or one
    /// value where the whole matrix has one.
    fn per_row(&self, name: &str, groups: usize) -> Result<Tensor> {
        let [n, _] = self.shape;
        let found = &self.model.tensors.require(name)?.shape;
        let fits = match self.layer.per_tensor {
            true => found.is_empty() || found[..] == [1] || found[..] == [1, 1],
            false => groups == 1 && found[..] == [n],
        };
        let expected = if fits { found.clone() } else { vec![n, groups] };
        self.model.shaped(name, &expected)
    }
}
