//! The weights of one layer: several matrices as one.

use std::ops::Range;

use super::split::Slice;
use crate::model::{LinearData, LinearWeights};
use crate::quant::QuantizedRows;
use crate::{Error, ErrorKind, Result};

/// Matrices of one K, one number of bits and one group size, their rows one after the other.
pub(super) struct Parts {
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) group: usize,
    pub(super) bits: u32,
    parts: Vec<Part>,
}

struct Part {
    name: String,
    /// Its number of outputs before it.
    first: usize,
    rows: QuantizedRows,
    bias: Option<Vec<f32>>,
}

impl Parts {
    pub(super) fn new(weights: &[LinearWeights]) -> Result<Self> {
        let unsupported = |name: &str, message: &str| {
            Error::new(ErrorKind::Unsupported, message)
                .about(name)
                .with_hint("leave this layer to the CPU")
        };
        let Some(head) = weights.first() else {
            return Err(Error::new(ErrorKind::Input, "a linear layer without weights"));
        };
        let mut parts: Vec<Part> = Vec::with_capacity(weights.len());
        let mut first = 0;
        for part in weights {
            let LinearData::Quantized(rows) = &part.data else {
                return Err(unsupported(
                    &part.name,
                    "the NPU multiplies quantised weights only here",
                ));
            };
            if part.k != head.k || part.quantized_as() != head.quantized_as() {
                return Err(unsupported(
                    &part.name,
                    "the parts of a layer differ in K, bits or groups",
                ));
            }
            let rows = rows.clone();
            parts.push(Part { name: part.name.clone(), first, bias: part.bias.clone(), rows });
            first += part.n;
        }
        let QuantizedRows { k, group, bits, .. } = parts[0].rows;
        Ok(Self { n: first, k, group, bits, parts })
    }

    /// Names the layer an error is about.
    pub(super) fn about(&self, error: Error) -> Error {
        error.about(self.parts[0].name.clone())
    }

    /// The part of an output, and its row there.
    fn row(&self, output: usize) -> (&QuantizedRows, usize) {
        let after = self.parts.partition_point(|part| part.first <= output);
        let part = &self.parts[after - 1];
        (&part.rows, output - part.first)
    }

    /// The integers of a slice as int8 `[n, slice.k]`, with zeros beyond `outputs` and the slice's columns.
    pub(super) fn columns(&self, outputs: &Range<usize>, n: usize, slice: &Slice) -> Vec<i8> {
        let mut values = vec![0; n * slice.k];
        let columns = slice.columns.clone();
        for (output, values) in outputs.clone().zip(values.chunks_exact_mut(slice.k)) {
            let (rows, row) = self.row(output);
            let bytes = &rows.data[row * rows.row_bytes()..][..rows.row_bytes()];
            if rows.bits == 8 {
                for (value, &byte) in values.iter_mut().zip(&bytes[columns.clone()]) {
                    *value = byte as i8;
                }
            } else {
                for (value, column) in values.iter_mut().zip(columns.clone()) {
                    *value = (bytes[column / 2] >> (column % 2 * 4) & 15) as i8 - 8;
                }
            }
        }
        values
    }

    /// Scales and zero points of one group of `outputs`.
    pub(super) fn scales_of(
        &self,
        group: usize,
        outputs: &Range<usize>,
        scales: &mut Vec<f32>,
        zeros: &mut Vec<i32>,
    ) {
        scales.clear();
        zeros.clear();
        for output in outputs.clone() {
            let (rows, row) = self.row(output);
            let index = row * rows.groups() + group;
            scales.push(rows.scales.get(index).expect("a scale for every group"));
            zeros.push(rows.zero_points.as_ref().and_then(|z| z.get(index)).unwrap_or(0));
        }
    }

    /// Adds the biases of the parts that have one to `y` `[M, N]`.
    pub(super) fn add_bias(&self, y: &mut [f32]) {
        for part in &self.parts {
            let Some(bias) = &part.bias else { continue };
            for row in y.chunks_exact_mut(self.n) {
                for (y, b) in row[part.first..].iter_mut().zip(bias) {
                    *y += b;
                }
            }
        }
    }
}
