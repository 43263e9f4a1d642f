//! How A, B and C lie in memory, and moving them to and from plain rows.

use half::f16;

use super::element::Element;
use super::soc::Soc;
use super::{Answer, Code, log, zeros};

/// One of the three tensors. Rows and columns are those of A (M, K), B (N, K), C (M, N), whatever the
/// layout.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) element: Element,
    pub(super) rows: usize,
    pub(super) cols: usize,
    order: Order,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    /// Row after row.
    Rows,
    /// Column after column: B in normal layout, (K, N).
    Columns,
    /// Blocks of so many columns, each with all rows: native A and C.
    Blocks(usize),
    /// Tiles of (n, k), segments of K one after the other: native B.
    Tiles { n: usize, k: usize, segment: usize },
}

/// Columns are walked in squares of this side, so that both sides stay in the cache.
const SQUARE: usize = 32;

impl Tensor {
    pub(super) fn a(soc: &Soc, element: Element, (m, k): (usize, usize), native: bool) -> Self {
        let order = if native { Order::Blocks(soc.grain(element).a) } else { Order::Rows };
        Self { element, rows: m, cols: k, order }
    }

    pub(super) fn c(soc: &Soc, element: Element, (m, n): (usize, usize), native: bool) -> Self {
        let order = if native { Order::Blocks(soc.c_width(element)) } else { Order::Rows };
        Self { element, rows: m, cols: n, order }
    }

    /// `None` for a layout that is none.
    pub(super) fn b(
        soc: &Soc,
        element: Element,
        (n, k): (usize, usize),
        layout: i16,
    ) -> Option<Self> {
        let tile = soc.grain(element).b;
        let order = match layout {
            0 => Order::Columns,
            1 => Order::Tiles { n: tile.0, k: tile.1, segment: soc.segment },
            2 => Order::Rows,
            _ => return None,
        };
        Some(Self { element, rows: n, cols: k, order })
    }

    /// What `io_attr` shows. Segments of K do not show: how they would is not documented.
    pub(super) fn dims(&self) -> Vec<usize> {
        let Self { rows, cols, .. } = *self;
        match self.order {
            Order::Rows => vec![rows, cols],
            Order::Columns => vec![cols, rows],
            Order::Blocks(width) => vec![cols / width, rows, width],
            Order::Tiles { n, k, .. } => vec![rows / n, cols / k, n, k],
        }
    }

    /// Bytes; `None` beyond what `io_attr` can say.
    pub(super) fn bytes(&self) -> Option<u32> {
        let bits = self.rows.checked_mul(self.cols)?.checked_mul(self.element.bits())?;
        u32::try_from(bits.div_ceil(8)).ok()
    }

    /// Calls `each(row, column, place, length)` for pieces of rows that lie together.
    fn runs(&self, mut each: impl FnMut(usize, usize, usize, usize)) {
        let Self { rows, cols, .. } = *self;
        match self.order {
            Order::Rows => (0..rows).for_each(|row| each(row, 0, row * cols, cols)),
            Order::Columns => {
                for from in (0..cols).step_by(SQUARE) {
                    for row in 0..rows {
                        for col in from..(from + SQUARE).min(cols) {
                            each(row, col, col * rows + row, 1);
                        }
                    }
                }
            }
            Order::Blocks(width) => {
                for block in 0..cols / width {
                    for row in 0..rows {
                        each(row, block * width, (block * rows + row) * width, width);
                    }
                }
            }
            Order::Tiles { n, k, segment } => {
                let mut start = 0;
                while start < cols {
                    let length = segment.min(cols - start);
                    let tiles = length / k;
                    for row in 0..rows {
                        for tile in 0..tiles {
                            let place = (row / n * tiles + tile) * n + row % n;
                            each(row, start + tile * k, rows * start + place * k, k);
                        }
                    }
                    start += length;
                }
            }
        }
    }

    /// int4 and int8 as rows of int8.
    pub(super) fn integers(&self, bytes: &[u8]) -> Answer<Vec<i8>> {
        self.check(bytes)?;
        let mut all = zeros(self.rows * self.cols)?;
        self.runs(|row, col, place, length| {
            let to = &mut all[row * self.cols + col..][..length];
            if self.element == Element::I4 {
                for (i, value) in to.iter_mut().enumerate() {
                    *value = nibble(bytes, place + i);
                }
            } else {
                for (value, byte) in to.iter_mut().zip(&bytes[place..place + length]) {
                    *value = byte.cast_signed();
                }
            }
        });
        Ok(all)
    }

    /// Any element of A or B as float32: rows, or columns where the product walks along those.
    pub(super) fn floats(&self, bytes: &[u8], across: bool) -> Answer<Vec<f32>> {
        self.check(bytes)?;
        let mut all = zeros(self.rows * self.cols)?;
        let (down, along) = if across { (1, self.rows) } else { (self.cols, 1) };
        self.runs(|row, col, place, length| {
            for i in 0..length {
                all[row * down + (col + i) * along] = match self.element {
                    Element::I4 => f32::from(nibble(bytes, place + i)),
                    Element::I8 => f32::from(bytes[place + i].cast_signed()),
                    _ => {
                        let at = 2 * (place + i);
                        f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
                    }
                };
            }
        });
        Ok(all)
    }

    /// Rows of values, each in the low bits of a word, as they lie in memory.
    pub(super) fn lay_out(&self, words: &[u32]) -> Answer<Vec<u8>> {
        let mut bytes = zeros(self.bytes().ok_or(Code::FAIL)? as usize)?;
        let size = self.element.bits() / 8;
        self.runs(|row, col, place, length| {
            let from = &words[row * self.cols + col..][..length];
            for (word, to) in from.iter().zip(bytes[place * size..].chunks_exact_mut(size)) {
                to.copy_from_slice(&word.to_le_bytes()[..size]);
            }
        });
        Ok(bytes)
    }

    /// The bytes of `from`, which lie as that tensor, as they lie in this one. Same element and shape.
    pub(super) fn lay_out_anew(&self, from: &Self, bytes: &[u8]) -> Answer<Vec<u8>> {
        if self.element.bits() >= 16 {
            return self.lay_out(&from.words(bytes)?);
        }
        let values = from.integers(bytes)?;
        let mut all: Vec<u8> = zeros(self.bytes().ok_or(Code::FAIL)? as usize)?;
        self.runs(|row, col, place, length| {
            for (i, value) in values[row * self.cols + col..][..length].iter().enumerate() {
                match self.element {
                    Element::I4 => {
                        all[(place + i) / 2] |=
                            (value.cast_unsigned() & 15) << ((place + i) % 2 * 4)
                    }
                    _ => all[place + i] = value.cast_unsigned(),
                }
            }
        });
        Ok(all)
    }

    /// Elements of 16 bits as rows of words.
    fn words(&self, bytes: &[u8]) -> Answer<Vec<u32>> {
        self.check(bytes)?;
        let mut all = zeros(self.rows * self.cols)?;
        self.runs(|row, col, place, length| {
            for i in 0..length {
                let at = 2 * (place + i);
                all[row * self.cols + col + i] =
                    u16::from_le_bytes([bytes[at], bytes[at + 1]]).into();
            }
        });
        Ok(all)
    }

    fn check(&self, bytes: &[u8]) -> Answer {
        if self.bytes().is_some_and(|size| bytes.len() == size as usize) {
            return Ok(());
        }
        Err(log::refuse(Code::FAIL, format_args!("a tensor of {} bytes: {self:?}", bytes.len())))
    }
}

/// Element `i` of packed int4: even ones in the low half of a byte.
fn nibble(bytes: &[u8], i: usize) -> i8 {
    (bytes[i / 2] << (4 - i % 2 * 4)).cast_signed() >> 4
}
