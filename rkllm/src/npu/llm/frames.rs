//! Whose closure this thread is in.
//!
//! A caller's closure runs inside of a runtime's callback. Waiting there for the run to end would be
//! waiting for oneself, and closures may nest: one of a model may run another model.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null;

/// One closure; the frame below belongs to the closure it was called from.
struct Frame {
    model: u64,
    /// 0 in a tokenizer or an embedding.
    run: u64,
    below: *const Frame,
}

thread_local! {
    static TOP: Cell<*const Frame> = const { Cell::new(null()) };
}

/// Does something on behalf of a model's run, or of the model itself where `run` is 0.
pub(super) fn within<T>(model: u64, run: u64, act: impl FnOnce() -> T) -> std::thread::Result<T> {
    let frame = Frame { model, run, below: TOP.get() };
    TOP.set(&raw const frame);
    let done = catch_unwind(AssertUnwindSafe(act));
    TOP.set(frame.below);
    done
}

fn any(test: impl Fn(&Frame) -> bool) -> bool {
    let mut at = TOP.get();
    // SAFETY: null, or a frame on this thread's stack, where `within` keeps it until it has taken it off.
    while let Some(frame) = unsafe { at.as_ref() } {
        if test(frame) {
            return true;
        }
        at = frame.below;
    }
    false
}

/// True in a closure of this model, or in one called from it.
pub(super) fn of_model(model: u64) -> bool {
    any(|frame| frame.model == model)
}

/// The same of a run's `on_output`.
pub(super) fn of_run(run: u64) -> bool {
    any(|frame| frame.run == run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closures_nest_and_panics_leave_them() {
        assert!(!of_model(1) && !of_run(7));
        let nested = within(1, 7, || {
            assert!(within(2, 0, || panic!("of the inner one")).is_err());
            let both = within(2, 8, || of_model(1) && of_run(7) && of_model(2) && of_run(8));
            (both.unwrap(), of_model(2), of_run(8))
        });
        assert_eq!(nested.unwrap(), (true, false, false));
        assert!(!of_model(1) && !of_run(7));
        within(1, 7, || std::thread::spawn(|| assert!(!of_model(1))).join().unwrap()).unwrap();
    }
}
