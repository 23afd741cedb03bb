//! Cells of nodes, quotas, bindings, signing requests, admission policies and flow control.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Cell::{self, Age, Int, Made, Name, Or, Text};
use super::{NONE, UNSET, condition};
use crate::age;
use crate::fields::{at, entries, items, text};
use crate::selector;

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

pub(super) const BINDING: &[Cell] = &[
    Name,
    Made(|binding, _| json!(format!("{}/{}", text(binding, "roleRef.kind"), text(binding, "roleRef.name")))),
    Age,
    Made(|binding, _| subjects(binding, "User")),
    Made(|binding, _| subjects(binding, "Group")),
    Made(|binding, _| subjects(binding, "ServiceAccount")),
];

pub(super) const SIGNING_REQUEST: &[Cell] = &[
    Name,
    Age,
    Or("spec.signerName", NONE),
    Text("spec.username"),
    Made(|request, _| {
        json!(at(request, "spec.expirationSeconds").as_i64().map_or_else(|| NONE.to_owned(), age::human))
    }),
    Made(|request, _| json!(request_state(request))),
];

pub(super) const FLOW_SCHEMA: &[Cell] = &[
    Name,
    Text("spec.priorityLevelConfiguration.name"),
    Int("spec.matchingPrecedence"),
    Or("spec.distinguisherMethod.type", NONE),
    Age,
    Made(|schema, _| {
        json!(condition(schema, "status.conditions", "Dangling").map_or("?", |c| text(c, "status")))
    }),
];

pub(super) const PRIORITY_LEVEL: &[Cell] = &[
    Name,
    Text("spec.type"),
    Made(|level, _| number(level, "spec.limited.nominalConcurrencyShares")),
    Made(|level, _| number(level, "spec.limited.limitResponse.queuing.queues")),
    Made(|level, _| number(level, "spec.limited.limitResponse.queuing.handSize")),
    Made(|level, _| number(level, "spec.limited.limitResponse.queuing.queueLengthLimit")),
    Age,
];

fn number(object: &Value, path: &str) -> Value {
    match at(object, path) {
        Value::Null => json!(NONE),
        found => found.clone(),
    }
}

pub(super) fn node_status(node: &Value, _: Timestamp) -> Value {
    let ready =
        items(node, "status.conditions").iter().rev().find(|condition| text(condition, "type") == "Ready");
    let mut states = vec![match ready.map(|condition| text(condition, "status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }];
    if at(node, "spec.unschedulable") == true {
        states.push("SchedulingDisabled");
    }
    json!(states.join(","))
}

pub(super) fn node_roles(node: &Value, _: Timestamp) -> Value {
    let labels = entries(node, "metadata.labels").into_iter();
    let roles = labels.filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) => Some(role),
        None if key == "kubernetes.io/role" => value.as_str(),
        None => None,
    });
    let roles: Vec<&str> =
        roles.filter(|role| !role.is_empty()).collect::<BTreeSet<_>>().into_iter().collect();
    if roles.is_empty() { json!(NONE) } else { json!(roles.join(",")) }
}

pub(super) fn node_address(node: &Value, kind: &str) -> Value {
    json!(condition(node, "status.addresses", kind).map_or(NONE, |address| text(address, "address")))
}

pub(super) fn component_status(component: &Value, _: Timestamp) -> Value {
    json!(match condition(component, "conditions", "Healthy").map(|healthy| text(healthy, "status")) {
        Some("True") => "Healthy",
        Some(_) => "Unhealthy",
        None => "Unknown",
    })
}

pub(super) fn component_message(component: &Value, _: Timestamp) -> Value {
    json!(condition(component, "conditions", "Healthy").map_or("", |healthy| text(healthy, "message")))
}

pub(super) fn component_error(component: &Value, _: Timestamp) -> Value {
    json!(condition(component, "conditions", "Healthy").map_or("", |healthy| text(healthy, "error")))
}

pub(super) fn quota_requests(quota: &Value, _: Timestamp) -> Value {
    usage(quota, |resource| !resource.starts_with("limits."))
}

pub(super) fn quota_limits(quota: &Value, _: Timestamp) -> Value {
    usage(quota, |resource| resource.starts_with("limits."))
}

fn usage(quota: &Value, shown: impl Fn(&str) -> bool) -> Value {
    let used = at(quota, "status.used");
    let hard = entries(quota, "status.hard").into_iter().filter(|(resource, _)| shown(resource));
    let parts = hard.map(|(resource, hard)| {
        let used = used.get(resource).and_then(Value::as_str).unwrap_or("0");
        format!("{resource}: {used}/{}", hard.as_str().unwrap_or("0"))
    });
    json!(parts.collect::<Vec<_>>().join(", "))
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let chosen = items(binding, "subjects").iter().filter(|subject| text(subject, "kind") == kind);
    let names = chosen.map(|subject| match kind {
        "ServiceAccount" => format!("{}/{}", text(subject, "namespace"), text(subject, "name")),
        _ => text(subject, "name").to_owned(),
    });
    json!(names.collect::<Vec<_>>().join(", "))
}

fn request_state(request: &Value) -> String {
    let is = |kind: &str| condition(request, "status.conditions", kind).is_some();
    let mut states = vec![match (is("Denied"), is("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }];
    if is("Failed") {
        states.push("Failed");
    }
    if !text(request, "status.certificate").is_empty() {
        states.push("Issued");
    }
    states.join(",")
}

pub(super) fn api_service(service: &Value, _: Timestamp) -> Value {
    let target = at(service, "spec.service");
    if target.is_null() {
        return json!("Local");
    }
    json!(format!("{}/{}", text(target, "namespace"), text(target, "name")))
}

pub(super) fn api_available(service: &Value, _: Timestamp) -> Value {
    let Some(available) = condition(service, "status.conditions", "Available") else {
        return json!("Unknown");
    };
    json!(match (text(available, "status"), text(available, "reason")) {
        ("True", _) => "True".to_owned(),
        (status, "") => status.to_owned(),
        (status, reason) => format!("{status} ({reason})"),
    })
}

pub(super) fn param_kind(policy: &Value, _: Timestamp) -> Value {
    let kind = at(policy, "spec.paramKind");
    if kind.is_null() {
        return json!(UNSET);
    }
    json!(format!("{}/{}", text(kind, "apiVersion"), text(kind, "kind")))
}

pub(super) fn param_ref(binding: &Value, _: Timestamp) -> Value {
    let param = at(binding, "spec.paramRef");
    json!(match (text(param, "namespace"), text(param, "name")) {
        (_, "") if param.get("selector").is_some() => selector::requirements(at(param, "selector")),
        (_, "") => UNSET.to_owned(),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    })
}

pub(super) fn claim_state(claim: &Value, _: Timestamp) -> Value {
    let deleting = !at(claim, "metadata.deletionTimestamp").is_null();
    let allocated = !at(claim, "status.allocation").is_null();
    let states = [
        (deleting, "deleted"),
        (!allocated && !deleting, "pending"),
        (allocated, "allocated"),
        (allocated && !items(claim, "status.reservedFor").is_empty(), "reserved"),
    ];
    json!(states.iter().filter(|(holds, _)| *holds).map(|(_, state)| *state).collect::<Vec<_>>().join(","))
}
