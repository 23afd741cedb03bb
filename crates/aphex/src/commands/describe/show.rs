//! What was found, as a tree for people and as a document for programs.

use std::collections::BTreeMap;

use aphex_controllers::plan::{Examination, Glimpse, Health, Owned};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::tree::{Node, columns};
use super::{Found, advice};
use crate::commands::look::{age, name, text};
use crate::commands::settings;
use crate::output;

const BAD: &str = "31";
const WAITS: &str = "33";
const HEAD: &str = "1";

/// The tree.
pub(super) fn tree(found: &Found, now: Timestamp) -> String {
    let object = &found.object;
    let place = text(object, "/metadata/namespace");
    let (kind, phase) = (text(object, "/kind"), text(object, "/status/phase"));
    let colour = match phase.as_str() {
        "Failed" => BAD,
        "Ready" | "Active" => "32",
        _ => WAITS,
    };
    let title = format!("{kind} {place}/{}   {phase}   {}", name(object), age(object, now));
    let mut below = Vec::new();
    let message = text(object, "/status/message");
    if !message.is_empty() {
        below.push(Node::new(message));
    }
    below.extend(group("Conditions", conditions(object, now)));
    below.extend(group("Repositories", repositories(object)));
    match (&found.examination, &found.glimpse, &found.hidden) {
        (Some(examination), ..) => below.push(owns("Owns", examination, found.below.as_ref())),
        (None, Some(glimpse), _) => below.extend(seen(found, glimpse)),
        (None, None, Some(why)) => {
            below.push(Node::new(format!("What it owns cannot be told: {why}")).coloured(Some(WAITS)));
        }
        (None, None, None) => {}
    }
    below.extend(group("Bindings", bindings(found, now)));
    below.extend(group("Last deliveries", deliveries(&found.deliveries, now)));
    // Beside the listener there is next to nothing that is not the tenant's to see.
    let unseen = found.unseen.iter().filter(|place| found.scene.tenants.contains(*place));
    below.extend(unseen.map(|place| {
        let said = format!("Deliveries in {place} cannot be told: you may not list them there");
        Node::new(said).coloured(Some(WAITS))
    }));
    below.extend(group("Last runs", runs(&found.runs, now)));
    below.extend(found.unseen_runs.iter().map(|place| {
        let said = format!("Runs in {place} cannot be told: you may not list them there");
        Node::new(said).coloured(Some(WAITS))
    }));
    let next = advice::next(found).into_iter().map(|line| Node::new(line).coloured(Some(WAITS)));
    below.extend(group("Next", next.collect()));
    Node::new(title).coloured(Some(colour)).with(below).render()
}

fn group(title: &str, below: Vec<Node>) -> Option<Node> {
    (!below.is_empty()).then(|| Node::new(title).coloured(Some(HEAD)).with(below))
}

fn lines(rows: &[Vec<String>], colours: Vec<Option<&'static str>>) -> Vec<Node> {
    columns(rows).into_iter().zip(colours).map(|(line, colour)| Node::new(line).coloured(colour)).collect()
}

fn ago(time: &str, now: Timestamp) -> String {
    output::age(time.parse().ok(), now)
}

fn conditions(object: &Value, now: Timestamp) -> Vec<Node> {
    let all = object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |condition: &Value| {
        vec![
            text(condition, "/type"),
            text(condition, "/status"),
            text(condition, "/reason"),
            ago(&text(condition, "/lastTransitionTime"), now),
            text(condition, "/message"),
        ]
    };
    let colour = |condition: &Value| match condition["status"].as_str() {
        Some("False") => Some(BAD),
        Some("Unknown") => Some(WAITS),
        _ => None,
    };
    lines(&all.iter().map(row).collect::<Vec<_>>(), all.iter().map(colour).collect())
}

/// What a knowledge base tracks.
fn repositories(object: &Value) -> Vec<Node> {
    let all = object.pointer("/status/repositories").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |one: &Value| ["/url", "/branch", "/commit", "/error"].map(|field| text(one, field)).to_vec();
    let colour = |one: &Value| (!text(one, "/error").is_empty()).then_some(BAD);
    lines(&all.iter().map(row).collect::<Vec<_>>(), all.iter().map(colour).collect())
}

fn owns(title: &str, examination: &Examination, below: Option<&Examination>) -> Node {
    let owned = &examination.owned;
    let right = owned.iter().filter(|one| one.health == Health::InPlace).count();
    let title = match owned.len() {
        0 => format!("{title} nothing"),
        all if all == right => format!("{title} {all}, all in place"),
        all => format!("{title} {all}, {right} in place"),
    };
    let rows: Vec<Vec<String>> = owned.iter().map(row).collect();
    let mut nodes = lines(&rows, owned.iter().map(colour).collect());
    if let (Some(below), Some(at)) = (below, owned.iter().position(|one| one.named.kind == "RepoBinding")) {
        let node = std::mem::take(&mut nodes[at]);
        nodes[at] = node.with(vec![owns("owns", below, None)]);
    }
    nodes.extend(examination.foreign.iter().map(|foreign| {
        let place = foreign.namespace.as_ref().map_or(String::new(), |namespace| format!("{namespace}/"));
        Node::new(format!("{} {place}{}   not its own: another's uid", foreign.kind, foreign.name))
            .coloured(Some(WAITS))
    }));
    Node::new(title).coloured(Some(HEAD)).with(nodes)
}

/// What a developer may see of what is owned, and in one line what not.
fn seen(found: &Found, glimpse: &Glimpse) -> [Node; 2] {
    let owned = &glimpse.owned;
    let title = match owned.len() {
        0 => "Owns nothing that you may see".to_owned(),
        count => format!("Owns {count} that you may see"),
    };
    let nodes = lines(&owned.iter().map(row).collect::<Vec<_>>(), owned.iter().map(colour).collect());
    let mut unread: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for (kind, namespace) in &glimpse.unread {
        unread.entry(namespace.as_deref()).or_default().push(kind);
    }
    let binding = found.binding.iter().map(|name| format!("RepoBinding {}/{name}", settings::NAMESPACE));
    let rest = unread.iter().map(|(namespace, kinds)| {
        let place = namespace.map_or_else(String::new, |namespace| format!(" in {namespace}"));
        format!("{}{place}", kinds.join(", "))
    });
    let rest = binding.chain(rest).collect::<Vec<_>>().join("; ");
    let line = format!("You may not read, and a platform administrator sees here: {rest}");
    [Node::new(title).coloured(Some(HEAD)).with(nodes), Node::new(line).coloured(Some(WAITS))]
}

fn row(one: &Owned) -> Vec<String> {
    let place = one.named.namespace.as_ref().map_or(String::new(), |namespace| format!("{namespace}/"));
    let ready = one.ready.as_ref().map_or(String::new(), |ready| {
        if ready.ready {
            "ready".to_owned()
        } else {
            format!("not ready: {} {}", ready.reason, ready.message)
        }
    });
    vec![format!("{} {place}{}", one.named.kind, one.named.name), health(one.health).to_owned(), ready]
}

fn health(health: Health) -> &'static str {
    match health {
        Health::InPlace => "in place",
        Health::Missing => "missing",
        Health::Drifted => "drifted",
        Health::Unwanted => "not wanted any more",
        Health::Deleting => "being deleted",
        Health::There => "is there",
    }
}

fn colour(one: &Owned) -> Option<&'static str> {
    match one.health {
        Health::InPlace | Health::There if one.ready.as_ref().is_none_or(|ready| ready.ready) => None,
        Health::Missing | Health::Drifted => Some(BAD),
        _ => Some(WAITS),
    }
}

fn bindings(found: &Found, now: Timestamp) -> Vec<Node> {
    let row = |binding: &Value| {
        vec![
            name(binding).to_owned(),
            text(binding, "/status/phase"),
            age(binding, now),
            text(binding, "/status/message"),
        ]
    };
    let colour = |binding: &Value| (binding["status"]["phase"] == "Failed").then_some(BAD);
    lines(&found.bindings.iter().map(row).collect::<Vec<_>>(), found.bindings.iter().map(colour).collect())
}

fn deliveries(all: &[Value], now: Timestamp) -> Vec<Node> {
    let row = |one: &Value| {
        let mut cells = ["/name", "/event", "/ref", "/verdict"].map(|field| text(one, field)).to_vec();
        cells.push(ago(&text(one, "/time"), now));
        cells.push(text(one, "/message"));
        cells
    };
    let colour = |one: &Value| (one["verdict"] == "Failed").then_some(BAD);
    lines(&all.iter().map(row).collect::<Vec<_>>(), all.iter().map(colour).collect())
}

fn runs(all: &[Value], now: Timestamp) -> Vec<Node> {
    let row = |one: &Value| {
        let name = format!("{}/{}", text(one, "/namespace"), text(one, "/name"));
        vec![name, text(one, "/state"), ago(&text(one, "/time"), now), text(one, "/message")]
    };
    let colour = |one: &Value| match one["state"].as_str() {
        Some("Failed") => Some(BAD),
        Some("Pending" | "Running") => Some(WAITS),
        _ => None,
    };
    lines(&all.iter().map(row).collect::<Vec<_>>(), all.iter().map(colour).collect())
}

/// Where there may be more, for programs.
fn unread(glimpse: &Glimpse) -> Vec<Value> {
    glimpse.unread.iter().map(|(kind, namespace)| json!({ "kind": kind, "namespace": namespace })).collect()
}

/// The same for programs; neither specs nor secrets are in it.
pub(super) fn document(found: &Found) -> Value {
    let object = &found.object;
    let of = |examination: &Examination| json!({ "verdict": examination.verdict, "owned": examination.owned, "foreign": examination.foreign });
    let summary = |object: &Value| {
        json!({
            "apiVersion": object["apiVersion"], "kind": object["kind"],
            "namespace": object["metadata"]["namespace"], "name": object["metadata"]["name"],
            "generation": object["metadata"]["generation"],
            "phase": object["status"]["phase"], "message": object["status"]["message"],
            "conditions": object["status"]["conditions"], "webhookURL": object["status"]["webhookURL"],
        })
    };
    json!({
        "object": summary(object),
        "repositories": object["status"]["repositories"],
        "examination": found.examination.as_ref().map(of),
        "binding": found.below.as_ref().map(of),
        "hidden": found.hidden,
        "seen": found.glimpse.as_ref().map(|glimpse| json!({ "owned": glimpse.owned, "unread": unread(glimpse) })),
        "bindings": found.bindings.iter().map(summary).collect::<Vec<_>>(),
        "deliveries": found.deliveries,
        "hiddenDeliveries": found.unseen,
        "runs": found.runs,
        "hiddenRuns": found.unseen_runs,
        "next": advice::next(found),
    })
}
