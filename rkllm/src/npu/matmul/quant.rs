//! Scales and zero points that librknnrt applies itself.

use super::Shape;
use crate::layout::Operand;
use crate::{Error, ErrorKind, Result};

/// `rknn_matmul_quant_type`: what shares a scale in the weights. A and C have one each.
///
/// Our own linear layers use [`Granularity::LAYER`] and apply scales on the CPU. On the RK3588, third parties
/// found results of per-channel int8 all zero, and per-group ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Granularity {
    /// One scale.
    PerLayer {
        /// With a zero point.
        asymmetric: bool,
    },
    /// A scale per row of the weights (N).
    PerChannel {
        /// With a zero point each.
        asymmetric: bool,
    },
    /// A scale for every `size` columns of a row. Its order in memory, `(K / size, N)`, is that of the
    /// vendor's demo, which proves nothing, since all its values are alike.
    PerGroup {
        /// Columns.
        size: u16,
        /// Documented nowhere how zero points of groups are given.
        asymmetric: bool,
    },
}

impl Granularity {
    /// One scale, no zero point: sums come out raw.
    pub const LAYER: Self = Self::PerLayer { asymmetric: false };

    /// The vendor's number, 0..=5.
    pub const fn id(self) -> u32 {
        let (kind, asymmetric) = match self {
            Self::PerLayer { asymmetric } => (0, asymmetric),
            Self::PerChannel { asymmetric } => (2, asymmetric),
            Self::PerGroup { asymmetric, .. } => (4, asymmetric),
        };
        kind + asymmetric as u32
    }

    pub(super) const fn group_size(self) -> Option<u16> {
        match self {
            Self::PerGroup { size, .. } => Some(size),
            _ => None,
        }
    }

    /// How many scales and how many zero points a tensor of a padded shape has. Zero points may be left
    /// out; those of groups always are.
    fn counts(self, operand: Operand, shape: Shape) -> (usize, usize) {
        match (operand, self) {
            (Operand::B, Self::PerChannel { .. }) => (shape.n, shape.n),
            (Operand::B, Self::PerGroup { size, .. }) => {
                (shape.n.saturating_mul(shape.k / usize::from(size.max(1))), 0)
            }
            _ => (1, 1),
        }
    }

    pub(super) fn check(
        self,
        operand: Operand,
        shape: Shape,
        scales: usize,
        zero_points: usize,
    ) -> Result<()> {
        let (s, z) = self.counts(operand, shape);
        if scales == s && (zero_points == z || zero_points == 0) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Shape,
            format!(
                "{operand} in {self:?}: expected {s} scales and {z} zero points or none, found {scales} and \
                 {zero_points}"
            ),
        ))
    }
}
