//! Single faults, each on as little of a tree as shows it.

use std::fs;

use rkllm::npu::board::{Root, Severity, Verdict};

use super::Found;

/// A board with Rockchip's driver and nothing else.
const BOARD: &str = "\
t 0444 0 0 proc/device-tree/compatible = maker,board\\0rockchip,rk3588s\\0
t 0444 0 0 proc/self/status = Uid: 1000 1000 1000 1000\\nGid: 1000 1000 1000 1000\\nGroups: 44\\n
l 0777 0 0 sys/bus/platform/drivers/RKNPU/fdab0000.npu -> x
";
const USER: &str = "t 0444 0 0 proc/self/status = Uid: 7 7 7 7\\nGid: 7 7 7 7\\n\n";
const CARD: &str = "t 0444 0 0 sys/class/drm/card1/device/uevent = DRIVER=RKNPU\n";

/// What is found in a tree of these lines.
fn found(lines: &[&str]) -> Found {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".modes"), lines.concat()).unwrap();
    let found = Found::of(&Root::open(dir.path()).unwrap());
    found.check();
    found
}

#[test]
fn a_version_nobody_may_read_is_not_guessed() {
    let found = found(&[
        BOARD,
        "t 0444 0 0 sys/kernel/debug/rknpu/version = RKNPU driver: v0.9.8\n",
        "d 0700 0 0 sys/kernel/debug\n",
    ]);
    let said = found.said("driver-version");
    assert_eq!(found.get("driver-version").severity, Severity::Warning);
    assert!(said.contains("/sys/kernel/debug/rknpu/version: permission denied"), "{said}");
    assert!(said.contains("sudo cat /sys/kernel/debug/rknpu/version"), "{said}");
}

#[test]
fn versions_are_judged() {
    for (text, severity, words) in [
        ("0.9.8", Severity::Ok, "rknpu 0.9.8"),
        ("0.10.0", Severity::Ok, "rknpu 0.10.0"),
        ("0.9.7", Severity::Warning, "0.9.8 is advised"),
        ("0.9.6", Severity::Error, "too old"),
        ("0.8.12", Severity::Error, "too old"),
        ("soon", Severity::Warning, "not understood"),
        ("", Severity::Warning, "not understood"),
    ] {
        let found = found(&[BOARD, &format!("t 0444 0 0 sys/module/rknpu/version = {text}\n")]);
        assert_eq!(found.get("driver-version").severity, severity, "{text:?}");
        assert!(found.said("driver-version").contains(words), "{}", found.said("driver-version"));
    }
}

#[test]
fn device_files_that_are_not_there() {
    let none = found(&[BOARD]);
    assert_eq!(none.get("device-nodes").severity, Severity::Error);
    assert!(none.said("device-nodes").contains("no device file of the NPU"));
    assert!(none.said("device-nodes").contains("CONFIG_ROCKCHIP_RKNPU_DRM_GEM"));
    let named = found(&[BOARD, CARD]);
    assert!(named.said("device-nodes").contains("/dev/dri/card1 is not there"));
    let podman = found(&[BOARD, CARD, "f 0444 0 0 run/.containerenv\n"]);
    assert!(podman.said("device-nodes").contains("podman was started without the device files"));
}

#[test]
fn modes_and_groups_decide_who_may_open() {
    for (line, severity, words) in [
        ("c 0660 0 44 dev/dri/card1\n", Severity::Ok, "(0:44 0660) may be opened"),
        ("c 0600 1000 0 dev/dri/card1\n", Severity::Ok, "may be opened"),
        ("c 0666 0 0 dev/dri/card1\n", Severity::Ok, "may be opened"),
        ("c 0640 0 44 dev/dri/card1\n", Severity::Error, "usermod -aG 44 $USER"),
        (
            "c 0600 0 0 dev/dri/card1\nt 0444 0 0 etc/group = root:x:0:\\n\n",
            Severity::Error,
            "udev rule",
        ),
        ("d 0700 0 0 dev/dri\n", Severity::Error, "/dev/dri/card1"),
    ] {
        let found = found(&[BOARD, CARD, line]);
        assert_eq!(found.get("device-nodes").severity, severity, "{line}");
        let said = found.said("device-nodes");
        assert!(said.contains(words), "{line}: {said}");
    }
    // The render node alone is not what the runtime opens.
    let render = "t 0444 0 0 sys/class/drm/renderD129/device/uevent = DRIVER=RKNPU\n\
                  c 0660 0 44 dev/dri/renderD129\nc 0600 0 99 dev/dri/card1\n";
    let found = found(&[BOARD, CARD, render]);
    assert_eq!(found.get("device-nodes").severity, Severity::Warning, "{:?}", found.findings);
}

#[test]
fn the_allocator_of_buffers_is_asked_for_where_the_driver_needs_it() {
    let own = "c 0666 0 0 dev/rknpu\n";
    let absent = found(&[BOARD, own]);
    assert!(absent.said("dma-heap").contains("/dev/dma_heap/system is not there"));
    let shut = found(&[BOARD, own, "c 0600 0 0 dev/dma_heap/system\n"]);
    assert!(shut.said("dma-heap").contains("sudo chgrp video /dev/dma_heap/system"));
    let drm = found(&[BOARD, CARD, "c 0660 0 44 dev/dri/card1\n"]);
    assert!(!drm.findings.iter().any(|finding| finding.id == "dma-heap"));
}

#[test]
fn address_translation_that_cannot_be_seen_is_unknown() {
    let shut = found(&[BOARD, "d 0700 0 0 sys/kernel/iommu_groups\n"]);
    assert_eq!(shut.get("iommu").severity, Severity::Info);
    assert!(shut.said("iommu").contains("/sys/kernel/iommu_groups: permission denied"));
    let none = found(&[BOARD, "d 0755 0 0 sys/kernel\n"]);
    assert_eq!(none.get("iommu").severity, Severity::Warning);
}

/// Device files but no `/sys`: nothing is wrong as far as can be seen, and that is what is said.
#[test]
fn what_cannot_be_told_is_unsure() {
    let library = super::tree("container/usr/lib/librkllmrt.so");
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
    fs::copy(library, dir.path().join("usr/lib/librkllmrt.so")).unwrap();
    let lines = "f 0444 0 0 .dockerenv\nc 0660 0 44 dev/dri/card0\nc 0660 0 44 dev/dri/card1\nd 0755 0 0 dev/dri/by-path\n";
    fs::write(dir.path().join(".modes"), lines).unwrap();
    let found = Found::of(&Root::open(dir.path()).unwrap());
    found.check();
    assert_eq!(found.verdict, Verdict::Unsure, "{:?}", found.findings);
    let said = found.said("device-nodes");
    assert!(said.contains("/dev/dri/card0 (0:44 0660), /dev/dri/card1 (0:44 0660)"), "{said}");
    assert!(said.contains("DRIVER=RKNPU") && !said.contains("by-path"), "{said}");
}

/// Left in the search path, programs would run by it while the NPU rests.
#[test]
fn a_host_stand_in_is_not_taken_for_rockchips() {
    let mut library = fs::read(super::tree("rk3588/usr/lib/librkllmrt.so")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
    fs::write(dir.path().join(".modes"), BOARD).unwrap();
    let path = dir.path().join("usr/lib/librkllmrt.so");
    for (words, severity) in [("", Severity::Ok), ("host stand-in by rkllm", Severity::Warning)] {
        library.extend(words.as_bytes());
        fs::write(&path, &library).unwrap();
        let found = Found::of(&Root::open(dir.path()).unwrap());
        found.check();
        assert_eq!(found.get("runtime-rkllm").severity, severity, "{words}");
        assert_eq!(found.board.runtimes[0].stand_in, !words.is_empty());
        if severity == Severity::Warning {
            let said = found.said("runtime-rkllm");
            assert!(said.contains("host stand-in for librkllmrt"), "{said}");
            assert!(said.contains("RKLLM_LIB_DIR"), "{said}");
        }
    }
}

#[test]
fn machines_without_the_npu_are_told_apart_from_hidden_boards() {
    let arm = "t 0444 0 0 proc/cpuinfo = processor: 0\\nFeatures: asimd\\nCPU architecture: 8\\n\n";
    let pi = "t 0444 0 0 proc/device-tree/compatible = raspberrypi,4-model-b\\0brcm,bcm2711\\0\n\
              t 0444 0 0 proc/device-tree/model = Raspberry Pi 4 Model B\\0\n";
    for (lines, verdict, words) in [
        (vec![arm, pi], Verdict::NoNpu, "not a Rockchip board (Raspberry Pi 4 Model B)"),
        (vec![arm, "d 0755 0 0 sys/firmware/acpi/tables\n"], Verdict::NoNpu, "(aarch64)"),
        (vec![arm], Verdict::Blocked, "chip unknown"),
        (
            vec![arm, "d 0700 0 0 sys/firmware/devicetree\n", USER],
            Verdict::Blocked,
            "permission denied",
        ),
    ] {
        let found = found(&lines);
        assert_eq!(found.verdict, verdict, "{lines:?}");
        assert!(found.said("soc").contains(words), "{}", found.said("soc"));
    }
    // Recorded without the link /proc/device-tree.
    let sys = "t 0444 0 0 sys/firmware/devicetree/base/compatible = rockchip,rv1126b-evb\\0rockchip,rv1126b\\0\n\
               t 0444 0 0 sys/firmware/devicetree/base/model = RV1126B EVB\\0\n";
    assert!(found(&[arm, sys]).said("soc").starts_with("RV1126B (RV1126B EVB)"));
}

#[test]
fn another_container_runtime_is_named() {
    for (line, name) in [
        ("t 0444 0 0 proc/1/cgroup = 0::/kubepods/besteffort/pod1\n", "kubepods"),
        ("t 0444 0 0 run/systemd/container = lxc\n", "lxc"),
        ("f 0444 0 0 run/.containerenv\n", "podman"),
    ] {
        assert!(found(&[BOARD, line]).said("container").contains(name));
    }
    let found = found(&[BOARD, "t 0444 0 0 proc/1/cgroup = 0::/init.scope\n"]);
    assert!(!found.findings.iter().any(|finding| finding.id == "container"));
}
