//! Handles: numbers that stand for models.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Instance;

/// Handles are this plus a count that never comes again, so a handle that was destroyed is known for
/// one. They fit 32 bits, for programs that hold them in an `int`, and are no address of anything.
const FIRST: usize = 0x52_0000;

#[derive(Default)]
struct Alive {
    made: usize,
    models: Option<HashMap<usize, Arc<Instance>>>,
}

static ALIVE: Mutex<Alive> = Mutex::new(Alive { made: 0, models: None });

fn lock() -> MutexGuard<'static, Alive> {
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handle for a model.
pub(super) fn insert(instance: Arc<Instance>) -> usize {
    let mut alive = lock();
    alive.made += 1;
    let handle = FIRST + alive.made;
    alive.models.get_or_insert_default().insert(handle, instance);
    handle
}

/// The model of a handle that is alive.
pub(super) fn find(handle: usize) -> Option<Arc<Instance>> {
    lock().models.as_ref()?.get(&handle).cloned()
}

/// The model of a handle that is alive until now.
pub(super) fn remove(handle: usize) -> Option<Arc<Instance>> {
    lock().models.as_mut()?.remove(&handle)
}
