//! Threads that compute one picture together: one leads from step to step, the others help with whatever it shares out.
//!
//! A step of a network takes some tens of microseconds, as long as it takes to wake a thread. Helpers therefore stay awake from
//! the first step to the last, a few milliseconds, and go back to rayon's pool behind it.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How often a helper looks for work before it lets other programs run in between: some tens of microseconds.
const LOOKS: usize = 1000;

/// The state of a team whose leader is done.
const CLOSED: u64 = u64::MAX;

type Work = dyn Fn(usize) + Sync;

/// Threads around one leader.
pub struct Team {
    threads: usize,
    /// The number of the step (32 bits), how many tasks it has (16) and how many of them are taken (16): in one word, so
    /// that a task can only be taken of the step that was looked at.
    step: AtomicU64,
    /// Tasks of the step that are finished.
    done: AtomicUsize,
    /// What a task of the step is. Written by the leader while no task can be taken, read by who has taken one.
    work: UnsafeCell<Option<*const Work>>,
}

// SAFETY: `work` is the only member that is not `Sync`. The leader writes it before it publishes a step (release) and does not
// return from `each` before all tasks are finished; others read it after they took a task of that step (acquire).
unsafe impl Sync for Team {}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Team({} threads)", self.threads)
    }
}

impl Team {
    /// Runs `lead` with up to `threads - 1` threads of rayon's pool as helpers: those that have nothing else to do.
    pub fn with<T: Send>(threads: usize, lead: impl FnOnce(&Team) -> T + Send) -> T {
        let step = AtomicU64::new(0);
        let team = Team { threads: threads.max(1), step, done: AtomicUsize::new(0), work: UnsafeCell::new(None) };
        if team.threads == 1 {
            return lead(&team);
        }
        let team = &team;
        rayon::scope(|scope| {
            (1..team.threads).for_each(|_| scope.spawn(|_| team.help()));
            // Also if it panics: the scope waits for the helpers.
            let _close = OnDrop(|| team.step.store(CLOSED, Ordering::Release));
            lead(team)
        })
    }

    /// Threads, the leader among them.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` for each of `0..tasks`, up to 65,535, and returns when all are finished. For the leader only, and not from
    /// within a task.
    pub fn each(&self, tasks: usize, work: impl Fn(usize) + Sync) {
        if self.threads == 1 || tasks <= 1 {
            return (0..tasks).for_each(work);
        }
        assert!(tasks < 1 << 16, "{tasks} tasks");
        let work: *const (dyn Fn(usize) + Sync + '_) = &work;
        // SAFETY: only its lifetime changes, and nobody calls it after this function has returned. No task can be taken
        // now, so nobody reads the place.
        unsafe {
            *self.work.get() = Some(std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Work>(work))
        };
        self.done.store(0, Ordering::Relaxed);
        let number = (self.step.load(Ordering::Relaxed) >> 32).wrapping_add(1) & 0x7fff_ffff;
        self.step.store(number << 32 | (tasks as u64) << 16, Ordering::Release);
        // Whatever happens, nobody may be at work on this step when the function ends.
        let _wait = OnDrop(|| {
            while self.take(self.step.load(Ordering::Acquire)).is_some() {
                // Only if a task of ours has panicked.
                self.done.fetch_add(1, Ordering::Release);
            }
            let mut looks = 0;
            while self.done.load(Ordering::Acquire) < tasks {
                pause(&mut looks);
            }
        });
        while self.run_one() {}
    }

    /// Works along until the leader is done.
    fn help(&self) {
        let mut looks = 0;
        while self.step.load(Ordering::Acquire) != CLOSED {
            if self.run_one() { looks = 0 } else { pause(&mut looks) }
        }
    }

    /// Takes a task and finishes it, if there is one.
    fn run_one(&self) -> bool {
        let Some(task) = self.take(self.step.load(Ordering::Acquire)) else { return false };
        let _done = OnDrop(|| {
            self.done.fetch_add(1, Ordering::Release);
        });
        // SAFETY: a task of this step is taken and not finished, so the leader is still in `each`, and what it wrote there
        // before it published the step is alive and seen.
        if let Some(work) = unsafe { *self.work.get() } {
            unsafe { (*work)(task) }
        }
        true
    }

    /// Takes a task of the step that `seen` tells of.
    fn take(&self, mut seen: u64) -> Option<usize> {
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

/// A slice of which tasks write their own parts.
pub(super) struct Parts<'a> {
    start: *mut f32,
    len: usize,
    slice: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: parts are handed out by `Team::each_part` only, each once.
unsafe impl Sync for Parts<'_> {}

impl Team {
    /// Runs `work` for each piece of `len` values of `data`, and the rest, with its number.
    pub fn each_part(&self, data: &mut [f32], len: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
        let all = data.len().div_ceil(len.max(1));
        let parts = Parts { start: data.as_mut_ptr(), len: data.len(), slice: std::marker::PhantomData };
        let parts = &parts;
        self.each(all.min(1 << 12), |task| {
            // Stretches of parts, so that there are no more tasks than a step may have.
            let tasks = all.min(1 << 12);
            for part in all * task / tasks..all * (task + 1) / tasks {
                let from = part * len;
                // SAFETY: parts lie side by side inside of `data`, which is borrowed for as long as `each` runs.
                let piece = unsafe { std::slice::from_raw_parts_mut(parts.start.add(from), len.min(parts.len - from)) };
                work(part, piece);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once_and_before_the_next_step() {
        for threads in 1..5 {
            let total = Team::with(threads, |team| {
                let counts: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
                for step in 0..2000 {
                    let tasks = step % 100;
                    team.each(tasks, |task| {
                        counts[task].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts[..tasks].iter().all(|c| c.swap(0, Ordering::Relaxed) == 1), "step {step}");
                }
                let mut data = vec![0f32; 10_007];
                team.each_part(&mut data, 100, |part, piece| piece.fill(part as f32));
                data.iter().enumerate().all(|(i, v)| *v == (i / 100) as f32)
            });
            assert!(total, "{threads} threads");
        }
    }

    #[test]
    fn a_task_that_panics_ends_the_step() {
        let caught = std::panic::catch_unwind(|| {
            Team::with(3, |team| team.each(50, |task| assert!(task != 20, "task {task}")));
        });
        assert!(caught.is_err());
    }
}
