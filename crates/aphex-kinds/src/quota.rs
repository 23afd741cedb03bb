//! Quotas: what an object counts for, which quotas see it, and whether they let it in.
//!
//! [`charge`] is the decision of `ResourceQuota` admission, [`recount`] the sum that the quota controller keeps.
//! `k8s.io/apiserver/pkg/admission/plugin/resourcequota` and `pkg/quota/v1` of Kubernetes 1.35.

mod measure;
mod scope;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::fields::at;
use crate::resources::{self, Resources, add, only, read, shown, write};
pub use measure::{counted, sources};
use measure::{handles, missing_requests, tracked, usage};

/// A write as quotas see it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// API group of the resource.
    pub group: &'a str,
    /// Plural name of the resource.
    pub plural: &'a str,
    /// The subresource, or "".
    pub subresource: &'a str,
    /// The object as it would be stored.
    pub object: &'a Value,
    /// The object before; none for a new one.
    pub old: Option<&'a Value>,
    /// The time, by which pods that should be gone are told.
    pub now: Timestamp,
}

/// Whether a write can change what any quota counts.
pub fn concerns(request: &Request<'_>) -> bool {
    counted(request.group, request.plural) && handles(request)
}

/// Whether any of these quotas counts the object of a write, before it or after.
pub fn seen(request: &Request<'_>, quotas: &[Value]) -> bool {
    let counts = |quota: &Value| {
        sees(request, quota, request.object) || request.old.is_some_and(|old| sees(request, quota, old))
    };
    concerns(request) && quotas.iter().any(counts)
}

/// What each quota has used once the write is done; none for those that it does not change.
///
/// The error is why a quota refuses the write.
pub fn charge(request: &Request<'_>, quotas: &[Value]) -> Result<Vec<Option<Value>>, String> {
    let mut out = vec![None; quotas.len()];
    if !concerns(request) {
        return Ok(out);
    }
    let mut interested = Vec::new();
    for (at, quota) in quotas.iter().enumerate() {
        if sees(request, quota, request.object) {
            check_constraints(request, quota)?;
            interested.push(at);
        }
    }
    let wanted = usage(request.group, request.plural, request.object, request.now);
    let negative: Vec<&str> =
        wanted.iter().filter(|(_, amount)| amount.nanos() < 0).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    for index in interested {
        let quota = &quotas[index];
        let delta = match request.old {
            Some(old) if sees(request, quota, old) => {
                increase(&wanted, &usage(request.group, request.plural, old, request.now))
            }
            _ => wanted.clone(),
        };
        let delta = resources::only(&delta, |name| delta.get(name).is_some_and(|amount| !amount.is_zero()));
        if !delta.is_empty() {
            out[index] = spend(quota, &delta, request.subresource)?.map(|used| write(&used));
        }
    }
    Ok(out)
}

/// Whether a quota counts an object: by its resources and by its scopes.
fn sees(request: &Request<'_>, quota: &Value, object: &Value) -> bool {
    let hard = read(quota, "status.hard");
    hard.keys().any(|name| tracked(request.group, request.plural, name))
        && scope::all(quota, request.group, request.plural, object)
}

fn check_constraints(request: &Request<'_>, quota: &Value) -> Result<(), String> {
    let name = crate::fields::text(quota, "metadata.name");
    let hard = read(quota, "status.hard");
    let restricted: Vec<&str> =
        hard.keys().map(String::as_str).filter(|name| tracked(request.group, request.plural, name)).collect();
    if let Some(missing) = missing_requests(request, &restricted) {
        return Err(format!("failed quota: {name}: {missing}"));
    }
    let used = read(quota, "status.used");
    if restricted.iter().any(|resource| !used.contains_key(*resource)) {
        return Err(format!("status unknown for quota: {name}, resources: {}", restricted.join(",")));
    }
    Ok(())
}

/// What is used more than before; less is given back by the recount alone.
fn increase(new: &Resources, old: &Resources) -> Resources {
    let mut delta = Resources::new();
    for (name, amount) in new {
        let more = old.get(name).map_or(*amount, |old| amount.minus(*old));
        if more.nanos() > 0 {
            delta.insert(name.clone(), more);
        }
    }
    delta
}

/// The usage with a delta, or why it is too much; none if the quota limits nothing of it.
fn spend(quota: &Value, delta: &Resources, subresource: &str) -> Result<Option<Resources>, String> {
    let (hard, used) = (read(quota, "status.hard"), read(quota, "status.used"));
    let requested = only(delta, |name| hard.contains_key(name));
    if requested.is_empty() {
        return Ok(None);
    }
    let mut total = used.clone();
    add(&mut total, &requested);
    let exceeded = |name: &str| {
        requested.contains_key(name)
            && matches!((total.get(name), hard.get(name)), (Some(now), Some(most)) if now.nanos() > most.nanos())
    };
    // What the system reports is a fact, allowed or not.
    if subresource != "status" && hard.keys().any(|name| exceeded(name)) {
        return Err(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            crate::fields::text(quota, "metadata.name"),
            shown(&only(&requested, exceeded)),
            shown(&only(&used, exceeded)),
            shown(&only(&hard, exceeded)),
        ));
    }
    Ok(Some(total))
}

/// Whether an object counts for less than it did.
pub fn gives_back(request: &Request<'_>, old: &Value) -> bool {
    let now = usage(request.group, request.plural, request.object, request.now);
    let before = usage(request.group, request.plural, old, request.now);
    scope::moved(request.plural, request.object, old)
        || before.iter().any(|(name, amount)| now.get(name).is_none_or(|now| now.nanos() < amount.nanos()))
}

/// What objects of one resource use of a quota's hard limits, by limit.
pub fn recount<'a>(
    quota: &Value,
    (group, plural): (&str, &str),
    objects: impl Iterator<Item = &'a Value>,
    now: Timestamp,
) -> Map<String, Value> {
    let hard = read(quota, "spec.hard");
    let mut used: Resources = hard
        .keys()
        .filter(|name| tracked(group, plural, name))
        .map(|name| (name.clone(), crate::quantity::Quantity::count(0)))
        .collect();
    if used.is_empty() {
        return Map::new();
    }
    for object in objects.filter(|object| scope::all(quota, group, plural, object)) {
        let own = only(&usage(group, plural, object, now), |name| used.contains_key(name));
        add(&mut used, &own);
    }
    match write(&used) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The status of a quota with these sums; sums of what it no longer limits go. None if it says so already.
pub fn settled(quota: &Value, sums: Map<String, Value>) -> Option<Value> {
    let hard = read(quota, "spec.hard");
    let mut used = read(quota, "status.used");
    used.extend(resources::of(&Value::Object(sums)));
    let used = only(&used, |name| hard.contains_key(name));
    let known = (read(quota, "status.hard"), read(quota, "status.used"));
    let same = at(quota, "status.hard").is_object()
        && at(quota, "status.used").is_object()
        && resources::equal(&hard, &known.0)
        && resources::equal(&used, &known.1);
    (!same).then(|| serde_json::json!({"hard": write(&hard), "used": write(&used)}))
}

#[cfg(test)]
mod tests;
