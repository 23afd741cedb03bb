//! Cells of pods: the one state that sums up all containers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::condition;
use crate::age::age;
use crate::fields::{at, has, int, items, text};

const NONE: &str = "<none>";

/// What the containers of a pod come to.
struct Summary {
    ready: usize,
    restarts: i64,
    restarted: Option<Timestamp>,
    state: String,
}

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let sidecars = items(pod, "spec.initContainers").iter().filter(|container| is_sidecar(container)).count();
    let total = items(pod, "spec.containers").len() + sidecars;
    let summary = summarize(pod);
    let restarts = match summary.restarted.filter(|_| summary.restarts != 0) {
        Some(time) => format!("{} ({} ago)", summary.restarts, crate::age::between(time, now)),
        None => summary.restarts.to_string(),
    };
    let or_none = |text: &str| json!(if text.is_empty() { NONE } else { text });
    let address = items(pod, "status.podIPs").first().map_or("", |ip| text(ip, "ip"));
    vec![
        json!(text(pod, "metadata.name")),
        json!(format!("{}/{total}", summary.ready)),
        json!(summary.state),
        json!(restarts),
        json!(age(text(pod, "metadata.creationTimestamp"), now)),
        or_none(address),
        or_none(text(pod, "spec.nodeName")),
        or_none(text(pod, "status.nominatedNodeName")),
        json!(readiness_gates(pod)),
    ]
}

fn is_sidecar(container: &Value) -> bool {
    text(container, "restartPolicy") == "Always"
}

fn summarize(pod: &Value) -> Summary {
    let phase = text(pod, "status.phase");
    let mut state = match text(pod, "status.reason") {
        "" => phase.to_owned(),
        reason => reason.to_owned(),
    };
    let gated = items(pod, "status.conditions").iter().any(|condition| {
        text(condition, "type") == "PodScheduled" && text(condition, "reason") == "SchedulingGated"
    });
    if gated {
        "SchedulingGated".clone_into(&mut state);
    }
    let mut summary = Summary { ready: 0, restarts: 0, restarted: None, state };
    let sidecars = initialize(pod, &mut summary);
    let initialized = condition(pod, "status.conditions", "Initialized").is_some_and(is_true);
    if sidecars.done || initialized {
        summary.restarts = sidecars.restarts;
        summary.restarted = sidecars.restarted;
        run(pod, &mut summary);
    }
    if has(pod, "metadata.deletionTimestamp") {
        if text(pod, "status.reason") == "NodeLost" {
            "Unknown".clone_into(&mut summary.state);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut summary.state);
        }
    }
    summary
}

fn is_true(condition: &Value) -> bool {
    text(condition, "status") == "True"
}

/// What init containers that go on running leave behind.
struct Sidecars {
    done: bool,
    restarts: i64,
    restarted: Option<Timestamp>,
}

fn initialize(pod: &Value, summary: &mut Summary) -> Sidecars {
    let containers = items(pod, "spec.initContainers");
    let mut sidecars = Sidecars { done: true, restarts: 0, restarted: None };
    for (index, status) in items(pod, "status.initContainerStatuses").iter().enumerate() {
        let spec = containers.iter().find(|container| text(container, "name") == text(status, "name"));
        let is_sidecar = spec.is_some_and(is_sidecar);
        summary.restarts += int(status, "restartCount");
        summary.restarted = summary.restarted.max(last_end(status));
        if is_sidecar {
            sidecars.restarts += int(status, "restartCount");
            sidecars.restarted = sidecars.restarted.max(last_end(status));
        }
        let ended = has(status, "state.terminated");
        if ended && int(status, "state.terminated.exitCode") == 0 {
            continue;
        }
        if is_sidecar && at(status, "started") == true {
            summary.ready += usize::from(at(status, "ready") == true);
            continue;
        }
        let waiting = text(status, "state.waiting.reason");
        summary.state = if ended {
            format!("Init:{}", end_reason(status))
        } else if !matches!(waiting, "" | "PodInitializing") {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", containers.len())
        };
        sidecars.done = false;
        break;
    }
    sidecars
}

fn run(pod: &Value, summary: &mut Summary) {
    let mut running = false;
    let mut failure = String::new();
    for status in items(pod, "status.containerStatuses").iter().rev() {
        summary.restarts += int(status, "restartCount");
        summary.restarted = summary.restarted.max(last_end(status));
        let waiting = text(status, "state.waiting.reason");
        if !waiting.is_empty() {
            waiting.clone_into(&mut summary.state);
        } else if has(status, "state.terminated") {
            summary.state = end_reason(status);
            if int(status, "state.terminated.exitCode") != 0 {
                failure.clone_from(&summary.state);
            }
        } else if at(status, "ready") == true && has(status, "state.running") {
            running = true;
            summary.ready += 1;
        }
    }
    if summary.state != "Completed" {
        return;
    }
    let ready = items(pod, "status.conditions").iter().any(|c| text(c, "type") == "Ready" && is_true(c));
    if running && ready {
        "Running".clone_into(&mut summary.state);
    } else if !failure.is_empty() {
        summary.state = failure;
    } else if running {
        "NotReady".clone_into(&mut summary.state);
    }
}

fn last_end(status: &Value) -> Option<Timestamp> {
    text(status, "lastState.terminated.finishedAt").parse().ok()
}

fn end_reason(status: &Value) -> String {
    let end = at(status, "state.terminated");
    match (text(end, "reason"), int(end, "signal")) {
        ("", 0) => format!("ExitCode:{}", int(end, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = items(pod, "spec.readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let open = gates
        .iter()
        .filter(|gate| condition(pod, "status.conditions", text(gate, "conditionType")).is_some_and(is_true));
    format!("{}/{}", open.count(), gates.len())
}
