//! The weighted sum of the values: a value is read and converted once for all queries of a tile.

use std::ops::Range;

use super::softmax::{Divisor, exponentials};
use super::{AttentionTile, Rows, VALUE_BLOCK, groups};
use crate::kernels::float::KvRows;
use crate::kernels::float::element::{Element, F16, F32};
use crate::kernels::float::lanes::Lanes;

/// Makes softmax of the scores and adds `p[j] * v[j]` to the rows of `out`, `j` ascending in each.
///
/// # Safety
/// The tile was checked, `block` has room for [`VALUE_BLOCK`] rows of values in whole lines, `scores` is
/// what [`scores`](super::scores::scores) filled, `out` has a row of whole lines per query; the processor
/// has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn weighted_sums<L: Lanes, const T: usize, const W: usize>(
    tile: &AttentionTile<'_>,
    block: *mut f32,
    scores: Rows,
    out: Rows,
) {
    let (d, base, end) = (tile.dim, tile.base, tile.end());
    let start = tile.visible.iter().map(|range| range.start).min().unwrap_or(base);
    // SAFETY: positions lie between `base` and the end of what the tile was checked to hold.
    unsafe {
        let mut divisors = Vec::with_capacity(tile.visible.len());
        for (row, range) in tile.visible.iter().enumerate() {
            divisors.push(Divisor::new(exponentials_of::<L>(scores, row, range, base)));
        }
        let mut from = base + (start - base) / VALUE_BLOCK * VALUE_BLOCK;
        while from < end {
            let here = from..end.min(from + VALUE_BLOCK);
            match tile.values {
                KvRows::F32(values) => {
                    let values = values.as_ptr().add((from - base) * d).cast();
                    convert::<L, F32>(values, here.len(), d, block);
                }
                KvRows::F16(values) => {
                    let values = values.as_ptr().add((from - base) * d).cast();
                    convert::<L, F16>(values, here.len(), d, block);
                }
            }
            for (row, range) in tile.visible.iter().enumerate() {
                let seen = common(range, &here);
                if !seen.is_empty() {
                    let lines = line_range(&seen, base);
                    divisors[row].divide::<L>(slice(scores, row, lines));
                }
            }
            for group in groups(tile.visible.len(), T) {
                let visible = &tile.visible[group.clone()];
                let block = Block { values: block, first: from, base, seen: here.clone() };
                block.add_rows::<L, T, W>(d, visible, group.start, scores, out);
            }
            from += VALUE_BLOCK;
        }
    }
}

/// The lines, as columns of a row of scores, that hold `positions`.
fn line_range(positions: &Range<usize>, base: usize) -> Range<usize> {
    (positions.start - base) & !15..(positions.end - base).next_multiple_of(16)
}

fn common(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end)
}

/// # Safety
/// The columns lie in the matrix, and no other view of them is in use.
#[inline(always)]
unsafe fn slice<'a>(rows: Rows, row: usize, columns: Range<usize>) -> &'a mut [f32] {
    // SAFETY: the caller's contract.
    unsafe { std::slice::from_raw_parts_mut(rows.at(row, columns.start), columns.len()) }
}

/// The exponentials of one row in place, with 0 for what it does not see of its first and last line.
///
/// # Safety
/// As [`weighted_sums`].
#[inline(always)]
unsafe fn exponentials_of<L: Lanes>(
    scores: Rows,
    row: usize,
    visible: &Range<usize>,
    base: usize,
) -> f32 {
    let lines = line_range(visible, base);
    let first = visible.start - base - lines.start;
    // SAFETY: scores reach to the end of the last line.
    unsafe {
        let row = slice(scores, row, lines);
        row[..first].fill(f32::NEG_INFINITY);
        row[first + visible.len()..].fill(f32::NEG_INFINITY);
        exponentials::<L>(row)
    }
}

/// `count` rows of values to floats, each padded to whole lines.
///
/// # Safety
/// `values` holds so many rows, else as [`weighted_sums`].
#[inline(always)]
unsafe fn convert<L: Lanes, E: Element>(
    values: *const u8,
    count: usize,
    d: usize,
    block: *mut f32,
) {
    let whole = d & !15;
    // SAFETY: the caller's contract.
    unsafe {
        for j in 0..count {
            let (from, to) = (values.add(j * d * E::SIZE), block.add(j * d.next_multiple_of(16)));
            let mut i = 0;
            while i < whole {
                E::load::<L>(from.add(i * E::SIZE)).store(to.add(i));
                i += 16;
            }
            for i in whole..d {
                *to.add(i) = E::get(from.add(i * E::SIZE));
            }
        }
    }
}

/// A block of values as floats.
struct Block {
    values: *const f32,
    /// The position of its first row.
    first: usize,
    /// The position of column 0 of the scores.
    base: usize,
    seen: Range<usize>,
}

/// # Safety
/// Of all methods: as [`weighted_sums`].
impl Block {
    /// Adds the block to the rows from `row` on, one for each of `visible`. What all of them see is added to all at a
    /// time. What only some see, before and after that, is added to those alone: a product with 0 would turn
    /// a sum of -0 into +0, and an infinite value into NaN.
    #[inline(always)]
    unsafe fn add_rows<L: Lanes, const T: usize, const W: usize>(
        &self,
        d: usize,
        visible: &[Range<usize>],
        row: usize,
        p: Rows,
        out: Rows,
    ) {
        let everyone = visible.iter().fold(self.seen.clone(), |all, range| common(&all, range));
        let (before, after) = match everyone.is_empty() {
            true => (self.seen.clone(), self.seen.end..self.seen.end),
            false => (self.seen.start..everyone.start, everyone.end..self.seen.end),
        };
        let alone = |part: Range<usize>| {
            let rows = visible.iter().enumerate();
            rows.map(move |(i, range)| (i, 1, common(range, &part)))
        };
        let parts = alone(before).chain([(0, visible.len(), everyone)]).chain(alone(after));
        for (first, count, positions) in parts {
            let row = row + first;
            if positions.is_empty() {
                continue;
            }
            // SAFETY: the caller's contract.
            unsafe {
                match count {
                    1 if T > 1 => self.add::<L, 1, W>(d, positions, row, p, out),
                    2 if T > 2 => self.add::<L, 2, W>(d, positions, row, p, out),
                    3 if T > 3 => self.add::<L, 3, W>(d, positions, row, p, out),
                    4 if T > 4 => self.add::<L, 4, W>(d, positions, row, p, out),
                    5 if T > 5 => self.add::<L, 5, W>(d, positions, row, p, out),
                    _ => self.add::<L, T, W>(d, positions, row, p, out),
                }
            }
        }
    }

    /// Adds `positions` to `T` rows.
    #[inline(always)]
    unsafe fn add<L: Lanes, const T: usize, const W: usize>(
        &self,
        d: usize,
        positions: Range<usize>,
        row: usize,
        p: Rows,
        out: Rows,
    ) {
        let wide = d.next_multiple_of(16);
        // SAFETY: the caller's contract.
        unsafe {
            let values = self.values.add((positions.start - self.first) * wide);
            let p: [*const f32; T] =
                std::array::from_fn(|t| p.at(row + t, positions.start - self.base).cast_const());
            let mut column = 0;
            while column < wide {
                let values = values.add(column);
                let out: [*mut f32; T] = std::array::from_fn(|t| out.at(row + t, column));
                let left = (wide - column) / 16;
                column += 16
                    * match left {
                        _ if W >= 4 && left >= 4 => {
                            sums::<L, T, 4>(p, values, wide, positions.len(), out)
                        }
                        _ if W >= 2 && left >= 2 => {
                            sums::<L, T, 2>(p, values, wide, positions.len(), out)
                        }
                        _ => sums::<L, T, 1>(p, values, wide, positions.len(), out),
                    };
            }
        }
    }
}

/// Adds `count` values, `wide` floats apart, to `W` lines of `T` rows; gives `W`.
///
/// # Safety
/// The pointers are valid for that; the processor has the instructions of `L`.
#[inline(always)]
unsafe fn sums<L: Lanes, const T: usize, const W: usize>(
    p: [*const f32; T],
    values: *const f32,
    wide: usize,
    count: usize,
    out: [*mut f32; T],
) -> usize {
    // SAFETY: the caller's contract.
    unsafe {
        let mut acc = [[L::splat(0.0); W]; T];
        for (acc, out) in acc.iter_mut().zip(out) {
            for (w, acc) in acc.iter_mut().enumerate() {
                *acc = L::load(out.add(16 * w));
            }
        }
        let mut at = values;
        for j in 0..count {
            let mut v = [L::splat(0.0); W];
            for (w, v) in v.iter_mut().enumerate() {
                *v = L::load(at.add(16 * w));
            }
            for (acc, p) in acc.iter_mut().zip(p) {
                let p = L::splat(*p.add(j));
                for (acc, v) in acc.iter_mut().zip(v) {
                    *acc = p.fma(v, *acc);
                }
            }
            at = at.add(wide);
        }
        for (acc, out) in acc.into_iter().zip(out) {
            for (w, acc) in acc.into_iter().enumerate() {
                acc.store(out.add(16 * w));
            }
        }
    }
    W
}
