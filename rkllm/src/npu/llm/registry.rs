//! Whom a callback is for.
//!
//! The runtime keeps a pointer for us and hands it to each callback. It gets a number instead, that is
//! never used twice: whatever it does with it, however late, there is nothing behind it to corrupt.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::hooks::Hooks;
use super::run::Run;

/// What a number stands for.
#[derive(Clone)]
pub(super) enum Entry {
    /// A run, as long as it lasts.
    Run(Arc<Run>),
    /// A loaded model.
    Model(Arc<Hooks>),
}

static NEXT: AtomicU64 = AtomicU64::new(1);
static ENTRIES: Mutex<BTreeMap<u64, Entry>> = Mutex::new(BTreeMap::new());

/// Locks; what a panic left behind is as good as before, because panics of callers are caught inside.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that was never given before.
pub(super) fn number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Lets callbacks with `number` find `entry`, until [`remove`].
pub(super) fn insert(number: u64, entry: Entry) {
    lock(&ENTRIES).insert(number, entry);
}

pub(super) fn remove(number: u64) {
    // Dropped outside the lock: it may be the last owner of a caller's closure.
    let entry = lock(&ENTRIES).remove(&number);
    drop(entry);
}

/// The user data of a callback.
pub(super) fn find(userdata: *mut c_void) -> Option<Entry> {
    lock(&ENTRIES).get(&(userdata.addr() as u64)).cloned()
}

/// A number as user data: an address that nobody may go to.
pub(super) fn userdata(number: u64) -> *mut c_void {
    std::ptr::without_provenance_mut(number as usize)
}
