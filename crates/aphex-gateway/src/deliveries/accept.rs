//! Taking an event in: the engine has it, or this replica's disk has it, before the sender is answered.

use std::sync::Arc;
use std::time::Duration;

use super::{Deliveries, Incoming, StoreError, inline, object_name};
use crate::event::Event;
use crate::reach::is_absence;
use crate::spool::{Spool, SpoolError};

/// Each so many bytes of a payload give the engine as much time once more, for large ones are stored in parts.
const PART: usize = 1024 * 1024;
/// However large it is: GitHub gives up after ten seconds.
const LONGEST: Duration = Duration::from_secs(9);

impl StoreError {
    /// Whether the engine could not take the event now, or nobody knows whether it did; else it refused.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Late(..) => true,
            Self::Part(_, error) | Self::Create(_, error) | Self::Read(_, error) | Self::Again(_, error) => {
                is_absence(error)
            }
            Self::Fleeting(_) | Self::Pack(_) | Self::Taken(_) | Self::Spool(..) => false,
        }
    }

    /// Whether it is the organization's own events that leave no room for it.
    pub(crate) fn is_of_the_organization(&self) -> bool {
        matches!(self, Self::Spool(_, SpoolError::Share { .. }))
    }

    fn cause(&self) -> Option<&kube::Error> {
        match self {
            Self::Part(_, error) | Self::Create(_, error) | Self::Read(_, error) | Self::Again(_, error) => {
                Some(error)
            }
            Self::Fleeting(_) | Self::Late(..) | Self::Pack(_) | Self::Taken(_) | Self::Spool(..) => None,
        }
    }
}

impl Deliveries {
    /// Stores an event in the engine, or on this replica's disk while the engine is away; gives the event's id.
    pub async fn accept(&self, mut incoming: Incoming) -> Result<String, StoreError> {
        let event = inline::event(&mut incoming);
        let incoming = &incoming;
        let parts = u32::try_from(incoming.json.len() / PART).unwrap_or(u32::MAX);
        let patience = self.reach.patience().saturating_mul(parts.saturating_add(1)).min(LONGEST);
        let Some(spool) = &self.spool else {
            return self.within(patience, incoming, &event).await;
        };
        // A later event must not overtake those that it has to be in order with, and nobody waits for an engine that is away.
        if self.is_behind(spool, incoming, &event) || self.reach.is_away() {
            return self.spool(spool, incoming, &event, None).await;
        }
        match self.within(patience, incoming, &event).await {
            Err(error) if error.is_absence() => self.spool(spool, incoming, &event, Some(error)).await,
            stored => stored,
        }
    }

    /// Whether events on the disk are to be stored before this one: for their order, or for there being so many.
    fn is_behind(&self, spool: &Spool, incoming: &Incoming, event: &Event) -> bool {
        if spool.is_empty() {
            return false;
        }
        if spool.is_crowded(incoming) {
            return true;
        }
        self.decider.sequence(incoming, event).is_some_and(|sequence| spool.holds(incoming, &sequence))
    }

    /// Stores an event in the engine, in time. One that comes too late may be stored all the same: then this process finds
    /// it by its watch, and whoever stores it again finds it by its name.
    pub(super) async fn within(
        &self,
        patience: Duration,
        incoming: &Incoming,
        event: &Arc<Event>,
    ) -> Result<String, StoreError> {
        match tokio::time::timeout(patience, self.store(incoming, event)).await {
            Ok(Ok(id)) => {
                self.reach.answered();
                Ok(id)
            }
            Ok(Err(error)) => {
                if let Some(cause) = error.cause() {
                    self.reach.failed(cause);
                }
                Err(error)
            }
            Err(_) => {
                self.reach.silent();
                Err(StoreError::Late(object_name(&incoming.delivery_id), patience))
            }
        }
    }

    async fn spool(
        &self,
        spool: &Spool,
        incoming: &Incoming,
        event: &Event,
        because: Option<StoreError>,
    ) -> Result<String, StoreError> {
        let id = object_name(&incoming.delivery_id);
        let first = spool.is_empty();
        let sequence = self.decider.sequence(incoming, event);
        let kept = spool.keep(incoming, sequence.as_deref()).await;
        kept.map_err(|error| StoreError::Spool(id.clone(), error))?;
        if first && let Some(error) = because {
            tracing::warn!(
                error = %aphex_runtime::errors::chain(&error), delivery.name = %id, delivery.namespace = %incoming.namespace,
                "the engine does not take events; they are kept on this replica's disk"
            );
        }
        Ok(id)
    }
}
