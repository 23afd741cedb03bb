//! Cells of horizontal pod autoscalers.

use serde_json::{Value, json};

use super::Cell::{self, Age, Int, Made, Name};
use super::NONE;
use crate::fields::{at, has, items, text};

/// How many metrics a cell shows.
const SHOWN: usize = 2;
const UNKNOWN: &str = "<unknown>";

pub(super) const AUTOSCALER: &[Cell] = &[
    Name,
    Made(|scaler, _| {
        json!(format!(
            "{}/{}",
            text(scaler, "spec.scaleTargetRef.kind"),
            text(scaler, "spec.scaleTargetRef.name")
        ))
    }),
    Made(|scaler, _| json!(metrics(scaler))),
    Made(|scaler, _| {
        json!(
            at(scaler, "spec.minReplicas")
                .as_i64()
                .map_or_else(|| "<unset>".to_owned(), |min| min.to_string())
        )
    }),
    Int("spec.maxReplicas"),
    Int("status.currentReplicas"),
    Age,
];

fn metrics(scaler: &Value) -> String {
    let specs = items(scaler, "spec.metrics");
    if specs.is_empty() {
        return old_metrics(scaler);
    }
    let statuses = items(scaler, "status.currentMetrics");
    let all = specs.iter().enumerate().map(|(i, spec)| metric(spec, statuses.get(i).unwrap_or(&Value::Null)));
    let shown = all.take(SHOWN).collect::<Vec<_>>().join(", ");
    match specs.len() - specs.len().min(SHOWN) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

/// Version 1 knows one metric: the processor.
fn old_metrics(scaler: &Value) -> String {
    let percent = |path: &str| at(scaler, path).as_i64().map(|value| format!("{value}%"));
    match percent("spec.targetCPUUtilizationPercentage") {
        Some(target) => {
            let current = percent("status.currentCPUUtilizationPercentage");
            format!("cpu: {}/{target}", current.as_deref().unwrap_or(UNKNOWN))
        }
        None => NONE.to_owned(),
    }
}

fn metric(spec: &Value, status: &Value) -> String {
    let (field, named) = match text(spec, "type") {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let (target, current) = (at(spec, field), at(status, field));
    let average = has(target, "target.averageValue");
    let pair = if named && !average {
        let percent = |value: &Value| value.as_i64().map(|value| format!("{value}%"));
        let current = percent(at(current, "current.averageUtilization"));
        let target = percent(at(target, "target.averageUtilization"));
        format!("{}/{}", current.as_deref().unwrap_or(UNKNOWN), target.as_deref().unwrap_or("<auto>"))
    } else {
        let value = if average { "averageValue" } else { "value" };
        let mark = if average && !named && field != "pods" { " (avg)" } else { "" };
        let current = at(current, "current").get(value).and_then(Value::as_str).unwrap_or(UNKNOWN);
        format!("{current}/{}{mark}", at(target, "target").get(value).and_then(Value::as_str).unwrap_or("0"))
    };
    if named { format!("{}: {pair}", text(target, "name")) } else { pair }
}
