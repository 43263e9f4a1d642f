//! The forward pass of every architecture.

use std::ops::Range;

use super::attention::{Queries, attend};
use super::engine::Engine;
use super::linear::Device;
use crate::kernels::{Columns, exact};
use crate::model::Activation;
use crate::{Input, Linear, Result, Want};

/// Rows of logits computed at a time: bounds memory at large vocabularies.
pub(super) const LOGIT_ROWS: usize = 16;

/// Values of a step below which one thread does all its rows: a fork would take longer.
const SMALL: usize = 1 << 13;

/// What a step gives of the positions asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Logits,
    /// What the output head would multiply.
    Hidden,
}

/// Activations of one step, kept from step to step. Shapes are of `M` tokens.
#[derive(Default)]
pub(super) struct Buffers {
    /// Residual stream `[M, hidden]`.
    x: Vec<f32>,
    /// Normed input of a block `[M, hidden]`.
    h: Vec<f32>,
    /// Queries, keys, values `[M, (heads + 2 kv_heads) * head_dim]`.
    qkv: Vec<f32>,
    /// Attention output `[M, heads * head_dim]`.
    attention: Vec<f32>,
    /// Gate and up `[M, 2 * intermediate]`.
    gate_up: Vec<f32>,
    /// Gated `[M, intermediate]`.
    gated: Vec<f32>,
    /// `[LOGIT_ROWS, vocab]`.
    logits: Vec<f32>,
}

impl Engine {
    /// Appends one chunk that was checked and has at least one position.
    pub(super) fn step(
        &mut self,
        input: Input<'_>,
        output: Output,
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let mut buffers = std::mem::take(&mut self.buffers);
        let result = self.blocks(input, want, &mut buffers).and_then(|count| {
            self.position += count;
            match want {
                Want::Nothing => Ok(()),
                Want::All | Want::Last => self.output(&mut buffers, output, sink),
            }
        });
        self.buffers = buffers;
        result
    }

    /// Leaves the residual stream of the positions wanted in `b.x`, and gives the number of all of `input`.
    fn blocks(&mut self, input: Input<'_>, want: Want, b: &mut Buffers) -> Result<usize> {
        let hidden = self.weights.config.hidden_size;
        match input {
            Input::Tokens(tokens) => {
                exact::resize(&mut b.x, tokens.len() * hidden, 0.0);
                for (row, &id) in b.x.chunks_exact_mut(hidden).zip(tokens) {
                    self.weights.embed_tokens.row(id, row)?;
                }
            }
            Input::Embeddings(values) => {
                b.x.clear();
                b.x.extend_from_slice(values);
            }
        }
        let count = b.x.len() / hidden;
        exact::resize(&mut b.h, b.x.len(), 0.0);
        for index in 0..self.layers.len() {
            // Behind the last layer's keys and values no position needs another one.
            let last = index + 1 == self.layers.len();
            let wanted = match want {
                Want::All => count,
                _ if !last => count,
                Want::Last => 1,
                Want::Nothing => 0,
            };
            self.keys_and_values(index, b)?;
            if wanted == 0 {
                break;
            }
            keep_last(&mut b.x, hidden, wanted);
            keep_last(&mut b.qkv, self.layers[index].qkv.out_features(), wanted);
            self.attention_block(index, self.position + count - wanted, b)?;
            self.feed_forward_block(index, b)?;
        }
        Ok(count)
    }

    /// Leaves the rotated queries in `b.qkv`, and keys and values in the cache. The residual stream is in `b.x`,
    /// and in all layers but the first one the output of the layer before, not yet added, in `b.h`.
    fn keys_and_values(&mut self, index: usize, b: &mut Buffers) -> Result<()> {
        let weights = &self.weights.layers[index];
        let add = index != 0;
        self.norm(add, &weights.input_layernorm, &mut b.x, &mut b.h);
        let layer = &mut self.layers[index];
        let (heads, width) = (layer.heads, layer.qkv.out_features());
        apply(&*layer.qkv, &b.h, &mut b.qkv)?;
        self.loras.add(&self.device, |lora| &lora.layers[index].qkv, &b.h, &mut b.qkv);

        let (queries, keys) = (heads.query * heads.dim, heads.kv * heads.dim);
        let ops = self.device.kernel.float();
        let eps = self.weights.config.rms_norm_eps;
        let half = self.weights.config.rope.rotary_dim / 2;
        let (first, rope) = (self.position, &self.rope);
        let m = b.qkv.len() / width;
        let rows = Columns::new(&mut b.qkv, width);
        let cache = layer.cache.writer();
        split_rows(&self.device, m, width, &|tokens| {
            let mut normed = vec![0.0; heads.dim];
            for token in tokens {
                // SAFETY: this task alone has this row.
                let row = unsafe { std::slice::from_raw_parts_mut(rows.at(token, 0), width) };
                let position = first + token;
                let (cos, sin) = (&rope.cos[position * half..], &rope.sin[position * half..]);
                let (q, rest) = row.split_at_mut(queries);
                let (k, v) = rest.split_at_mut(keys);
                for (part, norm) in [(q, &weights.q_norm), (&mut *k, &weights.k_norm)] {
                    for head in part.chunks_exact_mut(heads.dim) {
                        if let Some(norm) = norm {
                            ops.rms_norm(head, norm, eps, &mut normed);
                            head.copy_from_slice(&normed);
                        }
                        ops.rotate(&mut head[..2 * half], &cos[..half], &sin[..half]);
                    }
                }
                // SAFETY: this task alone has this position.
                unsafe { cache.write(position, k, &v[..keys], ops) };
            }
        });
        Ok(())
    }

    /// Attention of the queries in `b.qkv`, whose first one stands at `first`; adds it to the residual stream, and
    /// leaves the norm of that in `b.h`.
    fn attention_block(&mut self, index: usize, first: usize, b: &mut Buffers) -> Result<()> {
        let layer = &self.layers[index];
        let (heads, width) = (layer.heads, layer.qkv.out_features());
        exact::resize(&mut b.attention, b.qkv.len() / width * heads.query * heads.dim, 0.0);
        let queries = Queries { qkv: &b.qkv, width, first };
        attend(&self.device, heads, &layer.cache, queries, &self.attention, &mut b.attention);
        apply(&*layer.o_proj, &b.attention, &mut b.h)?;
        self.loras.add(&self.device, |lora| &lora.layers[index].o_proj, &b.attention, &mut b.h);
        let norm = &self.weights.layers[index].post_attention_layernorm;
        self.norm(true, norm, &mut b.x, &mut b.h);
        Ok(())
    }

    /// Leaves in `b.h` what the layer adds to the residual stream; the next norm adds it.
    fn feed_forward_block(&mut self, index: usize, b: &mut Buffers) -> Result<()> {
        let layer = &self.layers[index];
        apply(&*layer.gate_up, &b.h, &mut b.gate_up)?;
        self.loras.add(&self.device, |lora| &lora.layers[index].gate_up, &b.h, &mut b.gate_up);
        let inner = layer.down_proj.in_features();
        let m = b.gate_up.len() / (2 * inner);
        exact::resize(&mut b.gated, m * inner, 0.0);
        let ops = self.device.kernel.float();
        let activation = self.weights.config.hidden_act;
        let (gate_up, gated) = (&b.gate_up, Columns::new(&mut b.gated, inner));
        split_rows(&self.device, m, inner, &|tokens| {
            for token in tokens {
                let (gate, up) = gate_up[token * 2 * inner..][..2 * inner].split_at(inner);
                // SAFETY: this task alone has this row.
                let out = unsafe { std::slice::from_raw_parts_mut(gated.at(token, 0), inner) };
                match activation {
                    Activation::Silu => ops.silu_gate(gate, up, out),
                    Activation::GeluTanh => ops.gelu_tanh_gate(gate, up, out),
                }
            }
        });
        apply(&*layer.down_proj, &b.gated, &mut b.h)?;
        self.loras.add(&self.device, |lora| &lora.layers[index].down_proj, &b.gated, &mut b.h);
        Ok(())
    }

    /// `h = norm(x)`, after `x = x + h` if `add`.
    fn norm(&self, add: bool, weight: &[f32], x: &mut [f32], h: &mut [f32]) {
        let (ops, eps, n) =
            (self.device.kernel.float(), self.weights.config.rms_norm_eps, weight.len());
        let m = x.len() / n;
        let (x, h) = (Columns::new(x, n), Columns::new(h, n));
        split_rows(&self.device, m, n, &|rows| {
            for row in rows {
                // SAFETY: this task alone has this row of both.
                let (x, h) = unsafe {
                    (
                        std::slice::from_raw_parts_mut(x.at(row, 0), n),
                        std::slice::from_raw_parts_mut(h.at(row, 0), n),
                    )
                };
                match add {
                    true => ops.add_rms_norm(x, weight, eps, h),
                    false => ops.rms_norm(x, weight, eps, h),
                }
            }
        });
    }

    /// Logits or hidden states of the rows of `b.x`, which are the last positions; what the last layer adds to
    /// them is in `b.h`.
    fn output(
        &self,
        b: &mut Buffers,
        output: Output,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let hidden = self.weights.config.hidden_size;
        let rows = b.x.len() / hidden;
        let first = self.position - rows;
        self.norm(true, &self.weights.norm, &mut b.x, &mut b.h);
        for row in (0..rows).step_by(LOGIT_ROWS) {
            let count = LOGIT_ROWS.min(rows - row);
            let h = &b.h[row * hidden..(row + count) * hidden];
            let (values, width) = match output {
                Output::Hidden => (h, hidden),
                Output::Logits => {
                    apply(&*self.lm_head, h, &mut b.logits)?;
                    self.loras.add(&self.device, |lora| &lora.lm_head, h, &mut b.logits);
                    (&b.logits[..], self.lm_head.out_features())
                }
            };
            for (i, values) in values.chunks_exact(width).enumerate() {
                sink(first + row + i, values)?;
            }
        }
        Ok(())
    }
}

/// Runs a layer into a buffer of the right size.
fn apply(linear: &dyn Linear, x: &[f32], y: &mut Vec<f32>) -> Result<()> {
    exact::resize(y, x.len() / linear.in_features() * linear.out_features(), 0.0);
    linear.forward(x, y)
}

/// Keeps the last `count` rows of `width` values.
fn keep_last(rows: &mut Vec<f32>, width: usize, count: usize) {
    let first = rows.len() - count * width;
    if first != 0 {
        rows.copy_within(first.., 0);
        rows.truncate(count * width);
    }
}

/// Calls `rows` on disjoint ranges that cover `0..m`, rows of `width` values.
fn split_rows(device: &Device, m: usize, width: usize, rows: &(dyn Fn(Range<usize>) + Sync)) {
    let threads = device.pool.threads();
    if m == 1 || threads == 1 || m * width < SMALL {
        return rows(0..m);
    }
    let tasks = m.min(4 * threads);
    device.pool.run(tasks, &|_, task| rows(task * m / tasks..(task + 1) * m / tasks));
}
