//! Triggers that the changes bring, and whether any delivery came to them: of one that none asked, a backtest shows nothing.

use std::collections::BTreeSet;

use aphex_api::delivery::SecretKeyRef;
use aphex_gateway::decision::Case;
use aphex_gateway::select;
use kube::ResourceExt as _;

use crate::commands::trial::Trial;
use crate::commands::trial::objects::{Book, Problem};

/// Triggers that there are with the changes alone, and that a secret guards.
pub(super) struct Fresh(Vec<One>);

struct One {
    namespace: String,
    name: String,
    secrets: BTreeSet<SecretKeyRef>,
    /// Whether a delivery was signed with one of its secrets.
    signed: bool,
    /// Whether a delivery was offered to it.
    asked: bool,
}

impl Fresh {
    /// What no listener offers events to, and what no secret guards, is told as a problem.
    pub(super) fn of(now: &Book, changed: &Book) -> Self {
        let (snapshot, _) = changed.view();
        let mut all: Vec<One> = Vec::new();
        for (namespace, name) in changed.fresh_triggers(now) {
            all.push(One { namespace, name, secrets: BTreeSet::new(), signed: false, asked: false });
        }
        for listener in snapshot.every_listener() {
            let place = listener.namespace().unwrap_or_default();
            for offer in select::offers(&listener, &snapshot) {
                let called = offer.trigger.name_any();
                let mut same =
                    all.iter_mut().filter(|one| one.namespace == offer.namespace && one.name == called);
                if let Some(one) = same.next() {
                    one.secrets.extend(offer.secrets(&place).into_iter().map(|(_, secret)| secret));
                }
            }
        }
        all.retain(|one| !one.secrets.is_empty());
        Self(all)
    }

    /// Remembers whom a delivery asked.
    pub(super) fn see(&mut self, case: &Case, trial: &Trial) {
        for one in &mut self.0 {
            one.signed |= case.verified.iter().any(|secret| one.secrets.contains(secret));
            one.asked |= trial.triggers.iter().any(|tried| {
                // The second of a name is `<name>#2`.
                let name = tried.result.name.split('#').next().unwrap_or_default();
                tried.result.namespace == one.namespace && name == one.name
            });
        }
    }

    /// A sentence for each that none of so many deliveries asked.
    pub(super) fn remarks(&self, deliveries: usize) -> Vec<Problem> {
        let lonely = self.0.iter().filter(|one| deliveries > 0 && !one.asked);
        let remark = |one: &One| {
            let many = format!("{deliveries} {}", if deliveries == 1 { "delivery" } else { "deliveries" });
            let message = if one.signed {
                format!("asked by none of {many}")
            } else {
                format!("asked by none of {many}: none was signed with its secret")
            };
            Problem { object: format!("Trigger {}/{}", one.namespace, one.name), message }
        };
        lonely.map(remark).collect()
    }
}
