//! Linear layers on the CPU.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::ahead::{Ahead, RUNS};
use super::pool::{Pool, lock};
use crate::kernels::int::{Activations8, Activations16};
use crate::kernels::{Columns, Kernel};
use crate::model::{LinearData, LinearWeights};
use crate::{Linear, Result};

/// Rows of weights that a decode task takes a multiple of; fewer would cost more in handing out than in computing.
const MIN_ROWS: usize = 16;

/// Bytes of the next layer that a thread reads while it waits, at most: more than it has time for, and less than a
/// second-level cache holds.
const AHEAD: usize = 256 << 10;

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
    /// The layer that decoded last.
    before: Option<Arc<Lead>>,
}

/// Where a layer's weights begin, and where those of the layer begin that decodes after it.
struct Lead {
    /// Each thread's share.
    shares: Arc<[Ahead]>,
    next: Mutex<Option<Arc<[Ahead]>>>,
}

impl Device {
    pub(crate) fn new(kernel: Kernel, pool: Pool) -> Self {
        Self { kernel, pool: Arc::new(pool), scratch: Arc::default() }
    }
}

/// Rows of one part that a thread computes at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Task {
    part: usize,
    rows: Range<usize>,
}

/// What parts have in common that are computed in one fork, from one quantised input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float,
    Quantized { bits: u32, group: usize },
}

/// Neighbouring parts of one kind, cut into tasks.
struct Fork {
    kind: Kind,
    decode: Vec<Task>,
    prefill: Vec<Task>,
}

/// One linear layer, or several with one input whose outputs stand side by side.
pub(crate) struct CpuLinear {
    parts: Vec<LinearWeights>,
    /// The column at which each part's outputs begin.
    first: Vec<usize>,
    forks: Vec<Fork>,
    lead: Arc<Lead>,
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
        let mut n = 0;
        let mut first = Vec::with_capacity(parts.len());
        let mut forks: Vec<Fork> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            first.push(n);
            n += part.n;
            let kind = match &part.data {
                LinearData::Float(..) => Kind::Float,
                LinearData::Quantized(w) => Kind::Quantized { bits: w.bits, group: w.group },
            };
            if forks.last().is_none_or(|fork| fork.kind != kind) {
                forks.push(Fork { kind, decode: Vec::new(), prefill: Vec::new() });
            }
            let fork = forks.last_mut().expect("one was pushed");
            let threads = device.pool.threads();
            // Decoding waits for memory: a kernel reads its range as several long streams, so each
            // thread gets one large range.
            let large = part.n.div_ceil(threads).next_multiple_of(MIN_ROWS);
            cut(index, part.n, large, &mut fork.decode);
            cut(index, part.n, rows_per_task(part.n, threads), &mut fork.prefill);
        }
        let lead = Arc::new(Lead {
            shares: shares(&parts, &forks[0], device.pool.threads()),
            next: Mutex::default(),
        });
        Self { parts, first, forks, lead, n, k, device: device.clone() }
    }

    /// Has threads that wait, from now on, read what decodes after this, which the step before has shown.
    fn lead(&self, y: Columns<'_>, before: &mut Option<Arc<Lead>>) {
        if y.rows() != 1 {
            *before = None;
            return;
        }
        match before.replace(Arc::clone(&self.lead)) {
            // Another fork of this layer.
            Some(before) if Arc::ptr_eq(&before, &self.lead) => return,
            Some(before) => {
                let mut next = lock(&before.next);
                if !next.as_ref().is_some_and(|next| Arc::ptr_eq(next, &self.lead.shares)) {
                    *next = Some(Arc::clone(&self.lead.shares));
                }
            }
            None => {}
        }
        if let Some(next) = &*lock(&self.lead.next) {
            self.device.pool.read_ahead(next);
        }
    }

    /// Calls `product(part, rows)` for every task of the fork, then adds the biases, which come last and unfused.
    fn run(&self, fork: &Fork, y: Columns<'_>, product: &(dyn Fn(usize, Range<usize>) + Sync)) {
        let tasks = if y.rows() == 1 { &fork.decode } else { &fork.prefill };
        self.device.pool.run(tasks.len(), &|_, task| {
            let Task { part, rows } = &tasks[task];
            product(*part, rows.clone());
            if let Some(bias) = &self.parts[*part].bias {
                for m in 0..y.rows() {
                    // SAFETY: this task alone has these columns, which lie in the part's.
                    let y = unsafe {
                        let to = y.at(m, self.first[*part] + rows.start);
                        std::slice::from_raw_parts_mut(to, rows.len())
                    };
                    for (y, b) in y.iter_mut().zip(&bias[rows.clone()]) {
                        *y += b;
                    }
                }
            }
        });
    }

    fn float(&self, x: &[f32], fork: &Fork, y: Columns<'_>) {
        let ops = self.device.kernel.float();
        self.run(fork, y, &|part, rows| {
            let LinearData::Float(dtype, data) = &self.parts[part].data else {
                unreachable!("a fork has parts of one kind")
            };
            // SAFETY: tasks have disjoint rows, so disjoint columns of `y`.
            unsafe { ops.rows(x, self.k, *dtype, data, rows, y.offset(self.first[part])) };
        });
    }

    fn quantized(&self, x: &[f32], bits: u32, group: usize, fork: &Fork, y: Columns<'_>) {
        let int = self.device.kernel.int();
        let weights = |part: usize| match &self.parts[part].data {
            LinearData::Quantized(w) => w,
            LinearData::Float(..) => unreachable!("a fork has parts of one kind"),
        };
        let mut scratch = lock(&self.device.scratch);
        let Scratch { eight, sixteen, before } = &mut *scratch;
        let pool = &self.device.pool;
        if bits == 8 {
            let places = eight.prepare(y.rows(), self.k, group);
            // SAFETY: one task per block.
            pool.run(places.blocks(), &|_, block| unsafe {
                int.quantize8_block(x, &places, block);
            });
            self.lead(y, before);
            // SAFETY: tasks have disjoint rows; `eight` was made for this K and group; the loader checked that the
            // weights hold what they say; `y` has the columns of all parts.
            self.run(fork, y, &|part, rows| unsafe {
                int.w8a8(eight, weights(part), rows, y.offset(self.first[part]));
            });
        } else {
            let places = sixteen.prepare(y.rows(), self.k, group);
            // SAFETY: one task per block.
            pool.run(places.blocks(), &|_, block| unsafe {
                int.quantize16_block(x, &places, block);
            });
            self.lead(y, before);
            // SAFETY: as above.
            self.run(fork, y, &|part, rows| unsafe {
                int.w4a16(sixteen, weights(part), rows, y.offset(self.first[part]));
            });
        }
    }
}

/// Where each thread's first task of a fork begins.
fn shares(parts: &[LinearWeights], fork: &Fork, threads: usize) -> Arc<[Ahead]> {
    let share = |task: &Task| match &parts[task.part].data {
        LinearData::Float(..) => Ahead::default(),
        LinearData::Quantized(w) => {
            let row = w.k * w.bits as usize / 8;
            let stride = task.rows.len().div_ceil(RUNS) * row;
            let start = w.data().as_ptr().addr() + task.rows.start * row;
            Ahead { start, stride, bytes: stride.min(AHEAD / RUNS) }
        }
    };
    fork.decode.iter().take(threads).map(share).collect()
}

/// Cuts the `n` rows of a part into ranges of `step`.
fn cut(part: usize, n: usize, step: usize, tasks: &mut Vec<Task>) {
    let starts = (0..n).step_by(step.max(1));
    tasks.extend(starts.map(|start| Task { part, rows: start..n.min(start + step) }));
}

/// Rows of a prefill task: the more, the less often activations pass by, as long as no thread waits for the last
/// task of another. Of equal ends the larger one.
fn rows_per_task(n: usize, threads: usize) -> usize {
    let end = |step: usize| n.div_ceil(step).div_ceil(threads) * step;
    [128, 96, 64, 32].into_iter().min_by_key(|&step| end(step)).expect("there are candidates")
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
        for fork in &self.forks {
            match fork.kind {
                Kind::Float => self.float(x, fork, columns),
                Kind::Quantized { bits, group } => self.quantized(x, bits, group, fork, columns),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row once, whatever the number of threads; no thread has more than a task above its share.
    #[test]
    fn tasks_cover_the_rows() {
        for n in [1, 16, 31, 32, 33, 128, 896, 1152, 4864, 151_936] {
            for threads in 1..=9 {
                let step = rows_per_task(n, threads);
                let mut tasks = Vec::new();
                cut(3, n, step, &mut tasks);
                let mut next = 0;
                for task in &tasks {
                    assert!(task.part == 3 && task.rows.start == next && !task.rows.is_empty());
                    next = task.rows.end;
                }
                assert_eq!(next, n);
                assert!(tasks.len().div_ceil(threads) * step <= n.div_ceil(threads) + 2 * 32);
            }
        }
    }
}
