//! int8 arithmetic of each unit: products of registers alone, nothing loaded.

use rkllm_benches::Times;
use serde_json::{Value, json};

use super::together;

/// A unit, operations (a product and an addition are two) per turn of its loop, and the loop.
struct Unit {
    name: &'static str,
    operations: f64,
    turns: fn(u64),
}

/// The median of each unit this processor has.
pub(crate) fn measure(threads: usize, repeat: usize) -> Value {
    let units = units();
    let mut times = vec![Times::default(); units.len()];
    // Some tens of milliseconds a run: long enough for the clock, short enough for a shared machine.
    let turns: Vec<u64> = units
        .iter()
        .map(|unit| {
            let mut turns = 10_000;
            while together(threads, &|_| (unit.turns)(turns)) < 0.03 {
                turns *= 2;
            }
            turns
        })
        .collect();
    for _ in 0..repeat {
        for ((unit, times), &turns) in units.iter().zip(&mut times).zip(&turns) {
            times.push(together(threads, &|_| (unit.turns)(turns)));
        }
    }
    let rates = units.iter().zip(&times).zip(&turns).map(|((unit, times), &turns)| {
        let work = unit.operations * turns as f64 * threads as f64;
        (unit.name.to_owned(), times.rates(work))
    });
    json!({ "ops_per_s": rates.collect::<serde_json::Map<_, _>>() })
}

#[cfg(target_arch = "x86_64")]
fn units() -> Vec<Unit> {
    let mut units = Vec::new();
    if is_x86_feature_detected!("avx2") {
        units.push(Unit {
            name: "avx2",
            operations: 12.0 * 2.0 * 16.0,
            // SAFETY: the feature was just found.
            turns: |turns| unsafe { x86::avx2(turns) },
        });
    }
    if x86::has_avxvnni() {
        units.push(Unit {
            name: "avxvnni",
            operations: 12.0 * 2.0 * 32.0,
            // SAFETY: the feature was just found.
            turns: |turns| unsafe { x86::avxvnni(turns) },
        });
    }
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
        units.push(Unit {
            name: "avx512vnni",
            operations: 20.0 * 2.0 * 64.0,
            // SAFETY: the features were just found.
            turns: |turns| unsafe { x86::avx512vnni(turns) },
        });
    }
    if x86::has_amx() {
        units.push(Unit {
            name: "amx",
            operations: 4.0 * 2.0 * 16.0 * 16.0 * 64.0,
            // SAFETY: the unit was just found, and the system allowed its registers.
            turns: |turns| unsafe { x86::amx(turns) },
        });
    }
    units
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    /// One instruction for each of the registers named, then the loop's end.
    macro_rules! loop_of {
        ($turns:ident, $op:literal, $register:literal, [$($n:literal)*], $($setup:literal),*; $($operand:tt)*) => {
            asm!(
                $($setup,)*
                "2:",
                $(concat!($op, " ", $register, $n, ", ", $register, "14, ", $register, "15"),)*
                "dec {turns}",
                "jnz 2b",
                turns = inout(reg) $turns => _,
                $($operand)*
                options(nostack, nomem),
            )
        };
    }

    /// Products of int16 pairs, as int8 values are multiplied exactly without VNNI, each added to a sum.
    ///
    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2(turns: u64) {
        // SAFETY: registers alone.
        unsafe {
            asm!(
                "vpcmpeqd ymm14, ymm14, ymm14",
                "vpcmpeqd ymm15, ymm15, ymm15",
                "2:",
                "vpmaddwd ymm12, ymm14, ymm15", "vpaddd ymm0, ymm0, ymm12",
                "vpmaddwd ymm13, ymm14, ymm15", "vpaddd ymm1, ymm1, ymm13",
                "vpmaddwd ymm12, ymm14, ymm15", "vpaddd ymm2, ymm2, ymm12",
                "vpmaddwd ymm13, ymm14, ymm15", "vpaddd ymm3, ymm3, ymm13",
                "vpmaddwd ymm12, ymm14, ymm15", "vpaddd ymm4, ymm4, ymm12",
                "vpmaddwd ymm13, ymm14, ymm15", "vpaddd ymm5, ymm5, ymm13",
                "vpmaddwd ymm12, ymm14, ymm15", "vpaddd ymm6, ymm6, ymm12",
                "vpmaddwd ymm13, ymm14, ymm15", "vpaddd ymm7, ymm7, ymm13",
                "vpmaddwd ymm12, ymm14, ymm15", "vpaddd ymm8, ymm8, ymm12",
                "vpmaddwd ymm13, ymm14, ymm15", "vpaddd ymm9, ymm9, ymm13",
                "vpmaddwd ymm12, ymm14, ymm15", "vpaddd ymm10, ymm10, ymm12",
                "vpmaddwd ymm13, ymm14, ymm15", "vpaddd ymm11, ymm11, ymm13",
                "dec {turns}",
                "jnz 2b",
                turns = inout(reg) turns => _,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
                out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                options(nostack, nomem),
            );
        }
    }

    /// # Safety
    /// The processor has AVX-VNNI.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avxvnni(turns: u64) {
        // SAFETY: registers alone.
        unsafe {
            loop_of!(turns, "{{vex}} vpdpbusd", "ymm", [0 1 2 3 4 5 6 7 8 9 10 11],
                "vpcmpeqd ymm14, ymm14, ymm14", "vpcmpeqd ymm15, ymm15, ymm15";
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
                out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                out("ymm14") _, out("ymm15") _,);
        }
    }

    /// # Safety
    /// The processor has AVX-512 VNNI.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn avx512vnni(turns: u64) {
        // SAFETY: registers alone.
        unsafe {
            loop_of!(turns, "vpdpbusd", "zmm", [0 1 2 3 4 5 6 7 8 9 10 11 16 17 18 19 20 21 22 23],
                "vpternlogd zmm14, zmm14, zmm14, 255", "vpternlogd zmm15, zmm15, zmm15, 255";
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
                out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _, out("zmm18") _,
                out("zmm19") _, out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,);
        }
    }

    /// What `ldtilecfg` reads.
    #[repr(C, align(64))]
    struct TileConfig {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        /// Bytes per row of each tile.
        columns: [u16; 16],
        rows: [u8; 16],
    }

    /// Two by two tiles of sums, the blocking of every good product.
    ///
    /// # Safety
    /// The processor has AMX int8, and the system allowed this process its registers.
    pub(super) unsafe fn amx(turns: u64) {
        let mut config = TileConfig {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            columns: [0; 16],
            rows: [0; 16],
        };
        config.columns[..8].fill(64);
        config.rows[..8].fill(16);
        let values = [0x5au8; 1024];
        // SAFETY: the configuration is 64 aligned bytes, the tiles read 16 rows of 64 bytes, and no
        // tile state is left behind.
        unsafe {
            asm!(
                "ldtilecfg [{config}]",
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                "tileloadd tmm4, [{values} + {stride}*1]",
                "tileloadd tmm5, [{values} + {stride}*1]",
                "tileloadd tmm6, [{values} + {stride}*1]",
                "tileloadd tmm7, [{values} + {stride}*1]",
                "2:",
                "tdpbssd tmm0, tmm4, tmm6",
                "tdpbssd tmm1, tmm4, tmm7",
                "tdpbssd tmm2, tmm5, tmm6",
                "tdpbssd tmm3, tmm5, tmm7",
                "dec {turns}",
                "jnz 2b",
                "tilerelease",
                config = in(reg) &raw const config,
                values = in(reg) values.as_ptr(),
                stride = in(reg) 64usize,
                turns = inout(reg) turns => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }

    /// EAX of CPUID leaf 7, subleaf 1, bit 4, and the system keeps the registers of AVX.
    pub(super) fn has_avxvnni() -> bool {
        let has_leaf = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).eax >= 1;
        is_x86_feature_detected!("avx2") && has_leaf && __cpuid_count(7, 1).eax >> 4 & 1 == 1
    }

    /// EDX of CPUID leaf 7, bits 24 (tiles) and 25 (int8), and Linux's permission to use the tiles.
    #[cfg(target_os = "linux")]
    pub(super) fn has_amx() -> bool {
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        if __cpuid(0).eax < 7 || __cpuid_count(7, 0).edx >> 24 & 3 != 3 {
            return false;
        }
        // SAFETY: asks for a permission; no memory is passed.
        let answer =
            unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
        answer == 0
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn has_amx() -> bool {
        false
    }
}

#[cfg(target_arch = "aarch64")]
fn units() -> Vec<Unit> {
    use std::arch::is_aarch64_feature_detected;
    let mut units = Vec::new();
    if is_aarch64_feature_detected!("dotprod") {
        units.push(Unit {
            name: "neon",
            operations: 20.0 * 2.0 * 16.0,
            // SAFETY: the feature was just found.
            turns: |turns| unsafe { arm::dotprod(turns) },
        });
    }
    if is_aarch64_feature_detected!("i8mm") {
        units.push(Unit {
            name: "neon-i8mm",
            operations: 20.0 * 2.0 * 32.0,
            // SAFETY: the feature was just found.
            turns: |turns| unsafe { arm::i8mm(turns) },
        });
    }
    units
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::asm;

    macro_rules! loop_of {
        ($turns:ident, $op:literal, [$($n:literal)*]) => {
            asm!(
                "movi v30.16b, #3",
                "movi v31.16b, #5",
                "2:",
                $(concat!($op, " v", $n, ".4s, v30.16b, v31.16b"),)*
                "subs {turns}, {turns}, #1",
                "b.ne 2b",
                turns = inout(reg) $turns => _,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                out("v7") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _,
                out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _,
                out("v27") _, out("v30") _, out("v31") _,
                options(nostack, nomem),
            )
        };
    }

    /// # Safety
    /// The processor has the dot product extension.
    #[target_feature(enable = "dotprod")]
    pub(super) unsafe fn dotprod(turns: u64) {
        // SAFETY: registers alone.
        unsafe { loop_of!(turns, "sdot", [0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 24 25 26 27]) }
    }

    /// # Safety
    /// The processor has the int8 matrix extension.
    #[target_feature(enable = "i8mm")]
    pub(super) unsafe fn i8mm(turns: u64) {
        // SAFETY: registers alone.
        unsafe { loop_of!(turns, "smmla", [0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 24 25 26 27]) }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn units() -> Vec<Unit> {
    Vec::new()
}
