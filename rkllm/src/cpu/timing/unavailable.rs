//! Why a kernel cannot run on this processor.

use crate::kernels::Kernel;

/// (kernel, architecture, what it needs of the processor)
const NEEDS: [(&str, &str, &[&str]); 6] = [
    ("avx2", "x86_64", &["avx2", "fma", "f16c"]),
    ("avxvnni", "x86_64", &["avx2", "fma", "f16c", "avxvnni"]),
    ("avx512vnni", "x86_64", &["avx512f", "avx512bw", "avx512vl", "avx512vnni", "fma", "f16c"]),
    ("amx", "x86_64", &["avx512f", "avx512bw", "avx512vl", "avx512vnni", "amx-int8"]),
    ("neon", "aarch64", &["neon", "dotprod"]),
    ("neon-i8mm", "aarch64", &["neon", "dotprod", "i8mm"]),
];

/// `None` if it can run here.
pub(super) fn why(name: &str) -> Option<String> {
    let error = Kernel::by_name(name).err()?;
    let Some((_, arch, needs)) = NEEDS.iter().find(|known| known.0 == name) else {
        return Some(error.to_string());
    };
    if *arch != std::env::consts::ARCH {
        return Some(format!("it is for {arch}, this is {}", std::env::consts::ARCH));
    }
    let missing: Vec<&str> = needs.iter().copied().filter(|feature| !has(feature)).collect();
    Some(match missing.is_empty() {
        true => crate::kernels::int::refusal(name)
            .unwrap_or("the system does not let this process use its instructions")
            .into(),
        false => format!("this processor has no {}", missing.join(", ")),
    })
}

/// Features that are not asked for here are taken to be there.
fn has(feature: &str) -> bool {
    #[cfg(target_arch = "x86_64")]
    return match feature {
        "avx2" => is_x86_feature_detected!("avx2"),
        "fma" => is_x86_feature_detected!("fma"),
        "f16c" => is_x86_feature_detected!("f16c"),
        "avxvnni" => is_x86_feature_detected!("avxvnni"),
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512bw" => is_x86_feature_detected!("avx512bw"),
        "avx512vl" => is_x86_feature_detected!("avx512vl"),
        "avx512vnni" => is_x86_feature_detected!("avx512vnni"),
        // CPUID leaf 7: EDX bit 25 is AMX-INT8.
        "amx-int8" => {
            std::arch::x86_64::__cpuid(0).eax >= 7
                && std::arch::x86_64::__cpuid_count(7, 0).edx & 1 << 25 != 0
        }
        _ => true,
    };
    #[cfg(target_arch = "aarch64")]
    return match feature {
        "dotprod" => std::arch::is_aarch64_feature_detected!("dotprod"),
        "i8mm" => std::arch::is_aarch64_feature_detected!("i8mm"),
        _ => true,
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = feature;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_needs_no_reason_and_what_does_not_has_one() {
        assert_eq!(why("scalar"), None);
        for &name in Kernel::names() {
            let runs = Kernel::available().iter().any(|kernel| kernel.name() == name);
            assert_eq!(why(name).is_none(), runs, "{name}");
        }
        let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
        assert!(why(foreign).unwrap().starts_with("it is for"));
        assert!(why("mmx").unwrap().contains("unknown"));
    }
}
