//! The files of an artifact, written one after the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use half::f16;
use rkllm::quant::nibble::pack_zero_points;
use rkllm::quant::{WeightSpec, ZeroPoints};
use rkllm::{Dtype, Error, ErrorKind, Result, floats_to_f32};
use serde_json::json;

use crate::options::{ConvertOptions, Embedding, Meter, OnProgress, Stage};
use crate::outputs::{self, MatrixNames, Outputs, Shard, scale_dtype, zero_point_spec};
use crate::plan::Role;
use crate::quantization_config::artifact_config;
use crate::rows::{Matrix, Parameters, Sink, quantize_matrix};
use crate::shard::{ShardWriter, Spec};
use crate::source::{SourceItem, SourceModel};
use crate::staging::write_error;

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Grouped tensors whose scales are f32.
    pub(crate) f32_scales: Vec<String>,
    /// Bytes of all tensors.
    pub(crate) bytes: u64,
    /// Of the layers' matrices with scales and zero points; the head is not one of them.
    pub(crate) linear_bytes: u64,
    /// Weights in those matrices.
    pub(crate) linear_weights: u64,
}

/// Writes an artifact's files, all but the manifest, into `dir`.
pub(crate) struct ArtifactWriter<'a, 'b, 'c> {
    source: &'a SourceModel,
    options: &'a ConvertOptions,
    threads: usize,
    dir: &'a Path,
    meter: Meter<'b, 'c>,
    written: Written,
    /// Which file each tensor is in.
    weight_map: BTreeMap<String, String>,
}

impl<'a, 'b, 'c> ArtifactWriter<'a, 'b, 'c> {
    pub(crate) fn new(
        source: &'a SourceModel,
        options: &'a ConvertOptions,
        dir: &'a Path,
        on_progress: &'b mut OnProgress<'c>,
    ) -> Self {
        Self {
            source,
            options,
            threads: threads(options),
            dir,
            meter: Meter::new(on_progress, Stage::Quantize, source.tensor_bytes()),
            written: Written::default(),
            weight_map: BTreeMap::new(),
        }
    }

    pub(crate) fn write(mut self) -> Result<Written> {
        let shards = outputs::shards(self.source, self.options);
        for shard in &shards {
            self.write_shard(shard)?;
        }
        if shards.len() > 1 {
            let index = json!({
                "metadata": { "total_size": self.written.bytes },
                "weight_map": self.weight_map,
            });
            write_json(&self.dir.join("model.safetensors.index.json"), &index)?;
        }
        let (scheme, symmetric) = (self.options.scheme, self.options.symmetric);
        let tied = self.source.shares_head();
        let config = artifact_config(&self.source.config_json, scheme, symmetric, tied)?;
        write_json(&self.dir.join("config.json"), &config)?;
        for name in &self.source.kept {
            copy(&self.source.dir.join(name), &self.dir.join(name))?;
        }
        Ok(self.written)
    }

    fn write_shard(&mut self, shard: &Shard) -> Result<()> {
        let source = self.source;
        let items = &source.items[shard.items.clone()];
        let mut body = Vec::new();
        let mut tail = Vec::new();
        for item in items {
            let outputs = Outputs::of(item, self.options);
            body.extend(outputs.body);
            tail.extend(outputs.tail);
        }
        let mut writer = ShardWriter::create(&self.dir.join(&shard.file), body, &tail)?;
        for item in items {
            let name = &item.item.name;
            self.meter.add(name, 0)?;
            self.write_item(item, &mut writer).map_err(|error| match error.kind() {
                ErrorKind::Cancelled | ErrorKind::Io => error,
                _ => error.about(item.stored.as_str()).about(source.dir.display().to_string()),
            })?;
        }
        let (specs, bytes) = writer.finish()?;
        self.written.bytes += bytes;
        self.weight_map.extend(specs.into_iter().map(|spec| (spec.name, shard.file.clone())));
        Ok(())
    }

    fn write_item(&mut self, item: &SourceItem, writer: &mut ShardWriter) -> Result<()> {
        match item.item.role {
            Role::Embedding if self.options.embedding == Embedding::F16 => {
                self.write_embedding(item, writer)
            }
            Role::Linear => {
                let bytes = self.write_matrix(item, &self.options.layer_spec(), writer)?;
                self.written.linear_bytes += bytes;
                self.written.linear_weights += item.elements();
                Ok(())
            }
            Role::Embedding | Role::Head => {
                self.write_matrix(item, &self.options.head_spec(), writer).map(|_| ())
            }
            Role::Small => self.write_small(item, writer),
        }
    }

    fn write_embedding(&mut self, item: &SourceItem, writer: &mut ShardWriter) -> Result<()> {
        let [n, k] = matrix_shape(item)?;
        let read =
            |at: u64, out: &mut [u8]| self.source.tensors().read_range(&item.stored, at, out);
        let matrix = Matrix { dtype: item.dtype, n, k, read: &read };
        let meter = &mut self.meter;
        let mut values = Vec::new();
        let mut halves = Vec::new();
        matrix.blocks(&mut |first, stored| {
            values.resize(stored.len() / item.dtype.size(), 0.0);
            floats_to_f32(item.dtype, stored, &mut values)?;
            halves.clear();
            for (at, &value) in values.iter().enumerate() {
                let half = f16::from_f32(value);
                if !half.is_finite() {
                    return Err(no_half(value, first + at / k, at % k));
                }
                halves.extend(half.to_le_bytes());
            }
            writer.append(&item.item.name, &halves)?;
            meter.add(&item.item.name, stored.len() as u64)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Returns the bytes it took.
    fn write_matrix(
        &mut self,
        item: &SourceItem,
        spec: &WeightSpec,
        writer: &mut ShardWriter,
    ) -> Result<u64> {
        let [n, k] = matrix_shape(item)?;
        let names = MatrixNames::new(&item.item.name);
        let int4 = spec.scheme.weight_bits() == 4;
        let values = if int4 { &names.packed } else { &item.item.name };
        let read =
            |at: u64, out: &mut [u8]| self.source.tensors().read_range(&item.stored, at, out);
        let matrix = Matrix { dtype: item.dtype, n, k, read: &read };
        let mut sink =
            ShardSink { writer, meter: &mut self.meter, name: values, stored: 0, counted: 0 };
        let parameters = quantize_matrix(&matrix, spec, self.threads, &mut sink)?;
        let mut bytes = sink.stored;
        if parameters.scale_type != spec.scale_type() {
            self.written.f32_scales.push(item.item.name.clone());
        }
        for (spec, data) in small_parts(parameters, &names, spec, [n, k])? {
            bytes += data.len() as u64;
            writer.push_tail(spec, &data)?;
        }
        if int4 {
            let shape: Vec<u8> = [n, k].iter().flat_map(|&d| (d as i64).to_le_bytes()).collect();
            writer.push_tail(Spec::new(&names.shape, Dtype::I64, &[2]), &shape)?;
        }
        Ok(bytes)
    }

    fn write_small(&mut self, item: &SourceItem, writer: &mut ShardWriter) -> Result<()> {
        let mut stored = vec![0; item.bytes as usize];
        self.source.tensors().read_range(&item.stored, 0, &mut stored)?;
        let mut values = vec![0.0; stored.len() / item.dtype.size()];
        floats_to_f32(item.dtype, &stored, &mut values)?;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::new(
                ErrorKind::NonFinite,
                format!("element {at} is {}", values[at]),
            )
            .with_hint(DAMAGED));
        }
        let spec = Spec::new(&item.item.name, item.dtype, &item.item.shape);
        writer.push_tail(spec, &stored)?;
        self.meter.add(&item.item.name, item.bytes)
    }
}

const DAMAGED: &str = "the checkpoint is damaged or overflowed when it was saved; get a good one";

fn no_half(value: f32, row: usize, column: usize) -> Error {
    let place = format!("row {row}, column {column}");
    if value.is_finite() {
        Error::new(ErrorKind::Quantization, format!("{value} at {place} has no f16"))
            .with_hint("store the embedding as int8")
    } else {
        Error::new(ErrorKind::NonFinite, format!("the weight of {place} is {value}"))
            .with_hint(DAMAGED)
    }
}

fn matrix_shape(item: &SourceItem) -> Result<[usize; 2]> {
    <[usize; 2]>::try_from(item.item.shape.as_slice()).map_err(|_| {
        Error::new(ErrorKind::Shape, format!("expected a matrix, found {:?}", item.item.shape))
    })
}

/// Scales and zero points as they are stored.
fn small_parts(
    parameters: Parameters,
    names: &MatrixNames,
    spec: &WeightSpec,
    [n, k]: [usize; 2],
) -> Result<Vec<(Spec, Vec<u8>)>> {
    let groups = outputs::groups(spec.scheme, k);
    let dtype = scale_dtype(parameters.scale_type);
    let mut parts = vec![(Spec::new(&names.scale, dtype, &[n, groups]), parameters.scales)];
    if let Some(zero_points) = parameters.zero_points {
        let bytes = match zero_points {
            ZeroPoints::I8(z) => z.into_iter().map(|z| z as u8).collect(),
            ZeroPoints::U4(z) => pack_zero_points(&z, n, groups)?,
        };
        parts.push((zero_point_spec(names, spec.scheme, n, groups), bytes));
    }
    Ok(parts)
}

/// Values of one matrix on their way into a shard.
struct ShardSink<'a, 'b, 'c> {
    writer: &'a mut ShardWriter,
    meter: &'a mut Meter<'b, 'c>,
    name: &'a str,
    stored: u64,
    /// Source bytes counted for this matrix.
    counted: u64,
}

impl Sink for ShardSink<'_, '_, '_> {
    fn values(&mut self, stored: &[u8], source_bytes: u64) -> Result<()> {
        self.writer.append(self.name, stored)?;
        self.stored += stored.len() as u64;
        self.counted += source_bytes;
        self.meter.add(self.name, source_bytes)
    }

    fn restart(&mut self) -> Result<()> {
        self.meter.take_back(self.counted);
        (self.stored, self.counted) = (0, 0);
        self.writer.restart(self.name)
    }
}

fn threads(options: &ConvertOptions) -> usize {
    match options.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    }
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::new(ErrorKind::Format, e.to_string()))?;
    text.push(b'\n');
    let written = File::create_new(path).and_then(|mut file| {
        file.write_all(&text)?;
        file.sync_all()
    });
    written.map_err(|e| write_error(path, "write", e))
}

/// Copies contents, not permissions: a read-only source must not make a read-only artifact.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).map_err(|e| Error::io(from, "open", e))?;
    let copied = File::create_new(to).and_then(|mut file| {
        io::copy(&mut source, &mut file)?;
        file.sync_all()
    });
    copied.map_err(|e| write_error(to, "write", e))
}
