//! What the SoCs differ in.
//!
//! Types: for the RK3588, three independent reports of others. For the others nothing is documented and
//! the lists are inferred: int4 weights where Rockchip's LLM runtime has them, 8-bit activations with them
//! on the RK3562 alone, no int8 x int8 on the RV1126B, where one report has it refused. Alignments and
//! tiles: header 2.3.2; those of the RV1126B are the RK3576's, for want of any.

use super::element::Element;

/// What K and N are multiples of, and native tiles, in elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grain {
    pub(super) k: usize,
    pub(super) n: usize,
    /// Native A: elements of a row that lie together.
    pub(super) a: usize,
    /// Native B: columns n and rows k of a tile.
    pub(super) b: (usize, usize),
}

#[derive(Debug)]
pub(super) struct Soc {
    pub(super) name: &'static str,
    also: &'static str,
    /// `rknn_matmul_type` values that are taken.
    pub(super) types: &'static [u32],
    int4: Option<Grain>,
    int8: Grain,
    float16: Grain,
    /// Native B is laid out in segments of so many rows of K.
    pub(super) segment: usize,
    /// Cores a matmul context can be bound to; 0 where `rknn_matmul_set_core_mask` is refused.
    pub(super) matmul_cores: u32,
    /// Scales per channel for types 2 and 3 alone.
    pub(super) few_channel_types: bool,
}

const fn grain(k: usize, n: usize, a: usize, b: (usize, usize)) -> Grain {
    Grain { k, n, a, b }
}

pub(super) static RK3588: Soc = Soc {
    name: "rk3588",
    also: "rk3588s",
    types: &[1, 2, 3, 4, 9, 10],
    int4: Some(grain(32, 64, 32, (64, 32))),
    int8: grain(32, 32, 16, (32, 32)),
    float16: grain(32, 16, 8, (16, 32)),
    segment: 8192,
    matmul_cores: 3,
    few_channel_types: true,
};

static RK3576: Soc = Soc {
    name: "rk3576",
    also: "rk3576",
    types: &[1, 2, 3, 4, 7, 8, 9, 10, 12],
    int4: Some(grain(32, 64, 32, (64, 32))),
    int8: grain(32, 32, 16, (32, 32)),
    float16: grain(32, 16, 8, (16, 32)),
    segment: 4096,
    matmul_cores: 2,
    few_channel_types: false,
};

static RK3562: Soc = Soc {
    name: "rk3562",
    also: "rk3562",
    types: &[1, 2, 3, 4, 9, 11, 15],
    int4: None,
    int8: grain(32, 16, 16, (16, 32)),
    float16: grain(32, 8, 8, (8, 32)),
    segment: usize::MAX,
    matmul_cores: 0,
    few_channel_types: false,
};

static RK3566: Soc = Soc {
    name: "rk3566",
    also: "rk3568",
    types: &[1, 2, 3, 4, 9],
    int4: None,
    int8: grain(32, 16, 8, (16, 32)),
    float16: grain(16, 8, 4, (8, 16)),
    segment: usize::MAX,
    matmul_cores: 0,
    few_channel_types: false,
};

static RV1126B: Soc = Soc {
    name: "rv1126b",
    also: "rv1126b",
    types: &[1, 4, 7, 8, 12],
    int4: Some(grain(32, 64, 32, (64, 32))),
    int8: grain(32, 32, 16, (32, 32)),
    float16: grain(32, 16, 8, (16, 32)),
    segment: 4096,
    matmul_cores: 0,
    few_channel_types: false,
};

static ALL: [&Soc; 5] = [&RK3588, &RK3576, &RK3562, &RK3566, &RV1126B];

impl Soc {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        let is = |soc: &&&Self| {
            soc.name.eq_ignore_ascii_case(name) || soc.also.eq_ignore_ascii_case(name)
        };
        ALL.iter().find(is).copied()
    }

    pub(super) fn names() -> String {
        ALL.map(|soc| soc.name).join(", ")
    }

    /// The grain of tensors of an element; int4 where a SoC has no tiles of it lies as int8.
    pub(super) fn grain(&self, element: Element) -> Grain {
        match element {
            Element::I4 => self.int4.unwrap_or(self.int8),
            Element::I8 => self.int8,
            _ => self.float16,
        }
    }

    /// Native C: elements of a row that lie together. Four 32-bit ones, eight int16 sums; what may be
    /// the next product's A lies as that A, which is inferred.
    pub(super) fn c_width(&self, element: Element) -> usize {
        match element {
            Element::I32 | Element::F32 => 4,
            Element::I16 => 8,
            other => self.grain(other).a,
        }
    }
}
