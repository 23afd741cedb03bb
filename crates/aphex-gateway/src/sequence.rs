//! Which events have to be in order with each other.
//!
//! The policies of bindings about runs that are under way compare runs: by the second in which their events were received, and
//! within one by when they were made (`docs/adr/0020-options-of-bindings.md`). `Queue` compares all runs of a repository,
//! `CancelSuperseded` those of a branch or pull request. The controllers name the policy on the TriggerTemplate; where none is
//! named nothing goes by the order of runs.

use aphex_api::delivery::SecretKeyRef;
use aphex_api::foreign::triggers::EventListener;
use aphex_api::labels;
use aphex_api::repo_binding::ConcurrencyPolicy;
use kube::ResourceExt as _;

use crate::event::{Event, Facts};
use crate::select::{self, Offer};
use crate::snapshot::Snapshot;

/// What all events have in common that have to be in order with this one; nothing where the order does not matter.
pub(crate) fn of(
    listener: &EventListener,
    snapshot: &Snapshot,
    verified: &[SecretKeyRef],
    event: &Event,
) -> Option<String> {
    let namespace = listener.namespace().unwrap_or_default();
    let is_concerned = |offer: &Offer| {
        let secrets = offer.secrets(&namespace);
        secrets.is_empty() || secrets.iter().any(|(_, secret)| verified.contains(secret))
    };
    let offers = select::offers(listener, snapshot);
    let policies: Vec<String> = offers
        .iter()
        .filter(|offer| is_concerned(offer))
        .filter_map(|offer| policy(offer, snapshot))
        .collect();
    let names = |policy: ConcurrencyPolicy| policies.iter().any(|named| named == policy.as_str());
    let facts = || Facts::of(&event.kind, &event.body);
    if names(ConcurrencyPolicy::Queue) {
        return Some(facts().repository.to_owned());
    }
    names(ConcurrencyPolicy::CancelSuperseded).then(|| {
        let facts = facts();
        format!("{} {}", facts.repository, facts.git_ref)
    })
}

/// The policy that the trigger's template names.
fn policy(offer: &Offer, snapshot: &Snapshot) -> Option<String> {
    let template = offer.trigger.spec.template.reference.as_ref()?;
    snapshot.template(&offer.namespace, template)?.annotations().get(labels::CONCURRENCY).cloned()
}

#[cfg(test)]
mod tests {
    use aphex_api::foreign::triggers::{Trigger, TriggerTemplate};
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;
    use crate::snapshot::Objects;

    fn object<K: DeserializeOwned>(name: &str, annotation: &str, spec: &Value) -> K {
        let annotations = json!({ labels::CONCURRENCY: annotation });
        let metadata = json!({ "name": name, "namespace": "org-acme", "annotations": annotations });
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
    }

    /// A trigger with a secret and a template of its own, which names a policy.
    fn trigger(name: &str) -> Trigger {
        let secret = json!({ "secretName": name, "secretKey": "secret" });
        let github = json!({
            "ref": { "name": "github", "kind": "ClusterInterceptor" }, "params": [{ "name": "secretRef", "value": secret }],
        });
        object(name, "", &json!({ "interceptors": [github], "bindings": [], "template": { "ref": name } }))
    }

    fn sequence(signer: &str, kind: &str, body: Value) -> Option<String> {
        let names = ["Allow", "Queue", "CancelSuperseded"];
        let template = |policy| object(policy, policy, &json!({ "params": [], "resourcetemplates": [] }));
        let listener: EventListener =
            object("hook", "", &json!({ "namespaceSelector": { "matchNames": ["org-acme"] } }));
        let objects = Objects {
            triggers: names.map(trigger).into(),
            templates: names.map(template).into_iter().collect::<Vec<TriggerTemplate>>(),
            ..Objects::default()
        };
        let secret = SecretKeyRef { namespace: "org-acme".into(), name: signer.into(), key: "secret".into() };
        let event = Event {
            id: "e".into(),
            kind: kind.into(),
            headers: [].into(),
            raw: body.to_string().into(),
            body,
            url: "/acme".into(),
            received: jiff::Timestamp::UNIX_EPOCH,
        };
        of(&listener, &Snapshot::of(objects), &[secret], &event)
    }

    #[test]
    fn only_events_whose_runs_a_policy_compares_are_in_order() {
        let push = |branch: &str| json!({ "ref": format!("refs/heads/{branch}"), "repository": { "full_name": "acme/web" } });
        let pull = json!({ "pull_request": { "number": 7 }, "repository": { "full_name": "acme/web" } });
        assert_eq!(sequence("Allow", "push", push("main")), None);
        let queued = sequence("Queue", "push", push("main"));
        assert!(queued.is_some());
        assert_eq!(sequence("Queue", "push", push("next")), queued);
        assert_eq!(sequence("Queue", "pull_request", pull.clone()), queued);
        let main = sequence("CancelSuperseded", "push", push("main"));
        assert!(main.is_some());
        assert_eq!(sequence("CancelSuperseded", "push", push("main")), main);
        assert_ne!(sequence("CancelSuperseded", "push", push("next")), main);
        assert_ne!(sequence("CancelSuperseded", "pull_request", pull), main);
    }
}
