//! int4: from the artifact's rows of nibbles (`q + 8`) to two's complement in tiles, and back.
//!
//! `q + 8` and two's complement differ in the highest bit of the nibble, so a byte is two elements
//! that move together wherever the tile pairs what the row pairs: along K.

use super::copy;
use super::{Element, NibbleOrder, TensorLayout};
use crate::quant::nibble::{row_bytes, unpack_row};
use crate::{Error, ErrorKind, Result};

impl TensorLayout {
    /// Moves int4 rows as the artifact stores them ([`nibble`](crate::quant::nibble): rows of `ceil(cols / 8) * 4` bytes,
    /// `q + 8`, even column low) to `dst`, [`size_bytes`](Self::size_bytes) long. There, elements are two's
    /// complement and of even index in the half that `order` says; padding becomes zero.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if a length is another, [`ErrorKind::Dtype`] if the element is not int4.
    pub fn pack_int4(&self, rows: &[u8], dst: &mut [u8], order: NibbleOrder) -> Result<()> {
        self.check_int4(rows.len(), dst.len())?;
        let (n, cols) = self.shape();
        let pairs = self.pairs_match();
        if !pairs || self.grid.is_padded() || !self.elements().is_multiple_of(2) {
            dst.fill(0);
        }
        if pairs {
            let grid = self.grid.halved();
            copy::pack(&grid, rows, row_bytes(cols), dst, Recode::new(order));
            // The last byte of an odd row came with the row's padding nibble.
            for row in (0..n).filter(|_| !cols.is_multiple_of(2)) {
                put(dst, self.grid.index(row, cols), 0, order);
            }
            return Ok(());
        }
        for (row, bytes) in rows.chunks_exact(row_bytes(cols)).enumerate() {
            for col in 0..cols {
                let value = get(bytes, col, NibbleOrder::LowFirst) ^ 8;
                put(dst, self.place(row, col), value, order);
            }
        }
        Ok(())
    }

    /// The inverse of [`TensorLayout::pack_int4`].
    ///
    /// # Errors
    /// As [`TensorLayout::pack_int4`], and [`ErrorKind::Format`] if padding is not zero: then `src` was
    /// not packed for this layout, and `rows` is unchanged.
    pub fn unpack_int4(&self, src: &[u8], rows: &mut [u8], order: NibbleOrder) -> Result<()> {
        self.check_int4(rows.len(), src.len())?;
        self.check_padding(|place| get(src, place, order) == 0)?;
        let (_, cols) = self.shape();
        let stride = row_bytes(cols);
        if self.pairs_match() {
            let grid = self.grid.halved();
            copy::unpack(&grid, src, rows, stride, Recode::new(order));
            for row in rows.chunks_exact_mut(stride) {
                row[cols.div_ceil(2)..].fill(0);
                if !cols.is_multiple_of(2) {
                    row[cols / 2] &= 15;
                }
            }
            return Ok(());
        }
        rows.fill(0);
        for (row, bytes) in rows.chunks_exact_mut(stride).enumerate() {
            for col in 0..cols {
                let value = get(src, self.place(row, col), order) ^ 8;
                put(bytes, col, value, NibbleOrder::LowFirst);
            }
        }
        Ok(())
    }

    /// Moves int4 rows as the artifact stores them to int8 tiles, sign-extended: for chips whose NPU
    /// multiplies int8 only. `dst` is [`elements`](Self::elements) long; padding becomes zero.
    ///
    /// # Errors
    /// As [`TensorLayout::pack`]; [`ErrorKind::Dtype`] if the element is not int8;
    /// [`ErrorKind::Unsupported`] for B in normal layout.
    pub fn pack_widened(&self, rows: &[u8], dst: &mut [i8]) -> Result<()> {
        self.expect_element(Element::Int8)?;
        let (n, cols) = self.shape();
        if self.is_transposed() {
            return Err(Error::new(ErrorKind::Unsupported, "int4 rows to normal int8 columns")
                .with_hint("use the TP or the native layout"));
        }
        let stride = row_bytes(cols);
        self.check_len("bytes of int4 rows", rows.len(), n.saturating_mul(stride))?;
        self.check_len("elements with padding", dst.len(), self.elements())?;
        if self.grid.is_padded() {
            dst.fill(0);
        }
        // A few rows at a time go through a buffer of int8.
        let height = self.grid.tile_rows.min(WIDENED_ROWS);
        let mut wide = vec![0; height.min(n) * cols];
        for first in (0..n).step_by(height) {
            let rows = rows[first * stride..].chunks_exact(stride).take(height);
            let wide = &mut wide[..rows.len() * cols];
            for (wide, row) in wide.chunks_exact_mut(cols).zip(rows) {
                unpack_row(row, wide)?;
            }
            let rows = first..first + wide.len() / cols;
            copy::pack_rows(&self.grid, rows, wide, cols, dst, copy::Same);
        }
        Ok(())
    }

    /// True if bytes of a row move whole: neighbours of K are neighbours in the tile.
    fn pairs_match(&self) -> bool {
        !self.is_transposed()
            && self.grid.tile_cols.is_multiple_of(2)
            && self.grid.padded_cols.is_multiple_of(2)
    }

    fn place(&self, row: usize, col: usize) -> usize {
        self.index(row, col).expect("inside the shape")
    }

    fn check_int4(&self, rows: usize, tiles: usize) -> Result<()> {
        self.expect_element(Element::Int4)?;
        let (n, cols) = self.shape();
        self.check_len("bytes of int4 rows", rows, n.saturating_mul(row_bytes(cols)))?;
        self.check_len("bytes with padding", tiles, self.size_bytes())
    }

    fn expect_element(&self, expected: Element) -> Result<()> {
        if self.element() == expected {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Dtype,
            format!("expected a layout of {expected}, found {}", self.element()),
        ))
    }
}

/// Rows of int4 that are widened at once where tiles have more.
const WIDENED_ROWS: usize = 64;

/// `q + 8` to two's complement or back, in both halves of a byte, and the halves exchanged or not.
#[derive(Clone, Copy)]
struct Recode {
    swap: bool,
}

impl Recode {
    /// Exchanging halves and flipping the same bit of each commute, so this is its own inverse.
    fn new(order: NibbleOrder) -> Self {
        Self { swap: order == NibbleOrder::HighFirst }
    }
}

impl copy::Map<u8> for Recode {
    #[inline(always)]
    fn apply<const N: usize>(self, mut run: [u8; N]) -> [u8; N] {
        const SIGNS: u64 = 0x8888_8888_8888_8888;
        const LOW: u64 = 0x0f0f_0f0f_0f0f_0f0f;
        let (words, rest) = run.as_chunks_mut::<8>();
        for word in words {
            let bits = u64::from_le_bytes(*word) ^ SIGNS;
            let swapped = (bits & LOW) << 4 | bits >> 4 & LOW;
            *word = (if self.swap { swapped } else { bits }).to_le_bytes();
        }
        for byte in rest {
            *byte ^= 0x88;
            *byte = if self.swap { byte.rotate_left(4) } else { *byte };
        }
        run
    }
}

/// Element `index` of a sequence of nibbles.
fn get(bytes: &[u8], index: usize, order: NibbleOrder) -> u8 {
    bytes[index / 2] >> shift(index, order) & 15
}

fn put(bytes: &mut [u8], index: usize, value: u8, order: NibbleOrder) {
    let (byte, shift) = (&mut bytes[index / 2], shift(index, order));
    *byte = *byte & !(15 << shift) | value << shift;
}

fn shift(index: usize, order: NibbleOrder) -> usize {
    let odd = index % 2;
    4 * match order {
        NibbleOrder::LowFirst => odd,
        NibbleOrder::HighFirst => 1 - odd,
    }
}
