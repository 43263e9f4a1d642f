//! Threads by topology, on machines that lie in `tests/data/machines` as text.

mod common;

use std::fs;
use std::path::Path;

use rkllm::cpu::Placement;
use rkllm::cpu::cores::Cores;

/// A machine's files in a folder of their own: `path = text` a line, `\n`, `\t` and `\0` for those characters.
fn machine(name: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(common::data(&format!("machines/{name}.tree"))).unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (path, text) = line.split_once(" = ").or(line.split_once(" =")).unwrap();
        let text = text.replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\0");
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text + "\n").unwrap();
    }
    root
}

fn placement(name: &str, threads: Option<usize>) -> Placement {
    Cores::read(machine(name).path()).placement(threads)
}

/// (machine, threads, processors they are confined to, what is said)
const EXPECTED: [(&str, usize, &str, &str); 22] = [
    (
        "rk3588",
        4,
        "4-7",
        "4 threads on cpu4-7 (Cortex-A76); cpu0-3 (Cortex-A55) left to the system",
    ),
    (
        "rk3588-core-offline",
        3,
        "4,6-7",
        "3 threads on cpu4,6-7 (Cortex-A76); cpu0-3 (Cortex-A55) left to the system; cpu5 offline",
    ),
    (
        "rk3588-little-cpuset",
        4,
        "",
        "4 threads on cpu0-3 (Cortex-A55); cpu4-7 (Cortex-A76) not allowed to this process",
    ),
    (
        "rk3588-one-big-allowed",
        1,
        "7",
        "1 thread on cpu7 (Cortex-A76); cpu3 (Cortex-A55) left to the system; \
         cpu0-2 (Cortex-A55) and cpu4-6 (Cortex-A76) not allowed to this process",
    ),
    (
        "rk3588-no-capacity",
        4,
        "4-7",
        "4 threads on cpu4-7 (Cortex-A76); cpu0-3 (Cortex-A55) left to the system",
    ),
    ("rk3588-clocks-only", 4, "4-7", "4 threads on cpu4-7; cpu0-3 left to the system"),
    (
        "rk3576",
        4,
        "4-7",
        "4 threads on cpu4-7 (Cortex-A72); cpu0-3 (Cortex-A53) left to the system",
    ),
    ("rk3562", 4, "", "4 threads on cpu0-3 (Cortex-A53)"),
    ("rv1126b", 4, "", "4 threads on cpu0-3 (Cortex-A53)"),
    (
        "hybrid-laptop",
        4,
        "0-7",
        "4 threads on cpu0-7 (P-core), 4 cores with hardware threads that share them; \
         cpu8-11 (E-core) left to the system",
    ),
    ("smt-server", 8, "", "8 threads on cpu0-15, 8 cores with hardware threads that share them"),
    ("smt-server-one-sibling", 4, "", "4 threads on cpu0-3; cpu4-15 not allowed to this process"),
    ("compact-cores", 6, "", "6 threads on cpu0-5"),
    ("vm", 2, "", "2 threads on cpu0-1"),
    ("vm-kvm", 2, "", "2 threads on cpu0-1"),
    (
        "container-quota",
        1,
        "",
        "1 thread on cpu0-7, for the control group allows 1.50 processors' time",
    ),
    (
        "container-nested-quota",
        3,
        "",
        "3 threads on cpu2-7, for the control group allows 3.00 processors' time; \
         cpu0-1 not allowed to this process",
    ),
    (
        "container-half",
        1,
        "",
        "1 thread on cpu0-7, for the control group allows 0.50 processors' time",
    ),
    (
        "container-v1",
        2,
        "",
        "2 threads on cpu4-7, for the control group allows 2.50 processors' time; \
         cpu0-3 not allowed to this process",
    ),
    ("hostile-numbers", 2, "", "2 threads on cpu0-1"),
    ("hostile-text", 2, "", "2 threads on cpu0,2"),
    ("hostile-siblings", 1, "", "1 thread on cpu0-3, 1 core with hardware threads that share them"),
];

#[test]
fn every_machine_gets_its_threads_and_says_why() {
    for (name, threads, confined, said) in EXPECTED {
        let placement = placement(name, None);
        assert_eq!(placement.threads, threads, "{name}");
        let cpus = placement.confined.map_or(String::new(), |set| set.to_string());
        assert_eq!(cpus, confined, "{name}");
        assert_eq!(placement.to_string(), said, "{name}");
    }
}

#[test]
fn every_recorded_machine_is_expected() {
    let mut names: Vec<String> = fs::read_dir(common::data("machines"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected: Vec<String> =
        EXPECTED.iter().map(|(name, ..)| format!("{name}.tree")).collect();
    expected.push("nothing.tree".into());
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn a_given_number_is_kept_and_confined_where_the_fast_cores_are_enough() {
    for (threads, confined) in [(1, true), (4, true), (5, false), (8, false)] {
        let placement = placement("rk3588", Some(threads));
        assert_eq!((placement.threads, placement.confined.is_some()), (threads, confined));
        let asked = placement.to_string().contains("as many as were asked for");
        assert_eq!(asked, threads != 4, "{placement}");
    }
    assert_eq!(
        placement("container-quota", Some(6)).threads,
        6,
        "a quota is no bound of what is asked"
    );
}

#[test]
fn a_system_that_tells_nothing_runs() {
    for cores in [Cores::read(machine("nothing").path()), Cores::read(Path::new("/no/such/root"))] {
        assert!(cores.cpus().is_empty());
        let placement = cores.placement(None);
        assert!(placement.threads >= 1 && placement.confined.is_none(), "{placement}");
    }
}

/// Opening a pipe would wait for ever, a directory is no file, and a large file is not read whole.
#[cfg(unix)]
#[test]
fn what_is_no_short_file_is_passed_over() {
    let root = machine("rk3588");
    let cpu = root.path().join("sys/devices/system/cpu");
    fs::remove_file(cpu.join("online")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(cpu.join("online")).status();
    if !made.is_ok_and(|status| status.success()) {
        fs::create_dir(cpu.join("online")).unwrap();
    }
    fs::create_dir(root.path().join("proc/self/cgroup")).unwrap();
    let file = fs::File::create(root.path().join("proc/cpuinfo")).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(Cores::read(root.path()).placement(None).to_string(), EXPECTED[0].3);
}
