//! The kernel driver: which, how old, how it addresses memory, and who uses it.

use super::Advice;
use crate::npu::board::{Board, DriverKind, DriverVersion, Reading};

const DEBUGFS: &str = "https://docs.kernel.org/filesystems/debugfs.html";
const IOMMU: &str = "https://github.com/airockchip/rknn-llm/issues/195";
/// What the vendor's documentation asks for.
const ADVISED: DriverVersion = DriverVersion { major: 0, minor: 9, patch: 8 };
/// What its runtime asks for at start.
const LEAST: DriverVersion = DriverVersion { major: 0, minor: 9, patch: 7 };

fn is_vendor(board: &Board) -> bool {
    board.driver.kind == DriverKind::Vendor
}

pub(super) fn kind(board: &Board) -> Option<Advice> {
    let devices = board.driver.devices.join(", ");
    Some(match board.driver.kind {
        DriverKind::Vendor if devices.is_empty() => Advice::ok("Rockchip's rknpu"),
        DriverKind::Vendor => Advice::ok(format!("Rockchip's rknpu drives {devices}")),
        DriverKind::Rocket => Advice::error(
            "the mainline driver rocket drives the NPU",
            "librkllmrt and librknnrt speak to Rockchip's rknpu only; rocket serves Mesa's TensorFlow Lite delegate",
            "boot a kernel with rknpu: Armbian's branch `vendor` (6.1 for rk35xx) or the board maker's image",
            "https://github.com/airockchip/rknn-toolkit2/issues/570",
        ),
        DriverKind::None => Advice::error(
            "no NPU driver",
            "the kernel was built without CONFIG_ROCKCHIP_RKNPU, or the device tree has the NPU disabled",
            "`zgrep RKNPU /proc/config.gz` and `sudo dmesg | grep -i npu` tell which; boot the board maker's kernel, \
             or enable the NPU in the device tree",
            "https://github.com/radxa-docs/docs/issues/881",
        ),
        DriverKind::Unknown => Advice::warning(
            "driver unknown: /sys cannot be read",
            "it is not mounted, or hidden by a sandbox; so clocks, heat and address translation are not known either",
            "sudo mount -t sysfs none /sys",
            "https://docs.kernel.org/filesystems/sysfs.html",
        ),
    })
}

pub(super) fn version(board: &Board) -> Option<Advice> {
    if !is_vendor(board) {
        return None;
    }
    let update = "the driver is part of the kernel: install a newer vendor kernel (Armbian `vendor`, board maker's \
                  update), or build one with rknpu-driver/ of rknn-llm";
    Some(match &board.driver.version {
        Reading::Is(found) if *found >= ADVISED => Advice::ok(format!("rknpu {found}")),
        Reading::Is(found) if *found >= LEAST => Advice::warning(
            format!("rknpu {found}, {ADVISED} is advised"),
            "the runtime starts, but its documentation asks for 0.9.8",
            update,
            "https://github.com/airockchip/rknn-llm/tree/main/rknpu-driver",
        ),
        Reading::Is(found) => Advice::error(
            format!("rknpu {found} is too old: {ADVISED} is advised, {LEAST} the least"),
            "models print `!!!!!` or fail with `matmul(w8a8) run failed`",
            update,
            "https://github.com/airockchip/rknn-llm/issues/498",
        ),
        none => Advice::warning(
            format!("driver version unknown: {}", none.unknown().unwrap_or("no file tells it")),
            "neither /sys/module/rknpu/version nor debugfs could be read",
            "sudo mount -t debugfs none /sys/kernel/debug; sudo cat /sys/kernel/debug/rknpu/version",
            DEBUGFS,
        ),
    })
}

pub(super) fn iommu(board: &Board) -> Option<Advice> {
    if !is_vendor(board) {
        return None;
    }
    let groups = match &board.driver.iommu_groups {
        Reading::Is(groups) => groups,
        none => {
            return Some(Advice::info(
                format!(
                    "IOMMU unknown: {}",
                    none.unknown().unwrap_or("no /sys/kernel/iommu_groups")
                ),
                "without address translation a model must fit into contiguous memory",
                "`sudo dmesg | grep -i rknpu` says whether iommu mode is on",
                IOMMU,
            ));
        }
    };
    if let Some(group) = groups.first() {
        return Some(Advice::ok(format!(
            "NPU in IOMMU group {group}: 4 GiB of addresses per domain (base_domain_id), 16 domains with rknpu 0.9.8"
        )));
    }
    let pool = match board.memory.cma_total.value() {
        Some(total) => format!("contiguous memory (CMA) is {}", super::bytes(*total)),
        None => "the size of contiguous memory (CMA) is unknown".to_owned(),
    };
    Some(Advice::warning(
        format!("the NPU is in no IOMMU group; {pool}"),
        "without address translation a model must fit into contiguous memory",
        "`sudo dmesg | grep -i rknpu` says whether iommu mode is on; enable the NPU's iommu node in the device tree, \
         or boot with a larger cma= (for example cma=1G)",
        IOMMU,
    ))
}

pub(super) fn load(board: &Board) -> Option<Advice> {
    if !is_vendor(board) {
        return None;
    }
    Some(match &board.driver.load {
        Reading::Is(load) => Advice::ok(load.split_whitespace().collect::<Vec<_>>().join(" ")),
        none => Advice::info(
            format!(
                "NPU load unknown: {}",
                none.unknown().unwrap_or("no /sys/kernel/debug/rknpu/load")
            ),
            "debugfs is for root, and not mounted everywhere",
            "sudo mount -t debugfs none /sys/kernel/debug; sudo rkllm doctor",
            DEBUGFS,
        ),
    })
}

pub(super) fn users(board: &Board) -> Option<Advice> {
    if !is_vendor(board) {
        return None;
    }
    let users = &board.users;
    let list: Vec<String> = users
        .processes
        .iter()
        .map(|user| format!("{} (pid {}) has {} open", user.name, user.pid, user.node))
        .collect();
    if !list.is_empty() {
        return Some(Advice::warning(
            list.join("; "),
            "two programs on the NPU share its memory domains; two at once have frozen kernels",
            "stop the other one before you load a model, or give each its own base_domain_id",
            "https://github.com/airockchip/rknn-llm/issues/260",
        ));
    }
    if users.seen == 0 {
        return Some(unknown_users("/proc shows no process"));
    }
    let seen = match users.seen {
        1 => "1 process".to_owned(),
        n => format!("{n} processes"),
    };
    if users.hidden > 0 {
        return Some(unknown_users(&format!(
            "{} of {seen} let their open files not be seen",
            users.hidden
        )));
    }
    let inside =
        board.container.as_ref().map_or("", |_| ", none of them outside of this container");
    Some(Advice::ok(format!("nobody else has the NPU open ({seen} seen{inside})")))
}

fn unknown_users(why: &str) -> Advice {
    Advice::info(
        format!("other NPU users unknown: {why}"),
        "only root sees what other users' processes have open",
        "sudo rkllm doctor",
        "https://man7.org/linux/man-pages/man5/proc_pid_fd.5.html",
    )
}
