//! Trees that try to get out, to hang, to fill memory or to write to the terminal.
#![cfg(unix)]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rkllm::ErrorKind;
use rkllm::npu::board::{Root, Verdict};

use super::{Found, tree};

/// Every path the probe reads.
const PATHS: [&str; 38] = [
    "proc/device-tree/compatible",
    "proc/device-tree/model",
    "proc/sys/kernel/osrelease",
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/self/status",
    "proc/self/limits",
    "proc/1/cgroup",
    "proc/12/fd/3",
    "proc/12/comm",
    "proc/rknpu/version",
    "proc/rknpu/load",
    "sys/firmware/devicetree/base/compatible",
    "sys/firmware/acpi/tables",
    "sys/module/rknpu/version",
    "sys/kernel/debug/rknpu/load",
    "sys/kernel/debug/rknpu/version",
    "sys/bus/platform/drivers/RKNPU/fdab0000.npu",
    "sys/bus/platform/drivers/rocket/fdab0000.npu",
    "sys/class/devfreq/fdab0000.npu/governor",
    "sys/class/devfreq/fdab0000.npu/available_frequencies",
    "sys/class/devfreq/dmc/cur_freq",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor",
    "sys/class/drm/card1/device/uevent",
    "sys/class/accel/accel0/device/uevent",
    "sys/class/thermal/thermal_zone0/type",
    "sys/class/thermal/thermal_zone0/temp",
    "sys/class/thermal/cooling_device0/type",
    "sys/kernel/iommu_groups/0/devices/x",
    "etc/passwd",
    "etc/group",
    "etc/ld.so.conf",
    "dev/rknpu",
    "dev/dri/card1",
    "dev/dma_heap/system",
    "usr/lib/librkllmrt.so",
    "usr/lib/librknnrt.so",
    "run/systemd/container",
];

fn place(dir: &Path, path: &str) -> PathBuf {
    let full = dir.join(path);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    full
}

#[test]
fn every_file_may_be_a_folder_a_loop_garbage_huge_or_a_way_out() {
    let garbage: Vec<u8> =
        (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let escapes = "\u{1b}[2J\u{1b}]0;owned\u{7}\n".repeat(50);
    for kind in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        for path in PATHS {
            let full = place(dir.path(), path);
            match kind {
                0 => fs::create_dir_all(full).unwrap(),
                1 => symlink(path.rsplit('/').next().unwrap(), full).unwrap(),
                2 => fs::write(full, &garbage).unwrap(),
                3 => File::create(full).unwrap().set_len(1 << 34).unwrap(),
                4 => fs::write(full, format!("{}\n", u64::MAX).repeat(40)).unwrap(),
                5 => fs::write(full, &escapes).unwrap(),
                6 => fs::write(full, "").unwrap(),
                _ => symlink("/../../../../etc/passwd", full).unwrap(),
            }
        }
        let found = Found::of(&Root::open(dir.path()).unwrap());
        found.check();
        assert!(!found.verdict.can_run(), "kind {kind}: {:#?}", found.findings);
    }
}

#[test]
fn an_empty_tree_is_told_to_be_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    assert!(!root.is_board());
    let found = Found::of(&root);
    found.check();
    assert_eq!(found.verdict, Verdict::Blocked);
    for (id, text) in [
        ("soc", "chip unknown"),
        ("cpu-features", "CPU features unknown"),
        ("driver", "driver unknown"),
        ("memory", "free memory unknown"),
        ("open-files", "limit of open files unknown"),
    ] {
        assert!(found.said(id).contains(text), "{}", found.said(id));
    }
    assert!(found.board.runtimes.is_empty() && found.board.nodes.is_empty());
}

/// The contents of what a link points out of the tree to are in no report.
#[test]
fn nothing_outside_of_the_tree_is_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "outside").unwrap();
    let inside = dir.path().join("tree");
    for path in PATHS {
        let up = "../".repeat(path.matches('/').count() + 1);
        symlink(format!("{up}secret"), place(&inside, path)).unwrap();
    }
    let found = Found::of(&Root::open(&inside).unwrap());
    found.check();
    assert!(!format!("{:?}", found.board).contains("outside"));
}

#[test]
fn a_file_nobody_may_read_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    let meminfo = place(dir.path(), "proc/meminfo");
    fs::write(&meminfo, "MemTotal: 8 kB\n").unwrap();
    fs::set_permissions(&meminfo, fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&meminfo).is_ok() {
        println!("skipped: this user may read everything");
    } else {
        let found = Found::of(&Root::open(dir.path()).unwrap());
        assert!(found.said("memory").contains("/proc/meminfo: permission denied"));
    }
    // The same for a user whose rights were recorded.
    fs::set_permissions(&meminfo, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(place(dir.path(), "proc/self/status"), "Uid: 7 7 7 7\nGid: 7 7 7 7\n").unwrap();
    fs::write(dir.path().join(".modes"), "f 0600 0 0 proc/meminfo\n").unwrap();
    let found = Found::of(&Root::open(dir.path()).unwrap());
    assert!(found.said("memory").contains("/proc/meminfo: permission denied"));
    let unread = ["/proc/meminfo: permission denied", "/sys: not mounted or hidden"];
    assert_eq!(found.board.unread(), unread);
}

#[test]
fn many_names_and_many_lines_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut modes = String::new();
    for i in 0..3000 {
        modes += &format!("l 0777 0 0 proc/{i}/fd/0 -> /dev/dri/card1\n");
    }
    fs::write(dir.path().join(".modes"), modes).unwrap();
    for i in 0..2000 {
        fs::create_dir_all(dir.path().join(format!("sys/class/thermal/thermal_zone{i}"))).unwrap();
    }
    // Each includes all.
    for i in 0..20 {
        let conf = place(dir.path(), &format!("etc/ld.so.conf.d/{i}.conf"));
        fs::write(conf, "include *.conf\n/opt/x\n".repeat(50)).unwrap();
    }
    fs::write(dir.path().join("etc/ld.so.conf"), "include ld.so.conf.d/*.conf\n").unwrap();
    let found = Found::of(&Root::open(dir.path()).unwrap());
    found.check();
    assert_eq!(found.board.users.seen, 3000);
}

#[test]
fn a_bad_overlay_or_folder_is_an_error_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".modes"), "c 0660 0 44 dev/x\nnonsense\n").unwrap();
    let error = Root::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    let text = error.to_string();
    assert!(text.contains(".modes") && text.contains("line 2"), "{text}");
    assert!(error.hint().unwrap().contains("TYPE MODE UID GID PATH"), "{text}");
    for path in [dir.path().join("absent"), dir.path().join(".modes")] {
        assert_eq!(Root::open(path).unwrap_err().kind(), ErrorKind::Io);
    }
    assert!(Root::open(tree("rk3588")).unwrap().is_board());
}
