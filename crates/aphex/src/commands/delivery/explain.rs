//! A delivery for people: what came, who signed it, what each trigger made of it and why.

use std::fmt::Write as _;

use aphex_api::delivery::{
    CreatedObject, Delivery, DeliveryStatus, InterceptorResult, InterceptorVerdict, SignatureVerdict,
    TriggerResult, listener_namespace,
};
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::fate::Fates;
use crate::output::paint_answer;

/// Everything that is known of one.
pub(super) fn delivery(delivery: &Delivery, fates: &Fates) -> Vec<String> {
    let spec = &delivery.spec;
    let status = delivery.status.clone().unwrap_or_default();
    let namespace = delivery.namespace().unwrap_or_default();
    let mut lines = vec![
        field("Delivery", &format!("{namespace}/{}", delivery.name_any())),
        field("Event", &event(delivery)),
        field("Sender", &sender(delivery)),
        field("Listener", &format!("{}/{}", listener_namespace(delivery), spec.listener)),
        field("Signature", &signature(delivery, &status)),
        field("Verdict", &verdict(&status)),
    ];
    lines.extend(parts(delivery));
    lines.extend(timings(delivery, &status));
    for trigger in &status.triggers {
        lines.push(String::new());
        lines.extend(one(trigger, "created", fates));
    }
    lines
}

/// What each trigger made of an event; `did` is what became of the objects that it asked for.
pub(crate) fn triggers(results: &[TriggerResult], did: &str) -> Vec<String> {
    results.iter().flat_map(|result| one(result, did, &Fates::default())).collect()
}

fn field(name: &str, text: &str) -> String {
    format!("{name:<11}{text}").trim_end().to_owned()
}

fn event(delivery: &Delivery) -> String {
    let spec = &delivery.spec;
    // Writing to a String cannot fail.
    let mut text = if spec.event.is_empty() { "of no type".to_owned() } else { spec.event.clone() };
    if !spec.repository.is_empty() {
        let _ = write!(text, " of {}", spec.repository);
    }
    if !spec.git_ref.is_empty() {
        let _ = write!(text, ", {}", spec.git_ref);
    }
    if !spec.revision.is_empty() {
        let _ = write!(text, " at {}", spec.revision);
    }
    text
}

fn sender(delivery: &Delivery) -> String {
    let spec = &delivery.spec;
    let who = [
        spec.sender.clone(),
        if spec.source.is_empty() { String::new() } else { format!("from {}", spec.source) },
    ];
    who.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn signature(delivery: &Delivery, status: &DeliveryStatus) -> String {
    let signers = &delivery.spec.verified_by;
    if signers.is_empty() || status.signature == Some(SignatureVerdict::Unsigned) {
        return "none: the listener accepts unsigned events".to_owned();
    }
    let names =
        signers.iter().map(|signer| format!("{}/{}, key {}", signer.namespace, signer.name, signer.key));
    format!("valid, by Secret {}", names.collect::<Vec<_>>().join("; "))
}

fn verdict(status: &DeliveryStatus) -> String {
    let word = status
        .verdict
        .map_or_else(|| format!("none yet ({:?})", status.phase), |verdict| format!("{verdict:?}"));
    let word = paint_answer(&word, if word == "Failed" { "1;31" } else { "1" });
    if status.message.is_empty() { word } else { format!("{word}: {}", status.message) }
}

/// Where the payload is, if it is too large for one object.
fn parts(delivery: &Delivery) -> Option<String> {
    let parts = delivery.spec.payload_parts;
    let secrets = if parts == 1 { "Secret" } else { "Secrets" };
    let place = format!("too large for one object: {parts} {secrets} in {}", listener_namespace(delivery));
    (parts > 0).then(|| field("Payload", &place))
}

/// When it was received, stored, begun and finished: the latter two by how long after it was received, or asked for once more.
fn timings(delivery: &Delivery, status: &DeliveryStatus) -> Vec<String> {
    let received = delivery.spec.received_time.as_ref().map(|time| time.0);
    let stored = delivery.metadata.creation_timestamp.as_ref().map(|time| time.0);
    // The command line asks with the time; who asks otherwise may say anything.
    let replay = status.observed_replay.as_deref();
    let asked = replay.map(|token| token.parse::<Timestamp>().ok());
    let later = |time: Timestamp| match asked.unwrap_or(received) {
        Some(since) => format!("{time} (+{})", long(time.duration_since(since).as_millis())),
        None => time.to_string(),
    };
    let mut lines = Vec::new();
    lines.extend(received.map(|time| field("Received", &time.to_string())));
    // The engine tells it to the second, so nothing is reckoned with it.
    lines.extend(stored.map(|time| field("Stored", &time.to_string())));
    lines.extend(replay.map(|token| field("Replayed", token)));
    let attempts = if status.attempts > 1 { format!(", attempt {}", status.attempts) } else { String::new() };
    let begun = status.started_time.as_ref();
    lines.extend(begun.map(|time| field("Begun", &format!("{}{attempts}", later(time.0)))));
    lines.extend(status.completed_time.as_ref().map(|time| field("Finished", &later(time.0))));
    lines.extend(status.next_attempt_time.as_ref().map(|time| field("Again at", &time.0.to_string())));
    lines
}

fn long(milliseconds: i128) -> String {
    match milliseconds {
        ..1000 => format!("{milliseconds} ms"),
        1000..120_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{} min", milliseconds / 60_000),
    }
}

fn one(trigger: &TriggerResult, did: &str, fates: &Fates) -> Vec<String> {
    let group = trigger.group.as_ref().map(|group| format!(" of group {group}")).unwrap_or_default();
    let title = format!("Trigger {}/{}{group}: {:?}", trigger.namespace, trigger.name, trigger.verdict);
    let mut lines = vec![paint_answer(&title, "1")];
    if !trigger.message.is_empty() {
        lines.push(format!("  {}", trigger.message));
    }
    lines.extend(trigger.interceptors.iter().flat_map(interceptor));
    let width = trigger.params.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    let params = trigger.params.iter().map(|(name, value)| format!("  param    {name:<width$} = {value}"));
    lines.extend(params);
    lines.extend(trigger.created.iter().map(|object| {
        let title = title_of(object);
        let fate = fates.get(&title).map(|fate| format!(", {fate}")).unwrap_or_default();
        format!("  {did:<8} {title}{fate}")
    }));
    lines
}

fn interceptor(result: &InterceptorResult) -> Vec<String> {
    let word = match result.verdict {
        InterceptorVerdict::Passed => "passed",
        InterceptorVerdict::Stopped => "stopped",
        InterceptorVerdict::Failed => "failed",
    };
    // The gateway's message begins with the name already.
    let said = result.message.strip_prefix(&format!("{}: ", result.name)).unwrap_or(&result.message);
    let message = if said.is_empty() { String::new() } else { format!(": {said}") };
    let mut lines = vec![format!("  {word:<8} {}{message}", result.name)];
    lines.extend(result.expression.iter().map(|expression| format!("             {expression}")));
    lines.extend(result.values.iter().map(|(path, value)| format!("               {path} = {value}")));
    lines
}

/// `Kind namespace/name`.
pub(super) fn title_of(object: &CreatedObject) -> String {
    match &object.namespace {
        Some(namespace) => format!("{} {namespace}/{}", object.kind, object.name),
        None => format!("{} {}", object.kind, object.name),
    }
}

#[cfg(test)]
mod tests {
    use aphex_api::delivery::DeliverySpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_delivery_is_told_from_signature_to_silence() {
        let spec: DeliverySpec = serde_json::from_value(json!({
            "listener": "github-listener", "listenerNamespace": "org-acme", "deliveryID": "one", "event": "push",
            "repository": "acme/shop", "ref": "refs/heads/topic", "revision": "6113728f", "sender": "ada",
            "source": "192.0.2.7", "payload": "", "receivedTime": "2026-11-24T12:00:00.000100Z",
            "verifiedBy": [{ "namespace": "org-acme", "name": "webhook-shop", "key": "secret" }],
        }))
        .unwrap();
        let mut one = Delivery::new("one", spec);
        one.metadata.namespace = Some("shop".into());
        one.status = serde_json::from_value(json!({
            "phase": "Done", "verdict": "NotWanted", "message": "shop-trigger: branches: expression is false",
            "signature": "Valid", "attempts": 1, "startedTime": "2026-11-24T12:00:00.004100Z",
            "completedTime": "2026-11-24T12:00:02.300100Z",
            "triggers": [{
                "name": "shop-trigger", "namespace": "org-acme", "verdict": "NotWanted", "message": "branches: expression is false",
                "interceptors": [
                    { "name": "github", "verdict": "Passed" },
                    {
                        "name": "branches", "verdict": "Stopped", "message": "branches: expression is false",
                        "expression": "body.ref == 'refs/heads/main'", "values": { "body.ref": "refs/heads/topic" },
                    },
                ],
            }],
        }))
        .unwrap();
        let expected = "\
Delivery   shop/one
Event      push of acme/shop, refs/heads/topic at 6113728f
Sender     ada from 192.0.2.7
Listener   org-acme/github-listener
Signature  valid, by Secret org-acme/webhook-shop, key secret
Verdict    NotWanted: shop-trigger: branches: expression is false
Received   2026-11-24T12:00:00.0001Z
Begun      2026-11-24T12:00:00.0041Z (+4 ms)
Finished   2026-11-24T12:00:02.3001Z (+2.3 s)

Trigger org-acme/shop-trigger: NotWanted
  branches: expression is false
  passed   github
  stopped  branches: expression is false
             body.ref == 'refs/heads/main'
               body.ref = refs/heads/topic";
        assert_eq!(delivery(&one, &Fates::default()).join("\n"), expected);
        if let Some(status) = &mut one.status {
            status.observed_replay = Some("2026-11-24T12:00:00.0001Z".into());
            status.started_time = Some(MicroTime("2026-11-24T12:00:00.5001Z".parse().unwrap()));
        }
        let again = "Replayed   2026-11-24T12:00:00.0001Z\nBegun      2026-11-24T12:00:00.5001Z (+500 ms)\n";
        assert!(delivery(&one, &Fates::default()).join("\n").contains(again));
        one.spec.payload_parts = 2;
        let large = "Payload    too large for one object: 2 Secrets in org-acme\nReceived ";
        assert!(delivery(&one, &Fates::default()).join("\n").contains(large));
    }
}
