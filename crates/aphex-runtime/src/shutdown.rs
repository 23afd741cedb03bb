//! Stopping well: taking leave, one token for the process, and tasks that are waited for.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The exit code of a process that a second signal cuts short (128 + SIGINT).
const INTERRUPTED: i32 = 130;

/// A shutdown signal together with the tasks that must end before the process does; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    leaving: CancellationToken,
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// A shutdown that nothing triggers but [`Shutdown::trigger`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown triggered by SIGINT or SIGTERM; the second signal ends the process at once.
    ///
    /// Fails when the process may not install signal handlers.
    pub fn on_signals() -> std::io::Result<Self> {
        Self::on_signals_after(Duration::ZERO)
    }

    /// The same, but everything goes on for a while after the first signal, in which the process takes leave.
    ///
    /// Who sends requests here needs that time to notice that the process is not ready any more.
    pub fn on_signals_after(delay: Duration) -> std::io::Result<Self> {
        let shutdown = Self::new();
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (leaving, token) = (shutdown.leaving.clone(), shutdown.token.clone());
        tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            leaving.cancel();
            if !delay.is_zero() {
                tracing::info!(
                    seconds = delay.as_secs(),
                    "taking leave before shutting down; a second signal stops at once"
                );
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = either(&mut interrupt, &mut terminate) => std::process::exit(INTERRUPTED),
                }
            }
            tracing::info!("shutting down; a second signal stops at once");
            token.cancel();
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(INTERRUPTED);
        });
        Ok(shutdown)
    }

    /// Asks everything to stop.
    pub fn trigger(&self) {
        self.leaving.cancel();
        self.token.cancel();
    }

    /// Makes the process not ready and lets everything go on, until [`Shutdown::trigger`].
    pub fn take_leave(&self) {
        self.leaving.cancel();
    }

    /// Whether the process is to be asked nothing new.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Resolves once the process is to be asked nothing new.
    pub async fn leaving(&self) {
        self.leaving.cancelled().await;
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves once stopping was asked for.
    pub async fn triggered(&self) {
        self.token.cancelled().await;
    }

    /// The token, for libraries that take one.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs a task that [`Shutdown::drain`] waits for.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Waits until every task has ended, at most `limit`; tells whether all did.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.trigger();
        self.tasks.close();
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drain_waits_for_tasks_that_watch_the_token() {
        let shutdown = Shutdown::new();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let token = shutdown.token();
        shutdown.spawn(async move {
            token.cancelled().await;
            sender.send("done").ok();
        });
        assert!(shutdown.drain(Duration::from_secs(5)).await);
        assert_eq!(receiver.await.unwrap(), "done");
    }

    #[tokio::test]
    async fn drain_gives_up_on_a_task_that_does_not_stop() {
        let shutdown = Shutdown::new();
        shutdown.spawn(std::future::pending::<()>());
        assert!(!shutdown.drain(Duration::from_millis(10)).await);
    }
}
