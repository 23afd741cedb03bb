//! Workloads: selectors that select their own pods, strategies, pod templates.

use aphex_schema::FieldErrorKind::{Invalid, NotSupported};
use aphex_schema::{FieldError, Path, golang};
use serde_json::{Value, json};

use super::rules::is_empty;
use super::{amount, internal, pod, selector, selects};
use crate::fields::{at, has, int, items, text};

pub(super) fn check(kind: &str, spec: &Value, errors: &mut Vec<FieldError>) {
    if !matches!(kind, "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") {
        return;
    }
    let path = Path::root().child("spec");
    template(kind, spec, &path, errors);
    match kind {
        "Deployment" => deployment(spec, &path, errors),
        "StatefulSet" => stateful_set(spec, &path, errors),
        "DaemonSet" if !matches!(text(spec, "updateStrategy.type"), "RollingUpdate" | "OnDelete") => {
            let why = r#"supported values: "RollingUpdate", "OnDelete""#;
            let shown = strategy(spec, "updateStrategy");
            errors.push(internal(NotSupported, &path.child("updateStrategy"), &shown, why));
        }
        _ => {}
    }
}

/// The selector and the pods it is meant for.
fn template(kind: &str, spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (given, labels) = (at(spec, "selector"), at(spec, "template.metadata.labels"));
    let template = path.child("template");
    let before = errors.len();
    if given.is_null() {
        errors.push(FieldError::required(&path.child("selector"), ""));
    } else {
        selector::check(given, &path.child("selector"), errors);
    }
    let sound = given.is_null() || errors.len() == before;
    if !given.is_null() && is_empty(at(given, "matchLabels")) && is_empty(at(given, "matchExpressions")) {
        let whose = match kind {
            "StatefulSet" => "statefulset",
            "DaemonSet" => "daemonset",
            _ => "deployment",
        };
        let why = format!("empty selector is invalid for {whose}");
        errors.push(FieldError::invalid(&path.child("selector"), given.clone(), why));
    }
    if !sound {
        let path = path.child("selector");
        errors.push(FieldError::invalid(&path, given.clone(), "invalid label selector"));
    } else if given.is_null() || !selects(given, labels) {
        let why = "`selector` does not match template `labels`";
        let path = template.child("metadata").child("labels");
        errors.push(FieldError::invalid(&path, labels.clone(), why));
    }
    pod::labels(labels, &template.child("labels"), errors);
    let template = template.child("spec");
    match kind {
        "StatefulSet" => pod::spec(&with_claims(spec), &template, errors),
        _ => pod::spec(at(spec, "template.spec"), &template, errors),
    }
    let restart = text(spec, "template.spec.restartPolicy");
    if matches!(restart, "OnFailure" | "Never") {
        errors.push(FieldError::not_supported(&template.child("restartPolicy"), restart, &["Always"]));
    }
    if has(spec, "template.spec.activeDeadlineSeconds") {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(&template.child("activeDeadlineSeconds"), why));
    }
}

/// The pods of a stateful set as its controller makes them (`ValidateStatefulSetSpec`): each claim is a volume, in the place of one of
/// that name, and their host names are the controller's.
fn with_claims(spec: &Value) -> Value {
    let mut pods = at(spec, "template.spec").clone();
    let Some(fields) = pods.as_object_mut() else { return pods };
    fields.remove("subdomain");
    fields.remove("hostname");
    let names: Vec<&str> =
        items(spec, "volumeClaimTemplates").iter().map(|claim| text(claim, "metadata.name")).collect();
    if names.is_empty() {
        return pods;
    }
    let claim = |name: &&str| json!({ "name": name, "persistentVolumeClaim": { "claimName": name } });
    let own = items(at(spec, "template.spec"), "volumes").iter();
    let others = own.filter(|volume| !names.contains(&text(volume, "name"))).cloned();
    let volumes: Vec<Value> = names.iter().map(claim).chain(others).collect();
    fields.insert("volumes".to_owned(), Value::Array(volumes));
    pods
}

/// A strategy as it is shown in messages.
fn strategy(spec: &Value, field: &str) -> String {
    format!(r#"{{"Type":{},"RollingUpdate":null}}"#, golang::quote(text(spec, &format!("{field}.type"))))
}

fn deployment(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let strategy_path = path.child("strategy");
    let rolling = at(spec, "strategy.rollingUpdate");
    let rolling_path = strategy_path.child("rollingUpdate");
    match text(spec, "strategy.type") {
        "Recreate" if !rolling.is_null() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(&rolling_path, why));
        }
        "Recreate" => {}
        "RollingUpdate" => {
            let none = |field: &str| at(rolling, field) == 0 || at(rolling, field) == "0%";
            amount(at(rolling, "maxUnavailable"), &rolling_path.child("maxUnavailable"), true, errors);
            amount(at(rolling, "maxSurge"), &rolling_path.child("maxSurge"), false, errors);
            if none("maxUnavailable") && none("maxSurge") {
                let why = "may not be 0 when `maxSurge` is 0";
                let value = at(rolling, "maxUnavailable").clone();
                errors.push(FieldError::invalid(&rolling_path.child("maxUnavailable"), value, why));
            }
        }
        _ => {
            let why = r#"supported values: "Recreate", "RollingUpdate""#;
            errors.push(internal(NotSupported, &strategy_path, &strategy(spec, "strategy"), why));
        }
    }
    if let Some(deadline) = at(spec, "progressDeadlineSeconds").as_i64()
        && deadline <= int(spec, "minReadySeconds")
    {
        let why = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid(&path.child("progressDeadlineSeconds"), deadline, why));
    }
}

fn stateful_set(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let management = text(spec, "podManagementPolicy");
    if !matches!(management, "OrderedReady" | "Parallel") {
        let why = "must be 'OrderedReady' or 'Parallel'";
        errors.push(FieldError::invalid(&path.child("podManagementPolicy"), management, why));
    }
    if !matches!(text(spec, "updateStrategy.type"), "RollingUpdate" | "OnDelete") {
        let why = "must be 'RollingUpdate' or 'OnDelete'";
        let value = strategy(spec, "updateStrategy");
        errors.push(internal(Invalid, &path.child("updateStrategy"), &value, why));
    }
}

/// Little of a stateful set may change.
pub(super) fn set_update(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    const CHANGEABLE: &[&str] = &[
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let rest = |object: &Value| {
        let mut spec = at(object, "spec").clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|field, _| !CHANGEABLE.contains(&field.as_str()));
        }
        spec
    };
    if rest(new) != rest(old) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                   'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                   'minReadySeconds' are forbidden";
        errors.push(FieldError::forbidden(&Path::root().child("spec"), why));
    }
}
