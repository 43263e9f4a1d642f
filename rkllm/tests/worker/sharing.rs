//! Two workers never have the NPU at the same time.

use std::time::Duration;

use rkllm::ErrorKind;
use rkllm::npu::NpuOptions;
use rkllm::npu::worker::{LOCK_DIR, LockPolicy, NpuLock};

use crate::bench::{Bench, Fake, SOON, assert_answers};

crate::tests![
    the_second_fails_or_waits,
    what_its_own_program_holds_is_named_so,
    the_dead_hold_nothing,
    without_a_lock_nobody_waits
];

fn the_second_fails_or_waits() {
    let bench = Bench::new(Fake::V1_3);
    let mut first = bench.load("");
    let pid = first.pid().unwrap().to_string();
    for policy in [LockPolicy::Fail, LockPolicy::Wait(Duration::from_millis(100))] {
        let second = bench.options().with_lock(policy).load(bench.model(""), NpuOptions::default());
        let error = second.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(error.to_string().contains(&format!("process {pid}")), "{error}");
    }
    assert_answers(&mut first);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let options = bench.options().with_lock(LockPolicy::Wait(SOON));
            assert_answers(&mut bench.load_with("", options));
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        drop(first);
        waiting.join().unwrap();
    });
}

fn what_its_own_program_holds_is_named_so() {
    let bench = Bench::new(Fake::V1_3);
    let held = NpuLock::acquire(LockPolicy::Fail).unwrap().unwrap();
    let options = bench.options().with_env(LOCK_DIR, held.path().parent().unwrap());
    let load = |policy| options.clone().with_lock(policy).load(bench.model(""), Default::default());
    let error = load(LockPolicy::Fail).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    assert!(error.hint().unwrap().contains("LockPolicy::None"), "{error}");
    assert_answers(&mut load(LockPolicy::None).unwrap());
    drop(held);
    assert_answers(&mut load(LockPolicy::Fail).unwrap());
}

/// However a worker ends, the kernel lets go of what it held.
fn the_dead_hold_nothing() {
    let bench = Bench::new(Fake::V1_2);
    let mut first = bench.load("");
    bench.behave("run_segv");
    first.generate("hi", &Default::default()).unwrap_err();
    bench.behave("");
    let mut second = bench.load("");
    assert_answers(&mut second);
    // The first comes back when the second has gone.
    assert_eq!(first.restart().unwrap_err().kind(), ErrorKind::Busy);
    drop(second);
    first.restart().unwrap();
    assert_answers(&mut first);
}

fn without_a_lock_nobody_waits() {
    let bench = Bench::new(Fake::V1_3);
    let options = bench.options().with_lock(LockPolicy::None);
    let (mut first, mut second) =
        (bench.load_with("", options.clone()), bench.load_with("", options));
    assert_answers(&mut first);
    assert_answers(&mut second);
    assert!(!bench.dir().join("rkllm-npu.lock").exists());
}
