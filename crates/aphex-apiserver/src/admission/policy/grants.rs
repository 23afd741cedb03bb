//! Nobody lets a policy read what they may not read themselves: the check on writes of policies and bindings.
//!
//! `pkg/registry/admissionregistration/validatingadmissionpolicy*/authz.go` of Kubernetes 1.35.

use aphex_auth::{Attributes, User, authorize};
use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use serde_json::Value;

use super::{GROUP, is_policy};
use crate::admission::{Operation, Write, lookup};
use crate::object;
use crate::resource::split_api_version;
use crate::status::Status;

/// Refuses a policy or binding whose parameters the caller may not read. Other objects pass.
pub(crate) fn check(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    let call = write.call;
    if !is_policy(&call.resource)
        || !write.is_whole()
        || write.operation == Operation::Delete
        || call.user.is_master()
    {
        return Ok(());
    }
    if call.resource.kind == "ValidatingAdmissionPolicy" {
        check_policy(write, object)
    } else {
        check_binding(write, object)
    }
}

/// The resource that parameters of a kind are: group, version, plural; `*` for what is not known.
fn target(write: &Write<'_>, kind: &Value) -> (String, String, String) {
    let text = |field: &str| kind.get(field).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = split_api_version(text("apiVersion"));
    let snapshot = write.call.server.registry.snapshot();
    let plural =
        snapshot.by_kind(group, version, text("kind")).map_or("*", |resource| resource.plural.as_str());
    (group.to_owned(), version.to_owned(), plural.to_owned())
}

fn may(
    write: &Write<'_>,
    verb: &str,
    target: &(String, String, String),
    namespace: &str,
    name: &str,
) -> bool {
    let (group, version, plural) = target;
    let asked = Attributes {
        version,
        namespace,
        name,
        ..Attributes::resource(&write.call.user, verb, group, plural)
    };
    authorize(&*write.call.server.access.roles.current(), &asked).allowed
}

/// Told as a finding of validation, which is where Kubernetes looks at this.
fn refusal(write: &Write<'_>, object: &Value, field: &str, why: String) -> Status {
    let path = Path::root().child("spec").child(field);
    write.call.invalid(object, vec![FieldError::forbidden(&path, why)])
}

/// A user as Go prints the structure.
fn shown(user: &User) -> String {
    let extra: Vec<String> =
        user.extra.iter().map(|(key, values)| format!("{key}:[{}]", values.join(" "))).collect();
    format!("&{{{} {} [{}] map[{}]}}", user.name, user.uid, user.groups.join(" "), extra.join(" "))
}

fn check_policy(write: &Write<'_>, policy: &Value) -> Result<(), Status> {
    let kind = object::at(policy, "spec.paramKind").filter(|kind| kind.is_object());
    let Some(kind) = kind else { return Ok(()) };
    let before = write.old.and_then(|old| object::at(old, "spec.paramKind"));
    if before == Some(kind) || may(write, "get", &target(write, kind), "*", "*") {
        return Ok(());
    }
    let text = |field: &str| kind.get(field).and_then(Value::as_str).unwrap_or_default();
    let why = format!(
        "user {} must have \"get\" permission on all objects of the referenced paramKind (kind={}, apiVersion={})",
        shown(&write.call.user),
        text("kind"),
        text("apiVersion")
    );
    Err(refusal(write, policy, "paramKind", why))
}

fn check_binding(write: &Write<'_>, binding: &Value) -> Result<(), Status> {
    let reference = object::at(binding, "spec.paramRef").filter(|reference| reference.is_object());
    let Some(reference) = reference else { return Ok(()) };
    let same = |old: &Value| {
        ["spec.paramRef", "spec.policyName"].iter().all(|at| object::at(old, at) == object::at(binding, at))
    };
    if write.old.is_some_and(same) {
        return Ok(());
    }
    let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default();
    let (user, server) = (&write.call.user, &write.call.server);
    let verb = if text("name").is_empty() { "list" } else { "get" };
    let name = object::at(binding, "spec.policyName").and_then(Value::as_str).unwrap_or_default();
    let policy = lookup::get(server, GROUP, "validatingadmissionpolicies", "", name);
    let kind = policy.as_ref().and_then(|policy| object::at(policy, "spec.paramKind"));
    let everything = || ("*".to_owned(), "*".to_owned(), "*".to_owned());
    let target = kind.map_or_else(everything, |kind| target(write, kind));
    if may(write, verb, &target, text("namespace"), text("name")) {
        return Ok(());
    }
    let why = if policy.is_none() {
        format!(
            "unable to get policy {name} to determine minimum required permissions and user {} does not have \
             \"{verb}\" permission for all groups, versions and resources",
            shown(user)
        )
    } else {
        format!(
            "user {} does not have \"{verb}\" permission on the object referenced by paramRef",
            shown(user)
        )
    };
    Err(refusal(write, binding, "paramRef", why))
}
