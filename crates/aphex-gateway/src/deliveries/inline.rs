//! Decides an event before it is stored, so that its Delivery is written once, verdict and all.
//!
//! ```text
//! evaluate -> look: not there -> create what triggers ask for -> store the Delivery, verdict in it -> answer
//!    |  |                             |                                  ^
//!    |  +--> nothing to create -------|----------------------------------+
//!    +--------------------------------+--> somebody else has to be asked, or it takes too long:
//!                                          store it without a verdict, answer, decide afterwards
//! ```
//!
//! Nothing is answered before the Delivery is stored, and what is created has a name made of the event: who dies
//! between the two leaves a run that the sender's next try finds (`docs/adr/0048-verdict-first.md`).

use std::sync::Arc;
use std::time::Duration;

use aphex_api::delivery::{Delivery, DeliveryStatus};
use jiff::Timestamp;

use super::{Deliveries, Incoming, Mark, object_name, verdict};
use crate::decision::{Asking, Case, Decision};
use crate::event::{self, Event};

/// How long an event may take before it is stored first and decided afterwards: far less than a sender waits.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The event as triggers see it; takes the body out of what came in.
pub(super) fn event(incoming: &mut Incoming) -> Arc<Event> {
    Arc::new(Event {
        id: object_name(&incoming.delivery_id),
        kind: incoming.event.clone(),
        headers: incoming.headers.clone(),
        body: std::mem::take(&mut incoming.body),
        raw: event::raw(&incoming.json),
        url: incoming.url.clone(),
        received: incoming.received,
    })
}

/// What an event comes to, before any of it is done.
pub(super) struct Decided {
    decision: Decision,
    began: Timestamp,
}

impl Decided {
    /// Whether no trigger asks for anything: then it does not matter whether the event was here before.
    pub(super) fn makes_nothing(&self) -> bool {
        match &self.decision {
            Decision::Settled(..) => true,
            Decision::Triggers(_, planned) => planned.iter().all(|planned| planned.resources.is_empty()),
        }
    }
}

impl Deliveries {
    /// What triggers make of an event that is not stored yet; nothing when it is to be stored first.
    pub(super) async fn decide_at_once(
        &self,
        delivery: &Delivery,
        event: &Arc<Event>,
        mark: Mark,
    ) -> Option<Decided> {
        let began = self.clock.now();
        let case = Case::at(delivery, Arc::clone(event), mark, None);
        let deciding = self.decider.decide_within(&case, Asking::Nobody);
        let decision = tokio::time::timeout(AT_ONCE, deciding).await.ok().flatten()?;
        Some(Decided { decision, began })
    }

    /// The status to store a Delivery with, once what its triggers ask for exists; nothing when that takes too long.
    pub(super) async fn do_at_once(
        &self,
        decided: Decided,
        delivery: &Delivery,
        event: &Event,
    ) -> Option<DeliveryStatus> {
        let doing = self.carry_out(decided.decision, delivery, event, None);
        let outcome = tokio::time::timeout(AT_ONCE, doing).await.ok()?;
        Some(verdict::status(delivery, outcome, 1, None, decided.began, self.clock.now()))
    }
}
