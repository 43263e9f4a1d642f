//! The chip and its cores.

use super::Advice;
use crate::npu::board::{Board, Reading, RuntimeKind};
use crate::soc::Soc;

const CPUINFO: &str = "https://docs.kernel.org/arch/x86/cpuinfo.html";
const SUPPORTED: &str = "https://github.com/airockchip/rknn-llm#support-platform";

/// True if this is surely no Rockchip board, so that a missing NPU is no fault.
pub(in crate::npu::board) fn is_elsewhere(board: &Board) -> bool {
    let foreign = !board.recorded && !cfg!(target_os = "linux");
    let pc = board.chip.acpi || board.cpu.architecture.as_deref() == Some("x86_64");
    foreign
        || match &board.chip.compatible {
            Reading::Is(_) => board.chip.rockchip().is_none(),
            // The boards have a device tree; a container may hide it, but brings no ACPI.
            Reading::Absent => pc,
            Reading::Unknown(_) => false,
        }
}

pub(super) fn soc(board: &Board) -> Option<Advice> {
    let chip = &board.chip;
    if let Some(soc) = chip.soc {
        return Some(Advice::ok(named(board, soc)));
    }
    let names: Vec<String> = Soc::ALL.iter().map(|soc| soc.facts().name.to_owned()).collect();
    let names = names.join(", ");
    Some(match (&chip.compatible, chip.rockchip()) {
        (_, Some(other)) => Advice::error(
            format!("{} is not supported by Rockchip's LLM runtime", other.to_uppercase()),
            format!("librkllmrt runs on {names} and refuses other chips"),
            "use one of those boards; rkllm's own engine runs here on the CPU (rkllm generate, rkllm eval)",
            "https://github.com/airockchip/rknn-llm/issues/416",
        ),
        _ if is_elsewhere(board) => {
            let model = board.chip.model.value().map(String::as_str).filter(|m| !m.is_empty());
            let machine = board.cpu.architecture.as_deref();
            let machine = model.or(machine).unwrap_or("unknown architecture");
            Advice::error(
                format!("not a Rockchip board ({machine}): there is no Rockchip NPU here"),
                format!(
                    "the device tree, where there is one, names no Rockchip chip; supported are {names}"
                ),
                "for the NPU run `rkllm doctor` on the board, or give a tree recorded there by --root; the CPU engine \
                 works here: rkllm convert, compare, eval, generate and chat need no board",
                SUPPORTED,
            )
        }
        (why, _) => Advice::warning(
            format!(
                "chip unknown: {}",
                why.unknown().unwrap_or("there is no /proc/device-tree/compatible")
            ),
            match &board.container {
                Some(kind) => format!(
                    "{kind} hides /proc/device-tree; the vendor's libraries tell the chip by it"
                ),
                None => "the vendor's libraries tell the chip by that file".to_owned(),
            },
            "on the host: `tr '\\0' '\\n' < /proc/device-tree/compatible`; in Docker add \
             `--security-opt systempaths=unconfined`",
            "https://github.com/airockchip/rknn-toolkit2/issues/33",
        ),
    })
}

fn named(board: &Board, soc: Soc) -> String {
    let mut text = soc.facts().name.to_owned();
    if let Some(model) = board.chip.model.value().filter(|model| !model.is_empty()) {
        text += &format!(" ({model})");
    }
    if let Some(kernel) = board.chip.kernel.value().filter(|kernel| !kernel.is_empty()) {
        text += &format!(", Linux {kernel}");
    }
    text
}

pub(super) fn features(board: &Board) -> Option<Advice> {
    let cpu = &board.cpu;
    let has = |name: &str| cpu.features.contains(name);
    match cpu.architecture.as_deref() {
        Some("aarch64") if has("asimddp") => {
            let more = [("i8mm", "i8mm"), ("sve", "SVE")];
            let absent: Vec<&str> =
                more.iter().filter(|(flag, _)| !has(flag)).map(|(_, name)| *name).collect();
            let rest = if absent.is_empty() {
                String::new()
            } else {
                format!(", no {}", absent.join(", no "))
            };
            Some(Advice::ok(format!("{} cores with asimddp{rest}", cpu.cores)))
        }
        Some("aarch64") => Some(Advice::info(
            match cpu.partial.contains("asimddp") {
                true => "asimddp on some cores only".to_owned(),
                false => format!("{} cores without asimddp", cpu.cores),
            },
            "Cortex-A53 and A72 have no int8 dot product, so rkllm's CPU engine takes its scalar kernel; the \
             NPU is not concerned",
            "let the NPU run the model where speed matters",
            "https://developer.arm.com/documentation/ddi0602/latest/SIMD-FP-Instructions/SDOT--vector---Dot-product-signed-arithmetic--vector--",
        )),
        Some("x86_64") if has("avx2") && has("fma") && has("f16c") => {
            let more = if has("avx512_vnni") { ", avx512_vnni" } else { "" };
            Some(Advice::ok(format!("{} cores with avx2, fma, f16c{more}", cpu.cores)))
        }
        Some("x86_64") => Some(Advice::info(
            format!("{} cores without avx2, fma and f16c", cpu.cores),
            "rkllm's CPU engine then takes its scalar kernel: the same bits, much slower",
            "use a processor with AVX2 where speed matters",
            CPUINFO,
        )),
        _ => Some(Advice::info(
            "CPU features unknown: /proc/cpuinfo was not understood",
            "it is absent or of another architecture",
            "look at /proc/cpuinfo",
            "https://docs.kernel.org/arch/arm64/elf_hwcaps.html",
        )),
    }
}

/// Some builds of the vendor's runtime use SVE, which none of these chips has.
pub(super) fn sve(board: &Board) -> Option<Advice> {
    const ISSUE: &str = "https://github.com/airockchip/rknn-llm/issues/518";
    let runtime = super::runtimes::first(board, RuntimeKind::Rkllm)?;
    let version = runtime.version.as_ref()?;
    // Where the features are not known, nothing is known of SVE either.
    let known = board.cpu.architecture.as_deref() == Some("aarch64");
    if runtime.refusal.is_some() || !known || board.cpu.features.contains("sve") {
        return None;
    }
    let install = "install librkllmrt.so from another release, for example 1.2.3";
    match runtime.needs_sve {
        Some(false) => None,
        Some(true) => Some(Advice::error(
            format!(
                "librkllmrt {version} ({}) executes SVE instructions, and these cores have none",
                runtime.path
            ),
            "it ends the process with SIGILL (illegal instruction); inferred from the library's code",
            install,
            ISSUE,
        )),
        None => Some(Advice::info(
            format!(
                "it could not be told whether librkllmrt {version} needs SVE, which these cores do not have"
            ),
            "a build of 1.3.0 does, and ends the process with SIGILL (illegal instruction)",
            format!("if that happens, {install}"),
            ISSUE,
        )),
    }
}
