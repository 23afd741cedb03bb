//! Nobody grants what they do not hold: the check on writes of roles and bindings.
//!
//! `pkg/registry/rbac/*/policybased/storage.go` of Kubernetes 1.35. The verb `escalate` on a role and `bind` on the
//! role a binding names lift it; so does membership in `system:masters`.

use std::sync::Arc;

use aphex_auth::rbac::{escalation, rules_of_reference};
use aphex_auth::{Attributes, Index, PolicyRule, RoleRef, authorize, rules_for};
use serde::Deserialize;
use serde_json::Value;

use crate::admission::{Operation, Write};
use crate::object;
use crate::status::Status;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Refuses a role or binding that gives more than the caller holds. Other objects pass.
pub(crate) fn check(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    let call = write.call;
    if call.resource.group != GROUP || write.operation == Operation::Delete || call.user.is_master() {
        return Ok(());
    }
    if write.old.is_some_and(|old| only_collection_changes(object, old)) {
        return Ok(());
    }
    let roles = call.server.access.roles.current();
    match call.resource.plural.as_str() {
        "roles" | "clusterroles" => check_role(write, object, &roles),
        "rolebindings" | "clusterrolebindings" => check_binding(write, object, &roles),
        _ => Ok(()),
    }
}

/// Finalizers and owners may change without a look at the rules, so that anyone may let a deletion proceed.
fn only_collection_changes(object: &Value, old: &Value) -> bool {
    let bare = |object: &Value| {
        let mut bare = object.clone();
        for field in ["ownerReferences", "finalizers", "selfLink", "managedFields"] {
            object::set_meta(&mut bare, field, None);
        }
        bare
    };
    bare(object) == bare(old)
}

fn check_role(write: &Write<'_>, role: &Value, roles: &Arc<Index>) -> Result<(), Status> {
    let call = write.call;
    let escalate = Attributes {
        version: "*",
        namespace: call.namespace(),
        name: call.name(),
        ..Attributes::resource(&call.user, "escalate", GROUP, &call.resource.plural)
    };
    if authorize(&**roles, &escalate).allowed {
        return Ok(());
    }
    let wanted = rules(role)?;
    let held = rules_for(&**roles, &call.user, call.namespace());
    let forbidden = |why: &str| Status::forbidden(GROUP, &call.resource.plural, object::name(role), why);
    if let Some(why) = escalation::refusal(&call.user, &held, &wanted) {
        return Err(forbidden(&why));
    }
    // An aggregated role can gather anything, and be kept from being narrowed.
    let aggregates = |role: &Value| {
        let selectors = object::at(role, "aggregationRule.clusterRoleSelectors").and_then(Value::as_array);
        selectors.is_some_and(|list| !list.is_empty())
    };
    if (aggregates(role) || write.old.is_some_and(aggregates))
        && escalation::refusal(&call.user, &held, &everything()).is_some()
    {
        return Err(forbidden("must have cluster-admin privileges to use the aggregationRule"));
    }
    Ok(())
}

fn check_binding(write: &Write<'_>, binding: &Value, roles: &Arc<Index>) -> Result<(), Status> {
    let call = write.call;
    let reference = Option::<RoleRef>::deserialize(&binding["roleRef"]).ok().flatten().unwrap_or_default();
    let plural = match reference.kind.as_str() {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        // Validation says what is wrong.
        _ => return Ok(()),
    };
    let bind = Attributes {
        version: "*",
        namespace: call.namespace(),
        name: &reference.name,
        ..Attributes::resource(&call.user, "bind", &reference.api_group, plural)
    };
    if authorize(&**roles, &bind).allowed {
        return Ok(());
    }
    let Ok(wanted) = rules_of_reference(&**roles, &reference, call.namespace()) else {
        // Kubernetes names the resource that is written, not the role.
        return Err(Status::not_found(GROUP, &call.resource.plural, &reference.name));
    };
    let held = rules_for(&**roles, &call.user, call.namespace());
    match escalation::refusal(&call.user, &held, &wanted) {
        None => Ok(()),
        Some(why) => Err(Status::forbidden(GROUP, &call.resource.plural, object::name(binding), &why)),
    }
}

/// The rules of a role; what cannot be read as rules must not pass for none.
fn rules(role: &Value) -> Result<Vec<PolicyRule>, Status> {
    let rules = role.get("rules").unwrap_or(&Value::Null);
    Option::deserialize(rules)
        .map(Option::unwrap_or_default)
        .map_err(|error| Status::bad_request(format!("the rules cannot be read: {error}")))
}

fn everything() -> [PolicyRule; 2] {
    let all = || vec!["*".to_owned()];
    [
        PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() },
        PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() },
    ]
}
