//! Waiting for a condition with a deadline, instead of sleeping.

use std::future::Future;
use std::time::Duration;

/// Usual patience; far beyond what anything should take, so that only what never comes fails.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until there is an answer; `what` is for the error.
pub async fn eventually<T, F, W>(what: &str, ask: F) -> anyhow::Result<T>
where
    F: FnMut() -> W,
    W: Future<Output = anyhow::Result<Option<T>>>,
{
    eventually_for(PATIENCE, what, ask).await
}

/// The same with another patience.
pub async fn eventually_for<T, F, W>(patience: Duration, what: &str, mut ask: F) -> anyhow::Result<T>
where
    F: FnMut() -> W,
    W: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let last = ask().await;
        match last {
            Ok(Some(answer)) => return Ok(answer),
            other if tokio::time::Instant::now() > deadline => {
                let error = other.err().unwrap_or_else(|| anyhow::anyhow!("no answer"));
                return Err(error.context(format!("waited {} s in vain: {what}", patience.as_secs())));
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}
