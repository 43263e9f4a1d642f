//! The words of librknnrt's matmul: element types, matmul types, layouts.

use std::fmt;

use half::{bf16, f16};

use crate::{Error, ErrorKind, Result};

/// The element type of A, B or C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Element {
    /// Two's complement, -8..=7, two in a byte.
    Int4,
    /// Two's complement.
    Int8,
    /// Two's complement.
    Int16,
    /// Two's complement.
    Int32,
    /// IEEE 754 binary16.
    Float16,
    /// The upper half of binary32.
    Bfloat16,
    /// IEEE 754 binary32.
    Float32,
}

impl Element {
    /// Bits per element.
    pub const fn bits(self) -> usize {
        match self {
            Self::Int4 => 4,
            Self::Int8 => 8,
            Self::Int16 | Self::Float16 | Self::Bfloat16 => 16,
            Self::Int32 | Self::Float32 => 32,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Int4 => "i4",
            Self::Int8 => "i8",
            Self::Int16 => "i16",
            Self::Int32 => "i32",
            Self::Float16 => "f16",
            Self::Bfloat16 => "bf16",
            Self::Float32 => "f32",
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A type that holds one element of 8, 16 or 32 bits.
///
/// Only the number of bits has to agree with the [`Element`]: `u8` moves int8, `u16` moves f16.
pub trait Word: Copy + Default + PartialEq + sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! words {
    ($($word:ty),*) => { $(impl sealed::Sealed for $word {} impl Word for $word {})* };
}
words!(i8, u8, i16, u16, f16, bf16, i32, u32, f32);

/// `rknn_matmul_type`: the elements of A, B and C, in this order. Prints as `i8 x i8 -> i32`.
///
/// Which chip takes which type is documented for none; on the RK3588, third parties found the types
/// whose A and B are alike accepted and the others refused. Ask the runtime by creating a small context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names say it all, and `MatmulType::TABLE` gives the elements
pub enum MatmulType {
    F16F16F32,
    I8I8I32,
    I8I8I8,
    F16F16F16,
    F16I8F32,
    F16I8F16,
    F16I4F32,
    F16I4F16,
    I8I8F32,
    I4I4I16,
    I8I4I32,
    F16I4Bf16,
    I8I4F16,
}

type Row = (MatmulType, u32, [Element; 3]);

use Element::{Bfloat16, Float16, Float32, Int4, Int8, Int16, Int32};

impl MatmulType {
    /// Every type with the vendor's number and the elements of A, B and C. Source: header 2.3.2.
    pub const TABLE: [(Self, u32, [Element; 3]); 13] = [
        (Self::F16F16F32, 1, [Float16, Float16, Float32]),
        (Self::I8I8I32, 2, [Int8, Int8, Int32]),
        (Self::I8I8I8, 3, [Int8, Int8, Int8]),
        (Self::F16F16F16, 4, [Float16, Float16, Float16]),
        (Self::F16I8F32, 5, [Float16, Int8, Float32]),
        (Self::F16I8F16, 6, [Float16, Int8, Float16]),
        (Self::F16I4F32, 7, [Float16, Int4, Float32]),
        (Self::F16I4F16, 8, [Float16, Int4, Float16]),
        (Self::I8I8F32, 9, [Int8, Int8, Float32]),
        (Self::I4I4I16, 10, [Int4, Int4, Int16]),
        (Self::I8I4I32, 11, [Int8, Int4, Int32]),
        (Self::F16I4Bf16, 12, [Float16, Int4, Bfloat16]),
        (Self::I8I4F16, 15, [Int8, Int4, Float16]),
    ];

    /// The type of the vendor's number, which leaves out 0, 13 and 14.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.1 == id).map(|row| row.0)
    }

    /// The vendor's number.
    pub fn id(self) -> u32 {
        self.row().1
    }

    /// The element of A, B or C.
    pub fn element(self, operand: Operand) -> Element {
        self.row().2[operand as usize]
    }

    fn row(self) -> &'static Row {
        // The table is in the order of the variants; a test holds that.
        static TABLE: [Row; 13] = MatmulType::TABLE;
        &TABLE[self as usize]
    }
}

impl fmt::Display for MatmulType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.row().2;
        f.pad(&format!("{a} x {b} -> {c}"))
    }
}

/// One of the three tensors of a matmul.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// Activations: rows m, columns k.
    A,
    /// Weights: rows n, columns k.
    B,
    /// The result: rows m, columns n.
    C,
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(["A", "B", "C"][*self as usize])
    }
}

/// `rknn_matmul_layout`: how A and C (`AC_layout`: the first two) or B (`B_layout`) lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `(M, K)`, `(K, N)`, `(M, N)`, row-major. The library converts at each run.
    Normal,
    /// In tiles, as the NPU reads.
    Native,
    /// B only: `(N, K)`, row-major.
    TpNormal,
}

impl Layout {
    /// The vendor's number: 0, 1, 2.
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The layout of the vendor's number.
    pub const fn from_id(id: u32) -> Option<Self> {
        match id {
            0 => Some(Self::Normal),
            1 => Some(Self::Native),
            2 => Some(Self::TpNormal),
            _ => None,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(["normal", "native", "TP"][*self as usize])
    }
}

/// Which half of a byte holds the int4 element of even linear index.
///
/// Documented by no prose of the vendor. Its demo writes [`LowFirst`](Self::LowFirst) for A in both
/// layouts and for B normal and TP (since 2.0.0b0; A native was the other way in 1.6.0). For B native it
/// contradicts itself: an unused function and a dump read the high half first, while the data it runs
/// comes from the library's own conversion. Native A and native B both pair along K, so a product is
/// right whenever the two agree, and wrong only if they differ: use one order for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NibbleOrder {
    /// Even index in bits 0..4, odd in bits 4..8.
    #[default]
    LowFirst,
    /// Even index in bits 4..8, odd in bits 0..4.
    HighFirst,
}

/// What an element of `bits` cannot be moved as.
pub(super) fn check_word<T>(element: Element) -> Result<()> {
    let bits = size_of::<T>() * 8;
    if bits == element.bits() {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::Dtype,
        format!("expected values of {} bits for {element}, found {bits} bits", element.bits()),
    );
    Err(match element {
        Int4 => error.with_hint("use pack_int4 and unpack_int4"),
        _ => error,
    })
}
