//! Pod Security Standards: which one a namespace's labels ask for, and what of a pod violates it.
//!
//! `k8s.io/pod-security-admission` v0.35. A standard has a version; checks differ between versions.

mod baseline;
mod checks;
mod restricted;

use std::fmt;

use aphex_schema::{FieldError, Path};
use serde_json::Value;

use crate::fields::{at, items, text};

/// The newest version in which a check changed.
const NEWEST: u32 = 35;

/// How much a pod may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    Privileged,
    /// Nothing that is known to escalate privileges.
    Baseline,
    /// What current practice of hardening allows.
    Restricted,
}

/// A level as of a version of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    /// The level.
    pub level: Level,
    /// The minor version; none for the latest.
    pub version: Option<u32>,
}

impl Standard {
    const FREE: Self = Self { level: Level::Privileged, version: None };
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Some(minor) => write!(f, "{level}:v1.{minor}"),
            None => write!(f, "{level}:latest"),
        }
    }
}

/// What a namespace asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Violations are refused.
    pub enforce: Standard,
    /// Violations are noted.
    pub audit: Standard,
    /// Violations are told to the caller.
    pub warn: Standard,
}

impl Policy {
    /// Whether there is nothing to check.
    pub fn is_free(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|standard| standard.level == Level::Privileged)
    }
}

/// The policy of a namespace, and what is wrong with its labels.
pub fn policy_of(namespace: &Value) -> (Policy, Vec<FieldError>) {
    let label = |name: &str| {
        at(namespace, "metadata.labels")
            .get(format!("pod-security.kubernetes.io/{name}"))
            .and_then(Value::as_str)
    };
    let mut errors = Vec::new();
    let mut read = |mode: &str, otherwise: Level| {
        let (mut standard, mut good) = (Standard::FREE, false);
        if let Some(given) = label(mode) {
            let level = level(given);
            good = level.is_some();
            standard.level = level.unwrap_or(otherwise);
            if level.is_none() {
                errors.push(fault(mode, given, "must be one of privileged, baseline, restricted"));
            }
        }
        let name = format!("{mode}-version");
        if let Some(given) = label(&name) {
            match version(given) {
                Ok(version) => standard.version = version,
                Err(why) => errors.push(fault(&name, given, why)),
            }
        }
        (standard, good)
    };
    // What cannot be read enforces the most; it only notes and warns of nothing.
    let (enforce, enforced) = read("enforce", Level::Restricted);
    let (audit, _) = read("audit", Level::Privileged);
    let (mut warn, _) = read("warn", Level::Privileged);
    if label("warn").is_none() && enforced && enforce.level > warn.level {
        warn.level = enforce.level;
        if label("warn-version").is_none() {
            warn.version = enforce.version;
        }
    }
    (Policy { enforce, audit, warn }, errors)
}

fn fault(name: &str, given: &str, why: &str) -> FieldError {
    let path =
        Path::root().child("metadata").child("labels").key(&format!("pod-security.kubernetes.io/{name}"));
    FieldError::invalid(&path, given, why)
}

fn level(text: &str) -> Option<Level> {
    match text {
        "privileged" => Some(Level::Privileged),
        "baseline" => Some(Level::Baseline),
        "restricted" => Some(Level::Restricted),
        _ => None,
    }
}

/// The minor version of `v1.N`, none for `latest`.
fn version(text: &str) -> Result<Option<u32>, &'static str> {
    if text == "latest" {
        return Ok(None);
    }
    let digits = text.strip_prefix("v1.").unwrap_or_default();
    let canonical =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let minor = digits.parse().ok().filter(|_| canonical);
    minor.map(Some).ok_or("must be \"latest\" or \"v1.x\"")
}

/// One way in which a pod violates a standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is forbidden.
    pub reason: &'static str,
    /// Where it is.
    pub detail: String,
}

/// Everything in a pod, given as metadata and spec, that violates a standard.
pub fn violations(standard: Standard, metadata: &Value, spec: &Value) -> Vec<Violation> {
    if standard.level == Level::Privileged {
        return Vec::new();
    }
    let minor = standard.version.unwrap_or(NEWEST).min(NEWEST);
    checks::of(standard.level, minor).filter_map(|check| check(metadata, spec, minor)).collect()
}

/// Violations in one line: `reason (detail), reason (detail)`.
pub fn details(violations: &[Violation]) -> String {
    let one = |v: &Violation| {
        if v.detail.is_empty() { v.reason.to_owned() } else { format!("{} ({})", v.reason, v.detail) }
    };
    violations.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The reasons alone.
pub fn reasons(violations: &[Violation]) -> String {
    violations.iter().map(|violation| violation.reason).collect::<Vec<_>>().join(", ")
}

/// Whether a change of a pod calls for a new check: other containers or other images.
pub fn is_significant_update(pod: &Value, old: &Value) -> bool {
    let list = |pod: &Value, name: &str| items(pod, &format!("spec.{name}")).to_vec();
    let images_differ = |name: &str| {
        let (new, old) = (list(pod, name), list(old, name));
        new.len() != old.len() || new.iter().zip(&old).any(|(a, b)| text(a, "image") != text(b, "image"))
    };
    let before = list(old, "ephemeralContainers");
    let added = list(pod, "ephemeralContainers").iter().any(|container| {
        let same = before.iter().find(|old| text(old, "name") == text(container, "name"));
        same.is_none_or(|old| text(old, "image") != text(container, "image"))
    });
    images_differ("containers") || images_differ("initContainers") || added
}

/// Metadata and spec of the pods that an object is or makes; none if it makes none.
pub fn pod_of<'a>(group: &str, plural: &str, object: &'a Value) -> Option<(&'a Value, &'a Value)> {
    let path = match (group, plural) {
        ("", "pods") => return Some((at(object, "metadata"), at(object, "spec"))),
        ("", "podtemplates") => "template",
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => "spec.template",
        ("batch", "cronjobs") => "spec.jobTemplate.spec.template",
        _ => return None,
    };
    let template = at(object, path);
    template.is_object().then(|| (at(template, "metadata"), at(template, "spec")))
}

#[cfg(test)]
mod tests;
