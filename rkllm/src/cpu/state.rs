//! An engine's sequence as bytes: what it was computed from, and the cache.

use std::io::{Read, Write};

use super::engine::Engine;
use super::kv::{Rows, RowsMut};
use crate::digest::Digest;
use crate::model::{Embedding, LayerWeights, LinearData, LinearWeights, ModelWeights};
use crate::{Dtype, Error, ErrorKind, Result};

/// Samples of a matrix's bytes that enter the fingerprint, and the length of each.
const SAMPLES: usize = 16;
const SAMPLE: usize = 64;
/// Bytes converted at a time.
const BUFFER: usize = 1 << 16;

impl Engine {
    /// A hash of all that keys and values depend on: the configuration, the RoPE rule in force for this
    /// context, the scheme, every norm and bias, samples of every matrix, and the adapter in force.
    pub(super) fn hash_model(&self) -> u64 {
        let weights: &ModelWeights = &self.weights;
        let config = &weights.config;
        let mut digest = Digest::new();
        digest.update(config.architecture.class().as_bytes());
        digest.update(weights.scheme.to_string().as_bytes());
        let half = weights.kv_cache == Dtype::F16;
        let numbers = [
            config.hidden_size,
            config.intermediate_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
            config.vocab_size,
            config.rms_norm_eps.to_bits() as usize,
            config.hidden_act as usize,
            usize::from(config.qk_norm),
            usize::from(half),
            config.rope.rotary_dim,
        ];
        digest.update_u64(numbers.map(|number| number as u64));
        for window in &config.sliding_window {
            digest.update_u64([window.map_or(u64::MAX, |window| window as u64)]);
        }
        floats(&mut digest, &config.rope.inv_freq(self.options.context));
        digest.update_u64([config.rope.attention_factor().to_bits()]);
        match &weights.embed_tokens {
            Embedding::Float(tensor) => {
                digest.update(tensor.dtype.to_string().as_bytes());
                sample(&mut digest, &tensor.data);
            }
            Embedding::Int8(rows) => {
                sample(&mut digest, rows.data());
                sample(&mut digest, rows.scales().bytes());
            }
        }
        for layer in &weights.layers {
            hash_layer(&mut digest, layer);
        }
        floats(&mut digest, &weights.norm);
        hash_matrix(&mut digest, &weights.lm_head);
        self.loras.hash(&mut digest, sample);
        digest.finish()
    }

    /// Bytes of keys and values of `len` tokens.
    pub(super) fn cache_bytes(&self, len: usize) -> Option<u64> {
        if len > self.options.context {
            return None;
        }
        // The whole cache is in memory, so a part of it can be counted.
        Some((self.kv_cache_bytes() / self.options.context * len) as u64)
    }

    /// Layer by layer keys, then values; of each, head by head `[len, head_dim]`.
    pub(super) fn write_cache(&self, out: &mut dyn Write) -> Result<()> {
        let mut bytes = Vec::with_capacity(BUFFER);
        for layer in &self.layers {
            for rows in layer.cache.parts(self.position) {
                match rows {
                    Rows::F32(values) => write(out, &mut bytes, &values, f32::to_le_bytes)?,
                    Rows::F16(values) => write(out, &mut bytes, &values, u16::to_le_bytes)?,
                }
            }
        }
        Ok(())
    }

    /// The inverse of [`Engine::write_cache`]; the position is the caller's to set.
    pub(super) fn read_cache(&mut self, len: usize, input: &mut dyn Read) -> Result<()> {
        let mut bytes = Vec::new();
        for layer in &mut self.layers {
            layer.cache.parts_mut(len, &mut |rows| {
                let finite = match rows {
                    RowsMut::F32(values) => {
                        read(input, &mut bytes, values, f32::from_le_bytes)?;
                        values.iter().all(|value| value.is_finite())
                    }
                    RowsMut::F16(values) => {
                        read(input, &mut bytes, values, u16::from_le_bytes)?;
                        values.iter().all(|value| value & 0x7C00 != 0x7C00)
                    }
                };
                match finite {
                    true => Ok(()),
                    false => Err(Error::new(
                        ErrorKind::Format,
                        "keys or values in the cache are not finite",
                    )
                    .with_hint("the file is damaged; compute the sequence again")),
                }
            })?;
        }
        Ok(())
    }
}

fn hash_layer(digest: &mut Digest, layer: &LayerWeights) {
    floats(digest, &layer.input_layernorm);
    floats(digest, &layer.post_attention_layernorm);
    for norm in [&layer.q_norm, &layer.k_norm].into_iter().flatten() {
        floats(digest, norm);
    }
    let matrices = layer.qkv.iter().chain(&layer.gate_up);
    for matrix in matrices.chain([&layer.o_proj, &layer.down_proj]) {
        hash_matrix(digest, matrix);
    }
}

fn hash_matrix(digest: &mut Digest, matrix: &LinearWeights) {
    digest.update_u64([matrix.n as u64, matrix.k as u64]);
    match &matrix.data {
        LinearData::Float(dtype, bytes) => {
            digest.update(dtype.to_string().as_bytes());
            sample(digest, bytes);
        }
        LinearData::Quantized(rows) => {
            digest.update_u64([u64::from(rows.bits()), rows.group() as u64]);
            sample(digest, rows.data());
            sample(digest, rows.scales().bytes());
            digest.update_u64([u64::from(rows.zero_points().is_some())]);
        }
    }
    if let Some(bias) = &matrix.bias {
        floats(digest, bias);
    }
}

/// Hashes bytes at even distances, the first and the last among them.
fn sample(digest: &mut Digest, bytes: &[u8]) {
    digest.update_u64([bytes.len() as u64]);
    if bytes.len() <= SAMPLES * SAMPLE {
        return digest.update(bytes);
    }
    let last = bytes.len() - SAMPLE;
    for index in 0..SAMPLES {
        let first = last / (SAMPLES - 1) * index;
        digest.update(&bytes[first..first + SAMPLE]);
    }
    digest.update(&bytes[last..]);
}

fn floats(digest: &mut Digest, values: &[f32]) {
    values.iter().for_each(|value| digest.update(&value.to_le_bytes()));
}

fn write<T: Copy, const N: usize>(
    out: &mut dyn Write,
    bytes: &mut Vec<u8>,
    values: &[T],
    to_bytes: impl Fn(T) -> [u8; N],
) -> Result<()> {
    for values in values.chunks(BUFFER / N) {
        bytes.clear();
        values.iter().for_each(|&value| bytes.extend_from_slice(&to_bytes(value)));
        out.write_all(bytes).map_err(|error| io("write", error))?;
    }
    Ok(())
}

fn read<T, const N: usize>(
    input: &mut dyn Read,
    bytes: &mut Vec<u8>,
    values: &mut [T],
    from_bytes: impl Fn([u8; N]) -> T,
) -> Result<()> {
    for values in values.chunks_mut(BUFFER / N) {
        bytes.resize(values.len() * N, 0);
        input.read_exact(bytes).map_err(|error| io("read", error))?;
        for (value, &bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
            *value = from_bytes(bytes);
        }
    }
    Ok(())
}

fn io(action: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot {action} the cache: {error}")).with_source(error)
}
