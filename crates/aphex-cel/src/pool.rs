//! Threads with stacks deep enough for whatever `guard` lets pass.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

/// Address space, not memory: pages are only taken as they are touched.
const STACK: usize = 128 << 20;
const MAX_THREADS: usize = 8;

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    static DEEP: Cell<bool> = const { Cell::new(false) };
}

static QUEUE: LazyLock<Mutex<Sender<Job>>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<Job>();
    let receiver = Arc::new(Mutex::new(receiver));
    let count = thread::available_parallelism().map_or(2, usize::from).clamp(2, MAX_THREADS);
    for number in 0..count {
        let receiver = Arc::clone(&receiver);
        // Where no thread can be had the queue closes, and `run` reports it.
        let _ = thread::Builder::new()
            .name(format!("cel-{number}"))
            .stack_size(STACK)
            .spawn(move || work(&receiver));
    }
    Mutex::new(sender)
});

fn work(receiver: &Mutex<Receiver<Job>>) {
    DEEP.set(true);
    loop {
        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            // A job reports through its own channel; its panic only closes that.
            Ok(job) => drop(catch_unwind(AssertUnwindSafe(job))),
            Err(_) => return,
        }
    }
}

/// Runs a job on a deep stack and waits for it; nothing if it panicked or no thread could be had.
pub(crate) fn run<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if DEEP.get() {
        return Some(job());
    }
    let (sender, receiver) = channel();
    let task: Job = Box::new(move || {
        // The caller waits for the answer; if it is gone, nobody wants it.
        let _ = sender.send(job());
    });
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner).send(task).ok()?;
    receiver.recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_job_gives_nothing_and_the_threads_live_on() {
        for _ in 0..20 {
            assert_eq!(run(|| -> u8 { std::panic::resume_unwind(Box::new("expected")) }), None);
        }
        assert_eq!(run(|| 7), Some(7));
    }

    #[test]
    fn a_job_may_run_another() {
        let jobs: Vec<_> = (0..20).map(|_| thread::spawn(|| run(|| run(|| 7)))).collect();
        for job in jobs {
            assert_eq!(job.join().ok(), Some(Some(Some(7))));
        }
    }
}
