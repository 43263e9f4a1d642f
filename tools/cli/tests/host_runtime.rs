//! `rkllm host-runtime install`.

mod common;

use std::fs;

use common::{failure_of, json_of, rkllm};

#[test]
fn the_libraries_come_where_programs_look_and_say_what_to_set() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("built"), dir.path().join("lib"));
    fs::create_dir(&from).unwrap();
    let install = |more: &[&str]| {
        let mut command = rkllm();
        command.args(["host-runtime", "install"]).arg(&to).arg("--from").arg(&from).args(more);
        command
    };
    let said = failure_of(&mut install(&[]), 1);
    assert!(said.contains("cargo build -p host-rkllmrt-1-3"), "{said}");
    let text = "RKLLM SDK (version: 1.3.0 | x)\0\0\0\0\0\0\0\0";
    fs::write(from.join("librkllmrt.so"), text).unwrap();
    fs::write(from.join("librkllmrt_1_2.so"), "older").unwrap();
    let said = failure_of(&mut install(&[]), 1);
    assert!(said.contains("cargo build -p host-rknnrt") && !to.exists(), "{said}");
    fs::write(from.join("librknnrt.so"), "matmul").unwrap();

    let report = json_of(&mut install(&[]));
    assert_eq!(report["installed"].as_array().unwrap().len(), 3);
    assert!(report["environment"][0].as_str().unwrap().starts_with("LD_LIBRARY_PATH=/"));
    assert_eq!(fs::read_to_string(to.join("librkllmrt.so")).unwrap(), text);
    assert_eq!(fs::read_to_string(to.join("1.2/librkllmrt.so")).unwrap(), "older");
    assert_eq!(fs::read_to_string(to.join("librknnrt.so")).unwrap(), "matmul");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 3, "no part is left");

    json_of(&mut install(&["--version-string", "1.3.1"]));
    let changed = fs::read_to_string(to.join("librkllmrt.so")).unwrap();
    assert!(changed.starts_with("RKLLM SDK (version: 1.3.1 | x)\0"), "{changed:?}");
}
