//! The checks that the restricted level adds: current practice of hardening.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Violation;
use super::baseline::is_sound_seccomp;
use super::checks::{
    bad_values, containers, is_in_user_namespace, is_windows, listed, plural, quoted, setters, violation,
    where_is,
};
use crate::fields::{at, has, items, text, texts};

/// Volume sources that stay within the pod or what it was given.
const VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// The other sources, in the order in which the first that is found names a volume.
const OTHER_VOLUMES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub(super) fn privilege_escalation(_: &Value, spec: &Value, minor: u32) -> Option<Violation> {
    if minor >= 25 && is_windows(spec) {
        return None;
    }
    let names =
        where_is(spec, |container| at(container, "securityContext.allowPrivilegeEscalation") != false);
    (!names.is_empty()).then(|| Violation {
        reason: "allowPrivilegeEscalation != false",
        detail: format!("{} must set securityContext.allowPrivilegeEscalation=false", listed(&names)),
    })
}

pub(super) fn capabilities(_: &Value, spec: &Value, minor: u32) -> Option<Violation> {
    if minor >= 25 && is_windows(spec) {
        return None;
    }
    let list = |container, field: &str| texts(container, &format!("securityContext.capabilities.{field}"));
    let keeping = where_is(spec, |container| !list(container, "drop").contains(&"ALL"));
    let added = |container| {
        let added = list(container, "add").into_iter().filter(|one| *one != "NET_BIND_SERVICE");
        added.collect::<Vec<_>>()
    };
    let adding = where_is(spec, |container| !added(container).is_empty());
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", listed(&keeping)));
    }
    if !adding.is_empty() {
        let all: BTreeSet<&str> = containers(spec).flat_map(added).collect();
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            listed(&adding),
            quoted(all)
        ));
    }
    (!details.is_empty())
        .then(|| Violation { reason: "unrestricted capabilities", detail: details.join("; ") })
}

pub(super) fn proc_mount(_: &Value, spec: &Value, _: u32) -> Option<Violation> {
    let mount =
        |container| at(container, "securityContext.procMount").as_str().filter(|mount| *mount != "Default");
    let names = where_is(spec, |container| mount(container).is_some());
    let all: BTreeSet<&str> = containers(spec).filter_map(mount).collect();
    (!names.is_empty()).then(|| Violation {
        reason: "procMount",
        detail: format!("{} must not set securityContext.procMount to {}", listed(&names), quoted(all)),
    })
}

pub(super) fn volumes(_: &Value, spec: &Value, _: u32) -> Option<Violation> {
    let volumes = items(spec, "volumes").iter();
    let bad: Vec<&Value> =
        volumes.filter(|volume| !VOLUMES.iter().any(|source| has(volume, source))).collect();
    let source = |volume: &Value| {
        OTHER_VOLUMES.iter().find(|source| has(volume, source)).copied().unwrap_or("unknown")
    };
    let names: Vec<&str> = bad.iter().map(|volume| text(volume, "name")).collect();
    let types: BTreeSet<&str> = bad.iter().map(|volume| source(volume)).collect();
    let (many, uses) = (plural("volume", "volumes", names.len()), plural("uses", "use", names.len()));
    let word = plural("restricted volume type", "restricted volume types", types.len());
    (!names.is_empty()).then(|| Violation {
        reason: "restricted volume types",
        detail: format!("{many} {} {uses} {word} {}", quoted(names), quoted(types)),
    })
}

pub(super) fn run_as_non_root(_: &Value, spec: &Value, minor: u32) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    if minor >= 35 && is_in_user_namespace(spec) {
        return None;
    }
    let said = |owner| at(owner, "securityContext.runAsNonRoot").as_bool();
    let explicit = where_is(spec, |container| said(container) == Some(false));
    if let Some(who) = setters(said(spec) == Some(false), &explicit) {
        return Some(violation(REASON, format!("{who} must not set securityContext.runAsNonRoot=false")));
    }
    if said(spec) == Some(true) {
        return None;
    }
    let silent = where_is(spec, |container| said(container).is_none());
    (!silent.is_empty()).then(|| Violation {
        reason: REASON,
        detail: format!("pod or {} must set securityContext.runAsNonRoot=true", listed(&silent)),
    })
}

pub(super) fn run_as_user(_: &Value, spec: &Value, minor: u32) -> Option<Violation> {
    if minor >= 35 && is_in_user_namespace(spec) {
        return None;
    }
    let root = |owner: &Value| at(owner, "securityContext.runAsUser").as_i64() == Some(0);
    let who = setters(root(spec), &where_is(spec, root))?;
    Some(violation("runAsUser=0", format!("{who} must not set runAsUser=0")))
}

pub(super) fn seccomp(_: &Value, spec: &Value, minor: u32) -> Option<Violation> {
    const REASON: &str = "seccompProfile";
    if minor >= 25 && is_windows(spec) {
        return None;
    }
    let (pod, names, values) = bad_values(spec, "seccompProfile.type", is_sound_seccomp);
    if let Some(who) = setters(pod, &names) {
        let values = quoted(values);
        return Some(violation(
            REASON,
            format!("{who} must not set securityContext.seccompProfile.type to {values}"),
        ));
    }
    let said = |owner| has(owner, "securityContext.seccompProfile");
    if said(spec) {
        return None;
    }
    let silent = where_is(spec, |container| !said(container));
    (!silent.is_empty()).then(|| Violation {
        reason: REASON,
        detail: format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            listed(&silent)
        ),
    })
}
