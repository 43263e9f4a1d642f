//! Where an element of A, B or C lies.

use crate::Setup;

/// Element types, with their `rknn_tensor_type` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F32 = 0,
    F16 = 1,
    I8 = 2,
    I16 = 4,
    I32 = 6,
    I4 = 10,
}

impl Element {
    pub(crate) fn bits(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 32,
            Self::F16 | Self::I16 => 16,
            Self::I8 => 8,
            Self::I4 => 4,
        }
    }

    /// A, B and C of a `rknn_matmul_type`.
    pub(crate) fn of(kind: i32) -> Option<[Self; 3]> {
        Some(match kind {
            1 => [Self::F16, Self::F16, Self::F32],
            2 => [Self::I8, Self::I8, Self::I32],
            4 => [Self::F16, Self::F16, Self::F16],
            7 => [Self::F16, Self::I4, Self::F32],
            10 => [Self::I4, Self::I4, Self::I16],
            11 => [Self::I8, Self::I4, Self::I32],
            _ => return None,
        })
    }
}

/// One of the three matrices as the library wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(crate) element: Element,
    pub(crate) dims: Vec<usize>,
    layout: Layout,
    /// int4: the even element in the high nibble.
    pub(crate) high_first: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Layout {
    /// Row after row of so many elements.
    Rows(usize),
    /// B as (N, K), with K this.
    Transposed(usize),
    /// Column blocks of `width`, each with all `rows`: A and C.
    Blocks { rows: usize, width: usize },
    /// B in tiles of (n, k), in segments along K.
    Tiles { depth: usize, columns: usize, n: usize, k: usize, segment: usize },
}

impl Tensor {
    pub(crate) fn a(setup: &Setup, element: Element, m: usize, k: usize, native: bool) -> Self {
        let width = setup.soc.kind(element.bits()).map_or(8, |kind| kind.a_k);
        Self::rows_or_blocks(element, m, k, native.then_some(width))
    }

    pub(crate) fn c(element: Element, m: usize, n: usize, native: bool) -> Self {
        let width = if element == Element::I16 { 8 } else { 4 };
        Self::rows_or_blocks(element, m, n, native.then_some(width))
    }

    fn rows_or_blocks(element: Element, rows: usize, columns: usize, width: Option<usize>) -> Self {
        let (dims, layout) = match width {
            None => (vec![rows, columns], Layout::Rows(columns)),
            Some(width) => {
                (vec![columns.div_ceil(width), rows, width], Layout::Blocks { rows, width })
            }
        };
        Self { element, dims, layout, high_first: false }
    }

    /// B in layout 0 (normal), 1 (native) or 2 (transposed).
    pub(crate) fn b(
        setup: &Setup,
        element: Element,
        k: usize,
        n: usize,
        layout: i16,
    ) -> Option<Self> {
        let high_first = layout == 1 && setup.b_native_high;
        let (dims, layout) = match layout {
            0 => (vec![k, n], Layout::Rows(n)),
            2 => (vec![n, k], Layout::Transposed(k)),
            1 => {
                let kind = setup.soc.kind(element.bits()).or(setup.soc.kind(8))?;
                let tile = if setup.other_tiles { kind.b_n / 2 } else { kind.b_n };
                let dims = vec![n.div_ceil(tile), k.div_ceil(kind.b_k), tile, kind.b_k];
                let segment = setup.soc.segment.unwrap_or(k);
                (dims, Layout::Tiles { depth: k, columns: n, n: tile, k: kind.b_k, segment })
            }
            _ => return None,
        };
        Some(Self { element, dims, layout, high_first })
    }

    pub(crate) fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    pub(crate) fn bytes(&self) -> usize {
        (self.elements() * self.element.bits()).div_ceil(8)
    }

    /// The index of the element in a row and a column.
    pub(crate) fn index(&self, row: usize, column: usize) -> usize {
        match self.layout {
            Layout::Rows(columns) => row * columns + column,
            Layout::Transposed(depth) => column * depth + row,
            Layout::Blocks { rows, width } => {
                (column / width) * rows * width + row * width + column % width
            }
            Layout::Tiles { depth, columns, n, k, segment } => {
                let start = row / segment * segment;
                let length = segment.min(depth - start).div_ceil(k);
                let tile = (column / n) * length + (row - start) / k;
                let before = columns.div_ceil(n) * n * start;
                before + tile * n * k + (column % n) * k + (row - start) % k
            }
        }
    }
}
