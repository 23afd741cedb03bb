//! Defaults of workloads that depend on other fields, and of the pod templates in them.

use serde_json::{Map, Value, json};

use super::fill::Default::{Bool, Number, Text};
use super::fill::{each, fill};
use super::{map_at_value, pod, quantities};
use crate::fields::{at, has, items, map, map_at, text};

pub(super) fn deployment(deployment: &mut Value) {
    pod::template(map_at_value(deployment, "template"));
    if text(deployment, "spec.strategy.type") == "RollingUpdate" {
        let rolling = map_at(deployment, "spec.strategy.rollingUpdate");
        for field in ["maxUnavailable", "maxSurge"] {
            unless_given(rolling, field, json!("25%"));
        }
    }
}

pub(super) fn daemon_set(set: &mut Value) {
    pod::template(map_at_value(set, "template"));
    if text(set, "spec.updateStrategy.type") == "RollingUpdate" {
        let rolling = map_at(set, "spec.updateStrategy.rollingUpdate");
        unless_given(rolling, "maxUnavailable", json!(1));
        unless_given(rolling, "maxSurge", json!(0));
    }
}

pub(super) fn stateful_set(set: &mut Value) {
    pod::template(map_at_value(set, "template"));
    if text(set, "spec.updateStrategy.type").is_empty() {
        map_at(set, "spec.updateStrategy").insert("type".to_owned(), json!("RollingUpdate"));
        map_at(set, "spec.updateStrategy.rollingUpdate");
    }
    if text(set, "spec.updateStrategy.type") == "RollingUpdate" {
        fill(set, &[("spec.updateStrategy.rollingUpdate?.partition", Number(0))]);
    }
    each(set, "spec.volumeClaimTemplates[]", &mut |claim| {
        fill(claim, &[("apiVersion", Text("v1")), ("kind", Text("PersistentVolumeClaim"))]);
        quantities::rounded(claim, "spec.resources.limits");
        quantities::rounded(claim, "spec.resources.requests");
        fill(claim, &[("spec.resources", super::fill::Default::Object)]);
    });
}

/// A controller without a selector or labels takes over those of its pods.
pub(super) fn replication_controller(controller: &mut Value) {
    if !has(controller, "spec.template") {
        return;
    }
    pod::template(map_at_value(controller, "template"));
    let labels = at(controller, "spec.template.metadata.labels").clone();
    if labels.is_null() {
        return;
    }
    if is_empty(at(controller, "spec.selector")) {
        map_at(controller, "spec").insert("selector".to_owned(), labels.clone());
    }
    if is_empty(at(controller, "metadata.labels")) {
        map_at(controller, "metadata").insert("labels".to_owned(), labels);
    }
}

pub(super) fn job(job: &mut Value) {
    job_spec(map_at_value_of(job));
    fill(job, &[("spec.manualSelector", Bool(false))]);
    let (parallel, whole) = (has(job, "spec.parallelism"), has(job, "spec.completions"));
    if !parallel && !whole {
        map_at(job, "spec").insert("completions".to_owned(), json!(1));
    }
    fill(job, &[("spec.parallelism", Number(1))]);
    let retries = if has(job, "spec.backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
    unless_given(map_at(job, "spec"), "backoffLimit", json!(retries));
    let replacement = if has(job, "spec.podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    unless_given(map_at(job, "spec"), "podReplacementPolicy", json!(replacement));
    let labels = at(job, "spec.template.metadata.labels").clone();
    if !labels.is_null() && is_empty(at(job, "metadata.labels")) {
        map_at(job, "metadata").insert("labels".to_owned(), labels);
    }
}

pub(super) fn cron_job(cron: &mut Value) {
    let template = map(map_at_value(cron, "jobTemplate")).entry("spec").or_insert(Value::Null);
    job_spec(template);
    // Only jobs themselves get the defaults of their spec.
    fill(template, &[("podFailurePolicy?.rules[].onPodConditions[].status", Text("True"))]);
}

fn job_spec(spec: &mut Value) {
    pod::template(map(spec).entry("template").or_insert(Value::Null));
}

fn map_at_value_of(object: &mut Value) -> &mut Value {
    map(object).entry("spec").or_insert(Value::Null)
}

/// Processor use is what an autoscaler watches if it is told nothing; half a behaviour is completed.
pub(super) fn autoscaler(scaler: &mut Value) {
    if items(scaler, "spec.metrics").is_empty() {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        map_at(scaler, "spec").insert("metrics".to_owned(), json!([metric]));
    }
    each(scaler, "spec.behavior", &mut |behavior| {
        let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        let up = map_at(behavior, "scaleUp");
        unless_given(up, "stabilizationWindowSeconds", json!(0));
        unless_given(up, "selectPolicy", json!("Max"));
        unless_given(up, "policies", json!([pods, percent]));
        let down = map_at(behavior, "scaleDown");
        unless_given(down, "selectPolicy", json!("Max"));
        unless_given(down, "policies", json!([percent]));
    });
}

fn unless_given(map: &mut Map<String, Value>, field: &str, value: Value) {
    let slot = map.entry(field).or_insert(Value::Null);
    if slot.is_null() {
        *slot = value;
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_none_or(Map::is_empty)
}
