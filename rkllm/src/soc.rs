//! Facts about the boards' systems on chip: one table, each fact with its source.
//!
//! Sources, by the tag used below:
//! - `[SDK]` Rockchip RKLLM SDK 1.3.0 documentation, section 3.1.3 (types per chip), and the headers and
//!   driver of that release.
//! - `[BM]` `benchmark.md` of the same release: maximum clocks, 128 prompt tokens, 64 new ones.
//! - `[FREQ]` its `fix_freq_*` scripts, which set those clocks.
//! - `[MM]` `rknn_matmul_api.h` of RKNN 2.3.2.
//! - `[CNX]` articles of cnx-software.com, which quote Rockchip's datasheets and roadmap.
//! - `[3P]` reports of others that Rockchip has not confirmed.
//!
//! What no source gives is `None`. Nothing here was measured on a board by this project.

use std::fmt;
use std::str::FromStr;

use crate::quant::{Group, QuantScheme};
use crate::{Error, ErrorKind, Result};

/// A system on chip that Rockchip's LLM runtime supports. Prints as `rk3588`; parses in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Soc {
    /// RK3588 and RK3588S.
    Rk3588,
    /// RK3576.
    Rk3576,
    /// RK3562.
    Rk3562,
    /// RV1126B.
    Rv1126b,
}

/// CPU cores of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuCluster {
    /// The core, in Arm's name.
    pub core: &'static str,
    /// How many.
    pub cores: u32,
    /// The clock of the vendor's benchmarks, MHz.
    pub mhz: u32,
}

/// What the dimensions of librknnrt's matmul must be multiples of, in elements. `[MM]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatmulAlignment {
    /// K, for every type.
    pub k: usize,
    /// N of int4 weights, where the chip multiplies int4.
    pub n_int4: Option<usize>,
    /// N of int8 weights.
    pub n_int8: usize,
    /// N of f16 weights.
    pub n_f16: usize,
    /// Native weights longer than this in K are laid out in segments of it.
    pub k_segment: Option<usize>,
}

/// A speed Rockchip publishes for its own runtime. `[BM]`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoardFigure {
    /// The model, as the vendor spells it.
    pub model: &'static str,
    /// Its size, as the vendor spells it.
    pub size: &'static str,
    /// The vendor's type of that name; its arithmetic is not ours.
    pub scheme: QuantScheme,
    /// Time to the first token of a prompt of 128, milliseconds.
    pub ttft_ms: f64,
    /// Decode speed over 64 tokens.
    pub tokens_per_s: f64,
    /// Peak resident memory (VmHWM), MB.
    pub memory_mb: f64,
}

/// Everything known about one chip.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SocFacts {
    /// The vendor's spelling.
    pub name: &'static str,
    /// The faster cores.
    pub big: CpuCluster,
    /// The slower cores, where there are two kinds.
    pub little: Option<CpuCluster>,
    /// NPU cores.
    pub npu_cores: u32,
    /// Advertised int8 operations per second, 10^12.
    pub npu_tops: f64,
    /// NPU clock of the vendor's benchmarks, MHz.
    pub npu_mhz: u32,
    /// DRAM clock of the vendor's benchmarks, MHz; two transfers per cycle.
    pub dram_mhz: u32,
    /// Width of the DRAM bus, bits.
    pub dram_bits: Option<u32>,
    /// What published decode speed times published memory comes to for most published models, GB/s: a
    /// crude reading of the bandwidth that decode reaches. Derived from `[BM]`.
    pub decode_gb_per_s: (f64, f64),
    /// The schemes the vendor's LLM runtime takes.
    pub vendor_schemes: &'static [QuantScheme],
    /// What the matmul API asks of shapes, where documented.
    pub matmul: Option<MatmulAlignment>,
    /// Two small models of the vendor's benchmark.
    pub figures: &'static [BoardFigure],
}

impl SocFacts {
    /// DRAM bandwidth that clock and bus width allow, GB/s.
    pub fn dram_peak_gb_per_s(&self) -> Option<f64> {
        self.dram_bits.map(|bits| f64::from(self.dram_mhz) * 2.0 * f64::from(bits) / 8.0 / 1000.0)
    }
}

impl Soc {
    /// Every chip, the fastest first.
    pub const ALL: [Self; 4] = [Self::Rk3588, Self::Rk3576, Self::Rk3562, Self::Rv1126b];

    /// What is known about it.
    pub const fn facts(self) -> &'static SocFacts {
        match self {
            Self::Rk3588 => &RK3588,
            Self::Rk3576 => &RK3576,
            Self::Rk3562 => &RK3562,
            Self::Rv1126b => &RV1126B,
        }
    }

    /// True if Rockchip's LLM runtime runs models of this scheme on this chip.
    pub fn vendor_runtime_takes(self, scheme: QuantScheme) -> bool {
        self.facts().vendor_schemes.contains(&scheme)
    }
}

impl fmt::Display for Soc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.facts().name.to_ascii_lowercase())
    }
}

impl FromStr for Soc {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = |soc: &Self| soc.facts().name.eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(known).ok_or_else(|| {
            let names: Vec<String> = Self::ALL.iter().map(ToString::to_string).collect();
            Error::new(ErrorKind::Input, format!("unknown target {name:?}"))
                .with_hint(format!("use one of {}", names.join(", ")))
        })
    }
}

const W8A8: QuantScheme = QuantScheme::W8A8(Group::Channel);
const W4A16: QuantScheme = QuantScheme::W4A16(Group::Channel);
const W4A16_G32: QuantScheme = QuantScheme::W4A16(Group::Columns(32));
const W4A16_G64: QuantScheme = QuantScheme::W4A16(Group::Columns(64));
const W4A16_G128: QuantScheme = QuantScheme::W4A16(Group::Columns(128));

static RK3588: SocFacts = SocFacts {
    name: "RK3588",
    // [CNX] cores; [FREQ] clocks.
    big: CpuCluster { core: "Cortex-A76", cores: 4, mhz: 2352 },
    little: Some(CpuCluster { core: "Cortex-A55", cores: 4, mhz: 1800 }),
    npu_cores: 3,  // [SDK] num_npu_core 1..3
    npu_tops: 6.0, // [CNX]
    npu_mhz: 1000, // [FREQ]
    dram_mhz: 2112,
    dram_bits: Some(64), // [3P] four 16-bit channels, 34 GB/s
    decode_gb_per_s: (24.0, 30.0),
    vendor_schemes: &[
        // [3P] rknn-llm issue 278; not in the documentation's list, for this chip only.
        QuantScheme::F16,
        // [SDK] The toolkit refuses every w4a16: "target_platform: rk3588 not support quantized_dtype".
        W8A8,
        QuantScheme::W8A8(Group::Columns(128)),
        QuantScheme::W8A8(Group::Columns(256)),
        QuantScheme::W8A8(Group::Columns(512)),
    ],
    // [MM]
    matmul: Some(MatmulAlignment {
        k: 32,
        n_int4: Some(64),
        n_int8: 32,
        n_f16: 16,
        k_segment: Some(8192),
    }),
    figures: &[
        figure("Qwen2", "0.5B", W8A8, (145.9, 41.58, 669.56)),
        figure("TinyLLAMA", "1.1B", W8A8, (243.93, 24.43, 1093.66)),
    ],
};

static RK3576: SocFacts = SocFacts {
    name: "RK3576",
    // [CNX] cores; [FREQ] clocks, its policies in ascending order.
    big: CpuCluster { core: "Cortex-A72", cores: 4, mhz: 2304 },
    little: Some(CpuCluster { core: "Cortex-A53", cores: 4, mhz: 2208 }),
    npu_cores: 2,  // [SDK] num_npu_core 1..2
    npu_tops: 6.0, // [CNX]
    npu_mhz: 1000, // [FREQ]
    dram_mhz: 2112,
    dram_bits: Some(32), // [CNX]
    decode_gb_per_s: (12.0, 15.0),
    vendor_schemes: &[W8A8, W4A16, W4A16_G32, W4A16_G64, W4A16_G128], // [SDK]
    // [MM]
    matmul: Some(MatmulAlignment {
        k: 32,
        n_int4: Some(64),
        n_int8: 32,
        n_f16: 16,
        k_segment: Some(4096),
    }),
    figures: &[
        figure("Qwen2", "0.5B", W4A16, (342.37, 32.56, 443.44)),
        figure("Qwen2", "0.5B", W4A16_G128, (361.78, 30.33, 463.23)),
        figure("Qwen2", "0.5B", W8A8, (344.27, 21.73, 678.43)),
        figure("TinyLLAMA", "1.1B", W4A16, (543.68, 19.71, 601.09)),
        figure("TinyLLAMA", "1.1B", W4A16_G128, (672.61, 18.08, 690.76)),
        figure("TinyLLAMA", "1.1B", W8A8, (534.13, 12.18, 1092.87)),
    ],
};

static RK3562: SocFacts = SocFacts {
    name: "RK3562",
    // [CNX] cores; [FREQ] clocks.
    big: CpuCluster { core: "Cortex-A53", cores: 4, mhz: 2016 },
    little: None,
    npu_cores: 1,  // [SDK]
    npu_tops: 1.0, // [CNX]
    npu_mhz: 1000, // [FREQ]
    dram_mhz: 2112,
    dram_bits: None,
    decode_gb_per_s: (8.8, 8.8),
    // [SDK] Grouped w4a16 only, and w4a8_g32, which is none of ours.
    vendor_schemes: &[W8A8, W4A16_G32, W4A16_G64, W4A16_G128],
    // [MM]
    matmul: Some(MatmulAlignment { k: 32, n_int4: None, n_int8: 16, n_f16: 8, k_segment: None }),
    figures: &[figure("Qwen2", "0.5B", W8A8, (640.65, 13.56, 647.63))],
};

static RV1126B: SocFacts = SocFacts {
    name: "RV1126B",
    // [3P] Seeed Studio's description of a camera with this chip: cores and TOPS; [FREQ] clocks.
    big: CpuCluster { core: "Cortex-A53", cores: 4, mhz: 1608 },
    little: None,
    npu_cores: 1, // [SDK]
    npu_tops: 3.0,
    npu_mhz: 950, // [FREQ]
    dram_mhz: 1332,
    dram_bits: None,
    decode_gb_per_s: (7.0, 8.8),
    // [SDK] 1.2.1 and later: the row of the RK3576.
    vendor_schemes: &[W8A8, W4A16, W4A16_G32, W4A16_G64, W4A16_G128],
    matmul: None, // [MM] has the API on this chip but no shapes
    figures: &[
        figure("Qwen2", "0.5B", W4A16, (656.86, 20.91, 410.82)),
        figure("Qwen2", "0.5B", W4A16_G128, (687.0, 17.69, 391.32)),
        figure("Qwen2", "0.5B", W8A8, (651.31, 13.63, 646.17)),
    ],
};

const fn figure(
    model: &'static str,
    size: &'static str,
    scheme: QuantScheme,
    (ttft_ms, tokens_per_s, memory_mb): (f64, f64, f64),
) -> BoardFigure {
    BoardFigure { model, size, scheme, ttft_ms, tokens_per_s, memory_mb }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Soc {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Soc {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
