//! What the SoCs differ in.

/// Types that a result here can be computed of, by `rknn_matmul_type`.
const F16_F32: i32 = 1;
const I8_I32: i32 = 2;
const F16_F16: i32 = 4;
const F16_I4_F32: i32 = 7;
const I4_I16: i32 = 10;
const I8_I4_I32: i32 = 11;

/// Of int4, int8, float16: what K and N are multiples of, and the tiles.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) k_multiple: usize,
    pub(crate) n_multiple: usize,
    /// A: elements of a row that lie together.
    pub(crate) a_k: usize,
    /// B: rows and columns of a tile.
    pub(crate) b_n: usize,
    pub(crate) b_k: usize,
}

/// A SoC.
#[derive(Debug)]
pub(crate) struct Soc {
    name: &'static str,
    /// The `rknn_matmul_type` values it takes (of those computed here).
    pub(crate) types: &'static [i32],
    /// int4, int8, float16.
    kinds: [Option<Kind>; 3],
    /// Native B is laid out in segments of so many rows of K.
    pub(crate) segment: Option<usize>,
    /// Cores that a context can be bound to; none where `rknn_matmul_set_core_mask` is refused.
    pub(crate) cores: u32,
}

const fn kind(k: usize, n: usize, a_k: usize, b_n: usize, b_k: usize) -> Option<Kind> {
    Some(Kind { k_multiple: k, n_multiple: n, a_k, b_n, b_k })
}

pub(crate) static RK3588: Soc = Soc {
    name: "rk3588",
    types: &[F16_F32, I8_I32, F16_F16, I4_I16],
    kinds: [kind(32, 64, 32, 64, 32), kind(32, 32, 16, 32, 32), kind(32, 16, 8, 16, 32)],
    segment: Some(8192),
    cores: 3,
};

static RK3576: Soc = Soc {
    name: "rk3576",
    types: &[F16_F32, I8_I32, F16_F16, I4_I16, F16_I4_F32],
    kinds: [kind(32, 64, 32, 64, 32), kind(32, 32, 16, 32, 32), kind(32, 16, 8, 16, 32)],
    segment: Some(4096),
    cores: 2,
};

static RK3562: Soc = Soc {
    name: "rk3562",
    types: &[F16_F32, I8_I32, F16_F16, I8_I4_I32],
    kinds: [None, kind(32, 16, 16, 16, 32), kind(32, 8, 8, 8, 32)],
    segment: None,
    cores: 0,
};

static RK3566: Soc = Soc {
    name: "rk3566",
    types: &[F16_F32, I8_I32, F16_F16],
    kinds: [None, kind(32, 16, 8, 16, 32), kind(16, 8, 4, 8, 16)],
    segment: None,
    cores: 0,
};

impl Soc {
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        [&RK3588, &RK3576, &RK3562, &RK3566].into_iter().find(|soc| soc.name == name)
    }

    /// The sizes for elements of so many bits.
    pub(crate) fn kind(&self, bits: usize) -> Option<&Kind> {
        self.kinds[match bits {
            4 => 0,
            8 => 1,
            _ => 2,
        }]
        .as_ref()
    }
}
