//! Attention of a chunk of queries over the cache.

use std::cell::UnsafeCell;

use super::kv::LayerCache;
use super::linear::Device;
use crate::kernels::Columns;

/// Queries a tile holds at most.
const TILE: usize = 16;

/// The shape of one layer's attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) query: usize,
    pub(crate) kv: usize,
    pub(crate) dim: usize,
    /// Positions a query sees, itself included.
    pub(crate) window: Option<usize>,
}

/// Scratch of each thread: a tile of queries and their score rows.
pub(crate) struct AttentionScratch(Vec<UnsafeCell<ThreadScratch>>);

#[derive(Default)]
struct ThreadScratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
}

// SAFETY: each thread of the pool touches only the cell of its own index.
unsafe impl Sync for AttentionScratch {}

impl AttentionScratch {
    pub(crate) fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| UnsafeCell::default()).collect())
    }
}

/// `out` `[M, query heads * dim]` from the queries in the first columns of `qkv` `[M, width]`;
/// token `m` stands at position `first + m`, and its key and value are in the cache already.
pub(crate) fn attend(
    device: &Device,
    heads: Heads,
    cache: &LayerCache,
    (qkv, width): (&[f32], usize),
    first: usize,
    scratch: &AttentionScratch,
    out: &mut [f32],
) {
    let m = qkv.len() / width;
    let share = heads.query / heads.kv;
    // A row is a (token, query head) pair of one kv head; tiles of rows share the keys they read.
    let rows = m * share;
    let even = (heads.kv * rows).div_ceil(device.pool.threads() * 2);
    let tile = even.clamp(1, TILE);
    let tiles = rows.div_ceil(tile);
    let out = Columns::new(out, heads.query * heads.dim);
    device.pool.run(heads.kv * tiles, &|thread, task| {
        let (kv, tile_index) = (task / tiles, task % tiles);
        // SAFETY: `thread` is unique among the calls under way.
        let scratch = unsafe { &mut *scratch.0[thread].get() };
        let rows = tile_index * tile..((tile_index + 1) * tile).min(rows);
        attend_tile(device, heads, cache, (qkv, width), first, kv, rows, scratch, out);
    });
}

#[allow(clippy::too_many_arguments)] // the tile's coordinates, passed once
fn attend_tile(
    device: &Device,
    heads: Heads,
    cache: &LayerCache,
    (qkv, width): (&[f32], usize),
    first: usize,
    kv: usize,
    rows: std::ops::Range<usize>,
    scratch: &mut ThreadScratch,
    out: Columns<'_>,
) {
    let (ops, d) = (device.kernel.float(), heads.dim);
    let share = heads.query / heads.kv;
    let visible = |token: usize| {
        let end = first + token + 1;
        (heads.window.map_or(0, |w| end.saturating_sub(w)), end)
    };
    let (low, high) = (visible(rows.start / share).0, visible((rows.end - 1) / share).1);
    let span = high - low;

    let ThreadScratch { queries, scores } = scratch;
    queries.clear();
    for row in rows.clone() {
        let head = kv * share + row % share;
        queries.extend_from_slice(&qkv[row / share * width + head * d..][..d]);
    }
    scores.resize(rows.len() * span, 0.0);
    let scale = 1.0 / (d as f32).sqrt();
    ops.scores(queries, d, cache.keys(kv, low, span), scale, scores, span);

    for (row, scores) in rows.zip(scores.chunks_exact_mut(span)) {
        let (token, head) = (row / share, kv * share + row % share);
        let (start, end) = visible(token);
        let scores = &mut scores[start - low..end - low];
        ops.softmax(scores, start);
        // SAFETY: this task alone has this token and head; `d` columns from here are its own.
        let out = unsafe { std::slice::from_raw_parts_mut(out.at(token, head * d), d) };
        ops.weighted_sum(scores, cache.values(kv, start, end - start), out);
    }
}
