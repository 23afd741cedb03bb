//! May a user grant these rules? Only what it holds itself.
//!
//! The covering logic of component-helpers/auth/rbac/validation (policy_comparator.go) and the
//! message of kubernetes/pkg/registry/rbac/validation (rule.go, policy_compact.go). The verbs
//! `escalate` and `bind`, which lift the check, are for the API server to authorize.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Rules;
use super::objects::{PolicyRule, url_covers};
use crate::quote::{quoted, quoted_list};
use crate::user::User;

/// More single permissions than this in one rule are not taken apart: the rule counts as missing.
///
/// A rule of a megabyte can multiply to 10^12 of them; held wildcards are tried before.
const MOST_PARTS: usize = 100_000;

/// The single permissions of `wanted` that `held` does not cover; empty when all are.
pub fn missing(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut uncovered = Vec::new();
    for rule in wanted {
        // Paths and names in one rule are independent permissions: such a rule is always taken apart.
        let uniform = rule.non_resource_urls.is_empty() || rule.resource_names.is_empty();
        if uniform && held.iter().any(|owner| covers(owner, rule)) {
            continue;
        }
        if parts(rule) > MOST_PARTS {
            uncovered.push(rule.clone());
            continue;
        }
        uncovered.extend(breakdown(rule).filter(|part| !held.iter().any(|owner| covers(owner, part))));
    }
    uncovered
}

/// The refusal of a write that grants more than the user holds; none when it does not.
pub fn refusal(user: &User, held: &Rules, wanted: &[PolicyRule]) -> Option<String> {
    let missing = missing(&held.rules, wanted);
    if missing.is_empty() {
        return None;
    }
    let lines: BTreeSet<String> = compact(missing).iter().map(describe).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    let mut message = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quoted(&user.name),
        quoted_list(&user.groups),
        lines.join("\n")
    );
    if !held.errors.is_empty() {
        message.push_str("; resolution errors: [");
        message.push_str(&held.errors.join(" "));
        message.push(']');
    }
    Some(message)
}

fn parts(rule: &PolicyRule) -> usize {
    let named = rule.resource_names.len().max(1);
    rule.api_groups
        .len()
        .saturating_mul(rule.resources.len())
        .saturating_mul(named)
        .saturating_add(rule.non_resource_urls.len())
        .saturating_mul(rule.verbs.len())
}

/// The same permissions as rules with one verb, one resource and at most one name each.
fn breakdown(rule: &PolicyRule) -> impl Iterator<Item = PolicyRule> {
    let only = |text: &String| vec![text.clone()];
    let mut names: Vec<Vec<String>> = rule.resource_names.iter().map(only).collect();
    if names.is_empty() {
        names.push(Vec::new());
    }
    let mut parts = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                parts.extend(names.iter().map(|name| PolicyRule {
                    verbs: only(verb),
                    api_groups: only(group),
                    resources: only(resource),
                    resource_names: name.clone(),
                    non_resource_urls: Vec::new(),
                }));
            }
        }
    }
    for url in &rule.non_resource_urls {
        parts.extend(rule.verbs.iter().map(|verb| PolicyRule {
            verbs: only(verb),
            non_resource_urls: only(url),
            ..PolicyRule::default()
        }));
    }
    parts.into_iter()
}

/// Whether one held rule covers a whole wanted rule.
fn covers(held: &PolicyRule, wanted: &PolicyRule) -> bool {
    covers_all(&held.verbs, &wanted.verbs)
        && covers_all(&held.api_groups, &wanted.api_groups)
        && resources_cover(&held.resources, &wanted.resources)
        && names_cover(&held.resource_names, &wanted.resource_names)
        && wanted
            .non_resource_urls
            .iter()
            .all(|path| held.non_resource_urls.iter().any(|url| url_covers(url, path)))
}

fn covers_all(held: &[String], wanted: &[String]) -> bool {
    if held.iter().any(|item| item == "*") {
        return true;
    }
    if let [only] = wanted {
        return held.contains(only);
    }
    let held: HashSet<&String> = held.iter().collect();
    wanted.iter().all(|item| held.contains(item))
}

fn resources_cover(held: &[String], wanted: &[String]) -> bool {
    let held: HashSet<&str> = held.iter().map(String::as_str).collect();
    held.contains("*")
        || wanted.iter().all(|resource| {
            held.contains(resource.as_str())
                || resource
                    .split_once('/')
                    .is_some_and(|(_, subresource)| held.contains(format!("*/{subresource}").as_str()))
        })
}

/// No names means every name, which only no names covers.
fn names_cover(held: &[String], wanted: &[String]) -> bool {
    held.is_empty() || (!wanted.is_empty() && wanted.iter().all(|name| held.contains(name)))
}

/// Joins the verbs of rules about the same single resource, so that the message stays short.
fn compact(rules: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut whole = Vec::new();
    let mut simple: BTreeMap<(String, String, Option<String>), PolicyRule> = BTreeMap::new();
    for rule in rules {
        let key = match (rule.api_groups.as_slice(), rule.resources.as_slice()) {
            ([group], [resource]) if rule.resource_names.len() <= 1 && rule.non_resource_urls.is_empty() => {
                let name = rule.resource_names.first().cloned();
                (group.clone(), resource.clone(), name)
            }
            _ => {
                whole.push(rule);
                continue;
            }
        };
        if let Some(found) = simple.get_mut(&key) {
            found.verbs.extend(rule.verbs);
        } else {
            simple.insert(key, rule);
        }
    }
    whole.extend(simple.into_values());
    whole
}

/// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`
fn describe(rule: &PolicyRule) -> String {
    let fields = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let fields: Vec<String> = fields
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| format!("{name}:{}", quoted_list(values)))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

#[cfg(test)]
mod tests;
