//! The driver's device files: whether they are there and may be opened.

use super::{Advice, Severity};
use crate::npu::board::{Access, Board, DriverKind, Node};

const CONTAINER: &str = "https://github.com/invisiofficial/rk-llama.cpp/issues/19";

/// `/dev/dri/card1 (root:video 0660)`.
fn described(node: &Node) -> String {
    match (&node.owner, &node.group, node.mode) {
        (Some(owner), Some(group), Some(mode)) => {
            format!("{} ({owner}:{group} {mode:04o})", node.path)
        }
        _ => node.path.clone(),
    }
}

pub(super) fn nodes(board: &Board) -> Option<Advice> {
    match board.driver.kind {
        DriverKind::Vendor => {}
        DriverKind::Unknown => return Some(unnamed(board)),
        DriverKind::Rocket | DriverKind::None => return None,
    }
    let there: Vec<&Node> =
        board.nodes.iter().filter(|node| node.is_npu() && node.exists).collect();
    if there.is_empty() {
        return Some(absent(board));
    }
    let list = |access: Access| -> Vec<String> {
        there.iter().filter(|node| node.access == access).map(|node| described(node)).collect()
    };
    let (open, shut) = (list(Access::Yes), list(Access::No));
    // The runtime goes through /dev/dri/card*, not through the render nodes.
    if there.iter().any(|node| node.access == Access::Yes && !node.path.contains("renderD")) {
        return Some(Advice::ok(format!("{} may be opened", open.join(", "))));
    }
    if let Some((node, why)) = there.iter().find_map(|n| Some((n, n.problem.as_ref()?))) {
        return Some(Advice::error(
            format!("{} cannot be opened: {why}", node.path),
            "its mode allows it, so the driver behind it is not working",
            "look at `sudo dmesg | grep -i npu`",
            "https://github.com/airockchip/rknn-toolkit2/issues/534",
        ));
    }
    if open.is_empty() && shut.is_empty() {
        return Some(Advice::info(
            format!("permissions unknown: {}", list(Access::Unknown).join(", ")),
            "it is not known which user would open them",
            format!("ls -l {}", there[0].path),
            CONTAINER,
        ));
    }
    let severity = if open.is_empty() { Severity::Error } else { Severity::Warning };
    Some(refused(board, &there, severity, &shut.join(", ")))
}

/// What to do about device files that may not be opened.
fn refused(board: &Board, there: &[&Node], severity: Severity, shut: &str) -> Advice {
    if let Some(kind) = board.container.as_deref().filter(|_| refused_by_container(board, there)) {
        return Advice::error(
            format!("{shut} may not be opened"),
            format!(
                "their modes allow it, so {kind} was started without the right to these devices"
            ),
            "docker run --device /dev/dri ...: a device file that was made or mounted inside is not enough",
            CONTAINER,
        );
    }
    let mut groups: Vec<&str> = there
        .iter()
        .filter(|node| node.access == Access::No)
        .filter_map(|node| node.group.as_deref())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    let user = board.process.user_name();
    let joinable = !groups.is_empty() && groups.iter().all(|group| is_joinable(group));
    let names = match &groups[..] {
        [group] => format!("the group {group}"),
        _ => format!("the groups {}", groups.join(" and ")),
    };
    Advice::new(
        severity,
        format!("{user} may not open {shut}"),
        match joinable {
            true => format!("only root and {names} may; the runtime opens /dev/dri/card*"),
            false => "only root may".to_owned(),
        },
        match joinable {
            true => format!("sudo usermod -aG {} {user}, then log in again", groups.join(",")),
            false => "a udev rule: echo 'SUBSYSTEM==\"drm\", DRIVERS==\"RKNPU\", GROUP=\"video\", MODE=\"0660\"' | sudo \
                      tee /etc/udev/rules.d/60-rknpu.rules; sudo udevadm trigger"
                .to_owned(),
        },
        "https://github.com/rockchip-linux/rknn-toolkit2/issues/244",
    )
}

/// True of a group that a user may be put into for a device; root's is too much for that.
fn is_joinable(group: &str) -> bool {
    !matches!(group, "root" | "0")
}

/// True if what the modes allow was refused all the same.
fn refused_by_container(board: &Board, nodes: &[&Node]) -> bool {
    let allowed = |mode: u32| board.process.uid == Some(0) || mode & 0o6 == 0o6;
    nodes.iter().any(|node| node.access == Access::No && node.mode.is_some_and(allowed))
}

/// Without `/sys` nobody tells which device file is the NPU's.
fn unnamed(board: &Board) -> Advice {
    let there: Vec<String> = board
        .nodes
        .iter()
        .filter(|node| node.exists && node.driver != "dma_heap")
        .map(described)
        .collect();
    if there.is_empty() {
        return absent(board);
    }
    Advice::info(
        format!("it cannot be told which of these is the NPU's: {}", there.join(", ")),
        "/sys/class/drm says which driver a device file belongs to, and cannot be read",
        "on the host: `cat /sys/class/drm/card*/device/uevent`, and look for DRIVER=RKNPU",
        CONTAINER,
    )
}

fn absent(board: &Board) -> Advice {
    let named: Vec<&str> =
        board.nodes.iter().filter(|node| node.is_npu()).map(|n| n.path.as_str()).collect();
    let what = match named.is_empty() {
        true => "no device file of the NPU".to_owned(),
        false => format!("{} is not there", named.join(", ")),
    };
    match &board.container {
        Some(kind) => Advice::error(
            what,
            format!("{kind} was started without the device files"),
            "docker run --device /dev/dri --security-opt systempaths=unconfined ... (and --group-add with the \
             number of the host's group video)",
            CONTAINER,
        ),
        None => Advice::error(
            what,
            "the driver did not finish starting, or was built with neither CONFIG_ROCKCHIP_RKNPU_DRM_GEM nor \
             CONFIG_ROCKCHIP_RKNPU_DMA_HEAP",
            "look at `sudo dmesg | grep -i npu`; boot the board maker's kernel",
            "https://github.com/airockchip/rknn-toolkit2/issues/534",
        ),
    }
}

/// A link to a DRM device sends the runtime down the wrong interface.
pub(super) fn link(board: &Board) -> Option<Advice> {
    let node = board.nodes.iter().find(|node| node.path == "/dev/rknpu" && node.link.is_some())?;
    let target = node.link.as_deref()?;
    Some(Advice::error(
        format!("/dev/rknpu is a symbolic link to {target}"),
        "librknnrt then speaks the interface of the other build of the driver and fails with hw_version = -1",
        "sudo rm /dev/rknpu, and remove what made it; the runtime finds /dev/dri by itself",
        CONTAINER,
    ))
}

/// The build of the driver with a device of its own takes its memory from the system's heap.
pub(super) fn dma_heap(board: &Board) -> Option<Advice> {
    const ISSUE: &str = "https://github.com/siderolabs/extensions/issues/1152";
    let own = |node: &&Node| node.path == "/dev/rknpu" && node.link.is_none() && node.exists;
    let _ = board.nodes.iter().find(own)?;
    let cause = "this build of the driver (/dev/rknpu) takes its memory from there";
    let Some(heap) = board.nodes.iter().find(|node| node.driver == "dma_heap") else {
        return Some(Advice::error(
            "/dev/dma_heap/system is not there",
            cause,
            "boot a kernel with CONFIG_DMABUF_HEAPS_SYSTEM; in Docker add --device /dev/dma_heap",
            ISSUE,
        ));
    };
    if heap.access == Access::Unknown {
        return None;
    }
    if heap.access == Access::Yes {
        return Some(Advice::ok(format!("{} may be opened", described(heap))));
    }
    let user = board.process.user_name();
    let fix = match heap.group.as_deref() {
        Some(group) if is_joinable(group) => {
            format!("sudo usermod -aG {group} {user}, then log in again")
        }
        _ => format!(
            "sudo chgrp video {path}; sudo chmod 660 {path}; sudo usermod -aG video {user}, then log in again",
            path = heap.path
        ),
    };
    Some(Advice::error(format!("{user} may not open {}", described(heap)), cause, fix, ISSUE))
}
