//! The cache of keys and values of one layer.

use std::borrow::Cow;
use std::marker::PhantomData;

use crate::Result;
use crate::kernels::float::{FloatOps, KEY_BLOCK, KvRows};

/// Rows `[count, head_dim]` of one head, in the order of their positions.
pub(crate) enum Rows<'a> {
    F32(Cow<'a, [f32]>),
    F16(Cow<'a, [u16]>),
}

/// The same, to be written.
pub(crate) enum RowsMut<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [u16]),
}

/// Values at the start of a cache line, none of which is touched before it is written.
#[derive(Debug)]
struct Aligned<T> {
    data: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    fn new(len: usize, zeros: impl FnOnce(usize) -> Vec<T>) -> Self {
        const LINE: usize = 64;
        let data = zeros(len + LINE / size_of::<T>());
        // The vector never grows, so its memory stays where it is. Alignment is for speed alone.
        let start = data.as_ptr().align_offset(LINE).min(data.len() - len);
        Self { data, start, len }
    }

    fn values(&self) -> &[T] {
        &self.data[self.start..][..self.len]
    }

    fn values_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..][..self.len]
    }

    /// Rows of `d` out of blocks `[d, KEY_BLOCK]` of positions.
    fn gather(&self, first: usize, d: usize, count: usize) -> Vec<T> {
        let mut rows = vec![T::default(); count * d];
        let blocks = &self.values()[first..];
        for (position, row) in rows.chunks_exact_mut(d).enumerate() {
            for (i, value) in row.iter_mut().enumerate() {
                *value = blocks[in_blocks(position, d, i)];
            }
        }
        rows
    }

    /// The inverse of [`Aligned::gather`].
    fn scatter(&mut self, first: usize, d: usize, rows: &[T]) {
        let blocks = &mut self.values_mut()[first..];
        for (position, row) in rows.chunks_exact(d).enumerate() {
            for (i, &value) in row.iter().enumerate() {
                blocks[in_blocks(position, d, i)] = value;
            }
        }
    }
}

/// Where dimension `i` of the key at `position` of a head lies.
#[inline]
fn in_blocks(position: usize, d: usize, i: usize) -> usize {
    (position / KEY_BLOCK * d + i) * KEY_BLOCK + position % KEY_BLOCK
}

#[derive(Debug)]
enum Store {
    F32(Aligned<f32>),
    F16(Aligned<u16>),
}

impl Store {
    fn new(half: bool, len: usize) -> Self {
        match half {
            true => Self::F16(Aligned::new(len, |len| vec![0; len])),
            false => Self::F32(Aligned::new(len, |len| vec![0.0; len])),
        }
    }

    fn rows(&self, first: usize, len: usize) -> KvRows<'_> {
        match self {
            Self::F32(store) => KvRows::F32(&store.values()[first..first + len]),
            Self::F16(store) => KvRows::F16(&store.values()[first..first + len]),
        }
    }

    fn raw(&mut self) -> Raw {
        match self {
            Self::F32(store) => Raw::F32(store.values_mut().as_mut_ptr()),
            Self::F16(store) => Raw::F16(store.values_mut().as_mut_ptr()),
        }
    }
}

/// Keys (after rotation) and values of one layer, f16 or f32.
///
/// Values are `[heads, context, head_dim]`. Keys are `[heads, blocks, head_dim, KEY_BLOCK]`: scores take
/// one dimension of a block of positions at a time.
#[derive(Debug)]
pub(crate) struct LayerCache {
    keys: Store,
    values: Store,
    heads: usize,
    context: usize,
    head_dim: usize,
}

impl LayerCache {
    pub(crate) fn new(half: bool, heads: usize, context: usize, head_dim: usize) -> Self {
        let row = heads * head_dim;
        Self {
            keys: Store::new(half, row * context.next_multiple_of(KEY_BLOCK)),
            values: Store::new(half, row * context),
            heads,
            context,
            head_dim,
        }
    }

    /// Where the keys of `head` begin.
    fn first_key(&self, head: usize) -> usize {
        head * self.context.next_multiple_of(KEY_BLOCK) * self.head_dim
    }

    fn first_value(&self, head: usize) -> usize {
        head * self.context * self.head_dim
    }

    /// The blocks of keys of `head` that hold the positions from `first`, a block's first, to before `end`.
    pub(crate) fn keys(&self, head: usize, first: usize, end: usize) -> KvRows<'_> {
        debug_assert!(first.is_multiple_of(KEY_BLOCK));
        let len = (end.next_multiple_of(KEY_BLOCK) - first) * self.head_dim;
        self.keys.rows(self.first_key(head) + first * self.head_dim, len)
    }

    /// Values of `head` at positions `first..end`.
    pub(crate) fn values(&self, head: usize, first: usize, end: usize) -> KvRows<'_> {
        let d = self.head_dim;
        self.values.rows(self.first_value(head) + first * d, (end - first) * d)
    }

    /// Access for several threads, each to positions of its own.
    pub(crate) fn writer(&mut self) -> Writer<'_> {
        Writer {
            keys: self.keys.raw(),
            values: self.values.raw(),
            heads: self.heads,
            context: self.context,
            head_dim: self.head_dim,
            _borrow: PhantomData,
        }
    }

    /// Keys, then values, of each head at positions `0..count`.
    pub(crate) fn parts(&self, count: usize) -> impl Iterator<Item = Rows<'_>> {
        let d = self.head_dim;
        let keys = (0..self.heads).map(move |head| {
            let first = self.first_key(head);
            match &self.keys {
                Store::F32(store) => Rows::F32(store.gather(first, d, count).into()),
                Store::F16(store) => Rows::F16(store.gather(first, d, count).into()),
            }
        });
        let values = (0..self.heads).map(move |head| match self.values(head, 0, count) {
            KvRows::F32(rows) => Rows::F32(rows.into()),
            KvRows::F16(rows) => Rows::F16(rows.into()),
        });
        keys.chain(values)
    }

    /// Calls `fill` with the same parts in the same order.
    pub(crate) fn parts_mut(
        &mut self,
        count: usize,
        fill: &mut dyn FnMut(RowsMut<'_>) -> Result<()>,
    ) -> Result<()> {
        let d = self.head_dim;
        for head in 0..self.heads {
            let first = self.first_key(head);
            match &mut self.keys {
                Store::F32(store) => {
                    let mut rows = vec![0.0; count * d];
                    fill(RowsMut::F32(&mut rows))?;
                    store.scatter(first, d, &rows);
                }
                Store::F16(store) => {
                    let mut rows = vec![0; count * d];
                    fill(RowsMut::F16(&mut rows))?;
                    store.scatter(first, d, &rows);
                }
            }
        }
        for head in 0..self.heads {
            let first = self.first_value(head);
            fill(match &mut self.values {
                Store::F32(store) => RowsMut::F32(&mut store.values_mut()[first..][..count * d]),
                Store::F16(store) => RowsMut::F16(&mut store.values_mut()[first..][..count * d]),
            })?;
        }
        Ok(())
    }

    /// Bytes of the keys and values of the whole context.
    pub(crate) fn bytes(&self) -> usize {
        let size = match self.keys {
            Store::F32(_) => size_of::<f32>(),
            Store::F16(_) => size_of::<u16>(),
        };
        2 * self.heads * self.context * self.head_dim * size
    }
}

#[derive(Clone, Copy)]
enum Raw {
    F32(*mut f32),
    F16(*mut u16),
}

/// A [`LayerCache`] that several threads write.
pub(crate) struct Writer<'a> {
    keys: Raw,
    values: Raw,
    heads: usize,
    context: usize,
    head_dim: usize,
    _borrow: PhantomData<&'a mut LayerCache>,
}

// SAFETY: the only access is the unsafe `write`, whose contract forbids races.
unsafe impl Sync for Writer<'_> {}

impl Writer<'_> {
    /// Stores key and value of every head at `position`; both are `[heads, head_dim]`.
    ///
    /// # Safety
    /// No other thread writes this position meanwhile.
    ///
    /// # Panics
    /// If the position or the lengths are not the cache's.
    pub(crate) unsafe fn write(&self, position: usize, k: &[f32], v: &[f32], ops: &dyn FloatOps) {
        let (d, row) = (self.head_dim, self.heads * self.head_dim);
        assert!(position < self.context && k.len() == row && v.len() == row);
        let keys = self.context.next_multiple_of(KEY_BLOCK) * d;
        for (head, (k, v)) in k.chunks_exact(d).zip(v.chunks_exact(d)).enumerate() {
            let first = (head * self.context + position) * d;
            // SAFETY: the position is below the context, so all indices lie in the head's part; no other
            // thread has them by the caller's contract.
            unsafe {
                match self.values {
                    Raw::F32(data) => {
                        std::slice::from_raw_parts_mut(data.add(first), d).copy_from_slice(v);
                    }
                    Raw::F16(data) => {
                        ops.to_f16(v, std::slice::from_raw_parts_mut(data.add(first), d));
                    }
                }
                let at = |i| head * keys + in_blocks(position, d, i);
                match self.keys {
                    Raw::F32(data) => {
                        for (i, &value) in k.iter().enumerate() {
                            *data.add(at(i)) = value;
                        }
                    }
                    Raw::F16(data) => {
                        let mut halves = [0; 128];
                        for (part, k) in k.chunks(halves.len()).enumerate() {
                            let first = part * halves.len();
                            ops.to_f16(k, &mut halves[..k.len()]);
                            for (i, &value) in halves[..k.len()].iter().enumerate() {
                                *data.add(at(first + i)) = value;
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernel;

    /// What was written position by position comes out as rows, and goes back in as such.
    #[test]
    fn rows_go_in_and_out() {
        let ops = Kernel::by_name("scalar").unwrap().float();
        for (half, heads, context, d) in
            [(false, 2, 19, 5), (true, 3, 33, 16), (true, 1, 16, 130), (false, 1, 1, 1)]
        {
            // Whole numbers are the same in both types.
            let key = |head: usize, position: usize, i: usize| (head * 7 + position * 3 + i) as f32;
            let row = |position: usize, sign: f32| -> Vec<f32> {
                (0..heads * d).map(|i| sign * key(i / d, position, i % d)).collect()
            };
            let mut cache = LayerCache::new(half, heads, context, d);
            let writer = cache.writer();
            for position in 0..context {
                // SAFETY: one thread.
                unsafe { writer.write(position, &row(position, 1.0), &row(position, -1.0), ops) };
            }
            let floats = |cache: &LayerCache| -> Vec<Vec<f32>> {
                let float = |rows| match rows {
                    Rows::F32(values) => values.to_vec(),
                    Rows::F16(values) => {
                        values.iter().map(|&v| half::f16::from_bits(v).to_f32()).collect()
                    }
                };
                cache.parts(context).map(float).collect()
            };
            let found = floats(&cache);
            assert_eq!(found.len(), 2 * heads);
            for (part, rows) in found.iter().enumerate() {
                let sign = if part < heads { 1.0 } else { -1.0 };
                for (at, &value) in rows.iter().enumerate() {
                    assert_eq!(value, sign * key(part % heads, at / d, at % d));
                }
            }
            let mut copy = LayerCache::new(half, heads, context, d);
            let mut parts = cache.parts(context);
            copy.parts_mut(context, &mut |to| {
                match (parts.next().unwrap(), to) {
                    (Rows::F32(from), RowsMut::F32(to)) => to.copy_from_slice(&from),
                    (Rows::F16(from), RowsMut::F16(to)) => to.copy_from_slice(&from),
                    _ => panic!("two types"),
                }
                Ok(())
            })
            .unwrap();
            assert_eq!(floats(&copy), found);
            assert_eq!(copy.bytes(), heads * context * d * if half { 4 } else { 8 });
        }
    }
}
