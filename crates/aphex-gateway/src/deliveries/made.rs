//! What earlier attempts of the same evaluation have made: it is not made again, even if somebody deleted it since.

use aphex_api::delivery::{CreatedObject, Delivery, TriggerResult, TriggerVerdict};
use serde_json::Value;

/// What triggers made of an event before, as far as this evaluation goes on with it.
pub(super) fn before<'a>(delivery: &'a Delivery, replay: Option<&str>) -> &'a [TriggerResult] {
    let Some(status) = &delivery.status else { return &[] };
    // A replay makes everything anew. Between its attempts there is no verdict.
    if replay.is_some() && status.verdict.is_some() { &[] } else { &status.triggers }
}

/// What a trigger made of it before.
pub(super) fn of<'a>(before: &'a [TriggerResult], planned: &TriggerResult) -> Option<&'a TriggerResult> {
    before.iter().find(|before| {
        (&before.namespace, &before.name, &before.group)
            == (&planned.namespace, &planned.name, &planned.group)
    })
}

/// Whether a trigger that wants something has all of it, though its template may have changed since.
pub(super) fn is_done(before: &TriggerResult, planned: &TriggerResult, replay: Option<&str>) -> bool {
    // What a first evaluation made before a replay began is not the replay's.
    replay.is_none() && [before.verdict, planned.verdict] == [TriggerVerdict::Created; 2]
}

/// The object that was made of a resource before.
pub(super) fn object<'a>(before: Option<&'a TriggerResult>, resource: &Value) -> Option<&'a CreatedObject> {
    let metadata = &resource["metadata"];
    before?.created.iter().find(|made| {
        resource["apiVersion"] == made.api_version
            && resource["kind"] == made.kind
            && metadata["name"] == made.name
            // The template's resource has one even where the kind has none.
            && made.namespace.as_ref().is_none_or(|namespace| metadata["namespace"] == *namespace)
    })
}

/// Keeps what a trigger made before in what is known of it now, however far it came this time.
pub(super) fn keep(result: &mut TriggerResult, before: Option<&TriggerResult>) {
    for made in before.into_iter().flat_map(|before| &before.created) {
        let same = |known: &CreatedObject| {
            (&known.api_version, &known.kind, &known.namespace, &known.name)
                == (&made.api_version, &made.kind, &made.namespace, &made.name)
        };
        if !result.created.iter().any(same) {
            result.created.push(made.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aphex_api::delivery::{DeliverySpec, DeliveryStatus, DeliveryVerdict};
    use serde_json::json;

    use super::*;

    fn made(kind: &str, namespace: Option<&str>, name: &str) -> CreatedObject {
        CreatedObject {
            api_version: "v1".into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: name.into(),
            ..CreatedObject::default()
        }
    }

    fn result(name: &str, created: Vec<CreatedObject>) -> TriggerResult {
        TriggerResult {
            name: name.into(),
            namespace: "org-acme".into(),
            group: None,
            verdict: TriggerVerdict::Retrying,
            message: String::new(),
            interceptors: Vec::new(),
            params: BTreeMap::new(),
            created,
        }
    }

    #[test]
    fn an_object_is_known_by_kind_and_name() {
        let before = result("t", vec![made("ConfigMap", Some("web"), "a"), made("Namespace", None, "n")]);
        let known = |kind: &str, namespace: &str, name: &str| {
            let resource = json!({
                "apiVersion": "v1", "kind": kind, "metadata": { "name": name, "namespace": namespace },
            });
            object(Some(&before), &resource).is_some()
        };
        assert!(known("ConfigMap", "web", "a") && known("Namespace", "org-acme", "n"));
        assert!(
            !known("ConfigMap", "other", "a")
                && !known("Secret", "web", "a")
                && !known("ConfigMap", "web", "b")
        );
        assert_eq!(object(None, &json!({})), None);
    }

    #[test]
    fn what_was_made_before_is_kept_once() {
        let mut now = result("t", vec![made("ConfigMap", Some("web"), "a")]);
        let before = result("t", vec![made("ConfigMap", Some("web"), "a"), made("Secret", Some("web"), "b")]);
        keep(&mut now, Some(&before));
        assert_eq!(now.created, before.created);
    }

    #[test]
    fn a_replay_makes_anew_what_had_a_verdict_and_goes_on_with_its_own() {
        let mut delivery = Delivery::new("d", DeliverySpec::default());
        assert!(before(&delivery, None).is_empty());
        for (verdict, of_a_replay) in [(Some(DeliveryVerdict::Created), 0), (None, 1)] {
            let triggers = vec![result("t", Vec::new())];
            delivery.status = Some(DeliveryStatus { verdict, triggers, ..DeliveryStatus::default() });
            assert_eq!((before(&delivery, None).len(), before(&delivery, Some("r")).len()), (1, of_a_replay));
        }
        let done = TriggerResult { verdict: TriggerVerdict::Created, ..result("t", Vec::new()) };
        assert!(is_done(&done, &done, None) && !is_done(&done, &done, Some("r")));
        assert!(!is_done(&result("t", Vec::new()), &done, None));
    }
}
