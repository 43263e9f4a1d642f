//! What stays when a worker, its handle or its parent has gone: nothing.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use rkllm::npu::RunOptions;
use rkllm::npu::worker::LockPolicy;

use crate::bench::{Bench, Fake, SOON, assert_answers, exists, soon};

crate::tests![
    dropping_ends_the_process,
    endless_grace_ends_with_the_process,
    a_leaked_stream_does_not_keep_it,
    a_worker_outlives_the_thread_that_asked,
    a_killed_parent_takes_its_worker_along,
    nothing_open_goes_along_or_stays,
    ctrl_c_is_the_parents,
    junk_from_a_parent_ends_it,
];

/// The first argument of a process that is only a parent.
pub(crate) const PARENT: &str = "as-a-parent";

/// Starts a worker, says its number, and does nothing more.
pub(crate) fn parent(arguments: &[String]) {
    let bench = Bench::new(Fake::V1_3);
    let worker = bench.load("");
    println!("{}", worker.pid().unwrap());
    if arguments == ["running"] {
        bench.behave("run_deaf");
        let mut worker = worker;
        let _ = worker.generate("hi", &RunOptions::default());
    }
    loop {
        std::thread::park();
    }
}

fn dropping_ends_the_process() {
    let bench = Bench::new(Fake::V1_3);
    let worker = bench.load("");
    let pid = worker.pid().unwrap();
    let begun = Instant::now();
    drop(worker);
    assert!(!exists(pid), "neither process nor zombie");
    assert!(begun.elapsed() < SOON);
}

/// Patience without end is no number that overflows.
fn endless_grace_ends_with_the_process() {
    let bench = Bench::new(Fake::V1_3);
    let options = bench.options().with_grace(std::time::Duration::MAX);
    let mut worker = bench.load_with("slow=5+tokens=100000", options);
    let pid = worker.pid().unwrap();
    let abort = worker.abort_handle();
    let mut stream = worker.stream("hi", &RunOptions::default()).unwrap();
    stream.next().unwrap().unwrap();
    assert!(abort.abort());
    stream.by_ref().for_each(drop);
    drop(stream);
    drop(worker);
    assert!(!exists(pid));
}

fn a_leaked_stream_does_not_keep_it() {
    let bench = Bench::new(Fake::V1_3);
    let mut worker = bench.load("slow=5+tokens=100000");
    let pid = worker.pid().unwrap();
    let mut stream = worker.stream("hi", &RunOptions::default()).unwrap();
    stream.next().unwrap().unwrap();
    std::mem::forget(stream);
    drop(worker);
    assert!(soon(|| !exists(pid)));
}

/// The kernel's signal of a parent's death is one of its thread's death.
fn a_worker_outlives_the_thread_that_asked() {
    let bench = Bench::new(Fake::V1_3);
    let mut worker = std::thread::scope(|scope| scope.spawn(|| bench.load("")).join().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_answers(&mut worker);
}

fn a_killed_parent_takes_its_worker_along() {
    for role in ["idle", "running"] {
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args([PARENT, role])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid: u32 = line.trim().parse().unwrap();
        assert!(exists(pid));
        parent.kill().unwrap();
        assert_eq!(parent.wait().unwrap().signal(), Some(libc::SIGKILL));
        // Whoever adopts it may leave a zombie for a while.
        let is_gone = || {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
        };
        assert!(soon(is_gone), "{role}: {pid} is still there");
    }
}

fn descriptors(process: &str) -> Vec<String> {
    let listed = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    listed
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.display().to_string())
        .filter(|target| !target.contains("/proc/"))
        .collect()
}

fn nothing_open_goes_along_or_stays() {
    let bench = Bench::new(Fake::V1_3);
    let secret = bench.file("secret");
    let open = fs::File::open(&secret).unwrap();
    // SAFETY: a descriptor that is open; the copy is closed below. `dup` sets no close-on-exec, as much
    // of C does not.
    let leaked = unsafe { libc::dup(std::os::fd::AsRawFd::as_raw_fd(&open)) };
    let options = bench.options().with_lock(LockPolicy::Wait(SOON));
    let mut worker = bench.load_with("", options);
    let pid = worker.pid().unwrap().to_string();
    let theirs = descriptors(&pid);
    assert!(theirs.iter().all(|target| !target.contains("secret")), "{theirs:#?}");
    // Standard streams, the socket and the lock.
    assert!(theirs.len() <= 5, "{theirs:#?}");
    let before = descriptors("self");
    for round in 0..100 {
        if round % 10 == 9 {
            bench.behave("run_segv");
            worker.generate("hi", &RunOptions::default()).unwrap_err();
            bench.behave("");
        }
        worker.restart().unwrap();
    }
    assert_answers(&mut worker);
    assert!(
        soon(|| descriptors("self").len() == before.len()),
        "{before:#?} {:#?}",
        descriptors("self")
    );
    drop(worker);
    // SAFETY: the copy from above.
    unsafe { libc::close(leaked) };
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    // This one and the one that starts processes.
    assert!(soon(|| threads() <= 2), "{}", threads());
}

fn ctrl_c_is_the_parents() {
    let bench = Bench::new(Fake::V1_3);
    let mut worker = bench.load("");
    let pid = worker.pid().unwrap() as i32;
    // SAFETY: takes numbers; a process of this test's.
    let group = unsafe {
        libc::kill(pid, libc::SIGINT);
        libc::getpgid(pid)
    };
    assert_eq!(group, pid);
    assert_answers(&mut worker);
}

fn junk_from_a_parent_ends_it() {
    let mut oversized = b"RKW1".to_vec();
    oversized.extend_from_slice(&u32::MAX.to_le_bytes());
    let mut unknown = b"RKW1\x01\0\0\0".to_vec();
    unknown.push(99);
    for (junk, code) in
        [(b"GET / HTTP/1.1\r\n".to_vec(), 70), (oversized, 70), (unknown, 70), (vec![], 0)]
    {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut worker = Command::new(std::env::current_exe().unwrap())
            .env("RKLLM_WORKER_OF", std::process::id().to_string())
            .stdin(OwnedFd::from(theirs))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        ours.write_all(&junk).unwrap();
        // Open to the end where the junk is to be what ends it.
        let kept = (!junk.is_empty()).then_some(ours);
        assert!(soon(|| !is_running(worker.id())));
        assert_eq!(worker.wait().unwrap().code(), Some(code), "{junk:02x?}");
        drop(kept);
    }
    // A variable that came along, without a parent that asked, asks for nothing.
    let listed = Command::new(std::env::current_exe().unwrap())
        .env("RKLLM_WORKER_OF", "1")
        .arg("--list")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("junk_from_a_parent_ends_it"));
}

/// Whether it runs; a zombie does not.
fn is_running(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
