//! Element types, and the matmul types made of them.

use rkllm_sys::rknn::rknn_tensor_type;

/// The type of an element of A, B or C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    I4,
    I8,
    I16,
    I32,
    F16,
    Bf16,
    F32,
}

impl Element {
    pub(super) const fn bits(self) -> usize {
        match self {
            Self::I4 => 4,
            Self::I8 => 8,
            Self::I16 | Self::F16 | Self::Bf16 => 16,
            Self::I32 | Self::F32 => 32,
        }
    }

    /// True of what is multiplied as integers.
    pub(super) const fn is_integer(self) -> bool {
        matches!(self, Self::I4 | Self::I8 | Self::I16 | Self::I32)
    }

    pub(super) const fn id(self) -> rknn_tensor_type {
        match self {
            Self::I4 => rknn_tensor_type::RKNN_TENSOR_INT4,
            Self::I8 => rknn_tensor_type::RKNN_TENSOR_INT8,
            Self::I16 => rknn_tensor_type::RKNN_TENSOR_INT16,
            Self::I32 => rknn_tensor_type::RKNN_TENSOR_INT32,
            Self::F16 => rknn_tensor_type::RKNN_TENSOR_FLOAT16,
            Self::Bf16 => rknn_tensor_type::RKNN_TENSOR_BFLOAT16,
            Self::F32 => rknn_tensor_type::RKNN_TENSOR_FLOAT32,
        }
    }
}

use Element::{Bf16, F16, F32, I4, I8, I16, I32};

/// `rknn_matmul_type` of 2.3.2: the number, and the elements of A, B and C.
const TYPES: [(u32, [Element; 3]); 13] = [
    (1, [F16, F16, F32]),
    (2, [I8, I8, I32]),
    (3, [I8, I8, I8]),
    (4, [F16, F16, F16]),
    (5, [F16, I8, F32]),
    (6, [F16, I8, F16]),
    (7, [F16, I4, F32]),
    (8, [F16, I4, F16]),
    (9, [I8, I8, F32]),
    (10, [I4, I4, I16]),
    (11, [I8, I4, I32]),
    (12, [F16, I4, Bf16]),
    (15, [I8, I4, F16]),
];

/// A, B and C of a type's number.
pub(super) fn elements(kind: u32) -> Option<[Element; 3]> {
    TYPES.iter().find(|row| row.0 == kind).map(|row| row.1)
}
