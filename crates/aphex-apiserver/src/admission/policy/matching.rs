//! Whether a policy or binding applies to a write, and to which version of the resource.

use std::sync::Arc;

use serde_json::Value;

use super::attributes::Attributes;
use super::constraints::{Constraints, Rule, Scope};
use crate::admission::{Operation, lookup};
use crate::object;
use crate::resource::Resource;

/// The version of the written resource that the rules name; none where they do not apply.
///
/// The rules are looked at before the selectors, which cost more.
pub(super) fn matches(attributes: &Attributes<'_>, constraints: &Constraints) -> Option<Arc<Resource>> {
    let matched = if constraints.rules.is_empty() {
        Arc::clone(&attributes.write.call.resource)
    } else {
        any(attributes, &constraints.rules, constraints.exact)?
    };
    let selected =
        in_namespace(attributes, &constraints.namespaces) && is_selected(attributes, &constraints.objects);
    (selected && any(attributes, &constraints.excluded, constraints.exact).is_none()).then_some(matched)
}

/// The version in which one of the rules matches: the written one first, then others that mean the same.
fn any(attributes: &Attributes<'_>, rules: &[Rule], exact: bool) -> Option<Arc<Resource>> {
    let own = &attributes.write.call.resource;
    if rules.iter().any(|rule| rule_matches(attributes, rule, own)) {
        return Some(Arc::clone(own));
    }
    if exact || rules.is_empty() {
        return None;
    }
    let mut views = attributes.other_views().iter();
    views.find(|other| rules.iter().any(|rule| rule_matches(attributes, rule, other))).map(Arc::clone)
}

fn rule_matches(attributes: &Attributes<'_>, rule: &Rule, resource: &Resource) -> bool {
    let lists = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
    let clustered = attributes.is_namespace() || attributes.namespace.is_empty();
    let in_scope = match rule.scope {
        Scope::All => true,
        Scope::Cluster => clustered,
        Scope::Namespaced => !clustered,
    };
    in_scope
        && lists(&rule.operations, attributes.operation)
        && lists(&rule.groups, &resource.group)
        && lists(&rule.versions, &resource.version)
        && rule.resources.iter().any(|item| names(item, &resource.plural, attributes.subresource()))
        && (rule.names.is_empty() || rule.names.iter().any(|name| name == attributes.name))
}

/// `pods`, `pods/status`, `pods/*`, `*/scale`, `*`, `*/*`.
fn names(item: &str, plural: &str, subresource: &str) -> bool {
    let (resource, sub) = item.split_once('/').unwrap_or((item, ""));
    (resource == "*" || resource == plural) && (sub == "*" || sub == subresource)
}

fn is_everything(selector: &Value) -> bool {
    let empty = |field: &str| match selector.get(field) {
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        _ => true,
    };
    empty("matchLabels") && empty("matchExpressions")
}

fn labels(object: &Value) -> &Value {
    static NONE: Value = Value::Null;
    object::meta(object, "labels").unwrap_or(&NONE)
}

/// Objects of the cluster, namespaces aside, are in no namespace and therefore never left out.
fn in_namespace(attributes: &Attributes<'_>, selector: &Value) -> bool {
    if is_everything(selector) || attributes.namespace.is_empty() {
        return true;
    }
    let changes = attributes.write.operation != Operation::Delete && attributes.subresource().is_empty();
    if let (true, true, Some(namespace)) = (attributes.is_namespace(), changes, attributes.object) {
        return aphex_kinds::selects(selector, labels(namespace));
    }
    let server = &attributes.write.call.server;
    let namespace = lookup::get(server, "", "namespaces", "", attributes.namespace);
    namespace.is_some_and(|namespace| aphex_kinds::selects(selector, labels(&namespace)))
}

fn is_selected(attributes: &Attributes<'_>, selector: &Value) -> bool {
    is_everything(selector)
        || [attributes.object, attributes.old]
            .into_iter()
            .flatten()
            .any(|object| aphex_kinds::selects(selector, labels(object)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_are_named_with_their_subresources() {
        assert!(names("pods", "pods", "") && !names("pods", "pods", "status"));
        assert!(names("pods/*", "pods", "status") && names("pods/*", "pods", ""));
        assert!(names("*", "pods", "") && !names("*", "pods", "status"));
        assert!(names("*/scale", "deployments", "scale") && names("*/*", "pods", "log"));
    }

    #[test]
    fn an_empty_selector_selects_everything() {
        assert!(is_everything(&json!({"matchLabels": {}})) && is_everything(&Value::Null));
        assert!(!is_everything(&json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]})));
    }
}
