//! What an operator says about taking events in: where they wait, how many, how long they are kept, who stands in front.

use std::time::Duration;

use aphex_runtime::proxies::Proxy;

pub use crate::spool::Settings as SpoolSettings;

/// How events are taken in.
#[derive(Debug, Clone)]
pub struct Inbox {
    /// Where events wait while the engine is away; without it they are refused then.
    pub spool: Option<SpoolSettings>,
    /// How long the engine may take to store an event.
    pub engine_timeout: Duration,
    /// How many events of one organization may wait.
    pub queue_limit: usize,
    /// Which finished Deliveries are kept.
    pub keep: Keep,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Proxy>,
}

/// Which finished Deliveries are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The last so many, without those that failed, of one listener and the secrets that signed them: of one binding.
    pub last: usize,
    /// The last so many that failed, of the same.
    pub failed: usize,
    /// Those received less than this ago.
    pub age: Duration,
}

impl Keep {
    /// As many as the platform promises: 200.
    pub const LAST: usize = 200;
    /// As many days as the platform promises: a week.
    pub const DAYS: u32 = 7;

    /// Keeps the last so many, and as many that failed, for so many days.
    #[must_use]
    pub fn new(last: usize, days: u32) -> Self {
        Self { last, failed: last, age: Duration::from_hours(24 * u64::from(days)) }
    }

    /// Keeps so many that failed instead.
    #[must_use]
    pub fn failed(self, failed: usize) -> Self {
        Self { failed, ..self }
    }
}

impl Inbox {
    /// How long the engine may take to store an event: GitHub gives up after ten seconds.
    pub const ENGINE_TIMEOUT: Duration = Duration::from_secs(2);
    /// How many events of one organization may wait.
    pub const QUEUE_LIMIT: usize = 2000;
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            spool: None,
            engine_timeout: Self::ENGINE_TIMEOUT,
            queue_limit: Self::QUEUE_LIMIT,
            keep: Keep::new(Keep::LAST, Keep::DAYS),
            trusted_proxies: Vec::new(),
        }
    }
}
