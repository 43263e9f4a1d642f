//! Scales as they are stored, read in place at any alignment.

use half::f16;

use crate::quant::Scales;

/// Little-endian scales of one tensor.
#[derive(Debug, Clone, Copy)]
pub(super) enum ScaleBytes<'a> {
    F32(&'a [u8]),
    F16(&'a [u8]),
}

impl<'a> ScaleBytes<'a> {
    pub(super) fn new(scales: &'a Scales) -> Self {
        match scales {
            Scales::F32(bytes) => Self::F32(bytes.as_ref()),
            Scales::F16(bytes) => Self::F16(bytes.as_ref()),
        }
    }

    /// The number of scales.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(bytes) => bytes.len() / 4,
            Self::F16(bytes) => bytes.len() / 2,
        }
    }

    /// Scale `i`.
    #[inline(always)]
    pub(super) fn get(&self, i: usize) -> f32 {
        match self {
            Self::F32(bytes) => {
                let b = &bytes[4 * i..4 * i + 4];
                f32::from_le_bytes([b[0], b[1], b[2], b[3]])
            }
            Self::F16(bytes) => {
                let b = &bytes[2 * i..2 * i + 2];
                f16::from_le_bytes([b[0], b[1]]).to_f32_const()
            }
        }
    }
}
