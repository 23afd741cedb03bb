//! Cells of workloads.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Cell::{self, Age, Containers, Images, Int, Labels, Made, Name, Or, Ratio, Selector, Text};
use super::{NONE, PODS, condition};
use crate::age;
use crate::fields::{at, int, items, text};
use crate::selector;

pub(super) const DAEMON_SET: &[Cell] = &[
    Name,
    Int("status.desiredNumberScheduled"),
    Int("status.currentNumberScheduled"),
    Int("status.numberReady"),
    Int("status.updatedNumberScheduled"),
    Int("status.numberAvailable"),
    Labels("spec.template.spec.nodeSelector"),
    Age,
    Containers(PODS),
    Images(PODS),
    Selector("spec.selector"),
];

pub(super) const DEPLOYMENT: &[Cell] = &[
    Name,
    Ratio("status.readyReplicas", "spec.replicas"),
    Int("status.updatedReplicas"),
    Int("status.availableReplicas"),
    Age,
    Containers(PODS),
    Images(PODS),
    Made(|deployment, _| json!(selector::requirements(at(deployment, "spec.selector")))),
];

pub(super) const REPLICA_SET: &[Cell] = &[
    Name,
    Int("spec.replicas"),
    Int("status.replicas"),
    Int("status.readyReplicas"),
    Age,
    Containers(PODS),
    Images(PODS),
    Selector("spec.selector"),
];

const CRON_PODS: &str = "spec.jobTemplate.spec.template.spec.containers";

pub(super) const CRON_JOB: &[Cell] = &[
    Name,
    Text("spec.schedule"),
    Or("spec.timeZone", NONE),
    Made(|job, _| suspended(job)),
    Cell::Count(&["status.active"]),
    Made(last_schedule),
    Age,
    Containers(CRON_PODS),
    Images(CRON_PODS),
    Selector("spec.jobTemplate.spec.selector"),
];

pub(super) const JOB: &[Cell] = &[
    Name,
    Made(|job, _| json!(job_status(job))),
    Made(|job, _| completions(job)),
    Made(duration),
    Age,
    Containers(PODS),
    Images(PODS),
    Selector("spec.selector"),
];

fn suspended(job: &Value) -> Value {
    json!(match at(job, "spec.suspend").as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    })
}

fn last_schedule(job: &Value, now: Timestamp) -> Value {
    json!(match text(job, "status.lastScheduleTime") {
        "" => NONE.to_owned(),
        time => age::age(time, now),
    })
}

fn job_status(job: &Value) -> &'static str {
    let is =
        |kind: &str| condition(job, "status.conditions", kind).is_some_and(|c| text(c, "status") == "True");
    let deleting = !text(job, "metadata.deletionTimestamp").is_empty();
    let states = [
        (is("Complete"), "Complete"),
        (is("Failed"), "Failed"),
        (deleting, "Terminating"),
        (is("Suspended"), "Suspended"),
        (is("FailureTarget"), "FailureTarget"),
        (is("SuccessCriteriaMet"), "SuccessCriteriaMet"),
    ];
    states.iter().find(|(holds, _)| *holds).map_or("Running", |(_, state)| state)
}

fn completions(job: &Value) -> Value {
    let done = int(job, "status.succeeded");
    let parallel = int(job, "spec.parallelism");
    json!(match at(job, "spec.completions").as_i64() {
        Some(wanted) => format!("{done}/{wanted}"),
        None if parallel > 1 => format!("{done}/1 of {parallel}"),
        None => format!("{done}/1"),
    })
}

fn duration(job: &Value, now: Timestamp) -> Value {
    let time = |path: &str| text(job, path).parse::<Timestamp>().ok();
    let started = time("status.startTime");
    json!(started.map_or_else(String::new, |start| {
        age::between(start, time("status.completionTime").unwrap_or(now))
    }))
}

/// The controller of a ControllerRevision, as `kind.group/name`.
pub(super) fn controller(revision: &Value, _: Timestamp) -> Value {
    let owner = items(revision, "metadata.ownerReferences").iter().find(|owner| owner["controller"] == true);
    json!(owner.map_or_else(
        || NONE.to_owned(),
        |owner| {
            let kind = text(owner, "kind").to_lowercase();
            match text(owner, "apiVersion").split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{}", text(owner, "name")),
                None => format!("{kind}/{}", text(owner, "name")),
            }
        }
    ))
}

/// A bound of a disruption budget: a number or a percentage.
pub(super) fn bound(budget: &Value, path: &str) -> Value {
    match at(budget, path) {
        Value::Null => json!("N/A"),
        Value::Number(number) => json!(number.to_string()),
        other => other.clone(),
    }
}
