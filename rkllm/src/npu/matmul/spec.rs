//! `MatmulSpec`: what a context is to compute.

use rkllm_sys::rknn;

use super::quant::Granularity;
use super::{Matmul, Runtime};
use crate::layout::{Chip, Layout, MatmulType};
use crate::{Error, ErrorKind, Result};

/// Domains of driver 0.9.8. It keeps the domain it has, silently, when given another number.
const DOMAINS: u8 = 16;

/// The dimensions of a product: A `(M, K)`, weights `(N, K)`, C `(M, N)`. Unpadded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of A and of the weights.
    pub k: usize,
    /// Rows of the weights, columns of C.
    pub n: usize,
}

/// Which NPU core computes. Masks of several are refused by librknnrt on matmul contexts, so there are
/// none here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Core {
    /// The driver chooses; the only one where [`Chip`] has one core.
    #[default]
    Auto,
    /// Core 0.
    Zero,
    /// Core 1: RK3588 and RK3576.
    One,
    /// Core 2: RK3588.
    Two,
}

impl Core {
    /// The cores of a chip that contexts can be bound to; `Auto` alone where they cannot.
    pub const fn of(chip: Chip) -> &'static [Self] {
        match chip {
            Chip::Rk3588 => &[Self::Zero, Self::One, Self::Two],
            Chip::Rk3576 => &[Self::Zero, Self::One],
            _ => &[Self::Auto],
        }
    }

    pub(super) const fn mask(self) -> Option<rknn::rknn_core_mask> {
        match self {
            Self::Auto => None,
            Self::Zero => Some(rknn::rknn_core_mask::RKNN_NPU_CORE_0),
            Self::One => Some(rknn::rknn_core_mask::RKNN_NPU_CORE_1),
            Self::Two => Some(rknn::rknn_core_mask::RKNN_NPU_CORE_2),
        }
    }
}

/// What a matmul context computes, and how its tensors lie.
///
/// Defaults: everything in native layout, one scale per tensor (raw sums), IOMMU domain 0, any core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatmulSpec {
    pub(super) chip: Chip,
    pub(super) matmul: MatmulType,
    pub(super) shape: Shape,
    pub(super) b_layout: Layout,
    pub(super) ac_layout: Layout,
    pub(super) granularity: Granularity,
    pub(super) domain: u8,
    pub(super) core: Core,
    pub(super) trust: bool,
}

impl MatmulSpec {
    /// A product of `shape` on `chip`.
    pub const fn new(chip: Chip, matmul: MatmulType, shape: Shape) -> Self {
        Self {
            chip,
            matmul,
            shape,
            b_layout: Layout::Native,
            ac_layout: Layout::Native,
            granularity: Granularity::LAYER,
            domain: 0,
            core: Core::Auto,
            trust: false,
        }
    }

    /// How the weights lie on the device. int4 x int4 takes the native layout alone.
    #[must_use]
    pub const fn with_b_layout(mut self, layout: Layout) -> Self {
        self.b_layout = layout;
        self
    }

    /// How A and C lie on the device: normal or native. In normal layout the library converts at each run.
    #[must_use]
    pub const fn with_ac_layout(mut self, layout: Layout) -> Self {
        self.ac_layout = layout;
        self
    }

    /// Whose scales librknnrt is to apply to the weights; see [`Matmul::set_quant_params`].
    #[must_use]
    pub const fn with_granularity(mut self, granularity: Granularity) -> Self {
        self.granularity = granularity;
        self
    }

    /// The IOMMU domain of all memory of the context, 0..=15. Each has 4 GiB.
    #[must_use]
    pub const fn with_iommu_domain(mut self, domain: u8) -> Self {
        self.domain = domain;
        self
    }

    /// The core that computes.
    #[must_use]
    pub const fn with_core(mut self, core: Core) -> Self {
        self.core = core;
        self
    }

    /// Where `io_attr` and [`layout`](crate::layout) differ, believe `io_attr`: its native tiles are used, and
    /// larger sizes are accepted. Compare a product with a known one first.
    #[must_use]
    pub const fn with_io_attr_trusted(mut self) -> Self {
        self.trust = true;
        self
    }

    /// Creates the context and memory for A and C.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a setting that cannot be, [`ErrorKind::Shape`] for a shape that cannot be,
    /// [`ErrorKind::Unsupported`] if librknnrt refuses type or shape, [`ErrorKind::Abi`] if `io_attr`
    /// contradicts [`layout`](crate::layout), [`ErrorKind::Memory`], [`ErrorKind::Runtime`].
    pub fn create(&self, runtime: &Runtime) -> Result<Matmul> {
        Matmul::create(runtime, *self)
    }

    /// Creates a context whose M is one of `rows`, chosen by [`Matmul::set_rows`]; `shape.m` does not
    /// count. The first of `rows` is chosen at first, and memory is for the largest.
    ///
    /// # Errors
    /// As [`MatmulSpec::create`]; [`ErrorKind::Input`] if `rows` is empty, longer than 512 or names a number
    /// twice.
    pub fn create_dynamic(&self, runtime: &Runtime, rows: &[usize]) -> Result<Matmul> {
        Matmul::create_dynamic(runtime, *self, rows)
    }

    /// Refuses what librknnrt would take silently or misread.
    pub(super) fn check(&self) -> Result<()> {
        let input = |message: String| Err(Error::new(ErrorKind::Input, message));
        if self.ac_layout == Layout::TpNormal {
            return input("A and C have no TP layout".into());
        }
        if self.domain >= DOMAINS {
            return Err(Error::new(
                ErrorKind::Input,
                format!("expected an IOMMU domain of 0..=15, found {}", self.domain),
            )
            .with_hint("the driver would keep the domain it has without saying so"));
        }
        if self.core != Core::Auto && !Core::of(self.chip).contains(&self.core) {
            return Err(Error::new(
                ErrorKind::Input,
                format!("contexts of the {} cannot be bound to core {:?}", self.chip, self.core),
            )
            .with_hint(format!("use one of {:?}", Core::of(self.chip))));
        }
        if let Some(group) = self.granularity.group_size() {
            let sound = group != 0 && self.shape.k.is_multiple_of(usize::from(group));
            if !sound || i16::try_from(group).is_err() {
                return input(format!("groups of {group} do not divide K = {}", self.shape.k));
            }
        }
        Ok(())
    }

    /// The struct for `rknn_matmul_create`, of a padded shape.
    pub(super) fn info(&self, padded: Shape) -> Result<rknn::rknn_matmul_info> {
        let Shape { m, k, n } = padded;
        // Both enums have small values; group sizes were checked.
        let small = |value: u32| value as i16;
        Ok(rknn::rknn_matmul_info {
            M: dimension(m)?,
            K: dimension(k)?,
            N: dimension(n)?,
            type_: rknn::rknn_matmul_type(self.matmul.id()),
            B_layout: small(self.b_layout.id()),
            B_quant_type: small(self.granularity.id()),
            AC_layout: small(self.ac_layout.id()),
            AC_quant_type: 0,
            iommu_domain_id: i32::from(self.domain),
            group_size: self.granularity.group_size().map_or(0, |group| small(group.into())),
            ..Default::default()
        })
    }

    pub(super) const fn with_shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }
}

/// A dimension as the vendor's `int32_t`.
pub(super) fn dimension(value: usize) -> Result<i32> {
    i32::try_from(value).ok().filter(|&value| value > 0).ok_or_else(|| {
        Error::new(
            ErrorKind::Shape,
            format!("expected a dimension of 1..=2147483647, found {value}"),
        )
    })
}
