//! Linear layers on the CPU.

use std::sync::{Arc, Mutex, PoisonError};

use super::pool::Pool;
use crate::kernels::int::{Activations8, Activations16};
use crate::kernels::{Columns, ColumnsAt, Kernel};
use crate::model::{LinearData, LinearWeights};
use crate::quant::QuantizedRows;
use crate::{Linear, Result};

/// Rows of weights a task takes at least; fewer would cost more in handing out than in computing.
const MIN_ROWS: usize = 16;

/// What all layers of an engine share.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) kernel: Kernel,
    pub(crate) pool: Arc<Pool>,
    /// Quantised activations, reused from layer to layer.
    scratch: Arc<Mutex<Scratch>>,
}

#[derive(Default)]
struct Scratch {
    eight: Activations8,
    sixteen: Activations16,
}

impl Device {
    pub(crate) fn new(kernel: Kernel, pool: Pool) -> Self {
        Self { kernel, pool: Arc::new(pool), scratch: Arc::default() }
    }

    /// Calls `rows(range)` on disjoint ranges of multiples of 16 rows that cover `0..n`, for `m` tokens.
    fn split_rows(&self, m: usize, n: usize, rows: impl Fn(std::ops::Range<usize>) + Sync) {
        // Decoding waits for memory: a kernel reads its range as several long streams, so each
        // thread gets one large range. Otherwise four tasks a thread level out cores of different
        // speed and a busy machine.
        let wanted = self.pool.threads() * if m == 1 { 1 } else { 4 };
        let step = n.div_ceil(wanted).next_multiple_of(MIN_ROWS);
        self.pool.run(n.div_ceil(step), &|_, task| {
            rows(task * step..((task + 1) * step).min(n));
        });
    }
}

/// One linear layer, or several with one input whose outputs stand side by side.
pub(crate) struct CpuLinear {
    parts: Vec<LinearWeights>,
    n: usize,
    k: usize,
    device: Device,
}

impl CpuLinear {
    /// # Panics
    /// If there is no part or the parts differ in K: the loader has checked both.
    pub(crate) fn new(parts: Vec<LinearWeights>, device: &Device) -> Self {
        let k = parts[0].k;
        assert!(parts.iter().all(|part| part.k == k), "layers of one input differ in K");
        Self { n: parts.iter().map(|part| part.n).sum(), k, parts, device: device.clone() }
    }

    fn float(&self, x: &[f32], part: &LinearWeights, y: ColumnsAt<'_>) {
        let LinearData::Float(dtype, data) = &part.data else {
            unreachable!("chosen by `forward`")
        };
        let ops = self.device.kernel.float();
        // SAFETY: tasks have disjoint rows, so disjoint columns of `y`.
        self.device.split_rows(x.len() / self.k, part.n, |rows| unsafe {
            ops.rows(x, self.k, *dtype, data, rows, y);
        });
    }

    fn quantized(&self, x: &[f32], w: &QuantizedRows, fresh: bool, y: ColumnsAt<'_>) {
        let int = self.device.kernel.int();
        let mut scratch = self.device.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = &mut *scratch;
        if w.bits == 8 {
            if fresh {
                int.quantize8(x, self.k, w.group, &mut scratch.eight);
            }
            let x = &scratch.eight;
            // SAFETY: tasks have disjoint rows; `x` was made from this K and group; the loader
            // checked that `w` holds what it says; `y` has this part's columns.
            self.device.split_rows(x.m, w.n, |rows| unsafe { int.w8a8(x, w, rows, y) });
        } else {
            if fresh {
                int.quantize16(x, self.k, w.group, &mut scratch.sixteen);
            }
            let x = &scratch.sixteen;
            // SAFETY: as above.
            self.device.split_rows(x.m, w.n, |rows| unsafe { int.w4a16(x, w, rows, y) });
        }
    }
}

impl Linear for CpuLinear {
    fn in_features(&self) -> usize {
        self.k
    }

    fn out_features(&self) -> usize {
        self.n
    }

    fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let m = x.len() / self.k;
        assert!(x.len() == m * self.k && y.len() == m * self.n, "wrong shape");
        let columns = Columns::new(y, self.n);
        let mut first = 0;
        // Parts of one kind share the quantised input of the part before.
        let mut quantized_as = None;
        for part in &self.parts {
            let out = columns.offset(first);
            match &part.data {
                LinearData::Float(..) => self.float(x, part, out),
                LinearData::Quantized(w) => {
                    let kind = Some((w.bits, w.group));
                    self.quantized(x, w, quantized_as != kind, out);
                    quantized_as = kind;
                }
            }
            first += part.n;
        }
        let mut first = 0;
        for part in &self.parts {
            if let Some(bias) = &part.bias {
                for row in y.chunks_exact_mut(self.n) {
                    for (y, b) in row[first..first + part.n].iter_mut().zip(bias) {
                        *y += b;
                    }
                }
            }
            first += part.n;
        }
        Ok(())
    }
}
