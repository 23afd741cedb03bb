//! What an object counts for, by kind: `pkg/quota/v1/evaluator/core`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Request;
use crate::admit::storage_class;
use crate::fields::{at, has, int, items, text};
use crate::quantity::Quantity;
use crate::resources::{Reading, Resources, pod_limits, pod_requests, raise, read, states_whole};

/// What a quota can limit of pods under a plain name.
const PODS: &[&str] = &[
    "count/pods",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "pods",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// What every container must state where a quota limits it.
const DEMANDED: &[&str] =
    &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const SERVICES: &[&str] = &["count/services", "services", "services.loadbalancers", "services.nodeports"];
const CLAIMS: &[&str] = &["persistentvolumeclaims", "requests.storage"];
/// Names of counts from before all objects could be counted.
const ALIASES: &[&str] = &["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];
const CLASS: &str = ".storageclass.storage.k8s.io/";

/// Whether objects of a resource are counted at all.
pub fn counted(group: &str, plural: &str) -> bool {
    !matches!(
        (group, plural),
        ("" | "events.k8s.io", "events")
            | ("", "bindings" | "componentstatuses")
            | ("authentication.k8s.io", "tokenreviews" | "selfsubjectreviews")
            | ("authorization.k8s.io", _)
    )
}

/// The resources (group and plural name) whose objects a quota's hard limits count.
pub fn sources(quota: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for name in read(quota, "spec.hard").keys() {
        let plain = ["pods", "services", "persistentvolumeclaims"].into_iter().chain(ALIASES.iter().copied());
        let core = plain.filter(|plural| tracked("", plural, name));
        found.extend(core.map(|plural| (String::new(), plural.to_owned())));
        if let Some(counted) = name.strip_prefix("count/") {
            let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
            found.insert((group.to_owned(), plural.to_owned()));
        }
    }
    found
}

/// Whether objects of a resource count for a limit.
pub(super) fn tracked(group: &str, plural: &str, name: &str) -> bool {
    match (group, plural) {
        ("", "pods") => {
            let prefixed = name.starts_with("hugepages-") || name.starts_with("requests.hugepages-");
            PODS.contains(&name) || prefixed || is_extended_limit(name)
        }
        ("", "services") => SERVICES.contains(&name),
        ("", "persistentvolumeclaims") => {
            name == "count/persistentvolumeclaims"
                || CLAIMS.contains(&name)
                || CLAIMS.iter().any(|claim| name.ends_with(&format!("{CLASS}{claim}")))
        }
        _ => {
            name == object_count(group, plural)
                || group.is_empty() && name == plural && ALIASES.contains(&name)
        }
    }
}

fn object_count(group: &str, plural: &str) -> String {
    if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") }
}

/// `requests.` and the name of a resource that is not Kubernetes' own.
fn is_extended_limit(name: &str) -> bool {
    name.starts_with("requests.") && name.contains('/') && !name.contains("kubernetes.io/")
        || name.starts_with("requests.deviceclass.resource.kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
        || name.starts_with("deviceclass.resource.kubernetes.io/")
}

/// Whether a write of this kind can change a count.
pub(super) fn handles(request: &Request<'_>) -> bool {
    match (request.group, request.plural, request.subresource) {
        ("", "pods", "") => request
            .old
            .is_none_or(|old| super::scope::is_limited(old) != super::scope::is_limited(request.object)),
        ("", "pods", "resize") | ("", "persistentvolumeclaims", "status") => request.old.is_some(),
        ("", "services" | "persistentvolumeclaims", "") => true,
        (_, _, "") => request.old.is_none(),
        _ => false,
    }
}

/// What a pod's containers leave unsaid though a quota limits it.
pub(super) fn missing_requests(request: &Request<'_>, restricted: &[&str]) -> Option<String> {
    if (request.group, request.plural) != ("", "pods") || states_whole(request.object) {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let containers = items(request.object, "spec.containers").iter();
    for container in containers.chain(items(request.object, "spec.initContainers")) {
        let said = compute(&read(container, "resources.requests"), &read(container, "resources.limits"));
        for name in restricted.iter().filter(|name| DEMANDED.contains(name) && !said.contains_key(**name)) {
            missing.entry(name).or_default().insert(text(container, "name"));
        }
    }
    let parts: Vec<String> = missing
        .into_iter()
        .map(|(name, containers)| {
            format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(","))
        })
        .collect();
    (!parts.is_empty()).then(|| format!("must specify {}", parts.join("; ")))
}

/// What an object counts for.
pub(super) fn usage(group: &str, plural: &str, object: &Value, now: Timestamp) -> Resources {
    let mut used = Resources::from([(object_count(group, plural), Quantity::count(1))]);
    match (group, plural) {
        ("", "pods") if runs(object, now) => {
            let requests = pod_requests(object, Reading::Charged);
            let limits = pod_limits(object, Reading::Charged);
            used.insert("pods".to_owned(), Quantity::count(1));
            used.extend(compute(&requests, &limits));
        }
        ("", "services") => service(object, &mut used),
        ("", "persistentvolumeclaims") => claim(object, &mut used),
        ("", plural) if ALIASES.contains(&plural) => {
            used.insert(plural.to_owned(), Quantity::count(1));
        }
        _ => {}
    }
    used
}

/// Requests and limits under the names that quotas have for them.
fn compute(requests: &Resources, limits: &Resources) -> Resources {
    let mut out = Resources::new();
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(request) = requests.get(name) {
            out.insert(name.to_owned(), *request);
            out.insert(format!("requests.{name}"), *request);
        }
        if let Some(limit) = limits.get(name) {
            out.insert(format!("limits.{name}"), *limit);
        }
    }
    for (name, request) in requests {
        if name.starts_with("hugepages-") {
            out.insert(name.clone(), *request);
        }
        if name.starts_with("hugepages-") || is_extended(name) {
            out.insert(format!("requests.{name}"), *request);
        }
    }
    out
}

/// Whether a pod still takes up room: not once it has ended, nor when it should have been gone by now.
fn runs(pod: &Value, now: Timestamp) -> bool {
    if matches!(text(pod, "status.phase"), "Failed" | "Succeeded") {
        return false;
    }
    let deleted: Option<Timestamp> = text(pod, "metadata.deletionTimestamp").parse().ok();
    let grace = at(pod, "metadata.deletionGracePeriodSeconds").as_i64();
    let (Some(deleted), Some(grace)) = (deleted, grace) else { return true };
    deleted.checked_add(SignedDuration::from_secs(grace)).is_ok_and(|end| now <= end)
}

fn service(service: &Value, used: &mut Resources) {
    let ports = items(service, "spec.ports");
    let kind = text(service, "spec.type");
    let node_ports = match kind {
        "LoadBalancer" if at(service, "spec.allocateLoadBalancerNodePorts") == false => {
            ports.iter().filter(|port| int(port, "nodePort") != 0).count()
        }
        "NodePort" | "LoadBalancer" => ports.len(),
        _ => 0,
    };
    used.insert("services".to_owned(), Quantity::count(1));
    used.insert("services.nodeports".to_owned(), Quantity::count(node_ports));
    used.insert("services.loadbalancers".to_owned(), Quantity::count(usize::from(kind == "LoadBalancer")));
}

fn claim(claim: &Value, used: &mut Resources) {
    used.insert("persistentvolumeclaims".to_owned(), Quantity::count(1));
    let class = storage_class(claim);
    if !class.is_empty() {
        used.insert(format!("{class}{CLASS}persistentvolumeclaims"), Quantity::count(1));
    }
    let mut storage = read(claim, "spec.resources.requests");
    storage.retain(|name, _| name == "storage");
    if storage.is_empty() {
        return;
    }
    if has(claim, "status.allocatedResources") {
        let mut allocated = read(claim, "status.allocatedResources");
        allocated.retain(|name, _| name == "storage");
        raise(&mut storage, &allocated);
    }
    for size in storage.into_values().map(Quantity::rounded_up) {
        used.insert("requests.storage".to_owned(), size);
        if !class.is_empty() {
            used.insert(format!("{class}{CLASS}requests.storage"), size);
        }
    }
}
