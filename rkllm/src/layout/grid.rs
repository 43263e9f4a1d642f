//! `Grid`: a matrix cut into tiles, and the tiles into segments of columns. All layouts are one.
//!
//! Native A `(K/S, M, S)` is native B `(N/sN, K/sK, sN, sK)` with one tile row of M, and a row-major
//! matrix is a single tile. So one formula and one pair of copy loops serve every tensor.

use std::ops::Range;

/// A matrix as it is stored, in elements (or in bytes of two int4 elements).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Grid {
    /// Rows and columns that hold values.
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// With zeros to whole tiles.
    pub(super) padded_rows: usize,
    pub(super) padded_cols: usize,
    pub(super) tile_rows: usize,
    pub(super) tile_cols: usize,
    /// Columns per segment, a multiple of `tile_cols`; the last segment may be shorter.
    pub(super) segment: usize,
}

/// One row of tiles of one segment: contiguous in memory. Of its rows, those that are wanted.
#[derive(Debug, Clone)]
pub(super) struct Band {
    /// The first row, its number within the tile, and how many there are.
    pub(super) row: usize,
    pub(super) tile_row: usize,
    pub(super) rows: usize,
    /// The first column, and how many hold values.
    pub(super) col: usize,
    pub(super) cols: usize,
    /// Where the band lies.
    pub(super) place: Range<usize>,
}

impl Grid {
    /// Elements with padding.
    pub(super) fn len(&self) -> usize {
        self.padded_rows * self.padded_cols
    }

    pub(super) fn is_padded(&self) -> bool {
        (self.rows, self.cols) != (self.padded_rows, self.padded_cols)
    }

    /// Where `(row, col)` lies; padding has a place too.
    pub(super) fn index(&self, row: usize, col: usize) -> usize {
        let start = col / self.segment * self.segment;
        let length = self.segment.min(self.padded_cols - start);
        let col = col - start;
        let tile = row / self.tile_rows * (length / self.tile_cols) + col / self.tile_cols;
        self.padded_rows * start
            + tile * self.tile_rows * self.tile_cols
            + row % self.tile_rows * self.tile_cols
            + col % self.tile_cols
    }

    /// The bands that hold `rows`, in the order they lie in memory.
    pub(super) fn bands(self, rows: Range<usize>) -> impl Iterator<Item = Band> {
        let segments = (0..self.cols).step_by(self.segment);
        let first = rows.start / self.tile_rows * self.tile_rows;
        segments.flat_map(move |col| {
            let length = self.segment.min(self.padded_cols - col);
            let rows = rows.clone();
            (first..rows.end).step_by(self.tile_rows).map(move |top| {
                let start = self.padded_rows * col + top * length;
                let row = top.max(rows.start);
                Band {
                    row,
                    tile_row: row - top,
                    rows: (top + self.tile_rows).min(rows.end) - row,
                    col,
                    cols: length.min(self.cols - col),
                    place: start..start + self.tile_rows * length,
                }
            })
        })
    }

    /// The places of all padding.
    pub(super) fn padding(self) -> impl Iterator<Item = usize> {
        (0..self.padded_rows).flat_map(move |row| {
            let first = if row < self.rows { self.cols } else { 0 };
            (first..self.padded_cols).map(move |col| self.index(row, col))
        })
    }

    /// The same matrix with pairs of neighbouring columns as one element; tiles have even columns.
    pub(super) fn halved(&self) -> Self {
        Self {
            cols: self.cols.div_ceil(2),
            padded_cols: self.padded_cols / 2,
            tile_cols: self.tile_cols / 2,
            segment: self.segment / 2,
            ..*self
        }
    }
}
