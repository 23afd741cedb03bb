//! `PodSecurity`: the labels of a namespace say what its pods may do.

use std::collections::{BTreeMap, HashSet};

use aphex_kinds::security::{self, Level, Standard, Violation};
use serde_json::Value;

use super::{Operation, Write, lookup};
use crate::object;
use crate::status::Status;

/// Subresources of pods that do not change what a pod may do.
const HARMLESS: &[&str] = &["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];
/// A namespace's new level is only checked against that many of its pods.
const MOST_PODS: usize = 3000;

/// Checks pods against their namespace, what makes pods likewise, and namespaces against their pods.
pub(super) fn check(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    if write.is_of("", "namespaces") {
        return if write.is_whole() { check_namespace(write, object) } else { Ok(()) };
    }
    if write.call.resource.custom().is_some() || !write.call.resource.namespaced {
        return Ok(());
    }
    let resource = &write.call.resource;
    let pods = write.is_of("", "pods");
    if HARMLESS.contains(&write.call.subresource()) || !pods && !write.is_whole() {
        return Ok(());
    }
    let Some((metadata, spec)) = security::pod_of(&resource.group, &resource.plural, object) else {
        return Ok(());
    };
    let namespace = lookup::get(&write.call.server, "", "namespaces", "", write.call.namespace());
    let (policy, errors) = security::policy_of(namespace.as_ref().unwrap_or(&Value::Null));
    if errors.is_empty() && policy.is_free() {
        return Ok(());
    }
    if pods && write.old.is_some_and(|old| !security::is_significant_update(object, old)) {
        return Ok(());
    }
    let found = |standard: Standard| security::violations(standard, metadata, spec);
    if pods {
        let violations = found(policy.enforce);
        if !violations.is_empty() {
            return Err(write.forbid(object, &told("violates", policy.enforce, &violations)));
        }
    }
    let violations = found(policy.warn);
    if !violations.is_empty() {
        write.call.warnings.add(told("would violate", policy.warn, &violations));
    }
    Ok(())
}

fn told(verb: &str, standard: Standard, violations: &[Violation]) -> String {
    format!("{verb} PodSecurity \"{standard}\": {}", security::details(violations))
}

fn check_namespace(write: &Write<'_>, namespace: &Value) -> Result<(), Status> {
    let (policy, errors) = security::policy_of(namespace);
    let invalid = |errors| Status::invalid("", "Namespace", object::name(namespace), errors);
    let (Operation::Update, Some(old)) = (write.operation, write.old) else {
        return if errors.is_empty() { Ok(()) } else { Err(invalid(errors)) };
    };
    let (before, old_errors) = security::policy_of(old);
    if !errors.is_empty() && errors != old_errors {
        return Err(invalid(errors));
    }
    let (new, old) = (policy.enforce, before.enforce);
    let no_stricter = new.version == old.version && new.level <= old.level;
    if new.level == Level::Privileged || no_stricter {
        return Ok(());
    }
    for warning in pods_in_violation(write, object::name(namespace), new)? {
        write.call.warnings.add(warning);
    }
    Ok(())
}

/// Warnings about pods that a new level would not let in.
fn pods_in_violation(write: &Write<'_>, namespace: &str, enforce: Standard) -> Result<Vec<String>, Status> {
    let pods = one_a_controller(lookup::list(&write.call.server, "", "pods", namespace)?);
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in pods.iter().take(MOST_PODS) {
        let violations = security::violations(enforce, &pod["metadata"], &pod["spec"]);
        if !violations.is_empty() {
            found.entry(security::reasons(&violations)).or_default().push(object::name(pod));
        }
    }
    let mut warnings = Vec::new();
    if pods.len() > MOST_PODS {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {MOST_PODS} of {} existing pods",
            pods.len()
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{enforce}\""
        ));
    }
    let mut details: Vec<String> = found
        .into_iter()
        .map(|(reasons, names)| {
            let first = names.iter().min().copied().unwrap_or_default();
            match names.len() - 1 {
                0 => format!("{first}: {reasons}"),
                1 => format!("{first} (and 1 other pod): {reasons}"),
                others => format!("{first} (and {others} other pods): {reasons}"),
            }
        })
        .collect();
    details.sort();
    warnings.extend(details);
    Ok(warnings)
}

/// Pods of the same controller look alike, so the others come last.
fn one_a_controller(pods: Vec<Value>) -> Vec<Value> {
    let mut seen = HashSet::new();
    let (mut first, others): (Vec<Value>, Vec<Value>) = pods.into_iter().partition(|pod| {
        let owners = object::meta(pod, "ownerReferences").and_then(Value::as_array);
        let mut owners = owners.into_iter().flatten();
        let controller =
            owners.find(|owner| owner["controller"] == true).and_then(|owner| owner["uid"].as_str());
        controller.is_none_or(|uid| seen.insert(uid.to_owned()))
    });
    first.extend(others);
    first
}
