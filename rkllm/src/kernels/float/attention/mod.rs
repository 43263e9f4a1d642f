//! Attention of a tile of queries: scores, softmax, weighted sum of the values.
//!
//! Each step is blocked so that registers and the first cache serve many products, and none of the
//! blocking moves a bit: a score is a `dot16` of its own, a sum of exponentials runs over absolute positions,
//! and an output takes its values in ascending position.

mod scores;
mod softmax;
#[cfg(test)]
mod tests;
mod values;

use std::ops::Range;

pub(super) use softmax::softmax;

use super::KvRows;
use super::lanes::Lanes;
use crate::kernels::exact;

/// Positions of a block of keys, in which the values of one dimension lie side by side.
pub const KEY_BLOCK: usize = 16;

/// Positions whose values are converted at a time: 16 KiB of floats at 64 dimensions.
const VALUE_BLOCK: usize = 64;

/// Sixteen floats of one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Queries that read the keys and values of one head.
#[derive(Debug, Clone, Copy)]
pub struct AttentionTile<'a> {
    /// `[R, d]`.
    pub queries: &'a [f32],
    /// The head dimension `d`.
    pub dim: usize,
    /// Blocks of [`KEY_BLOCK`] positions from `base` on: `[blocks, d, KEY_BLOCK]`. What lies behind the
    /// last visible position of the last block is read, and of no effect.
    pub keys: KvRows<'a>,
    /// `[positions, d]`, the first one at `base`.
    pub values: KvRows<'a>,
    /// A multiple of [`KEY_BLOCK`].
    pub base: usize,
    /// The absolute positions each of the R queries sees: not empty, none before `base`.
    pub visible: &'a [Range<usize>],
    /// What a score is multiplied by.
    pub scale: f32,
}

/// Memory of one thread's attention, kept from tile to tile.
#[derive(Debug, Default)]
pub struct TileScratch {
    /// A row of scores per query, padded.
    scores: Vec<Line>,
    /// A block of keys, then one of values, as floats.
    block: Vec<Line>,
    /// `[R, d]`, rows padded.
    out: Vec<Line>,
}

impl TileScratch {
    /// Bytes a tile of `rows` queries takes that sees `positions` of `dim` dimensions.
    pub fn bytes(rows: usize, positions: usize, dim: usize) -> usize {
        let lines = rows * stride(positions) + block_lines(dim) + rows * dim.div_ceil(16);
        lines * size_of::<Line>()
    }
}

/// Lines from one row of scores to the next. A block of keys may reach past the last position by
/// one block; the line that is never used keeps rows of a power of two apart in the cache's sets.
fn stride(positions: usize) -> usize {
    positions.div_ceil(KEY_BLOCK) + 2
}

fn block_lines(dim: usize) -> usize {
    (2 * dim).max(VALUE_BLOCK * dim.div_ceil(16))
}

/// A matrix of rows of whole lines.
#[derive(Clone, Copy)]
struct Rows {
    data: *mut f32,
    /// Floats from row to row.
    stride: usize,
}

impl Rows {
    /// # Safety
    /// The element lies in the matrix.
    #[inline(always)]
    unsafe fn at(self, row: usize, column: usize) -> *mut f32 {
        // SAFETY: the caller's contract.
        unsafe { self.data.add(row * self.stride + column) }
    }
}

/// Splits `0..rows` into the fewest groups of at most `most`, as even as can be.
#[inline(always)]
fn groups(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.div_ceil(most);
    (0..count).map(move |i| i * rows / count..(i + 1) * rows / count)
}

impl AttentionTile<'_> {
    /// One past the last position any query sees.
    pub(super) fn end(&self) -> usize {
        self.visible.iter().map(|range| range.end).max().unwrap_or(self.base)
    }

    /// # Panics
    /// If the tile does not hold what its fields say.
    pub(super) fn check(&self, out: &[f32]) {
        let (rows, d, span) = (self.visible.len(), self.dim, self.end() - self.base);
        assert!(d != 0 && rows != 0 && self.base.is_multiple_of(KEY_BLOCK));
        assert!(self.queries.len() == rows * d && out.len() == rows * d);
        assert!(self.visible.iter().all(|range| self.base <= range.start && !range.is_empty()));
        assert!(self.keys.len() >= span.div_ceil(KEY_BLOCK) * KEY_BLOCK * d);
        assert!(self.values.len() >= span * d);
    }
}

/// `out` `[R, d]` of the tile. `Q` queries by `V` blocks of keys share registers in the scores, `T`
/// queries by `W` lines of dimensions in the weighted sum.
///
/// # Safety
/// The tile was checked; the processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn attend<
    L: Lanes,
    const Q: usize,
    const V: usize,
    const T: usize,
    const W: usize,
>(
    tile: &AttentionTile<'_>,
    scratch: &mut TileScratch,
    out: &mut [f32],
) {
    let (d, rows) = (tile.dim, tile.visible.len());
    let (stride, wide) = (stride(tile.end() - tile.base), d.div_ceil(16));
    let zero = Line([0.0; 16]);
    grow(&mut scratch.scores, rows * stride, zero);
    grow(&mut scratch.block, block_lines(d), zero);
    scratch.out.clear();
    exact::resize(&mut scratch.out, rows * wide, zero);
    let scores = Rows { data: scratch.scores.as_mut_ptr().cast(), stride: stride * 16 };
    let sums = Rows { data: scratch.out.as_mut_ptr().cast(), stride: wide * 16 };
    let block = scratch.block.as_mut_ptr().cast::<f32>();
    // SAFETY: the buffers have the sizes that `stride`, `block_lines` and `wide` say; keys and
    // values reach as far as the tile was checked to.
    unsafe {
        scores::scores::<L, Q, V>(tile, block, scores);
        values::weighted_sums::<L, T, W>(tile, block, scores, sums);
        for (row, out) in out.chunks_exact_mut(d).enumerate() {
            out.copy_from_slice(std::slice::from_raw_parts(sums.at(row, 0), d));
        }
    }
}

fn grow(lines: &mut Vec<Line>, len: usize, zero: Line) {
    if lines.len() < len {
        exact::resize(lines, len, zero);
    }
}
