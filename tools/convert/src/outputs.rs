//! Which tensors of the artifact each tensor of the model becomes, and which file they go to.

use rkllm::Dtype;
use rkllm::quant::{Group, QuantScheme, ScaleType};

use crate::options::{ConvertOptions, Embedding};
use crate::plan::Role;
use crate::quantization_config;
use crate::shard::Spec;
use crate::source::{SourceItem, SourceModel};

/// The tensors that one tensor of the model becomes.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    /// The matrix, whose size is known.
    pub(crate) body: Vec<Spec>,
    /// Everything small, at the largest size it can have.
    pub(crate) tail: Vec<Spec>,
}

impl Outputs {
    pub(crate) fn of(item: &SourceItem, options: &ConvertOptions) -> Self {
        let name = item.item.name.as_str();
        let shape = item.item.shape.as_slice();
        match (item.item.role, shape) {
            (Role::Embedding, _) if options.embedding == Embedding::F16 => {
                Self { body: vec![Spec::new(name, Dtype::F16, shape)], tail: Vec::new() }
            }
            (Role::Linear, &[n, k]) => Self::matrix(name, n, k, options.scheme, options.symmetric),
            (Role::Embedding | Role::Head, &[n, k]) => {
                Self::matrix(name, n, k, quantization_config::HEAD, true)
            }
            _ => Self { body: Vec::new(), tail: vec![Spec::new(name, item.dtype, shape)] },
        }
    }

    fn matrix(name: &str, n: usize, k: usize, scheme: QuantScheme, symmetric: bool) -> Self {
        let names = MatrixNames::new(name);
        let groups = groups(scheme, k);
        let mut tail = vec![Spec::new(&names.scale, Dtype::F32, &[n, groups])];
        let body = if scheme.weight_bits() == 4 {
            tail.push(Spec::new(&names.shape, Dtype::I64, &[2]));
            Spec::new(&names.packed, Dtype::I32, &[n, k.div_ceil(8)])
        } else {
            Spec::new(name, Dtype::I8, &[n, k])
        };
        if !symmetric {
            tail.push(zero_point_spec(&names, scheme, n, groups));
        }
        Self { body: vec![body], tail }
    }

    /// Bytes of all of them, at most.
    pub(crate) fn bytes(&self) -> u64 {
        self.body.iter().chain(&self.tail).map(Spec::bytes).sum()
    }
}

/// Groups of a row of `k` columns; whoever asks has checked that they divide it.
pub(crate) fn groups(scheme: QuantScheme, k: usize) -> usize {
    match scheme.group() {
        Some(Group::Columns(size)) => k / size,
        _ => 1,
    }
}

/// The zero points of a matrix: int8 as they are, int4 packed along the output rows.
pub(crate) fn zero_point_spec(
    names: &MatrixNames,
    scheme: QuantScheme,
    n: usize,
    groups: usize,
) -> Spec {
    match scheme.weight_bits() {
        4 => Spec::new(&names.zero_point, Dtype::I32, &[n.div_ceil(8), groups]),
        _ => Spec::new(&names.zero_point, Dtype::I8, &[n, groups]),
    }
}

/// The type of stored scales.
pub(crate) fn scale_dtype(scale_type: ScaleType) -> Dtype {
    match scale_type {
        ScaleType::F32 => Dtype::F32,
        ScaleType::F16 => Dtype::F16,
    }
}

/// The names compressed-tensors gives the parts of a matrix.
#[derive(Debug)]
pub(crate) struct MatrixNames {
    pub(crate) packed: String,
    pub(crate) scale: String,
    pub(crate) shape: String,
    pub(crate) zero_point: String,
}

impl MatrixNames {
    /// From the name of the weight.
    pub(crate) fn new(weight: &str) -> Self {
        let part = |suffix| format!("{weight}_{suffix}");
        Self {
            packed: part("packed"),
            scale: part("scale"),
            shape: part("shape"),
            zero_point: part("zero_point"),
        }
    }
}

/// The tensors of one file: a range of the model's.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) file: String,
    pub(crate) items: std::ops::Range<usize>,
}

/// Divides the model's tensors among files of at most `shard_bytes`, none of them split.
pub(crate) fn shards(source: &SourceModel, options: &ConvertOptions) -> Vec<Shard> {
    let mut starts = vec![0];
    let mut filled = 0u64;
    for (number, item) in source.items.iter().enumerate() {
        let bytes = Outputs::of(item, options).bytes();
        if filled > 0 && filled.saturating_add(bytes) > options.shard_bytes {
            starts.push(number);
            filled = 0;
        }
        filled = filled.saturating_add(bytes);
    }
    let count = starts.len();
    let ends = starts.iter().copied().skip(1).chain([source.items.len()]);
    let ranges = starts.iter().copied().zip(ends);
    ranges
        .enumerate()
        .map(|(number, (start, end))| Shard {
            file: file_name(number + 1, count),
            items: start..end,
        })
        .collect()
}

fn file_name(number: usize, count: usize) -> String {
    match count {
        1 => "model.safetensors".into(),
        _ => format!("model-{number:05}-of-{count:05}.safetensors"),
    }
}
