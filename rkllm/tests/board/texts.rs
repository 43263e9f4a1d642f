//! The texts of `/proc` and `/sys`, random and nearly right.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rkllm::npu::board::{DriverVersion, Reading, Root};

use super::Found;

fn write(dir: &Path, path: &str, text: impl AsRef<[u8]>) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Lines such as those files have, with numbers and words that they do not have.
fn nearly() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("MemTotal:".to_owned()),
        Just("MemAvailable:".to_owned()),
        Just("kB".to_owned()),
        Just("Max open files".to_owned()),
        Just("unlimited".to_owned()),
        Just("Uid:".to_owned()),
        Just("Gid:".to_owned()),
        Just("Groups:".to_owned()),
        Just("processor\t:".to_owned()),
        Just("Features\t:".to_owned()),
        Just("CPU architecture: 8".to_owned()),
        Just("DRIVER=RKNPU".to_owned()),
        Just("rockchip,rk3588\0".to_owned()),
        Just("v0.9.8".to_owned()),
        Just("performance".to_owned()),
        Just("root:x:0:0".to_owned()),
        Just("\n".to_owned()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<i128>().prop_map(|n| n.to_string()),
        "\\PC{0,12}",
        any::<Vec<u8>>().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ];
    proptest::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_they_hold_a_report_comes_out(
        texts in proptest::collection::vec(nearly(), 17),
        machine in prop_oneof![Just(""), Just("proc/device-tree/compatible")],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let paths = [
            "proc/cpuinfo", "proc/meminfo", "proc/self/status", "proc/self/limits", "proc/1/cgroup",
            "etc/passwd", "etc/group", "etc/ld.so.conf", "sys/module/rknpu/version",
            "sys/kernel/debug/rknpu/load", "sys/class/drm/card1/device/uevent",
            "sys/class/devfreq/fdab0000.npu/governor",
            "sys/class/devfreq/fdab0000.npu/available_frequencies",
            "sys/class/devfreq/fdab0000.npu/max_freq",
            "sys/devices/system/cpu/cpufreq/policy0/scaling_governor",
            "sys/class/thermal/thermal_zone0/temp", "proc/device-tree/model",
        ];
        for (path, text) in paths.iter().zip(&texts) {
            write(dir.path(), path, text);
        }
        write(dir.path(), "sys/class/thermal/thermal_zone0/type", "npu-thermal");
        if !machine.is_empty() {
            write(dir.path(), machine, "maker,board\0rockchip,rk3588\0");
        }
        Found::of(&Root::open(dir.path()).unwrap()).check();
    }

    #[test]
    fn an_overlay_is_taken_or_refused(text in nearly()) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), ".modes", &text);
        if let Ok(root) = Root::open(dir.path()) {
            Found::of(&root).check();
        }
    }

    #[test]
    fn numbers_are_read_as_they_are_written(
        total in 0u64..1 << 53, free in 0u64..1 << 53, soft in any::<u64>(), hard in any::<u64>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "proc/meminfo", format!("MemTotal: {total:>8} kB\nMemAvailable:\t{free} kB\n"));
        let limits = format!("Limit   Soft Limit\nMax open files            {soft:<20} {hard:<20} files\n");
        write(dir.path(), "proc/self/limits", limits);
        let found = Found::of(&Root::open(dir.path()).unwrap());
        found.check();
        prop_assert_eq!(&found.board.memory.total, &Reading::Is(total * 1024));
        prop_assert_eq!(&found.board.memory.available, &Reading::Is(free * 1024));
        prop_assert_eq!(&found.board.memory.cma_total, &Reading::Absent);
        let open = *found.board.process.open_files.value().unwrap();
        prop_assert_eq!((open.soft, open.hard), (Some(soft), Some(hard)));
    }

    #[test]
    fn versions_print_as_they_parse(major: u32, minor: u32, patch: u32) {
        let version = DriverVersion { major, minor, patch };
        prop_assert_eq!(DriverVersion::parse(&version.to_string()), Some(version));
        prop_assert_eq!(DriverVersion::parse(&format!("RKNPU driver: v{version}\n")), Some(version));
    }
}
