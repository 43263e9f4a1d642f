//! Which processors a thread may run on: asked and set through the system.
//!
//! Refused calls change nothing and are no errors: a sandbox may forbid them, and threads then run where
//! the system puts them.

use super::CpuSet;

/// A thread of this process, as the system numbers it; 0 is the calling one.
pub(crate) type ThreadId = i32;

/// Where the thread may run, if the system tells.
#[cfg(target_os = "linux")]
pub(crate) fn get(thread: ThreadId) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    let words = set.words_mut();
    // SAFETY: the system writes at most the given number of bytes to memory that is that long, and any bits
    // are a valid u64. `cpu_set_t` is bits in unsigned longs, which is what the call takes at any length.
    let failed =
        unsafe { libc::sched_getaffinity(thread, size_of_val(words), words.as_mut_ptr().cast()) };
    (failed == 0 && !set.is_empty()).then_some(set)
}

/// Lets the thread run on these processors alone; false where the system refuses.
#[cfg(target_os = "linux")]
pub(crate) fn set(thread: ThreadId, cpus: &CpuSet) -> bool {
    let words = cpus.words();
    // SAFETY: the system reads the given number of bytes of memory that is that long.
    unsafe { libc::sched_setaffinity(thread, size_of_val(words), words.as_ptr().cast()) == 0 }
}

/// The calling thread's number.
#[cfg(target_os = "linux")]
pub(crate) fn current() -> ThreadId {
    // SAFETY: it takes nothing, cannot fail, and gives a number.
    unsafe { libc::syscall(libc::SYS_gettid) as ThreadId }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn get(_: ThreadId) -> Option<CpuSet> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn set(_: ThreadId, _: &CpuSet) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn current() -> ThreadId {
    0
}

/// Confines the calling thread while it lives; then the thread may run where it could before.
///
/// A thread that its owner keeps off all of `cpus` is left alone, and so is one whose place was changed
/// meanwhile by someone else.
#[derive(Debug)]
pub(crate) struct Confined {
    /// What was before and what was set, if anything was.
    change: Option<(CpuSet, CpuSet)>,
    /// Only the thread that was confined can be released by number 0.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Confined {
    pub(crate) fn to(cpus: Option<&CpuSet>) -> Self {
        let change = cpus.and_then(|cpus| {
            let before = get(0)?;
            let wanted = before.and(cpus);
            let useful = !wanted.is_empty() && wanted != before;
            (useful && set(0, &wanted)).then_some((before, wanted))
        });
        Self { change, _not_send: std::marker::PhantomData }
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        if let Some((before, wanted)) = &self.change
            // A processor that went offline meanwhile is missing from what was set.
            && get(0).is_some_and(|now| now.and(wanted) == now)
        {
            set(0, before);
        }
    }
}
