//! Cells of events, whose two versions name their fields differently.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::age::age;
use crate::fields::{has, int, text};

/// The first of these fields that is not empty.
fn either<'a>(event: &'a Value, fields: &[&str]) -> &'a str {
    fields.iter().map(|field| text(event, field)).find(|found| !found.is_empty()).unwrap_or_default()
}

pub(super) fn first_seen(event: &Value, now: Timestamp) -> Value {
    json!(age(either(event, &["firstTimestamp", "deprecatedFirstTimestamp", "eventTime"]), now))
}

pub(super) fn last_seen(event: &Value, now: Timestamp) -> Value {
    if has(event, "series") {
        return json!(age(text(event, "series.lastObservedTime"), now));
    }
    match either(event, &["lastTimestamp", "deprecatedLastTimestamp"]) {
        "" => first_seen(event, now),
        time => json!(age(time, now)),
    }
}

pub(super) fn count(event: &Value, _: Timestamp) -> Value {
    if has(event, "series") {
        return json!(int(event, "series.count"));
    }
    // A single event of the newer kind carries no count.
    json!(int(event, "count").max(int(event, "deprecatedCount")).max(1))
}

pub(super) fn target(event: &Value, _: Timestamp) -> Value {
    let kind = either(event, &["involvedObject.kind", "regarding.kind"]).to_lowercase();
    json!(match either(event, &["involvedObject.name", "regarding.name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    })
}

pub(super) fn subobject(event: &Value, _: Timestamp) -> Value {
    json!(either(event, &["involvedObject.fieldPath", "regarding.fieldPath"]))
}

pub(super) fn source(event: &Value, _: Timestamp) -> Value {
    let component = either(
        event,
        &["source.component", "deprecatedSource.component", "reportingComponent", "reportingController"],
    );
    json!(match either(event, &["source.host", "deprecatedSource.host", "reportingInstance"]) {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    })
}

pub(super) fn message(event: &Value, _: Timestamp) -> Value {
    json!(either(event, &["message", "note"]).trim())
}
