//! What `RKNN_HOST_FAULT` makes go wrong, each in a process of its own.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::lib_under_test::{Context, Mem, child, emulated, functions, passing_child};
use crate::reference::Case;

const CASE: Case = Case { kind: 2, m: 1, k: 32, n: 32, b_layout: 0, ac_layout: 0 };

/// One product after the other; says what comes of it.
#[test]
#[ignore = "run by the other tests, each with a fault"]
fn three_products() {
    let mut context = match Context::create(CASE.info()) {
        Ok(context) => context,
        Err(code) => {
            println!("<create {code}>");
            return;
        }
    };
    context.bytes(0).fill(1);
    context.bytes(1).fill(2);
    for _ in 0..3 {
        context.bytes(2).fill(0x77);
        let code = context.run();
        let c = context.bytes(2);
        let right = c.chunks_exact(4).all(|sum| sum == 64_i32.to_le_bytes());
        let zero = c.iter().all(|byte| *byte == 0);
        let untouched = c.iter().all(|byte| *byte == 0x77);
        let what = match (right, zero, untouched) {
            (true, ..) => "right",
            (_, true, _) => "zeros",
            (_, _, true) => "untouched",
            _ => "noise",
        };
        println!("<run {code} {what}>");
    }
}

fn with(fault: &str) -> String {
    let said = passing_child("faults::three_products", &[("RKNN_HOST_FAULT", fault)]);
    let words = said.split('<').skip(1).filter_map(|part| part.split_once('>'));
    words.map(|(word, _)| word).collect::<Vec<_>>().join(", ")
}

#[test]
fn codes_and_results() {
    assert_eq!(with(""), "run 0 right, run 0 right, run 0 right");
    assert_eq!(with("nonsense"), "run 0 right, run 0 right, run 0 right");
    assert_eq!(with("create"), "create -6");
    assert_eq!(with("create=-3"), "create -3");
    assert_eq!(with("no_memory"), "create -4");
    assert_eq!(with("run"), "run -1 untouched, run -1 untouched, run -1 untouched");
    assert_eq!(with("run=-2,after=2"), "run 0 right, run 0 right, run -2 untouched");
    assert_eq!(with("garbage"), "run 0 noise, run 0 noise, run 0 noise");
    assert_eq!(with("zeros, after=1"), "run 0 right, run 0 zeros, run 0 zeros");
}

#[test]
fn a_fault_is_logged() {
    let environment = [("RKNN_HOST_FAULT", "run,soap"), ("RKNN_LOG_LEVEL", "1")];
    let said = passing_child("faults::three_products", &environment);
    assert!(said.contains("E RKNN: [") && said.contains("(injected fault)"), "{said}");
    assert!(said.contains("W RKNN: [") && said.contains("\"soap\" is no fault"), "{said}");
}

#[test]
#[ignore = "run by the next test"]
fn a_null_handle() {
    use rkllm_sys::rknn::rknn_matmul_io_attr;
    let (mut ctx, mut attr) = (99, rknn_matmul_io_attr::default());
    // SAFETY: structs.
    unsafe {
        let mut info = CASE.info();
        assert_eq!((functions().rknn_matmul_create)(&mut ctx, &mut info, &mut attr), 0);
        assert_eq!((ctx, attr.B.size), (0, 1024));
        assert_eq!((functions().rknn_matmul_run)(ctx), -7);
        assert!((functions().rknn_create_mem)(ctx, 64).is_null());
    }
}

#[test]
fn zero_with_a_null_handle() {
    passing_child("faults::a_null_handle", &[("RKNN_HOST_FAULT", "create_null")]);
}

#[test]
fn signals() {
    for (fault, signal) in [("abort", 6), ("segv", 11)] {
        let output = child("faults::three_products", &[("RKNN_HOST_FAULT", fault)]);
        assert_eq!(output.status.signal(), Some(signal), "{fault}");
    }
}

#[test]
fn a_hang_and_a_slow_run() {
    let start = Instant::now();
    assert_eq!(with("slow=120,after=1"), "run 0 right, run 0 right, run 0 right");
    assert!(start.elapsed() >= Duration::from_millis(240));
    let mut hanging = emulated(&std::env::current_exe().unwrap())
        .args(["faults::three_products", "--exact", "--include-ignored"])
        .env("RKNN_HOST_FAULT", "hang")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(hanging.try_wait().unwrap().is_none(), "it is still in its run");
    hanging.kill().unwrap();
    assert_eq!(hanging.wait().unwrap().signal(), Some(9));
}

#[test]
#[ignore = "run by the next test"]
fn another_version() {
    use rkllm_sys::rknn::{rknn_query_cmd, rknn_sdk_version};
    let context = Context::create(CASE.info()).unwrap();
    let _mem = Mem::new(context.ctx, 64);
    let mut version = rknn_sdk_version::default();
    // SAFETY: a struct of that size, whose text the library ends.
    let text = unsafe {
        let sdk = rknn_query_cmd::RKNN_QUERY_SDK_VERSION;
        assert_eq!((functions().rknn_query)(context.ctx, sdk, (&raw mut version).cast(), 512), 0);
        std::ffi::CStr::from_ptr(version.api_version.as_ptr())
    };
    assert_eq!(text.to_str(), Ok("1.6.0 (old)"));
}

#[test]
fn a_wrong_version() {
    passing_child("faults::another_version", &[("RKNN_HOST_FAULT", "version=1.6.0 (old)")]);
}
