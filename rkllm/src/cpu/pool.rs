//! A persistent fork-join thread pool.
//!
//! Work is given as a number of tasks that any thread may take; results never depend on who takes
//! which, because every float sum lies within one task.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use crate::kernels::fpenv::FpEnv;

/// How often a worker looks for work before it sleeps: some tens of microseconds, the pause
/// between two layers of a decode step, so that decoding never pays for waking a thread.
const SPINS: u32 = 4_000;

/// The job of one fork: called once by every thread with its index.
type Job = *const (dyn Fn(usize) + Sync);

struct Shared {
    /// Counts forks; a worker that sees a new number has a job.
    epoch: AtomicUsize,
    state: Mutex<State>,
    wake: Condvar,
    /// Workers that have not finished the current job.
    running: AtomicUsize,
    stop: AtomicBool,
}

struct State {
    job: Option<SendJob>,
    panic: Option<Box<dyn Any + Send>>,
}

#[derive(Clone, Copy)]
struct SendJob(Job);
// SAFETY: the closure behind the pointer is Sync, and `run` keeps it alive until all are done.
unsafe impl Send for SendJob {}

/// Threads that wait for work. Dropping the pool ends them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One fork at a time.
    fork: Mutex<()>,
}

impl Pool {
    /// A pool in which `threads` threads work, the calling one included.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            state: Mutex::new(State { job: None, panic: None }),
            wake: Condvar::new(),
            running: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let mut pool = Self { shared, workers: Vec::new(), fork: Mutex::new(()) };
        for index in 1..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let worker = std::thread::Builder::new()
                .name(format!("rkllm-{index}"))
                .spawn(move || work(&shared, index))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// How many threads work, the calling one included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(thread, index)` once for each index below `tasks`, on any thread, and returns when
    /// all are done. `thread` is below [`Pool::threads`] and unique among the calls under way.
    pub(crate) fn run(&self, tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        if tasks == 0 {
            return;
        }
        let next = AtomicUsize::new(0);
        let take = |thread: usize| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= tasks {
                    break;
                }
                task(thread, index);
            }
        };
        if self.workers.is_empty() || tasks == 1 {
            take(0);
        } else {
            self.fork_join(&take);
        }
    }

    fn fork_join(&self, job: &(dyn Fn(usize) + Sync)) {
        let _one_fork = lock(&self.fork);
        // SAFETY: only the lifetime changes. Workers use the pointer before they count down
        // `running`, and this function does not return or unwind before `running` is zero.
        let job_ptr = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Job>(job) };
        let shared = &*self.shared;
        {
            let mut state = lock(&shared.state);
            state.job = Some(SendJob(job_ptr));
            shared.running.store(self.workers.len(), Ordering::Relaxed);
            shared.epoch.fetch_add(1, Ordering::Release);
        }
        shared.wake.notify_all();
        let own = catch_unwind(AssertUnwindSafe(|| job(0)));
        let mut spins = 0u32;
        while shared.running.load(Ordering::Acquire) != 0 {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let theirs = {
            let mut state = lock(&shared.state);
            state.job = None;
            state.panic.take()
        };
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        {
            let _state = lock(&self.shared.state);
            self.shared.stop.store(true, Ordering::Relaxed);
            self.shared.epoch.fetch_add(1, Ordering::Release);
        }
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its jobs; there is nothing to report here.
            let _ = worker.join();
        }
    }
}

/// Panics are caught before they could poison anything, so a poisoned lock holds sound data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn work(shared: &Shared, index: usize) {
    let _env = FpEnv::enter();
    let mut seen = 0;
    loop {
        let mut spins = 0;
        while shared.epoch.load(Ordering::Acquire) == seen && spins < SPINS {
            std::hint::spin_loop();
            spins += 1;
        }
        let job = {
            let mut state = lock(&shared.state);
            while shared.epoch.load(Ordering::Acquire) == seen {
                state = shared.wake.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            seen = shared.epoch.load(Ordering::Acquire);
            state.job
        };
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let Some(SendJob(job)) = job else { continue };
        // SAFETY: the forking thread keeps the closure alive until `running` is zero.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*job)(index) }));
        if let Err(panic) = result {
            lock(&shared.state).panic.get_or_insert(panic);
        }
        shared.running.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 3, 5] {
            let pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for tasks in [0, 1, 2, 7, 100] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|thread, index| {
                    assert!(thread < threads);
                    counts[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn many_forks_in_a_row() {
        let pool = Pool::new(3).unwrap();
        let total = AtomicUsize::new(0);
        for _ in 0..20_000 {
            pool.run(3, &|_, _| {
                total.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(total.into_inner(), 60_000);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2).unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.run(10, &|_, index| assert_ne!(index, 7, "seven"));
        }));
        assert!(caught.is_err());
        let done = AtomicUsize::new(0);
        pool.run(10, &|_, _| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 10);
    }
}
