//! Who is let in when more comes than can be taken: fair between organizations, and dear for bad signatures alone.
//!
//! ```text
//! source over its budget of failures -> slow lane -> verified ?- no -> 429
//!                                                             `- yes -> the organization's queue -> stored
//! ```
//!
//! A webhook with a wrong secret comes from the same addresses of GitHub as everybody else's, so no limit may stand before
//! the check of a signature. Sources that fail too often share two places for that check, in turns: what they cost is
//! bounded, and a good signature among theirs waits its turn and is taken. Behind the check every organization has a queue of
//! its own, bounded, and organizations take turns.

mod gate;
mod sources;

use std::net::IpAddr;

use aphex_runtime::Clock;

pub(crate) use gate::{Gate, Place};
use sources::Sources;
pub(crate) use sources::name as source_name;

/// Events stored at once.
const STORES: usize = 256;
/// Signatures of sources over their budget that are checked at once.
const SUSPECTS: usize = 2;

/// The gates; one for each gateway.
#[derive(Debug)]
pub struct Admission {
    stores: Gate,
    suspects: Gate,
    sources: Sources,
    queue_limit: usize,
}

/// Too many events of the organization wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl Admission {
    /// At most so many events of one organization may wait.
    pub fn new(queue_limit: usize, clock: Clock) -> Self {
        Self {
            stores: Gate::new(STORES),
            suspects: Gate::new(SUSPECTS),
            sources: Sources::new(clock),
            queue_limit,
        }
    }

    /// Whether an organization with so many stored events that nobody has begun with may bring one more.
    pub fn admits(&self, organization: &str, backlog: usize) -> bool {
        self.stores.waiting(organization).saturating_add(backlog) < self.queue_limit
    }

    /// Waits for the organization's turn to store.
    pub async fn store(&self, organization: &str, backlog: usize) -> Result<Place<'_>, Busy> {
        if !self.admits(organization, backlog) {
            return Err(Busy);
        }
        Ok(self.stores.enter(organization).await)
    }

    /// Waits for a source's turn to have a signature checked, where it failed too often; else gives nothing.
    pub async fn check(&self, source: IpAddr) -> Option<Place<'_>> {
        if self.sources.has_budget(source) {
            return None;
        }
        Some(self.suspects.enter(&source_name(source)).await)
    }

    /// Notes a signature that failed; tells whether the source's budget allowed it.
    pub fn failed(&self, source: IpAddr) -> bool {
        self.sources.spend(source)
    }
}
