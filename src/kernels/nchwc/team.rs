//! Threads that compute one picture together: one leads from step to step, the others help with whatever it shares out.
//!
//! A step of a network takes some tens of microseconds, as long as it takes to wake a thread. Helpers therefore stay awake from
//! the first step to the last, a few milliseconds, and go back to rayon's pool behind it. Nobody waits for a helper that never
//! came: a pool that is busy otherwise only means that the leader works alone.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// How often a helper looks for work before it lets other programs run in between: some tens of microseconds.
const LOOKS: usize = 1000;

/// The state of a team whose leader is done.
const CLOSED: u64 = u64::MAX;

/// Pieces that [`Team::each_part`] is shared out in at most.
const MOST_PIECES: usize = 1 << 12;

type Work = dyn Fn(usize) + Sync;

/// The leader of some threads. Not to be shared: only one thread leads, and not from within a task.
pub struct Team {
    threads: usize,
    shared: Option<Arc<Shared>>,
    not_sync: PhantomData<Cell<()>>,
}

/// What leader and helpers have in common.
struct Shared {
    /// The number of the step (32 bits), how many tasks it has (16) and how many of them are taken (16): in one word, so
    /// that a task can only be taken of the step that was looked at.
    step: AtomicU64,
    /// Tasks of the step that are finished.
    done: AtomicUsize,
    /// A helper's task has panicked.
    failed: AtomicBool,
    /// What a task of the step is. Written by the leader while no task can be taken, read by who has taken one.
    work: UnsafeCell<Option<*const Work>>,
}

// SAFETY: `work` is the only member that is not `Send` and `Sync`. The leader writes it before it publishes a step (release) and
// does not leave `each` before all tasks are finished; others read it after they took a task of that step (acquire).
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Team({} threads)", self.threads)
    }
}

impl Team {
    /// A team of this thread and up to `threads - 1` of rayon's pool, as far as these are idle.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let shared = (threads > 1).then(|| {
            let (step, done) = (AtomicU64::new(0), AtomicUsize::new(0));
            Arc::new(Shared { step, done, failed: AtomicBool::new(false), work: UnsafeCell::new(None) })
        });
        for shared in shared.iter().flat_map(|shared| std::iter::repeat_n(shared, threads - 1)) {
            let shared = shared.clone();
            rayon::spawn(move || shared.help());
        }
        Team { threads, shared, not_sync: PhantomData }
    }

    /// Threads, the leader among them.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` for each of `0..tasks`, up to 65,535, and returns when all are finished.
    pub fn each(&self, tasks: usize, work: impl Fn(usize) + Sync) {
        match &self.shared {
            Some(shared) if tasks > 1 => shared.each(tasks, &work),
            _ => (0..tasks).for_each(work),
        }
    }

    /// Runs `work` for each piece of `len` values of `data`, and the rest, with its number.
    pub fn each_part(&self, data: &mut [f32], len: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
        if self.threads == 1 {
            return data.chunks_mut(len.max(1)).enumerate().for_each(|(part, piece)| work(part, piece));
        }
        let pieces = data.len().div_ceil(len.max(1));
        let tasks = pieces.min(MOST_PIECES);
        let parts = Parts { start: data.as_mut_ptr(), len: data.len() };
        self.each(tasks, |task| {
            // Stretches of pieces, so that there are no more tasks than a step may have.
            for part in pieces * task / tasks..pieces * (task + 1) / tasks {
                // SAFETY: every piece is asked for once, and `data` is borrowed for as long as `each` runs.
                work(part, unsafe { parts.get(part * len, len) });
            }
        });
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.step.store(CLOSED, Ordering::Release);
        }
    }
}

impl Shared {
    fn each(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        assert!(tasks < 1 << 16, "{tasks} tasks");
        let work: *const (dyn Fn(usize) + Sync + '_) = work;
        // SAFETY: only its lifetime changes, and nobody calls it after this function has returned. No task can be taken
        // now, so nobody reads the place.
        unsafe {
            *self.work.get() = Some(std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Work>(work))
        };
        self.done.store(0, Ordering::Relaxed);
        let number = (self.step.load(Ordering::Relaxed) >> 32).wrapping_add(1) & 0x7fff_ffff;
        self.step.store(number << 32 | (tasks as u64) << 16, Ordering::Release);
        // Whatever happens, nobody may be at work on this step when the function ends.
        let wait = OnDrop(|| {
            while self.take().is_some() {
                // Only if a task of the leader's has panicked.
                self.done.fetch_add(1, Ordering::Release);
            }
            let mut looks = 0;
            while self.done.load(Ordering::Acquire) < tasks {
                pause(&mut looks);
            }
        });
        while self.run_one() {}
        drop(wait);
        assert!(!self.failed.load(Ordering::Relaxed), "a thread of a team has panicked");
    }

    /// Works along until the leader is done.
    fn help(&self) {
        let mut looks = 0;
        while self.step.load(Ordering::Acquire) != CLOSED {
            match catch_unwind(AssertUnwindSafe(|| self.run_one())) {
                Ok(true) => looks = 0,
                Ok(false) => pause(&mut looks),
                // The leader passes it on; it would end the process here.
                Err(_) => return,
            }
        }
    }

    /// Takes a task and finishes it, if there is one.
    fn run_one(&self) -> bool {
        let Some(task) = self.take() else { return false };
        let _done = OnDrop(|| {
            if std::thread::panicking() {
                self.failed.store(true, Ordering::Relaxed);
            }
            self.done.fetch_add(1, Ordering::Release);
        });
        // SAFETY: a task of this step is taken and not finished, so the leader is still in `each`, and what it wrote there
        // before it published the step is alive and seen.
        if let Some(work) = unsafe { *self.work.get() } {
            unsafe { (*work)(task) }
        }
        true
    }

    /// Takes a task of the step that is under way.
    fn take(&self) -> Option<usize> {
        let mut seen = self.step.load(Ordering::Acquire);
        loop {
            let (tasks, taken) = (seen >> 16 & 0xffff, seen & 0xffff);
            if seen == CLOSED || taken >= tasks {
                return None;
            }
            match self.step.compare_exchange_weak(seen, seen + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(taken as usize),
                Err(now) => seen = now,
            }
        }
    }
}

fn pause(looks: &mut usize) {
    *looks += 1;
    if *looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
}

/// Does something at the end of a scope, however that is left.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)()
    }
}

/// A slice of which threads write different parts.
struct Parts {
    start: *mut f32,
    len: usize,
}

// SAFETY: who calls `get` answers for it.
unsafe impl Sync for Parts {}

impl Parts {
    /// `len` values from `from` on, or what is left of them.
    ///
    /// # Safety
    /// No two parts that overlap at the same time, and not longer than the slice lives.
    #[expect(clippy::mut_from_ref)] // that is what it is for
    unsafe fn get(&self, from: usize, len: usize) -> &mut [f32] {
        assert!(from <= self.len, "a part outside of its slice");
        // SAFETY: inside of the slice; the rest is the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len.min(self.len - from)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once_and_before_the_next_step() {
        for threads in 1..5 {
            let team = Team::new(threads);
            let counts: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
            for step in 0..2000 {
                let tasks = step % 100;
                team.each(tasks, |task| {
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts[..tasks].iter().all(|c| c.swap(0, Ordering::Relaxed) == 1), "step {step}");
            }
            for (len, piece) in [(10_007, 100), (10_007, 1), (7, 100), (0, 3)] {
                let mut data = vec![0f32; len];
                team.each_part(&mut data, piece, |part, values| values.fill(part as f32));
                assert!(data.iter().enumerate().all(|(i, v)| *v == (i / piece) as f32), "{threads} threads");
            }
        }
    }

    /// Whoever takes the task.
    #[test]
    fn a_task_that_panics_ends_the_step() {
        for _ in 0..20 {
            let caught = catch_unwind(|| Team::new(3).each(50, |task| assert!(task != 20, "task {task}")));
            assert!(caught.is_err());
        }
        Team::new(3).each(50, |_| ());
    }

    /// A pool with other things to do holds nobody up.
    #[test]
    fn a_busy_pool_leaves_the_leader_alone() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let sum = AtomicUsize::new(0);
        pool.install(|| {
            // The only thread of this pool is this one.
            Team::new(4).each(10, |task| {
                sum.fetch_add(task, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.load(Ordering::Relaxed), 45);
    }
}
