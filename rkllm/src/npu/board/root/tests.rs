//! Trees that try to get out, to hang or to fill memory.
#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;
use crate::npu::board::{Board, diagnose};

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        let full = self.0.path().join("tree").join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        full
    }

    fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(path), contents).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        symlink(target, self.path(path)).unwrap();
    }

    fn root(&self) -> Root {
        self.path("x");
        Root::open(self.0.path().join("tree")).unwrap()
    }
}

#[test]
fn links_stay_inside() {
    let tree = Tree::new();
    fs::write(tree.0.path().join("secret"), "outside").unwrap();
    tree.write("inside", "inside");
    tree.write("a/b/file", "deep");
    // Up and out, by an absolute path, through a directory, and by a chain.
    tree.link("up", "../secret");
    tree.link("a/up", "../../../../../../inside");
    tree.link("absolute", "/inside");
    tree.link("host", &tree.0.path().join("secret").display().to_string());
    tree.link("passwd", "/etc/passwd");
    tree.link("dir", "a/b");
    tree.link("chain", "dir/../../absolute");
    tree.link("out", "..");
    let root = tree.root();
    let text = |path: &str| root.text(path);
    assert_eq!(text("up"), Err(Miss::Absent));
    assert_eq!(text("a/up").unwrap(), "inside");
    assert_eq!(text("absolute").unwrap(), "inside");
    assert_eq!(text("host"), Err(Miss::Absent));
    assert_eq!(text("passwd"), Err(Miss::Absent));
    assert_eq!(text("dir/file").unwrap(), "deep");
    assert_eq!(text("chain").unwrap(), "inside");
    assert_eq!(text("out/secret"), Err(Miss::Absent));
    assert_eq!(text("../secret"), Err(Miss::Absent));
    assert_eq!(text("../../../../../../../../inside").unwrap(), "inside");
    assert!(!root.names("out").unwrap().contains(&"secret".to_owned()));
    assert_eq!(root.link("passwd").unwrap(), "/etc/passwd", "a link is told, not followed");
}

#[test]
fn loops_and_depths_end() {
    let tree = Tree::new();
    tree.link("self", "self");
    tree.link("ping", "pong");
    tree.link("pong", "ping");
    tree.link("grow", "grow/grow/grow");
    tree.link("a/here", ".");
    let root = tree.root();
    for path in ["self", "ping", "pong/x", "grow", "grow/x"] {
        assert!(matches!(root.text(path), Err(Miss::Unusable(_))), "{path}: {:?}", root.text(path));
    }
    let deep = vec!["a"; DEEPEST + 1].join("/");
    assert!(root.text(&deep).is_err());
    assert!(matches!(
        root.text(&format!("a/{}", vec!["here"; 100].join("/"))),
        Err(Miss::Unusable(_))
    ));
}

#[test]
fn only_regular_files_are_read_and_not_all_of_them() {
    let tree = Tree::new();
    fs::create_dir_all(tree.path("dir/sub")).unwrap();
    let huge = File::create(tree.path("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    tree.write("binary", [0xff, 0xfe, 0, 1, 2, 0x1b, b'[', b'2', b'J']);
    tree.write("long", "x".repeat(10_000));
    let root = tree.root();
    assert_eq!(root.text("dir"), Err(Miss::Unusable("not a regular file".into())));
    assert_eq!(root.text("binary/x"), Err(Miss::Absent));
    assert_eq!(root.text("huge").unwrap().len(), LONGEST_TEXT as usize);
    assert!(!root.line("binary").unwrap().contains('\u{1b}'), "no escapes reach a terminal");
    assert_eq!(root.line("long").unwrap().len(), LONGEST_LINE);
    assert_eq!(root.names("dir").unwrap(), ["sub"]);
    assert_eq!(root.link("long"), Err(Miss::Unusable("not a symbolic link".into())));
}

/// Opening a pipe for reading would wait for a writer.
#[test]
fn a_pipe_does_not_hang() {
    let tree = Tree::new();
    let made = std::process::Command::new("mkfifo").arg(tree.path("proc/meminfo")).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: no mkfifo");
        return;
    }
    assert_eq!(tree.root().text("proc/meminfo"), Err(Miss::Unusable("not a regular file".into())));
}

#[test]
fn modes_deny_as_the_kernel_would() {
    let tree = Tree::new();
    tree.write(
        "proc/self/status",
        "Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nGroups:\t44 1000\n",
    );
    tree.write("sys/kernel/debug/rknpu/version", "RKNPU driver: v0.9.8\n");
    tree.write("secret", "s");
    tree.write("shared", "s");
    tree.write(".modes", "d 0700 0 0 sys/kernel/debug\nf 0600 0 0 secret\nf 0640 0 44 shared\nc 0660 0 44 dev/card\nl 0777 0 0 link -> dev/card\n");
    let root = tree.root();
    assert_eq!(root.text("sys/kernel/debug/rknpu/version"), Err(Miss::Denied));
    assert_eq!(root.names("sys/kernel/debug"), Err(Miss::Denied));
    assert_eq!(root.text("secret"), Err(Miss::Denied));
    assert_eq!(root.text("shared").unwrap(), "s");
    assert_eq!(root.stat("link").unwrap().mode, 0o660);
    assert_eq!(root.text("link"), Err(Miss::Unusable("not a regular file".into())));
    assert_eq!(root.names("dev").unwrap(), ["card"]);

    tree.write("proc/self/status", "Uid: 0 0 0 0\nGid: 0 0 0 0\nGroups:\n");
    assert!(tree.root().text("secret").is_ok(), "root may");
    tree.write(".modes", "nonsense");
    let error = Root::open(tree.0.path().join("tree")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(
        error.to_string().contains(".modes") && error.to_string().contains("line 1"),
        "{error}"
    );
    assert!(Root::open(tree.0.path().join("absent")).is_err());
    assert!(Root::open(tree.0.path().join("tree/secret")).is_err());
}

/// Every path the probe reads, as a directory, as a loop, as garbage and as a huge file.
#[test]
fn hostile_trees_are_survived() {
    let paths = [
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
        "sys/module/rknpu/version",
        "sys/kernel/debug/rknpu/load",
        "sys/bus/platform/drivers/RKNPU/fdab0000.npu",
        "sys/class/devfreq/fdab0000.npu/governor",
        "sys/class/devfreq/fdab0000.npu/available_frequencies",
        "sys/class/devfreq/dmc/cur_freq",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_governor",
        "sys/class/drm/card1/device/uevent",
        "sys/class/thermal/thermal_zone0/type",
        "sys/class/thermal/thermal_zone0/temp",
        "sys/kernel/iommu_groups/0/devices/x",
        "etc/passwd",
        "etc/group",
        "dev/rknpu",
        "dev/dma_heap/system",
        "usr/lib/librkllmrt.so",
        "usr/lib/librknnrt.so",
        "run/systemd/container",
    ];
    let garbage: Vec<u8> =
        (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for kind in 0..6 {
        let tree = Tree::new();
        for path in paths {
            match kind {
                0 => fs::create_dir_all(tree.path(path)).unwrap(),
                1 => tree.link(path, path.rsplit('/').next().unwrap()),
                2 => tree.write(path, &garbage),
                3 => File::create(tree.path(path)).unwrap().set_len(3 << 20).unwrap(),
                4 => tree.write(path, format!("{}\n", u64::MAX).repeat(40)),
                _ => tree.link(path, "/../../../../etc/shadow"),
            }
        }
        let board = Board::probe(&tree.root());
        for finding in diagnose(&board) {
            let advised =
                finding.cause.is_some() && finding.fix.is_some() && finding.reference.is_some();
            assert!(advised || finding.severity == crate::npu::board::Severity::Ok, "{finding:?}");
            assert!(
                finding.what.len() < 2000 && !finding.what.chars().any(char::is_control),
                "{finding:?}"
            );
        }
    }
}
