//! Linear layers on the NPU, with the bits of the CPU engine.
//!
//! The NPU multiplies int8 by int8 into i32 and nothing else: those sums are integers, so they are the
//! CPU's. Quantising the activations, zero points, scales and bias are the CPU's by `NUMERICS.md`:
//!
//! - w8a8: one product per group of K. Sums of a group longer than the chip takes in one piece are added
//!   as integers before they become floats.
//! - w4a16: weights unpacked to int8, activations in two int8 planes that go as rows of one product, low and
//!   high of each token one after the other. The NPU reads 8 bits per weight then, twice what is stored.
//! - N is split over the cores, M into chunks; shapes are padded with zeros. None of it moves a bit.
//!
//! Each group costs a call of the NPU (some 30 us by a third party's measure), so schemes without groups and
//! long prompts gain most; decoding (M = 1) belongs to the CPU. Weights are copied to NPU memory, beside
//! those the CPU decodes from. A memory takes a file descriptor, and there is one per group and core:
//! grouped schemes of large models need `ulimit -n` raised.
//!
//! **Not verified on hardware.** The tests hold these layers bit for bit against the CPU engine on a fake
//! librknnrt that multiplies plainly. [`NpuDevice::open`] multiplies known numbers on every core and refuses
//! an NPU that gives other sums.

mod activations;
mod device;
mod split;
mod weights;

use std::ops::Range;
use std::sync::{Arc, PoisonError};

pub use device::{NpuDevice, NpuDeviceOptions};

use self::activations::Quantized;
use self::device::SharedMatmul;
use self::split::{Slice, slices, split_rows};
use self::weights::Parts;
use super::matmul::Weights;
use crate::kernels::Kernel;
use crate::kernels::fpenv::FpEnv;
use crate::model::LinearWeights;
use crate::{Error, ErrorKind, Linear, Result};

/// One linear layer on the NPU, or several with one input whose outputs stand side by side.
pub struct NpuLinear {
    parts: Parts,
    kernel: Kernel,
    slices: Vec<Slice>,
    /// Rows of a product, ascending: each share has a context of each.
    rows: Vec<usize>,
    shares: Vec<Share>,
}

/// What one core computes.
struct Share {
    /// Its outputs.
    outputs: Range<usize>,
    /// Their number, padded.
    n: usize,
    /// For each slice of K.
    weights: Vec<Arc<Weights>>,
    /// For each number of rows, for each slice of K.
    contexts: Vec<Vec<SharedMatmul>>,
}

impl NpuLinear {
    /// The layer of these weights, which must be quantised, all alike. Their values are copied to the device.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for float weights and for parts that differ in K, bits or groups,
    /// [`ErrorKind::Kernel`] as [`Kernel::active`], and those of
    /// [`MatmulSpec::create`](super::matmul::MatmulSpec::create).
    pub fn new(parts: &[LinearWeights], device: &NpuDevice) -> Result<Self> {
        let parts = Parts::new(parts)?;
        let tile = device.tile();
        let slices = slices(parts.k, parts.group, device.k_limit(), tile.cols);
        let mut shares = Vec::new();
        let outputs = split_rows(parts.n, device.cores().len(), tile.rows);
        for (&core, outputs) in device.cores().iter().zip(outputs) {
            let n = outputs.len().next_multiple_of(tile.rows);
            let context = |m: usize, slice: &Slice| device.matmul(core, m, slice.k, n);
            let contexts =
                device.rows().iter().map(|&m| slices.iter().map(|it| context(m, it)).collect());
            let contexts = contexts.collect::<Result<Vec<Vec<_>>>>().map_err(|e| parts.about(e))?;
            let mut weights = Vec::with_capacity(slices.len());
            for (slice, context) in slices.iter().zip(&contexts[0]) {
                let values = parts.columns(&outputs, n, slice);
                let matmul = context.lock().unwrap_or_else(PoisonError::into_inner);
                weights.push(Arc::new(matmul.weights(&values).map_err(|e| parts.about(e))?));
            }
            shares.push(Share { outputs, n, weights, contexts });
        }
        let (kernel, rows) = (Kernel::active()?, device.rows().to_vec());
        Ok(Self { parts, kernel, slices, rows, shares })
    }

    /// Bytes of weights in NPU memory.
    pub fn device_bytes(&self) -> usize {
        self.shares.iter().flat_map(|it| &it.weights).map(|it| it.size_bytes()).sum()
    }

    /// Memories and contexts of the NPU this layer uses; contexts are shared between layers of one shape.
    pub fn memories(&self) -> usize {
        self.shares.iter().map(|share| share.weights.len()).sum()
    }

    /// The outputs of one core, `[M, outputs]`, without bias.
    fn compute(&self, share: &Share, x: &Quantized) -> Result<Vec<f32>> {
        let _env = FpEnv::enter();
        let width = share.outputs.len();
        let mut y = vec![0.0; x.tokens() * width];
        let mut scratch = Scratch::default();
        let mut first = 0;
        while first < x.tokens() {
            let left = (x.tokens() - first) * x.planes();
            let fits = self.rows.iter().position(|&rows| rows >= left);
            let size = fits.unwrap_or(self.rows.len() - 1);
            let tokens = (x.tokens() - first).min(self.rows[size] / x.planes());
            let chunk = first..first + tokens;
            let y = &mut y[first * width..][..tokens * width];
            self.chunk(share, size, x, chunk, &mut scratch, y)?;
            first += tokens;
        }
        Ok(y)
    }

    /// Some tokens, by the contexts of number `size`.
    fn chunk(
        &self,
        share: &Share,
        size: usize,
        x: &Quantized,
        tokens: Range<usize>,
        scratch: &mut Scratch,
        y: &mut [f32],
    ) -> Result<()> {
        let used = tokens.len() * x.planes() * share.n;
        for (s, slice) in self.slices.iter().enumerate() {
            scratch.product.resize(self.rows[size] * share.n, 0);
            x.rows(&tokens, slice, self.rows[size], &mut scratch.a);
            {
                let context = &share.contexts[size][s];
                let mut matmul = context.lock().unwrap_or_else(PoisonError::into_inner);
                matmul.set_weights(Arc::clone(&share.weights[s]))?;
                matmul.write_a(&scratch.a)?;
                matmul.run()?;
                matmul.read_c(&mut scratch.product)?;
            }
            let product = &scratch.product[..used];
            if slice.starts_group() {
                scratch.sums.clear();
                scratch.sums.extend_from_slice(product);
            } else {
                // No group is longer than 65,536 columns, so its sum fits; what a faulty device gives
                // must not panic.
                for (sum, part) in scratch.sums.iter_mut().zip(product) {
                    *sum = sum.wrapping_add(*part);
                }
            }
            if slice.ends_group(self.parts.group) {
                self.parts.scales_of(
                    slice.group,
                    &share.outputs,
                    &mut scratch.scales,
                    &mut scratch.zeros,
                );
                x.accumulate(&tokens, slice.group, share.n, scratch, y);
            }
        }
        Ok(())
    }
}

/// Buffers of one core, kept from chunk to chunk.
#[derive(Default)]
struct Scratch {
    /// A of one slice `[rows, k]`.
    a: Vec<i8>,
    /// C of one slice `[rows, n]`.
    product: Vec<i32>,
    /// The sums of one group `[tokens * planes, n]`.
    sums: Vec<i32>,
    /// Of one group, for each output.
    scales: Vec<f32>,
    zeros: Vec<i32>,
}

impl Linear for NpuLinear {
    fn in_features(&self) -> usize {
        self.parts.k
    }

    fn out_features(&self) -> usize {
        self.parts.n
    }

    fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let Parts { k, n, .. } = self.parts;
        let m = x.len() / k;
        if x.len() != m * k || y.len() != m * n {
            return Err(self.parts.about(Error::new(
                ErrorKind::Shape,
                format!("expected [M, {k}] and [M, {n}], found {} and {} values", x.len(), y.len()),
            )));
        }
        if m == 0 {
            return Ok(());
        }
        let x = {
            let _env = FpEnv::enter();
            Quantized::new(self.kernel.int(), x, &self.parts)
        };
        let outputs = on_each(&self.shares, |share| self.compute(share, &x));
        let _env = FpEnv::enter();
        for (share, outputs) in self.shares.iter().zip(outputs) {
            let outputs = outputs.map_err(|e| self.parts.about(e))?;
            let rows = outputs.chunks_exact(share.outputs.len());
            for (y, row) in y.chunks_exact_mut(n).zip(rows) {
                y[share.outputs.clone()].copy_from_slice(row);
            }
        }
        self.parts.add_bias(y);
        Ok(())
    }
}

/// Calls `act` on each share at once, the first on this thread.
fn on_each<T: Send>(shares: &[Share], act: impl Fn(&Share) -> Result<T> + Sync) -> Vec<Result<T>> {
    let Some((first, others)) = shares.split_first() else { return Vec::new() };
    let act = &act;
    std::thread::scope(|scope| {
        let spawn = |share| {
            std::thread::Builder::new()
                .name("rkllm-npu".into())
                .spawn_scoped(scope, move || act(share))
        };
        let others: Vec<_> = others.iter().map(spawn).collect();
        let mut all = vec![act(first)];
        all.extend(others.into_iter().map(|thread| {
            match thread {
                Ok(thread) => {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                }
                Err(error) => Err(Error::new(
                    ErrorKind::Memory,
                    format!("cannot start a thread for an NPU core: {error}"),
                )
                .with_hint("use fewer cores")),
            }
        }));
        all
    })
}

impl std::fmt::Debug for NpuLinear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NpuLinear")
            .field("n", &self.parts.n)
            .field("k", &self.parts.k)
            .field("shares", &self.shares.len())
            .field("slices", &self.slices.len())
            .finish_non_exhaustive()
    }
}
