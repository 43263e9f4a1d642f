//! The cache of keys and values of one layer.

use crate::Result;
use crate::kernels::float::{FloatOps, KvRows};

/// Rows of one head as they lie in memory.
pub(crate) type Rows<'a> = KvRows<'a>;

/// The same, to be written.
pub(crate) enum RowsMut<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [u16]),
}

/// Keys or values: one run of `[context, head_dim]` per head.
#[derive(Debug)]
enum Store {
    F32(Vec<f32>),
    F16(Vec<u16>),
}

impl Store {
    fn new(half: bool, len: usize) -> Self {
        if half { Self::F16(vec![0; len]) } else { Self::F32(vec![0.0; len]) }
    }

    fn rows(&self, first: usize, len: usize) -> KvRows<'_> {
        match self {
            Self::F32(values) => KvRows::F32(&values[first..first + len]),
            Self::F16(values) => KvRows::F16(&values[first..first + len]),
        }
    }

    fn write(&mut self, first: usize, row: &[f32], ops: &dyn FloatOps) {
        match self {
            Self::F32(values) => values[first..first + row.len()].copy_from_slice(row),
            Self::F16(values) => ops.to_f16(row, &mut values[first..first + row.len()]),
        }
    }

    fn rows_mut(&mut self, first: usize, len: usize) -> RowsMut<'_> {
        match self {
            Self::F32(values) => RowsMut::F32(&mut values[first..first + len]),
            Self::F16(values) => RowsMut::F16(&mut values[first..first + len]),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::F32(values) => size_of_val(&values[..]),
            Self::F16(values) => size_of_val(&values[..]),
        }
    }
}

/// Keys (after rotation) and values of one layer, f16 or f32.
#[derive(Debug)]
pub(crate) struct LayerCache {
    keys: Store,
    values: Store,
    context: usize,
    head_dim: usize,
}

impl LayerCache {
    pub(crate) fn new(half: bool, heads: usize, context: usize, head_dim: usize) -> Self {
        let len = heads * context * head_dim;
        Self { keys: Store::new(half, len), values: Store::new(half, len), context, head_dim }
    }

    /// Keys of `head` at positions `first..first + count`.
    pub(crate) fn keys(&self, head: usize, first: usize, count: usize) -> KvRows<'_> {
        self.keys.rows((head * self.context + first) * self.head_dim, count * self.head_dim)
    }

    /// Values of `head` at positions `first..first + count`.
    pub(crate) fn values(&self, head: usize, first: usize, count: usize) -> KvRows<'_> {
        self.values.rows((head * self.context + first) * self.head_dim, count * self.head_dim)
    }

    /// Stores key and value of every head at `position`; both are `[heads, head_dim]`.
    pub(crate) fn write(&mut self, position: usize, k: &[f32], v: &[f32], ops: &dyn FloatOps) {
        let (context, d) = (self.context, self.head_dim);
        for (head, (k, v)) in k.chunks_exact(d).zip(v.chunks_exact(d)).enumerate() {
            let first = (head * context + position) * d;
            self.keys.write(first, k, ops);
            self.values.write(first, v, ops);
        }
    }

    /// Keys, then values, of each head at positions `0..count`.
    pub(crate) fn parts(&self, count: usize) -> impl Iterator<Item = Rows<'_>> {
        let (run, len) = (self.context * self.head_dim, count * self.head_dim);
        [&self.keys, &self.values].into_iter().flat_map(move |store| {
            (0..store.len() / run).map(move |head| store.rows(head * run, len))
        })
    }

    /// Calls `fill` with the same parts in the same order.
    pub(crate) fn parts_mut(
        &mut self,
        count: usize,
        fill: &mut dyn FnMut(RowsMut<'_>) -> Result<()>,
    ) -> Result<()> {
        let (run, len) = (self.context * self.head_dim, count * self.head_dim);
        for store in [&mut self.keys, &mut self.values] {
            for head in 0..store.len() / run {
                fill(store.rows_mut(head * run, len))?;
            }
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes() + self.values.bytes()
    }
}
