//! Moving matrices into tiles and back: straight (rows to rows) and across (rows to columns).
//!
//! A tile row, 16 or 32 bytes mostly, is contiguous on both sides; what costs is memory. So a few rows go
//! side by side from end to end: streams that prefetchers follow, and tiles that are written by whole
//! cache lines. Shorter pieces are slower, and so is one row at a time where tile rows have 16 bytes.

use std::ops::Range;
use std::{array, mem};

use super::grid::{Band, Grid};

/// Rows packed side by side.
const ROWS: usize = 8;
/// Rows and columns of a block that is transposed.
const SQUARE: usize = 16;

/// What becomes of values on their way.
pub(super) trait Map<T>: Copy {
    fn apply<const N: usize>(self, run: [T; N]) -> [T; N];
}

/// Nothing becomes of them.
#[derive(Clone, Copy)]
pub(super) struct Same;

impl<T> Map<T> for Same {
    #[inline(always)]
    fn apply<const N: usize>(self, run: [T; N]) -> [T; N] {
        run
    }
}

/// Writes all rows of `src`, `stride` apart, to their tiles, each value through `map`.
/// Padding is left as it is.
pub(super) fn pack<T: Copy>(
    grid: &Grid,
    src: &[T],
    stride: usize,
    dst: &mut [T],
    map: impl Map<T>,
) {
    pack_rows(grid, 0..grid.rows, src, stride, dst, map);
}

/// [`pack`] of `rows` alone; `src` starts with the first of them.
pub(super) fn pack_rows<T: Copy>(
    grid: &Grid,
    rows: Range<usize>,
    src: &[T],
    stride: usize,
    dst: &mut [T],
    map: impl Map<T>,
) {
    for band in grid.bands(rows.clone()) {
        let src = &src[(band.row - rows.start) * stride + band.col..];
        let out = &mut dst[band.place.clone()];
        let done = match grid.tile_cols {
            4 => pack_runs::<T, 4>(&band, grid, src, stride, out, map),
            8 => pack_runs::<T, 8>(&band, grid, src, stride, out, map),
            16 => pack_runs::<T, 16>(&band, grid, src, stride, out, map),
            32 => pack_runs::<T, 32>(&band, grid, src, stride, out, map),
            _ => 0,
        };
        for row in 0..band.rows {
            for (col, place, width) in rest(&band, grid, row, done) {
                let (from, to) = (&src[row * stride + col..][..width], &mut out[place..][..width]);
                to.copy_from_slice(from);
                to.iter_mut().for_each(|value| [*value] = map.apply([*value]));
            }
        }
    }
}

/// The inverse of [`pack`].
pub(super) fn unpack<T: Copy>(
    grid: &Grid,
    src: &[T],
    dst: &mut [T],
    stride: usize,
    map: impl Map<T>,
) {
    for band in grid.bands(0..grid.rows) {
        let src = &src[band.place.clone()];
        let out = &mut dst[band.row * stride + band.col..];
        let done = match grid.tile_cols {
            4 => unpack_runs::<T, 4>(&band, grid, src, out, stride, map),
            8 => unpack_runs::<T, 8>(&band, grid, src, out, stride, map),
            16 => unpack_runs::<T, 16>(&band, grid, src, out, stride, map),
            32 => unpack_runs::<T, 32>(&band, grid, src, out, stride, map),
            _ => 0,
        };
        for row in 0..band.rows {
            for (col, place, width) in rest(&band, grid, row, done) {
                let (from, to) = (&src[place..][..width], &mut out[row * stride + col..][..width]);
                to.copy_from_slice(from);
                to.iter_mut().for_each(|value| [*value] = map.apply([*value]));
            }
        }
    }
}

/// Copies the whole tiles of a band; returns how many columns that was.
fn pack_runs<T: Copy, const RUN: usize>(
    band: &Band,
    grid: &Grid,
    src: &[T],
    stride: usize,
    dst: &mut [T],
    map: impl Map<T>,
) -> usize {
    let whole = band.cols / RUN * RUN;
    let tiles = dst.as_chunks_mut::<RUN>().0;
    let mut row = 0;
    while row + ROWS <= band.rows {
        let from: [_; ROWS] =
            array::from_fn(|i| runs::<T, RUN>(&src[(row + i) * stride..][..whole]));
        for (j, tile) in tiles.chunks_exact_mut(grid.tile_rows).take(whole / RUN).enumerate() {
            let to = &mut tile[band.tile_row + row..][..ROWS];
            for (to, from) in to.iter_mut().zip(from) {
                *to = map.apply(from[j]);
            }
        }
        row += ROWS;
    }
    for row in row..band.rows {
        let from = runs::<T, RUN>(&src[row * stride..][..whole]);
        for (tile, from) in tiles.chunks_exact_mut(grid.tile_rows).zip(from) {
            tile[band.tile_row + row] = map.apply(*from);
        }
    }
    whole
}

/// The inverse of [`pack_runs`].
fn unpack_runs<T: Copy, const RUN: usize>(
    band: &Band,
    grid: &Grid,
    src: &[T],
    dst: &mut [T],
    stride: usize,
    map: impl Map<T>,
) -> usize {
    let whole = band.cols / RUN * RUN;
    let tiles = src.as_chunks::<RUN>().0;
    let mut row = 0;
    while row + ROWS <= band.rows {
        let mut rest = &mut dst[row * stride..];
        let to: [_; ROWS] = array::from_fn(|i| {
            // The last row of a matrix may end before the stride does.
            let (line, next) =
                mem::take(&mut rest).split_at_mut(if i + 1 < ROWS { stride } else { whole });
            rest = next;
            line[..whole].as_chunks_mut::<RUN>().0
        });
        for (j, tile) in tiles.chunks_exact(grid.tile_rows).take(whole / RUN).enumerate() {
            let from = &tile[band.tile_row + row..][..ROWS];
            for (i, from) in from.iter().enumerate() {
                to[i][j] = map.apply(*from);
            }
        }
        row += ROWS;
    }
    for row in row..band.rows {
        let to = dst[row * stride..][..whole].as_chunks_mut::<RUN>().0;
        for (to, tile) in to.iter_mut().zip(tiles.chunks_exact(grid.tile_rows)) {
            *to = map.apply(tile[band.tile_row + row]);
        }
    }
    whole
}

fn runs<T, const RUN: usize>(row: &[T]) -> &[[T; RUN]] {
    row.as_chunks().0
}

/// The pieces of a row from column `done` on: column and place in the band, width.
fn rest(
    band: &Band,
    grid: &Grid,
    row: usize,
    done: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let (cols, tile_rows, tile_cols) = (band.cols, grid.tile_rows, grid.tile_cols);
    let tile_row = band.tile_row + row;
    (done..cols)
        .step_by(tile_cols)
        .map(move |col| (col, col * tile_rows + tile_row * tile_cols, tile_cols.min(cols - col)))
}

/// Writes `src`, the transposed matrix `(cols, rows)` row-major, to its tiles.
pub(super) fn pack_across<T: Copy>(grid: &Grid, src: &[T], dst: &mut [T]) {
    squares(grid, |row, col, place, shape| {
        let (from, to) = (&src[col * grid.rows + row..], &mut dst[place..]);
        transpose(from, grid.rows, to, grid.tile_cols, (shape.1, shape.0));
    });
}

/// The inverse of [`pack_across`].
pub(super) fn unpack_across<T: Copy>(grid: &Grid, src: &[T], dst: &mut [T]) {
    squares(grid, |row, col, place, shape| {
        let (from, to) = (&src[place..], &mut dst[col * grid.rows + row..]);
        transpose(from, grid.tile_cols, to, grid.rows, shape);
    });
}

/// Calls `visit` with row, column, place and shape of pieces of at most 16 by 16 that lie in one tile.
fn squares(grid: &Grid, mut visit: impl FnMut(usize, usize, usize, (usize, usize))) {
    for band in grid.bands(0..grid.rows) {
        for tile in (0..band.cols).step_by(grid.tile_cols) {
            let end = band.cols.min(tile + grid.tile_cols);
            for row in (0..band.rows).step_by(SQUARE) {
                for col in (tile..end).step_by(SQUARE) {
                    let place = band.place.start
                        + tile * grid.tile_rows
                        + row * grid.tile_cols
                        + (col - tile);
                    let shape = (SQUARE.min(band.rows - row), SQUARE.min(end - col));
                    visit(band.row + row, band.col + col, place, shape);
                }
            }
        }
    }
}

/// `dst[c, r] = src[r, c]` for `rows` by `cols` of rows `from` and `to` apart.
fn transpose<T: Copy>(
    src: &[T],
    from: usize,
    dst: &mut [T],
    to: usize,
    (rows, cols): (usize, usize),
) {
    if (rows, cols) == (SQUARE, SQUARE) {
        let block: [[T; SQUARE]; SQUARE] =
            array::from_fn(|row| *src[row * from..].first_chunk().expect("a whole square"));
        for (col, line) in turn(block).iter().enumerate() {
            dst[col * to..][..SQUARE].copy_from_slice(line);
        }
        return;
    }
    for col in 0..cols {
        let out = &mut dst[col * to..][..rows];
        for (row, out) in out.iter_mut().enumerate() {
            *out = src[row * from + col];
        }
    }
}

/// Transposes by interleaving halves, four times: vector units have an instruction for that, and with
/// full optimisation compilers find it.
#[inline(always)]
fn turn<T: Copy>(mut block: [[T; SQUARE]; SQUARE]) -> [[T; SQUARE]; SQUARE] {
    const HALF: usize = SQUARE / 2;
    for _ in 0..SQUARE.ilog2() {
        let mut next = block;
        for i in 0..HALF {
            let (a, b) = (block[i], block[i + HALF]);
            for j in 0..HALF {
                next[2 * i][2 * j] = a[j];
                next[2 * i][2 * j + 1] = b[j];
                next[2 * i + 1][2 * j] = a[j + HALF];
                next[2 * i + 1][2 * j + 1] = b[j + HALF];
            }
        }
        block = next;
    }
    block
}
