//! The forward pass of every architecture.

use super::attention::attend;
use super::engine::Engine;
use crate::kernels::Columns;
use crate::model::Activation;
use crate::{Input, Linear, Result, Want};

/// Rows of logits computed at a time: bounds memory at large vocabularies.
const LOGIT_ROWS: usize = 16;

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
        let result = self.blocks(input, &mut buffers).and_then(|()| {
            let first = self.position;
            let count = buffers.x.len() / self.weights.config.hidden_size;
            self.position += count;
            let from = match want {
                Want::All => 0,
                Want::Last => count - 1,
                Want::Nothing => return Ok(()),
            };
            self.output(&mut buffers, (first, from), output, sink)
        });
        self.buffers = buffers;
        result
    }

    fn blocks(&mut self, input: Input<'_>, b: &mut Buffers) -> Result<()> {
        let hidden = self.weights.config.hidden_size;
        match input {
            Input::Tokens(tokens) => {
                b.x.resize(tokens.len() * hidden, 0.0);
                for (row, &id) in b.x.chunks_exact_mut(hidden).zip(tokens) {
                    self.weights.embed_tokens.row(id, row)?;
                }
            }
            Input::Embeddings(values) => {
                b.x.clear();
                b.x.extend_from_slice(values);
            }
        }
        b.h.resize(b.x.len(), 0.0);
        for index in 0..self.layers.len() {
            self.attention_block(index, b)?;
            self.feed_forward_block(index, b)?;
        }
        Ok(())
    }

    fn attention_block(&mut self, index: usize, b: &mut Buffers) -> Result<()> {
        let weights = &self.weights.layers[index];
        norm_rows(self, &b.x, &weights.input_layernorm, &mut b.h);
        let layer = &mut self.layers[index];
        let (heads, width) = (layer.heads, layer.qkv.out_features());
        let m = b.x.len() / layer.qkv.in_features();
        apply(&*layer.qkv, &b.h, &mut b.qkv)?;
        self.loras.add(&self.device, |lora| &lora.layers[index].qkv, &b.h, &mut b.qkv);

        let (queries, keys) = (heads.query * heads.dim, heads.kv * heads.dim);
        let ops = self.device.kernel.float();
        let eps = self.weights.config.rms_norm_eps;
        let rotary = self.weights.config.rope.rotary_dim;
        let (first, rope) = (self.position, &self.rope);
        let rows = Columns::new(&mut b.qkv, width);
        self.device.pool.run(m, &|_, token| {
            // SAFETY: one task per row.
            let row = unsafe { std::slice::from_raw_parts_mut(rows.at(token, 0), width) };
            let half = rotary / 2;
            let at = (first + token) * half;
            let (cos, sin) = (&rope.cos[at..at + half], &rope.sin[at..at + half]);
            let mut normed = vec![0.0; heads.dim];
            let (q, rest) = row.split_at_mut(queries);
            for (part, norm) in [(q, &weights.q_norm), (&mut rest[..keys], &weights.k_norm)] {
                for head in part.chunks_exact_mut(heads.dim) {
                    if let Some(norm) = norm {
                        ops.rms_norm(head, norm, eps, &mut normed);
                        head.copy_from_slice(&normed);
                    }
                    ops.rotate(&mut head[..rotary], cos, sin);
                }
            }
        });
        for (token, row) in b.qkv.chunks_exact(width).enumerate() {
            let (k, v) = row[queries..].split_at(keys);
            layer.cache.write(first + token, k, v, ops);
        }
        b.attention.resize(m * queries, 0.0);
        attend(
            &self.device,
            heads,
            &layer.cache,
            (&b.qkv, width),
            first,
            &self.attention,
            &mut b.attention,
        );
        apply(&*layer.o_proj, &b.attention, &mut b.h)?;
        self.loras.add(&self.device, |lora| &lora.layers[index].o_proj, &b.attention, &mut b.h);
        add(&mut b.x, &b.h);
        Ok(())
    }

    fn feed_forward_block(&mut self, index: usize, b: &mut Buffers) -> Result<()> {
        let weights = &self.weights.layers[index];
        norm_rows(self, &b.x, &weights.post_attention_layernorm, &mut b.h);
        let layer = &self.layers[index];
        apply(&*layer.gate_up, &b.h, &mut b.gate_up)?;
        self.loras.add(&self.device, |lora| &lora.layers[index].gate_up, &b.h, &mut b.gate_up);
        let inner = layer.down_proj.in_features();
        let m = b.gate_up.len() / (2 * inner);
        b.gated.resize(m * inner, 0.0);
        let ops = self.device.kernel.float();
        let activation = self.weights.config.hidden_act;
        let (gate_up, gated) = (&b.gate_up, Columns::new(&mut b.gated, inner));
        self.device.pool.run(m, &|_, token| {
            let (gate, up) = gate_up[token * 2 * inner..][..2 * inner].split_at(inner);
            // SAFETY: one task per row.
            let out = unsafe { std::slice::from_raw_parts_mut(gated.at(token, 0), inner) };
            match activation {
                Activation::Silu => ops.silu_gate(gate, up, out),
                Activation::GeluTanh => ops.gelu_tanh_gate(gate, up, out),
            }
        });
        apply(&*layer.down_proj, &b.gated, &mut b.h)?;
        self.loras.add(&self.device, |lora| &lora.layers[index].down_proj, &b.gated, &mut b.h);
        add(&mut b.x, &b.h);
        Ok(())
    }

    /// Logits or hidden states of the positions from `from` of the chunk on, whose first one is `first`.
    fn output(
        &self,
        b: &mut Buffers,
        (first, from): (usize, usize),
        output: Output,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let hidden = self.weights.config.hidden_size;
        let rows = b.x.len() / hidden;
        let mut row = from;
        while row < rows {
            let count = LOGIT_ROWS.min(rows - row);
            let x = &b.x[row * hidden..(row + count) * hidden];
            b.h.resize(count * hidden, 0.0);
            norm_rows(self, x, &self.weights.norm, &mut b.h);
            let (values, width) = match output {
                Output::Hidden => (&b.h, hidden),
                Output::Logits => {
                    apply(&*self.lm_head, &b.h, &mut b.logits)?;
                    self.loras.add(&self.device, |lora| &lora.lm_head, &b.h, &mut b.logits);
                    (&b.logits, self.lm_head.out_features())
                }
            };
            for (i, values) in values.chunks_exact(width).enumerate() {
                sink(first + row + i, values)?;
            }
            row += count;
        }
        Ok(())
    }
}

/// Runs a layer into a buffer of the right size.
fn apply(linear: &dyn Linear, x: &[f32], y: &mut Vec<f32>) -> Result<()> {
    y.resize(x.len() / linear.in_features() * linear.out_features(), 0.0);
    linear.forward(x, y)
}

fn norm_rows(engine: &Engine, x: &[f32], weight: &[f32], out: &mut [f32]) {
    let (ops, eps, n) =
        (engine.device.kernel.float(), engine.weights.config.rms_norm_eps, weight.len());
    let out = Columns::new(out, n);
    engine.device.pool.run(x.len() / n, &|_, row| {
        // SAFETY: one task per row.
        let out = unsafe { std::slice::from_raw_parts_mut(out.at(row, 0), n) };
        ops.rms_norm(&x[row * n..][..n], weight, eps, out);
    });
}

fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}
