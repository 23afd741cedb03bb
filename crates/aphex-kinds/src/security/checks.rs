//! Which checks make up a standard, and what they have in common.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Level, Violation, baseline, restricted};
use crate::fields::{at, items, text};

/// A check of a pod's metadata and spec as of a minor version.
pub(super) type Check = fn(&Value, &Value, u32) -> Option<Violation>;

struct Row {
    /// The first minor version that has the check.
    since: u32,
    /// The first minor version in which a check of the restricted level takes its place there.
    replaced: u32,
    run: Check,
}

const NEVER: u32 = u32::MAX;

const fn row(since: u32, run: Check) -> Row {
    Row { since, replaced: NEVER, run }
}

/// In the order of Kubernetes' names for them.
const BASELINE: &[Row] = &[
    row(0, baseline::app_armor),
    Row { since: 0, replaced: 22, run: baseline::capabilities },
    row(0, baseline::host_namespaces),
    Row { since: 0, replaced: 0, run: baseline::host_path_volumes },
    row(0, baseline::host_ports),
    row(34, baseline::host_probes),
    row(0, baseline::privileged),
    Row { since: 0, replaced: 35, run: baseline::proc_mount },
    row(0, baseline::selinux),
    Row { since: 0, replaced: 19, run: baseline::seccomp },
    row(0, baseline::sysctls),
    row(0, baseline::windows_host_process),
];

const RESTRICTED: &[Row] = &[
    row(8, restricted::privilege_escalation),
    row(22, restricted::capabilities),
    row(35, restricted::proc_mount),
    row(0, restricted::volumes),
    row(0, restricted::run_as_non_root),
    row(23, restricted::run_as_user),
    row(19, restricted::seccomp),
];

/// The checks of a level in a version.
pub(super) fn of(level: Level, minor: u32) -> impl Iterator<Item = Check> {
    let strict = level == Level::Restricted;
    let basic = BASELINE.iter().filter(move |row| !(strict && row.replaced <= minor));
    let strict = RESTRICTED.iter().filter(move |_| strict);
    basic.chain(strict).filter(move |row| row.since <= minor).map(|row| row.run)
}

/// All containers in the order in which violations name them.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| items(spec, list))
}

/// The names of the containers for which something holds.
pub(super) fn where_is<'a>(spec: &'a Value, holds: impl Fn(&'a Value) -> bool) -> Vec<&'a str> {
    containers(spec).filter(|container| holds(container)).map(|container| text(container, "name")).collect()
}

/// Names in quotes, separated by commas.
pub(super) fn quoted<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("\"{}\"", name.as_ref())).collect();
    quoted.join(", ")
}

/// One of two words, by number.
pub(super) fn plural(one: &'static str, many: &'static str, count: usize) -> &'static str {
    if count == 1 { one } else { many }
}

/// `container "a"` or `containers "a", "b"`.
pub(super) fn listed(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// Who set something: the pod, containers, or both.
pub(super) fn setters(pod: bool, names: &[&str]) -> Option<String> {
    let containers = (!names.is_empty()).then(|| listed(names));
    let all: Vec<String> = pod.then(|| "pod".to_owned()).into_iter().chain(containers).collect();
    (!all.is_empty()).then(|| all.join(" and "))
}

/// The values of a field of every security context, pod's first, that are not allowed.
pub(super) fn bad_values<'a>(
    spec: &'a Value,
    path: &str,
    allowed: impl Fn(&str) -> bool,
) -> (bool, Vec<&'a str>, BTreeSet<&'a str>) {
    let mut values = BTreeSet::new();
    let mut bad = |owner: &'a Value| {
        let found = at(owner, &format!("securityContext.{path}"));
        let value = found.as_str().filter(|value| !allowed(value));
        values.extend(value);
        value.is_some()
    };
    let pod = bad(spec);
    let names = containers(spec).filter(|container| bad(container)).map(|one| text(one, "name")).collect();
    (pod, names, values)
}

/// Whether the pod's user ids mean nothing on the host.
pub(super) fn is_in_user_namespace(spec: &Value) -> bool {
    at(spec, "hostUsers") == false
}

pub(super) fn is_windows(spec: &Value) -> bool {
    text(spec, "os.name") == "windows"
}

pub(super) fn violation(reason: &'static str, detail: impl Into<String>) -> Violation {
    Violation { reason, detail: detail.into() }
}
