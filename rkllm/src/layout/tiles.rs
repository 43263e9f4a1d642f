//! What is known about tiles, as one table.

use std::fmt;

use super::{Element, MatmulType, Operand};
use crate::soc::Soc;
use crate::{Error, ErrorKind, Result};

/// A chip with `rknn_matmul_*`. More than [`Soc`], which lists those with an LLM runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Chip {
    /// RK3588 and RK3588S.
    Rk3588,
    /// RK3576.
    Rk3576,
    /// RK3562.
    Rk3562,
    /// RK3566 and RK3568.
    Rk3566,
    /// RV1126B: has the functions, but no source gives its tiles.
    Rv1126b,
}

/// Rows and columns of a tile, in elements: of B `(sN, sK)`, of A `(M, S)`, of C `(M, s)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Rows: n of B, m of A and C.
    pub rows: usize,
    /// Columns: k of A and B, n of C.
    pub cols: usize,
}

/// The native tiles of one matmul type on one chip, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles {
    /// Columns k of a tile of A, S; its rows are all M.
    pub a: usize,
    /// `(sN, sK)` of B. K and N must be multiples of sK and sN in every layout.
    pub b: Tile,
    /// Columns n of a tile of C, s; its rows are all M. `None` where not documented.
    pub c: Option<usize>,
    /// B longer than this in K lies in segments of it, each laid out on its own.
    pub k_segment: Option<usize>,
}

/// A and B of one element type on one chip: S, (sN, sK).
type Row = (Chip, Element, usize, (usize, usize));

/// Source: `rknn_matmul_api.h` 2.3.2, and loops of the matmul demo that agree with it.
/// Types whose A and B differ, and int4 on other chips, have no row: nothing documents them.
const TILES: [Row; 10] = [
    (Chip::Rk3588, Element::Int4, 32, (64, 32)),
    (Chip::Rk3588, Element::Int8, 16, (32, 32)),
    (Chip::Rk3588, Element::Float16, 8, (16, 32)),
    (Chip::Rk3576, Element::Int4, 32, (64, 32)),
    (Chip::Rk3576, Element::Int8, 16, (32, 32)),
    (Chip::Rk3576, Element::Float16, 8, (16, 32)),
    (Chip::Rk3562, Element::Int8, 16, (16, 32)),
    // RKNN 1.5.2 had S 16 and (8, 16).
    (Chip::Rk3562, Element::Float16, 8, (8, 32)),
    (Chip::Rk3566, Element::Int8, 8, (16, 32)),
    (Chip::Rk3566, Element::Float16, 4, (8, 16)),
];

/// The longest K of native B in one piece. Header 2.3.2; how it is cut is inferred (see the module).
/// Not documented for the other chips.
const K_SEGMENTS: [(Chip, usize); 2] = [(Chip::Rk3588, 8192), (Chip::Rk3576, 4096)];

impl Chip {
    /// Every chip.
    pub const ALL: [Self; 5] =
        [Self::Rk3588, Self::Rk3576, Self::Rk3562, Self::Rk3566, Self::Rv1126b];

    /// The native tiles of a matmul type. S, sN, sK and s are the header's; that K and N must be
    /// multiples of them counted in elements, and how K is cut into segments, is inferred.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where nothing documents them.
    pub fn tiles(self, matmul: MatmulType) -> Result<Tiles> {
        let [a, b, c] = [Operand::A, Operand::B, Operand::C].map(|x| matmul.element(x));
        let row = TILES.iter().find(|row| row.0 == self && row.1 == a && a == b);
        let Some(&(_, _, s, (rows, cols))) = row else {
            return Err(undocumented(format!("the tiles of {matmul} on the {self}")));
        };
        let c = match c {
            Element::Int32 | Element::Float32 => Some(4),
            // The header's comment names this chip alone.
            Element::Int16 if self == Self::Rk3588 => Some(8),
            _ => None,
        };
        let k_segment = K_SEGMENTS.iter().find(|row| row.0 == self).map(|row| row.1);
        Ok(Tiles { a: s, b: Tile { rows, cols }, c, k_segment })
    }
}

pub(super) fn undocumented(what: String) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} are not documented")).with_hint(
        "read them from the dims of io_attr after rknn_matmul_create and use TensorLayout::with_tile",
    )
}

impl From<Soc> for Chip {
    fn from(soc: Soc) -> Self {
        match soc {
            Soc::Rk3588 => Self::Rk3588,
            Soc::Rk3576 => Self::Rk3576,
            Soc::Rk3562 => Self::Rk3562,
            Soc::Rv1126b => Self::Rv1126b,
        }
    }
}

impl fmt::Display for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rk3588 => "RK3588",
            Self::Rk3576 => "RK3576",
            Self::Rk3562 => "RK3562",
            Self::Rk3566 => "RK3566",
            Self::Rv1126b => "RV1126B",
        })
    }
}
