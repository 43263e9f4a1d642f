//! Attention of a chunk of queries over the cache.

use std::cell::UnsafeCell;
use std::ops::Range;

use super::kv::LayerCache;
use super::linear::Device;
use crate::kernels::Columns;
use crate::kernels::float::{AttentionTile, KEY_BLOCK, TileScratch};

/// Queries a tile holds at most.
pub(super) const TILE: usize = 16;

/// Products of a step below which its tiles are done by one thread: a fork would take longer.
const SMALL: usize = 1 << 16;

/// The shape of one layer's attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) query: usize,
    pub(crate) kv: usize,
    pub(crate) dim: usize,
    /// Positions a query sees, itself included.
    pub(crate) window: Option<usize>,
}

/// Scratch of each thread: a tile of queries and what its attention needs.
pub(crate) struct AttentionScratch(Vec<UnsafeCell<ThreadScratch>>);

#[derive(Default)]
struct ThreadScratch {
    queries: Vec<f32>,
    visible: Vec<Range<usize>>,
    out: Vec<f32>,
    tile: TileScratch,
}

// SAFETY: each thread of the pool touches only the cell of its own index.
unsafe impl Sync for AttentionScratch {}

impl AttentionScratch {
    pub(crate) fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| UnsafeCell::default()).collect())
    }
}

/// The queries of a step, and where they stand.
#[derive(Clone, Copy)]
pub(crate) struct Queries<'a> {
    /// `[M, width]`: the queries are the first columns.
    pub(crate) qkv: &'a [f32],
    pub(crate) width: usize,
    /// The position of the first one.
    pub(crate) first: usize,
}

/// `out` `[M, query heads * dim]`; the keys and values of all positions are in the cache already.
pub(crate) fn attend(
    device: &Device,
    heads: Heads,
    cache: &LayerCache,
    queries: Queries<'_>,
    scratch: &AttentionScratch,
    out: &mut [f32],
) {
    let m = queries.qkv.len() / queries.width;
    let share = heads.query / heads.kv;
    // A row is a (token, query head) pair of one kv head; tiles of rows share the keys they read.
    let rows = m * share;
    let even = (heads.kv * rows).div_ceil(device.pool.threads());
    let tiles = rows.div_ceil(even.clamp(1, TILE));
    let out = Columns::new(out, heads.query * heads.dim);
    let task = |thread: usize, task: usize| {
        // The tiles that see most first, so that the threads end together.
        let (kv, tile) = (task % heads.kv, tiles - 1 - task / heads.kv);
        // SAFETY: `thread` is unique among the calls under way.
        let scratch = unsafe { &mut *scratch.0[thread].get() };
        let rows = tile * rows / tiles..(tile + 1) * rows / tiles;
        attend_tile(device, heads, cache, queries, (kv, rows), scratch, out);
    };
    let tasks = heads.kv * tiles;
    let seen = heads.window.unwrap_or(usize::MAX).min(queries.first + m);
    if rows * heads.kv * heads.dim * seen < SMALL {
        (0..tasks).for_each(|index| task(0, index));
    } else {
        device.pool.run(tasks, &task);
    }
}

fn attend_tile(
    device: &Device,
    heads: Heads,
    cache: &LayerCache,
    queries: Queries<'_>,
    (kv, rows): (usize, Range<usize>),
    scratch: &mut ThreadScratch,
    out: Columns<'_>,
) {
    let (d, share) = (heads.dim, heads.query / heads.kv);
    let place = |row: usize| (row / share, (kv * share + row % share) * d);
    let ThreadScratch { queries: tile, visible, out: sums, tile: scratch } = scratch;
    tile.clear();
    visible.clear();
    for row in rows.clone() {
        let (token, column) = place(row);
        tile.extend_from_slice(&queries.qkv[token * queries.width + column..][..d]);
        let end = queries.first + token + 1;
        visible.push(heads.window.map_or(0, |window| end.saturating_sub(window))..end);
    }
    sums.resize(rows.len() * d, 0.0);
    // Later tokens see later positions.
    let base = visible[0].start / KEY_BLOCK * KEY_BLOCK;
    let end = visible[visible.len() - 1].end;
    let tile = AttentionTile {
        queries: tile,
        dim: d,
        keys: cache.keys(kv, base, end),
        values: cache.values(kv, base, end),
        base,
        visible,
        scale: 1.0 / (d as f32).sqrt(),
    };
    device.kernel.float().attend(&tile, scratch, sums);
    for (row, sums) in rows.zip(sums.chunks_exact(d)) {
        let (token, column) = place(row);
        // SAFETY: this task alone has this token and head; `d` columns from here are its own.
        let out = unsafe { std::slice::from_raw_parts_mut(out.at(token, column), d) };
        out.copy_from_slice(sums);
    }
}
