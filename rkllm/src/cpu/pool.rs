//! A persistent fork-join thread pool.
//!
//! Work is given as a number of tasks that any thread may take; results never depend on who takes
//! which, because every float sum lies within one task. A thread begins with the task of its own number, of
//! which it may have read the beginning while it waited.
//!
//! A fork is over when its tasks are done, not when every thread has looked at it. Where other
//! programs hold the processors, the calling thread does the tasks that nobody came for.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{JoinHandle, Thread};

use super::ahead::{Ahead, Mailbox, Reader};
use super::cores::CpuSet;
use super::cores::affinity::{self, Confined, ThreadId};
use crate::kernels::fpenv::FpEnv;

/// How often a thread looks for work, or for the end of others' work, before it lets go of its
/// processor: some tens of microseconds, the pause between two layers of a decode step, so that
/// decoding never pays for waking a thread.
const SPINS: u32 = 4_000;

/// How often the calling thread then offers its processor to the thread it waits for.
const YIELDS: u32 = 32;

/// One fork: lives on the stack of the thread that asked for it.
struct Fork<'a> {
    task: &'a (dyn Fn(usize, usize) + Sync),
    tasks: usize,
}

/// What a thread keeps to itself, on cache lines of its own.
#[repr(align(128))]
struct Own {
    /// The thread's own task of the fork is taken, by itself or by another one.
    taken: AtomicBool,
    ahead: Mailbox,
}

struct Shared {
    own: Box<[Own]>,
    /// Tasks of the fork that nobody has taken, other than the threads' own.
    left: AtomicUsize,
    /// Tasks of the fork that are not done. A thread that has taken a task and not yet counted it
    /// here keeps the fork alive.
    pending: AtomicUsize,
    fork: AtomicPtr<Fork<'static>>,
    /// Workers that sleep, or are about to.
    parked: AtomicUsize,
    park: Mutex<()>,
    wake: Condvar,
    /// The calling thread, while it sleeps until `pending` is zero.
    waiting: Mutex<Option<Thread>>,
    waits: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stop: AtomicBool,
}

impl Shared {
    fn new(threads: usize) -> Self {
        let own = || Own { taken: AtomicBool::new(true), ahead: Mailbox::default() };
        Self {
            own: (0..threads).map(|_| own()).collect(),
            left: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            fork: AtomicPtr::new(ptr::null_mut()),
            parked: AtomicUsize::new(0),
            park: Mutex::new(()),
            wake: Condvar::new(),
            waiting: Mutex::new(None),
            waits: AtomicBool::new(false),
            panic: Mutex::new(None),
            stop: AtomicBool::new(false),
        }
    }

    /// Does the thread's own task, then takes others until none is left.
    fn work(&self, thread: usize) {
        let threads = self.own.len();
        self.take(thread, thread);
        let one = |left: usize| left.checked_sub(1);
        while let Ok(left) = self.left.fetch_update(Ordering::Acquire, Ordering::Relaxed, one) {
            self.done(thread, |fork| fork.tasks - left);
        }
        // Nobody waits for a thread that has not come.
        (1..threads).for_each(|other| self.take(thread, (thread + other) % threads));
    }

    /// Does `owner`'s task, unless it is taken.
    fn take(&self, thread: usize, owner: usize) {
        let taken = &self.own[owner].taken;
        if !taken.load(Ordering::Relaxed) && !taken.swap(true, Ordering::Acquire) {
            self.done(thread, |_| owner);
        }
    }

    /// Does a task that was taken.
    fn done(&self, thread: usize, index: impl FnOnce(&Fork<'_>) -> usize) {
        // SAFETY: `run` stored the pointer before it put out the tasks of which one was just taken, and
        // neither returns nor unwinds before that task is counted in `pending`.
        let fork = unsafe { &*self.fork.load(Ordering::Relaxed) };
        let index = index(fork);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (fork.task)(thread, index))) {
            lock(&self.panic).get_or_insert(panic);
        }
        // From here on the fork may be gone.
        let last = self.pending.fetch_sub(1, Ordering::SeqCst) == 1;
        if last
            && self.waits.load(Ordering::SeqCst)
            && let Some(caller) = lock(&self.waiting).as_ref()
        {
            caller.unpark();
        }
    }

    /// Wakes the workers that sleep. What they wait for has been stored with `SeqCst`.
    fn wake(&self) {
        if self.parked.load(Ordering::SeqCst) > 0 {
            let _park = lock(&self.park);
            self.wake.notify_all();
        }
    }

    fn idle(&self, thread: usize) -> bool {
        self.own[thread].taken.load(Ordering::SeqCst)
            && self.left.load(Ordering::SeqCst) == 0
            && !self.stop.load(Ordering::SeqCst)
    }

    /// Returns when there may be work, or the pool ends.
    fn wait_for_work(&self, thread: usize, reader: &mut Reader) {
        for _ in 0..SPINS {
            if !self.idle(thread) {
                return;
            }
            if !reader.fetch(&self.own[thread].ahead) {
                std::hint::spin_loop();
            }
        }
        let mut park = lock(&self.park);
        self.parked.fetch_add(1, Ordering::SeqCst);
        while self.idle(thread) {
            park = self.wake.wait(park).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        self.parked.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns when every task of the fork is done.
    fn wait_for_others(&self, reader: &mut Reader) {
        let done = || self.pending.load(Ordering::SeqCst) == 0;
        for _ in 0..SPINS {
            if done() {
                return;
            }
            if !reader.fetch(&self.own[0].ahead) {
                std::hint::spin_loop();
            }
        }
        for _ in 0..YIELDS {
            if done() {
                return;
            }
            std::thread::yield_now();
        }
        *lock(&self.waiting) = Some(std::thread::current());
        self.waits.store(true, Ordering::SeqCst);
        while !done() {
            std::thread::park();
        }
        self.waits.store(false, Ordering::SeqCst);
        *lock(&self.waiting) = None;
    }
}

/// Where the threads may run.
#[derive(Default)]
struct Places {
    /// What they are confined to now.
    cpus: Option<CpuSet>,
    /// Workers that have begun, and where the system let each run before.
    workers: Vec<(ThreadId, Option<CpuSet>)>,
}

impl Places {
    /// Lets a worker run where it shall. One that is kept off all of it is left alone.
    fn place(&self, (thread, before): &(ThreadId, Option<CpuSet>)) {
        let Some(before) = before else { return };
        let wanted = self.cpus.map_or(*before, |cpus| cpus.and(before));
        affinity::set(*thread, if wanted.is_empty() { before } else { &wanted });
    }
}

/// Threads that wait for work. Dropping the pool ends them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    places: Arc<Mutex<Places>>,
    workers: Vec<JoinHandle<()>>,
    /// One fork at a time, and what the calling thread has read ahead.
    one: Mutex<Reader>,
}

impl Pool {
    /// A pool in which `threads` threads work, the calling one included.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let mut pool = Self {
            shared: Arc::new(Shared::new(threads.max(1))),
            places: Arc::default(),
            workers: Vec::new(),
            one: Mutex::default(),
        };
        for index in 1..threads.max(1) {
            let (shared, places) = (Arc::clone(&pool.shared), Arc::clone(&pool.places));
            let worker =
                std::thread::Builder::new().name(format!("rkllm-{index}")).spawn(move || {
                    let _env = FpEnv::enter();
                    {
                        let mut places = lock(&places);
                        let worker = (affinity::current(), affinity::get(0));
                        if places.cpus.is_some() {
                            places.place(&worker);
                        }
                        places.workers.push(worker);
                    }
                    let mut reader = Reader::default();
                    while !shared.stop.load(Ordering::SeqCst) {
                        shared.work(index);
                        shared.wait_for_work(index, &mut reader);
                    }
                })?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// How many threads work, the calling one included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Confines the workers to `cpus` from now on, or to nothing: they then may run where they could at first.
    pub(crate) fn confine(&self, cpus: Option<CpuSet>) {
        let mut places = lock(&self.places);
        if places.cpus != cpus {
            places.cpus = cpus;
            places.workers.iter().for_each(|worker| places.place(worker));
        }
    }

    /// What the threads are confined to.
    pub(crate) fn confined(&self) -> Option<CpuSet> {
        lock(&self.places).cpus
    }

    /// Confines the calling thread like the workers, for as long as the result lives.
    pub(crate) fn confine_caller(&self) -> Confined {
        Confined::to(self.confined().as_ref())
    }

    /// What each thread reads into its caches while it waits, from the next fork on.
    pub(crate) fn read_ahead(&self, ahead: &[Ahead]) {
        for (own, &ahead) in self.shared.own.iter().zip(ahead) {
            own.ahead.put(ahead);
        }
    }

    /// Calls `task(thread, index)` once for each index below `tasks`, on any thread, and returns when
    /// all are done. `thread` is below [`Pool::threads`] and unique among the calls under way.
    ///
    /// # Panics
    /// With the panic of a task, when all the others are done.
    pub(crate) fn run(&self, tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        if self.workers.is_empty() || tasks <= 1 {
            (0..tasks).for_each(|index| task(0, index));
            return;
        }
        let mut reader = lock(&self.one);
        let shared = &*self.shared;
        let mut fork = Fork { task, tasks };
        // The lifetime is lost here, and kept by not leaving before `pending` is zero.
        shared.fork.store((&raw mut fork).cast(), Ordering::Relaxed);
        shared.pending.store(tasks, Ordering::Relaxed);
        let threads = self.threads();
        // The calling thread's own is taken from the beginning.
        for own in &shared.own[1..threads.min(tasks)] {
            own.taken.store(false, Ordering::SeqCst);
        }
        shared.left.store(tasks.saturating_sub(threads), Ordering::SeqCst);
        shared.wake();
        shared.done(0, |_| 0);
        shared.work(0);
        shared.wait_for_others(&mut reader);
        let panic = lock(&shared.panic).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks; there is nothing to report here.
            let _ = worker.join();
        }
    }
}

/// Panics are caught before they could poison anything, so a poisoned lock holds sound data.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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

    /// More threads than processors, forks that sleep between, tasks of uneven length.
    #[test]
    fn crowded() {
        let pool = Pool::new(9).unwrap();
        let mut sums = [0u64; 24];
        for round in 0..300u64 {
            let cells: Vec<Mutex<&mut u64>> = sums.iter_mut().map(Mutex::new).collect();
            pool.run(24, &|_, index| {
                if (round + index as u64).is_multiple_of(37) {
                    std::thread::sleep(std::time::Duration::from_micros(300));
                }
                **lock(&cells[index]) += round;
            });
            if round.is_multiple_of(50) {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
        assert!(sums.iter().all(|&sum| sum == 299 * 300 / 2));
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

    /// A thread that comes finds its own task, unless another one was waiting for it.
    #[test]
    fn threads_do_their_own_tasks() {
        let pool = Pool::new(2).unwrap();
        for round in 0..50 {
            let threads = [const { AtomicUsize::new(9) }; 2];
            let come = AtomicUsize::new(0);
            pool.read_ahead(&[Ahead { start: round, stride: 64, bytes: 1 << 16 }; 2]);
            pool.run(2, &|thread, index| {
                threads[index].store(thread, Ordering::SeqCst);
                // Both threads are here before either leaves.
                come.fetch_add(1, Ordering::SeqCst);
                while come.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
            });
            assert_eq!(threads.map(AtomicUsize::into_inner), [0, 1]);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn workers_are_confined_and_let_go() {
        let Some(before) = affinity::get(0) else { return };
        let one: CpuSet = before.iter().take(1).collect();
        let pool = Pool::new(3).unwrap();
        pool.confine(Some(one));
        assert_eq!(pool.confined(), Some(one));
        let seen = |pool: &Pool| -> Vec<CpuSet> {
            // Both workers have begun once they are in the list.
            while lock(&pool.places).workers.len() < 2 {
                std::thread::yield_now();
            }
            let places = lock(&pool.places);
            places.workers.iter().filter_map(|&(thread, _)| affinity::get(thread)).collect()
        };
        assert_eq!(seen(&pool), [one, one]);
        {
            let _confined = pool.confine_caller();
            assert_eq!(affinity::get(0), Some(one));
        }
        assert_eq!(affinity::get(0), Some(before), "the calling thread is the application's");
        pool.confine(None);
        assert_eq!(seen(&pool), [before, before]);
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
