//! The bounded pool that looks at pictures: so many at a time, so many waiting, each for so long. What is beyond is refused at
//! once, so that a box under load answers some well instead of all late.

use crate::cli::batch::panic_text;
use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Why a piece of work has no result.
#[derive(Debug)]
pub enum Refusal {
    /// As many wait as may.
    Full,
    /// It was not done in time.
    Late,
    /// It was done, and failed.
    Failed(Error),
}

/// Threads for work on pictures, and those that wait for one.
#[derive(Debug)]
pub struct Pool {
    free: Arc<Semaphore>,
    threads: usize,
    /// Pieces of work that wait or run.
    open: Arc<AtomicUsize>,
    most_waiting: usize,
    time: Duration,
}

/// One piece of work is counted for as long as this lives.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// `threads` at a time, at most `most_waiting` waiting; requests have `time` from their arrival on.
    pub fn new(threads: usize, most_waiting: usize, time: Duration) -> Self {
        Pool { free: Arc::new(Semaphore::new(threads)), threads, open: Arc::default(), most_waiting, time }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.open.load(Ordering::Relaxed).saturating_sub(self.busy())
    }

    /// How many run.
    pub fn busy(&self) -> usize {
        self.threads - self.free.available_permits().min(self.threads)
    }

    /// The time that a request has.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Does `work` on a thread of its own, until `end`. What cannot be interrupted goes on after its time is over and keeps its place until
    /// it is done; a panic is an error of this work alone.
    pub async fn run<T: Send + 'static>(
        &self,
        end: Instant,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let left = || end.saturating_duration_since(Instant::now());
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(self.open.clone());
        if before >= self.threads + self.most_waiting {
            return Err(Refusal::Full);
        }
        let permit = tokio::time::timeout(left(), self.free.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| Refusal::Late)?.map_err(|_| Refusal::Full)?;
        let running = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((permit, counted));
            result
        });
        match tokio::time::timeout(left(), running).await {
            Err(_) => Err(Refusal::Late),
            Ok(Ok(result)) => result.map_err(Refusal::Failed),
            Ok(Err(stopped)) => {
                let said = stopped.try_into_panic().map(|panic| panic_text(&*panic));
                Err(Refusal::Failed(Error::Internal(said.unwrap_or_else(|_| "the work was cancelled".into()))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn what_is_beyond_the_queue_is_refused_and_what_waits_is_done() {
        runtime().block_on(async {
            let pool = Arc::new(Pool::new(1, 1, Duration::from_secs(60)));
            let (go, gate) = mpsc::channel::<()>();
            let spawn = |work: Box<dyn FnOnce() -> Result<u8> + Send>| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.run(soon(), work).await })
            };
            let first = spawn(Box::new(move || {
                gate.recv().unwrap();
                Ok(1)
            }));
            while pool.busy() == 0 {
                tokio::task::yield_now().await;
            }
            let second = spawn(Box::new(|| Ok(2)));
            while pool.waiting() == 0 {
                tokio::task::yield_now().await;
            }
            assert!(matches!(pool.run(soon(), || Ok(3)).await, Err(Refusal::Full)));
            go.send(()).unwrap();
            assert_eq!(first.await.unwrap().unwrap(), 1);
            assert_eq!(second.await.unwrap().unwrap(), 2);
            assert_eq!((pool.busy(), pool.waiting()), (0, 0));
        });
    }

    #[test]
    fn late_work_keeps_its_place_until_it_is_done() {
        runtime().block_on(async {
            let pool = Pool::new(1, 4, Duration::from_millis(50));
            let (go, gate) = mpsc::channel::<()>();
            let slow = pool.run(Instant::now() + pool.time(), move || Ok(gate.recv().is_ok())).await;
            assert!(matches!(slow, Err(Refusal::Late)));
            assert_eq!(pool.busy(), 1);
            assert!(matches!(pool.run(Instant::now() + pool.time(), || Ok(())).await, Err(Refusal::Late)));
            go.send(()).unwrap();
            while pool.busy() > 0 {
                tokio::task::yield_now().await;
            }
            assert!(pool.run(soon(), || Ok(())).await.is_ok());
        });
    }

    #[test]
    fn a_panic_costs_one_piece_of_work() {
        runtime().block_on(async {
            let pool = Pool::new(1, 1, Duration::from_secs(60));
            let result = pool.run::<()>(soon(), || panic!("a decoder's defect")).await;
            assert!(matches!(result, Err(Refusal::Failed(Error::Internal(m))) if m == "a decoder's defect"));
            assert_eq!(pool.run(soon(), || Ok(1)).await.unwrap(), 1);
            assert_eq!((pool.busy(), pool.waiting()), (0, 0));
        });
    }
}
