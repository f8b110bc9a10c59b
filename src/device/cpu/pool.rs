//! The threads of an executor: a fixed set of workers that claim numbered tasks. No allocation and no stealing after
//! the start; which worker takes a task never changes what the task computes.

use super::affinity::{self, Cpus};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A task: its number and the worker that runs it.
type Task = dyn Fn(usize, usize) + Sync;

#[derive(Clone, Copy)]
struct Job {
    task: *const Task,
    count: usize,
}

// SAFETY: the pointer is used between `Pool::run`'s publication of the job and its return only, while the closure
// it points to is borrowed there; the closure is `Sync`.
unsafe impl Send for Job {}

struct State {
    /// What is to be done; `None` as soon as no task is left to be claimed.
    job: Option<Job>,
    /// Workers that have started.
    started: usize,
    /// Workers that wait for [`Shared::start`].
    asleep: usize,
    /// Does the caller wait for [`Shared::done`]?
    caller_waits: bool,
    panicked: bool,
    stop: bool,
}

struct Shared {
    state: Mutex<State>,
    start: Condvar,
    done: Condvar,
    /// Counts jobs; a worker that has seen an older number has work to do. Changes while the state is locked.
    epoch: AtomicU64,
    /// Workers that have taken the current job. Grows while the state is locked.
    busy: AtomicUsize,
    next: AtomicUsize,
}

/// How often a thread looks for what it waits for before it sleeps: some tens of microseconds, as the next step of a
/// network is rarely further away, and waking a sleeper takes as long.
const SPINS: usize = 2000;

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // the state is plain numbers: never half-changed
    }
}

/// Waits a while for `ready`.
fn spin(ready: impl Fn() -> bool) {
    for _ in 0..SPINS {
        if ready() {
            return;
        }
        std::hint::spin_loop();
    }
}

/// A fixed set of workers. The caller of [`Pool::run`] is worker 0.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `workers` workers, at least one; each on a CPU of its own where `cpus` says which. The caller's thread
    /// is left where it is.
    pub fn new(workers: usize, cpus: Option<Cpus>) -> Pool {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                job: None,
                started: 0,
                asleep: 0,
                caller_waits: false,
                panicked: false,
                stop: false,
            }),
            start: Condvar::new(),
            done: Condvar::new(),
            epoch: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
        });
        let spawn = |worker| {
            let shared = shared.clone();
            std::thread::Builder::new().name(format!("quantize-{worker}")).spawn(move || {
                let _pinned = cpus.and_then(|c| c.of_worker(worker)).map(affinity::pin);
                work(&shared, worker);
            })
        };
        // a machine that gives us fewer threads gets slower, not broken
        let threads: Vec<_> = (1..workers).map_while(|w| spawn(w).ok()).collect();
        // a thread allocates when it starts, which is not to happen during a run
        let mut s = shared.lock();
        while s.started < threads.len() {
            s = shared.done.wait(s).unwrap_or_else(PoisonError::into_inner);
        }
        drop(s);
        Pool { shared, threads }
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.threads.len() + 1
    }

    /// Runs tasks `0..count`, each once, on all workers; returns when all are done.
    ///
    /// # Panics
    /// If a task panicked.
    pub fn run(&mut self, count: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        if self.threads.is_empty() || count <= 1 {
            (0..count).for_each(|i| task(i, 0));
            return;
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; `Job`'s comment says why the pointer never outlives the borrow.
        let task: &'static Task = unsafe { std::mem::transmute::<&(dyn Fn(usize, usize) + Sync), _>(task) };
        {
            let mut s = shared.lock();
            shared.next.store(0, Ordering::Relaxed);
            s.job = Some(Job { task, count });
            shared.epoch.fetch_add(1, Ordering::Release);
            if s.asleep > 0 {
                shared.start.notify_all();
            }
        }
        let own = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| claim(shared, task, count, 0)));
        // whoever has not come by now is not waited for
        shared.lock().job = None;
        spin(|| shared.busy.load(Ordering::Acquire) == 0);
        let mut s = shared.lock();
        s.caller_waits = true;
        while shared.busy.load(Ordering::Acquire) > 0 {
            s = shared.done.wait(s).unwrap_or_else(PoisonError::into_inner);
        }
        s.caller_waits = false;
        let theirs = std::mem::take(&mut s.panicked);
        drop(s);
        assert!(own.is_ok() && !theirs, "a task of the pool panicked");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.epoch.fetch_add(1, Ordering::Release); // whoever spins looks up
        self.shared.start.notify_all();
        for t in self.threads.drain(..) {
            let _ = t.join(); // a worker catches the panics of its tasks, so there is nothing to report
        }
    }
}

fn claim(shared: &Shared, task: &Task, count: usize, worker: usize) {
    loop {
        let i = shared.next.fetch_add(1, Ordering::Relaxed);
        if i >= count {
            return;
        }
        task(i, worker);
    }
}

fn work(shared: &Shared, worker: usize) {
    shared.lock().started += 1;
    shared.done.notify_all();
    let mut seen = 0;
    loop {
        spin(|| shared.epoch.load(Ordering::Acquire) != seen);
        let job = {
            let mut s = shared.lock();
            while !s.stop && shared.epoch.load(Ordering::Acquire) == seen {
                s.asleep += 1;
                s = shared.start.wait(s).unwrap_or_else(PoisonError::into_inner);
                s.asleep -= 1;
            }
            if s.stop {
                return;
            }
            seen = shared.epoch.load(Ordering::Acquire);
            let Some(job) = s.job else { continue };
            shared.busy.fetch_add(1, Ordering::AcqRel);
            job
        };
        // SAFETY: `Pool::run` takes the job away and then waits for `busy` to reach 0 before the closure's borrow ends.
        let task = unsafe { &*job.task };
        let ok =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| claim(shared, task, job.count, worker)));
        if ok.is_err() {
            shared.lock().panicked = true;
        }
        if shared.busy.fetch_sub(1, Ordering::AcqRel) == 1 && shared.lock().caller_waits {
            shared.done.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_task_runs_once() {
        let mut pool = Pool::new(3, None);
        for count in [0, 1, 2, 7, 100] {
            let hits: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
            pool.run(count, &|i, w| {
                assert!(w < 3);
                hits[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1), "{count} tasks");
        }
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_leaves_the_pool_usable() {
        let mut pool = Pool::new(2, None);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(8, &|i, _| assert!(i != 5, "task 5"));
        }));
        assert!(caught.is_err());
        pool.run(4, &|_, _| {});
    }

    #[test]
    fn thousands_of_small_jobs_and_pools() {
        for workers in [2, 3, 5] {
            let mut pool = Pool::new(workers, None);
            let total = AtomicU32::new(0);
            for job in 0..3000 {
                pool.run(job % 9, &|_, _| {
                    total.fetch_add(1, Ordering::Relaxed);
                });
            }
            assert_eq!(total.load(Ordering::Relaxed), (0..3000).map(|j| j % 9).sum::<u32>());
        }
        for _ in 0..200 {
            drop(Pool::new(4, None)); // idle, perhaps before its threads have started
        }
    }
}
