//! Cluster roles made of others: the union of the rules of all roles their selectors pick.
//!
//! What Kubernetes' clusterrole-aggregation controller computes, as a pure function; whoever
//! stores cluster roles runs it when one changes and writes what it gives.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::objects::{PolicyRule, nullable};

/// The new rules of an aggregated cluster role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregated {
    /// The cluster role's name.
    pub name: String,
    /// All its rules.
    pub rules: Vec<PolicyRule>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ClusterRole {
    metadata: Metadata,
    aggregation_rule: Option<AggregationRule>,
    #[serde(deserialize_with = "nullable")]
    rules: Vec<PolicyRule>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    name: String,
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct AggregationRule {
    #[serde(deserialize_with = "nullable")]
    cluster_role_selectors: Vec<Selector>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Selector {
    #[serde(deserialize_with = "nullable")]
    match_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    match_expressions: Vec<Requirement>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Requirement {
    key: String,
    operator: String,
    #[serde(deserialize_with = "nullable")]
    values: Vec<String>,
}

impl Selector {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator.as_str() {
            "In" => value.is_some_and(|value| self.values.contains(value)),
            "NotIn" => value.is_none_or(|value| !self.values.contains(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            // Refused by validation; never grant on what is not understood.
            _ => false,
        }
    }
}

/// The aggregated roles among all cluster roles whose rules are not yet their union.
///
/// Roles that aggregate aggregated roles (admin: edit: view) come out complete at once. Objects
/// that do not read as cluster roles are left aside.
pub fn aggregate<'a>(cluster_roles: impl IntoIterator<Item = &'a Value>) -> Vec<Aggregated> {
    let mut roles: BTreeMap<String, (ClusterRole, bool)> = cluster_roles
        .into_iter()
        .filter_map(|object| ClusterRole::deserialize(object).ok())
        .map(|role| (role.metadata.name.clone(), (role, false)))
        .collect();
    let names: Vec<String> = roles
        .iter()
        .filter(|(_, (role, _))| role.aggregation_rule.is_some())
        .map(|(name, _)| name.clone())
        .collect();
    // A chain is at most as long as there are aggregated roles; a circle ends here too.
    for _ in 0..=names.len() {
        let mut settled = true;
        for name in &names {
            let Some(rules) = union(name, &roles) else { continue };
            if let Some((role, changed)) = roles.get_mut(name)
                && role.rules != rules
            {
                role.rules = rules;
                *changed = true;
                settled = false;
            }
        }
        if settled {
            break;
        }
    }
    roles
        .into_iter()
        .filter(|(_, (_, changed))| *changed)
        .map(|(name, (role, _))| Aggregated { name, rules: role.rules })
        .collect()
}

/// Which cluster roles matter to the aggregated ones, so that a change of any other costs nothing.
#[derive(Default)]
pub struct Concern(Vec<Selector>);

impl Concern {
    /// What the aggregated ones among all cluster roles select.
    pub fn of<'a>(cluster_roles: impl IntoIterator<Item = &'a Value>) -> Self {
        let roles = cluster_roles.into_iter().filter_map(|object| ClusterRole::deserialize(object).ok());
        let rules = roles.filter_map(|role| role.aggregation_rule);
        Self(rules.flat_map(|rule| rule.cluster_role_selectors).collect())
    }

    /// Whether a cluster role is an aggregated one, or a part of one.
    #[must_use]
    pub fn includes(&self, cluster_role: &Value) -> bool {
        let Ok(role) = ClusterRole::deserialize(cluster_role) else { return false };
        let selects = |selector: &Selector| selector.matches(&role.metadata.labels);
        role.aggregation_rule.is_some() || self.0.iter().any(selects)
    }
}

fn union(name: &str, roles: &BTreeMap<String, (ClusterRole, bool)>) -> Option<Vec<PolicyRule>> {
    let rule = roles.get(name)?.0.aggregation_rule.as_ref()?;
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in &rule.cluster_role_selectors {
        for (other, (role, _)) in roles {
            if other == name || !selector.matches(&role.metadata.labels) {
                continue;
            }
            for rule in &role.rules {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    Some(rules)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(name: &str, label: &str, resource: &str) -> Value {
        json!({"kind": "ClusterRole", "metadata": {"name": name, "labels": {label: "true"}},
            "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]})
    }

    fn resources(aggregated: &Aggregated) -> Vec<&str> {
        aggregated.rules.iter().flat_map(|rule| &rule.resources).map(String::as_str).collect()
    }

    #[test]
    fn a_chain_of_aggregated_roles_is_complete_at_once() {
        let selecting = |name: &str, label: &str, own: &str| {
            json!({"metadata": {"name": name, "labels": {own: "true"}}, "rules": null,
                "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}})
        };
        let roles = [
            selecting("admin", "to-admin", "none"),
            selecting("edit", "to-edit", "to-admin"),
            selecting("view", "to-view", "to-edit"),
            role("pods", "to-view", "pods"),
            role("secrets", "to-edit", "secrets"),
            role("again", "to-edit", "pods"),
        ];
        let all = aggregate(&roles);
        let by_name: Vec<_> = all.iter().map(|role| (role.name.as_str(), resources(role))).collect();
        assert_eq!(
            by_name,
            [("admin", vec!["pods", "secrets"]), ("edit", vec!["pods", "secrets"]), ("view", vec!["pods"])]
        );
    }

    #[test]
    fn what_is_already_the_union_is_not_written_again() {
        let mut roles = vec![
            json!({"metadata": {"name": "sum"}, "aggregationRule": {"clusterRoleSelectors": [
                {"matchExpressions": [{"key": "to-sum", "operator": "Exists"}]}]}}),
            role("part", "to-sum", "pods"),
        ];
        let first = aggregate(&roles);
        roles[0]["rules"] = serde_json::to_value(&first[0].rules).unwrap();
        assert!(aggregate(&roles).is_empty());
        roles.pop();
        assert_eq!(aggregate(&roles), [Aggregated { name: "sum".into(), rules: vec![] }]);
    }

    #[test]
    fn only_aggregated_roles_and_their_parts_are_of_concern() {
        let sum = json!({"metadata": {"name": "sum"}, "aggregationRule": {"clusterRoleSelectors": [
            {"matchLabels": {"to-sum": "true"}}]}});
        let concern = Concern::of([&sum, &role("pods", "to-sum", "pods")]);
        assert!(concern.includes(&sum));
        assert!(concern.includes(&role("new", "to-sum", "nodes")));
        assert!(!concern.includes(&role("other", "to-other", "nodes")));
        assert!(!Concern::default().includes(&role("new", "to-sum", "nodes")));
        assert!(Concern::default().includes(&sum));
    }

    #[test]
    fn expressions_select_and_unknown_operators_select_nothing() {
        let chosen = |operator: &str, values: Value| {
            let sum = json!({"metadata": {"name": "sum"}, "aggregationRule": {"clusterRoleSelectors":
                [{"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]}]}});
            let mut tiered = role("tiered", "other", "pods");
            tiered["metadata"]["labels"]["tier"] = json!("gold");
            let roles = [sum, tiered, role("bare", "other", "nodes")];
            aggregate(&roles).first().map(|sum| resources(sum).join(",")).unwrap_or_default()
        };
        assert_eq!(chosen("In", json!(["gold"])), "pods");
        assert_eq!(chosen("NotIn", json!(["gold"])), "nodes");
        assert_eq!(chosen("DoesNotExist", json!(null)), "nodes");
        assert_eq!(chosen("Near", json!(["gold"])), "");
    }

    #[test]
    fn a_circle_ends() {
        let circle = |name: &str, label: &str, own: &str| {
            json!({"metadata": {"name": name, "labels": {own: "true"}},
                "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}})
        };
        let roles = [circle("a", "b", "a"), circle("b", "a", "b"), role("c", "b", "pods")];
        let all = aggregate(&roles);
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|role| resources(role) == ["pods"]));
    }
}
