//! `AbortHandle`: ending a run from elsewhere.

use std::sync::Weak;

use super::core::Core;
use crate::{Error, ErrorKind, Result};

/// Ends the run of a model from another thread, such as a Ctrl-C handler. Cheap to clone; does nothing
/// once the model is gone.
#[derive(Clone)]
pub struct AbortHandle(Target);

#[derive(Clone)]
enum Target {
    Here(Weak<Core>),
    Elsewhere(Weak<dyn Remote>),
}

/// A model in another process.
pub(in crate::npu) trait Remote: Send + Sync {
    /// Asks the run in flight to end; false if there is none.
    fn abort(&self) -> bool;
    /// Whether a run is in flight.
    fn is_running(&self) -> bool;
}

impl AbortHandle {
    pub(super) fn new(core: Weak<Core>) -> Self {
        Self(Target::Here(core))
    }

    pub(in crate::npu) fn remote(model: Weak<dyn Remote>) -> Self {
        Self(Target::Elsewhere(model))
    }

    /// Asks the run in flight to end; false if there is none. It ends by `rkllm_abort`, or at its next
    /// output where the runtime had not begun yet. From within a closure of that run, at that output's end.
    pub fn abort(&self) -> bool {
        match &self.0 {
            Target::Here(core) => match core.upgrade() {
                Some(core) if core.is_inside() => core.stop(),
                Some(core) => core.abort(None),
                None => false,
            },
            Target::Elsewhere(model) => model.upgrade().is_some_and(|model| model.abort()),
        }
    }

    /// [`AbortHandle::abort`], under the name that sessions have for it.
    pub fn cancel(&self) {
        self.abort();
    }

    /// Whether the runtime says it is running. 1.2 documents 0 for yes and 1.3 documents 1, so what it
    /// answered right after loading counts as no. Waits for a call that is under way other than a run. Of
    /// a model in a [worker](crate::npu::worker) it is known without asking the runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`] for an answer that is neither, or where the model is gone.
    pub fn is_running(&self) -> Result<bool> {
        let gone = || Error::new(ErrorKind::Runtime, "the model is gone");
        match &self.0 {
            Target::Here(core) => {
                let core = core.upgrade().ok_or_else(gone)?;
                // There the runtime is running, and asking it could be waiting for oneself.
                if core.is_inside() { Ok(core.has_run()) } else { core.is_running() }
            }
            Target::Elsewhere(model) => {
                model.upgrade().map(|model| model.is_running()).ok_or_else(gone)
            }
        }
    }

    /// True in a closure of this model.
    pub(super) fn is_inside(&self) -> bool {
        match &self.0 {
            Target::Here(core) => core.upgrade().is_some_and(|core| core.is_inside()),
            Target::Elsewhere(_) => false,
        }
    }
}

impl std::fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let alive = match &self.0 {
            Target::Here(core) => core.strong_count() > 0,
            Target::Elsewhere(model) => model.strong_count() > 0,
        };
        f.debug_struct("AbortHandle").field("alive", &alive).finish()
    }
}
