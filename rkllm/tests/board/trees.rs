//! What is found in each recorded tree: exactly these findings, with this advice.

use rkllm::npu::board::{Access, DriverKind, Severity};
use rkllm::soc::Soc;

use super::expected::TREES;
use super::{Found, tree};

#[test]
fn each_tree_gives_exactly_its_findings() {
    for expected in &TREES {
        let found = Found::in_tree(expected.name);
        found.check();
        let name = expected.name;
        assert_eq!(found.verdict, expected.verdict, "{name}");
        for (severity, ids) in [
            (Severity::Error, expected.errors),
            (Severity::Warning, expected.warnings),
            (Severity::Info, expected.notes),
            (Severity::Ok, expected.ok),
        ] {
            assert_eq!(found.ids(severity), ids, "{name}: {severity:?}: {:#?}", found.findings);
        }
        for (id, words) in expected.said {
            let said = found.said(id);
            assert!(said.contains(words), "{name}: {id}: {words:?} in {said}");
        }
    }
}

/// A tree that no test names would prove nothing.
#[test]
fn every_tree_is_expected() {
    let entries = std::fs::read_dir(tree("")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name != "README.md");
    names.sort();
    let mut expected: Vec<&str> = TREES.iter().map(|tree| tree.name).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn facts_are_those_of_the_tree() {
    let board = Found::in_tree("rk3588-busy").board;
    assert_eq!(board.chip.soc, Some(Soc::Rk3588));
    assert_eq!(board.driver.kind, DriverKind::Vendor);
    assert_eq!(board.users.processes.len(), 1, "neither the screen's user nor this process");
    assert_eq!(board.clocks.npu.as_ref().unwrap().highest.value(), Some(&1_000_000_000));
    assert_eq!(board.clocks.cpu.len(), 3);
    assert_eq!(board.clocks.cpu[0].highest.value(), Some(&1_800_000_000));
    assert!(board.recorded && board.unread().is_empty());

    let board = Found::in_tree("rk3588-rocket").board;
    assert_eq!(board.driver.kind, DriverKind::Rocket);
    assert_eq!(board.driver.devices.len(), 3);
    assert_eq!(board.nodes[0].path, "/dev/accel/accel0");
    assert_eq!(
        (board.nodes[0].access, board.nodes[0].group.as_deref()),
        (Access::Yes, Some("render"))
    );

    let board = Found::in_tree("rk3588-no-permission").board;
    let access: Vec<_> = board.nodes.iter().map(|node| (node.mode, node.access)).collect();
    assert_eq!(access, [(Some(0o660), Access::No); 2]);
    assert_eq!(
        board.unread(),
        [
            "/sys/kernel/debug/rknpu/load: permission denied",
            "/proc/*/fd: permission denied for 1 of 1"
        ]
    );
    assert_eq!(Found::in_tree("container").board.unread(), ["/sys: not mounted or hidden"]);
}

/// The running system gives a report, whatever it is.
#[test]
fn this_machine_is_survived() {
    Found::of(&rkllm::npu::board::Root::system()).check();
}
