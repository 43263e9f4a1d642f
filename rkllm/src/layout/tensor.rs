//! `TensorLayout`: how one tensor of a matmul lies in memory, and moving it there and back.

use super::copy;
use super::grid::Grid;
use super::tiles::undocumented;
use super::types::check_word;
use super::{Chip, Element, Layout, MatmulType, Operand, Tile, Word};
use crate::{Error, ErrorKind, Result};

/// How one tensor of a matmul lies in memory.
///
/// Rows and columns are those of the operand as this crate keeps it, whatever the layout:
/// A `(M, K)`, B `(N, K)`, C `(M, N)`, row-major. So `index(n, k)` of a B in the vendor's normal layout
/// is `k * N + n`.
///
/// ```
/// use rkllm::layout::{Chip, Layout, MatmulType, TensorLayout};
///
/// let b = TensorLayout::b(Chip::Rk3588, MatmulType::I8I8I32, Layout::Native, 64, 96)?;
/// assert_eq!(b.dims(), [2, 3, 32, 32]);
/// assert_eq!(b.index(1, 33), Some(1024 + 32 + 1));
///
/// let weights: Vec<i8> = (0..64 * 96).map(|i| i as i8).collect();
/// let mut tiles = vec![0i8; b.elements()];
/// b.pack(&weights, &mut tiles)?;
/// assert_eq!(tiles[1024 + 32 + 1], weights[96 + 33]);
/// # Ok::<(), rkllm::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorLayout {
    operand: Operand,
    layout: Layout,
    element: Element,
    /// As stored: of B in normal layout, rows are k and columns are n.
    pub(super) grid: Grid,
}

impl TensorLayout {
    /// Activations A of shape `(m, k)`, K padded to what the chip takes.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if a dimension is zero or the tensor is larger than 4 GiB,
    /// [`ErrorKind::Input`] for the TP layout, [`ErrorKind::Unsupported`] where
    /// [`Chip::tiles`] knows none.
    pub fn a(chip: Chip, matmul: MatmulType, layout: Layout, m: usize, k: usize) -> Result<Self> {
        let tiles = chip.tiles(matmul)?;
        let tile = Tile { rows: m, cols: tiles.a };
        let new = Plan { operand: Operand::A, layout, element: matmul.element(Operand::A) };
        new.build((m, k), (m, round_up(k, tiles.b.cols)?), tile, None)
    }

    /// Weights B of shape `(n, k)`, both padded to what the chip takes.
    ///
    /// # Errors
    /// As [`TensorLayout::a`]; every layout is allowed.
    pub fn b(chip: Chip, matmul: MatmulType, layout: Layout, n: usize, k: usize) -> Result<Self> {
        let tiles = chip.tiles(matmul)?;
        let padded = (round_up(n, tiles.b.rows)?, round_up(k, tiles.b.cols)?);
        let new = Plan { operand: Operand::B, layout, element: matmul.element(Operand::B) };
        new.build((n, k), padded, tiles.b, tiles.k_segment)
    }

    /// The result C of shape `(m, n)`, N padded to what the chip takes.
    ///
    /// # Errors
    /// As [`TensorLayout::a`]; [`ErrorKind::Unsupported`] for native C of int8, f16 and bf16, and of
    /// int4 products elsewhere than on the RK3588.
    pub fn c(chip: Chip, matmul: MatmulType, layout: Layout, m: usize, n: usize) -> Result<Self> {
        let tiles = chip.tiles(matmul)?;
        let cols = match (layout, tiles.c) {
            (_, Some(cols)) => cols,
            (Layout::Native, None) => {
                return Err(undocumented(format!(
                    "the tiles of native C of {matmul} on the {chip}"
                )));
            }
            (_, None) => 1,
        };
        let new = Plan { operand: Operand::C, layout, element: matmul.element(Operand::C) };
        new.build((m, n), (m, round_up(n, tiles.b.rows)?), Tile { rows: m, cols }, None)
    }

    /// A tensor in native tiles that were read from `io_attr`, padded to whole tiles: `tile` is
    /// `dims[2]` and `dims[3]` of B, M and `dims[2]` of A or C. `k_segment`: see
    /// [`Tiles::k_segment`](super::Tiles::k_segment).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if a dimension is zero, the tensor is larger than 4 GiB, a tile of A or C
    /// does not hold every row, or `k_segment` is no multiple of the tile's columns.
    pub fn with_tile(
        operand: Operand,
        element: Element,
        (rows, cols): (usize, usize),
        tile: Tile,
        k_segment: Option<usize>,
    ) -> Result<Self> {
        let new = Plan { operand, layout: Layout::Native, element };
        if operand != Operand::B && tile.rows != rows {
            return Err(new.shape_error(format!(
                "expected tiles of all {rows} rows, found {} rows",
                tile.rows
            )));
        }
        let padded = (round_up(rows, tile.rows)?, round_up(cols, tile.cols)?);
        new.build((rows, cols), padded, tile, k_segment)
    }

    /// A tensor in normal or TP layout without padding: what a context has whose own shape this is.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if a dimension is zero or the tensor is larger than 4 GiB,
    /// [`ErrorKind::Input`] for the native layout, and for A or C in TP layout.
    pub fn unpadded(
        operand: Operand,
        element: Element,
        layout: Layout,
        (rows, cols): (usize, usize),
    ) -> Result<Self> {
        if layout == Layout::Native {
            return Err(Error::new(ErrorKind::Input, "the native layout needs tiles")
                .with_hint("use TensorLayout::with_tile"));
        }
        Plan { operand, layout, element }.build(
            (rows, cols),
            (rows, cols),
            Tile { rows, cols },
            None,
        )
    }

    /// Which tensor this is.
    pub fn operand(&self) -> Operand {
        self.operand
    }

    /// Normal, native or TP.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The type of its elements.
    pub fn element(&self) -> Element {
        self.element
    }

    /// Rows and columns without padding: A `(M, K)`, B `(N, K)`, C `(M, N)`.
    pub fn shape(&self) -> (usize, usize) {
        self.oriented((self.grid.rows, self.grid.cols))
    }

    /// Rows and columns with padding: the shape to give to `rknn_matmul_create`.
    pub fn padded(&self) -> (usize, usize) {
        self.oriented((self.grid.padded_rows, self.grid.padded_cols))
    }

    /// Elements with padding: the length of what [`TensorLayout::pack`] fills.
    pub fn elements(&self) -> usize {
        self.grid.len()
    }

    /// Bytes with padding: `io_attr`'s `size`.
    pub fn size_bytes(&self) -> usize {
        (self.elements() * self.element.bits()).div_ceil(8)
    }

    /// The dimensions that `io_attr` should show, slowest first; see the table of the [module](super).
    /// Segments do not appear in them: what `io_attr` shows above the limit is not documented.
    pub fn dims(&self) -> Vec<usize> {
        let Grid { padded_rows, padded_cols, tile_rows, tile_cols, .. } = self.grid;
        match (self.layout, self.operand) {
            (Layout::Normal | Layout::TpNormal, _) => vec![padded_rows, padded_cols],
            (Layout::Native, Operand::B) => {
                vec![padded_rows / tile_rows, padded_cols / tile_cols, tile_rows, tile_cols]
            }
            (Layout::Native, _) => vec![padded_cols / tile_cols, padded_rows, tile_cols],
        }
    }

    /// Where element `(row, col)` of [`shape`](Self::shape) lies, counted in elements; `None` outside
    /// [`padded`](Self::padded). Of int4, element `i` is half of byte `i / 2`.
    pub fn index(&self, row: usize, col: usize) -> Option<usize> {
        let (rows, cols) = self.padded();
        let (row, col) = (row < rows && col < cols).then(|| self.oriented((row, col)))?;
        Some(self.grid.index(row, col))
    }

    /// Moves `src`, [`shape`](Self::shape) row-major, to `dst`, [`elements`](Self::elements) long; padding
    /// becomes zero.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if a length is another; [`ErrorKind::Dtype`] if `T` has another size than
    /// the element (int4: see [`TensorLayout::pack_int4`]).
    pub fn pack<T: Word>(&self, src: &[T], dst: &mut [T]) -> Result<()> {
        self.pack_as(src, dst, self.is_transposed())
    }

    /// Moves `src`, the transposed matrix row-major, to `dst`; of B: `(K, N)`, the vendor's normal layout.
    ///
    /// # Errors
    /// As [`TensorLayout::pack`].
    pub fn pack_transposed<T: Word>(&self, src: &[T], dst: &mut [T]) -> Result<()> {
        self.pack_as(src, dst, !self.is_transposed())
    }

    /// The inverse of [`TensorLayout::pack`].
    ///
    /// # Errors
    /// As [`TensorLayout::pack`], and [`ErrorKind::Format`] if padding is not zero: then `src` was not
    /// packed for this layout, and `dst` is unchanged.
    pub fn unpack<T: Word>(&self, src: &[T], dst: &mut [T]) -> Result<()> {
        self.unpack_as(src, dst, self.is_transposed())
    }

    /// The inverse of [`TensorLayout::pack_transposed`].
    ///
    /// # Errors
    /// As [`TensorLayout::unpack`].
    pub fn unpack_transposed<T: Word>(&self, src: &[T], dst: &mut [T]) -> Result<()> {
        self.unpack_as(src, dst, !self.is_transposed())
    }

    fn pack_as<T: Word>(&self, src: &[T], dst: &mut [T], across: bool) -> Result<()> {
        check_word::<T>(self.element)?;
        self.check_len("row-major elements", src.len(), self.grid.rows * self.grid.cols)?;
        self.check_len("elements with padding", dst.len(), self.elements())?;
        if self.grid.is_padded() {
            dst.fill(T::default());
        }
        if across {
            copy::pack_across(&self.grid, src, dst);
        } else {
            copy::pack(&self.grid, src, self.grid.cols, dst, copy::Same);
        }
        Ok(())
    }

    fn unpack_as<T: Word>(&self, src: &[T], dst: &mut [T], across: bool) -> Result<()> {
        check_word::<T>(self.element)?;
        self.check_len("elements with padding", src.len(), self.elements())?;
        self.check_len("row-major elements", dst.len(), self.grid.rows * self.grid.cols)?;
        self.check_padding(|place| src[place] == T::default())?;
        if across {
            copy::unpack_across(&self.grid, src, dst);
        } else {
            copy::unpack(&self.grid, src, dst, self.grid.cols, copy::Same);
        }
        Ok(())
    }

    pub(super) fn check_padding(&self, is_zero: impl Fn(usize) -> bool) -> Result<()> {
        match self.grid.padding().find(|&place| !is_zero(place)) {
            None => Ok(()),
            Some(place) => Err(self
                .error(ErrorKind::Format, format!("the padding element {place} is not zero"))
                .with_hint("the bytes are of another shape, type, layout or chip")),
        }
    }

    pub(super) fn check_len(&self, what: &str, found: usize, expected: usize) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        Err(self.error(ErrorKind::Shape, format!("expected {expected} {what}, found {found}")))
    }

    /// True for B in normal layout, which is stored `(K, N)`.
    pub(super) fn is_transposed(&self) -> bool {
        self.operand == Operand::B && self.layout == Layout::Normal
    }

    fn oriented(&self, (a, b): (usize, usize)) -> (usize, usize) {
        if self.is_transposed() { (b, a) } else { (a, b) }
    }

    fn error(&self, kind: ErrorKind, message: String) -> Error {
        let (rows, cols) = self.shape();
        let Self { operand, layout, element, .. } = self;
        Error::new(kind, message).about(format!("{layout} {operand} of {element} [{rows}, {cols}]"))
    }
}

/// A layout whose shape is still to be checked.
struct Plan {
    operand: Operand,
    layout: Layout,
    element: Element,
}

impl Plan {
    fn build(
        self,
        shape: (usize, usize),
        padded: (usize, usize),
        tile: Tile,
        k_segment: Option<usize>,
    ) -> Result<TensorLayout> {
        let Self { operand, layout, element } = self;
        if shape.0 == 0 || shape.1 == 0 {
            return Err(self.shape_error(format!("expected values, found {shape:?}")));
        }
        // io_attr's sizes are 32-bit, and an IOMMU domain has 4 GiB.
        let bytes = padded.0.checked_mul(padded.1).and_then(|n| n.checked_mul(element.bits()));
        if bytes.is_none_or(|bits| u32::try_from(bits.div_ceil(8)).is_err()) {
            return Err(self
                .shape_error(format!("{shape:?} is larger than 4 GiB"))
                .with_hint("split M or N over several matmuls"));
        }
        let turn = |(a, b)| if operand == Operand::B { (b, a) } else { (a, b) };
        let (shape, padded, tile, k_segment) = match (layout, operand) {
            (Layout::Native, _) => (shape, padded, tile, k_segment),
            (Layout::TpNormal, Operand::A | Operand::C) => {
                return Err(Error::new(ErrorKind::Input, format!("{operand} has no TP layout"))
                    .with_hint("use the normal or the native layout"));
            }
            (Layout::TpNormal, _) => (shape, padded, whole(padded), None),
            (Layout::Normal, _) => (turn(shape), turn(padded), whole(turn(padded)), None),
        };
        let segment = k_segment.unwrap_or(padded.1);
        if segment == 0 || !segment.is_multiple_of(tile.cols) {
            return Err(self.shape_error(format!(
                "segments of {segment} columns are not whole tiles of {}",
                tile.cols
            )));
        }
        let grid = Grid {
            rows: shape.0,
            cols: shape.1,
            padded_rows: padded.0,
            padded_cols: padded.1,
            tile_rows: tile.rows,
            tile_cols: tile.cols,
            segment,
        };
        Ok(TensorLayout { operand, layout, element, grid })
    }

    fn shape_error(&self, message: String) -> Error {
        Error::new(ErrorKind::Shape, message)
            .about(format!("{} {} of {}", self.layout, self.operand, self.element))
    }
}

fn whole((rows, cols): (usize, usize)) -> Tile {
    Tile { rows, cols }
}

fn round_up(value: usize, multiple: usize) -> Result<usize> {
    let rounded = if multiple == 0 { None } else { value.checked_next_multiple_of(multiple) };
    rounded.ok_or_else(|| {
        Error::new(
            ErrorKind::Shape,
            format!("{value} cannot be padded to a multiple of {multiple}"),
        )
    })
}
