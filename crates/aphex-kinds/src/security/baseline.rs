//! The checks of the baseline level: what is known to escalate privileges.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Violation;
use super::checks::{
    bad_values, containers, is_in_user_namespace, listed, plural, quoted, setters, violation, where_is,
};
use crate::fields::{at, entries, has, int, items, text, texts};

const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Sysctls that are safe, and since which minor version they are known to be.
const SYSCTLS: &[(&str, u32)] = &[
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

pub(super) fn app_armor(metadata: &Value, spec: &Value, _: u32) -> Option<Violation> {
    let allowed = |kind: &str| matches!(kind, "RuntimeDefault" | "Localhost");
    let (pod, names, values) = bad_values(spec, "appArmorProfile.type", allowed);
    let mut values: Vec<String> = values.into_iter().map(str::to_owned).collect();
    let annotations: Vec<String> = entries(metadata, "annotations")
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(key, _)| key.starts_with(APP_ARMOR))
        .filter(|(_, value)| {
            !(value.is_empty() || *value == "runtime/default" || value.starts_with("localhost/"))
        })
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    let mut who: Vec<String> = setters(pod, &names).into_iter().collect();
    if !annotations.is_empty() {
        who.push(plural("annotation", "annotations", annotations.len()).to_owned());
        values.extend(annotations);
    }
    if who.is_empty() {
        return None;
    }
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    Some(violation(
        reason,
        format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(values)),
    ))
}

pub(super) fn capabilities(_: &Value, spec: &Value, _: u32) -> Option<Violation> {
    let added = |container| {
        let added = texts(container, "securityContext.capabilities.add").into_iter();
        added.filter(|one| !CAPABILITIES.contains(one)).collect::<Vec<_>>()
    };
    let names = where_is(spec, |container| !added(container).is_empty());
    let all: BTreeSet<&str> = containers(spec).flat_map(added).collect();
    (!names.is_empty()).then(|| Violation {
        reason: "non-default capabilities",
        detail: format!(
            "{} must not include {} in securityContext.capabilities.add",
            listed(&names),
            quoted(all)
        ),
    })
}

pub(super) fn host_namespaces(_: &Value, spec: &Value, _: u32) -> Option<Violation> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| at(spec, field) == true);
    let shared: Vec<String> = shared.map(|field| format!("{field}=true")).collect();
    (!shared.is_empty()).then(|| Violation { reason: "host namespaces", detail: shared.join(", ") })
}

pub(super) fn host_path_volumes(_: &Value, spec: &Value, _: u32) -> Option<Violation> {
    let volumes = items(spec, "volumes").iter().filter(|volume| has(volume, "hostPath"));
    let names: Vec<&str> = volumes.map(|volume| text(volume, "name")).collect();
    (!names.is_empty()).then(|| Violation {
        reason: "hostPath volumes",
        detail: format!("{} {}", plural("volume", "volumes", names.len()), quoted(names)),
    })
}

pub(super) fn host_ports(_: &Value, spec: &Value, _: u32) -> Option<Violation> {
    let ports = |container| {
        items(container, "ports").iter().map(|port| int(port, "hostPort")).filter(|port| *port != 0)
    };
    let names = where_is(spec, |container| ports(container).next().is_some());
    // Sorted as texts, as Go's string sets are.
    let all: BTreeSet<String> = containers(spec).flat_map(ports).map(|port| port.to_string()).collect();
    let (uses, word) = (plural("uses", "use", names.len()), plural("hostPort", "hostPorts", all.len()));
    (!names.is_empty()).then(|| Violation {
        reason: "hostPort",
        detail: format!(
            "{} {uses} {word} {}",
            listed(&names),
            all.into_iter().collect::<Vec<_>>().join(", ")
        ),
    })
}

pub(super) fn host_probes(_: &Value, spec: &Value, _: u32) -> Option<Violation> {
    const HANDLERS: &[&str] =
        &["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"];
    let hosts = |container| {
        let kinds = HANDLERS
            .iter()
            .flat_map(|handler| ["httpGet", "tcpSocket"].map(|kind| format!("{handler}.{kind}.host")));
        kinds.map(|path| text(container, &path)).filter(|host| !host.is_empty()).collect::<Vec<_>>()
    };
    let names: BTreeSet<&str> =
        where_is(spec, |container| !hosts(container).is_empty()).into_iter().collect();
    let names: Vec<&str> = names.into_iter().collect();
    let all: BTreeSet<&str> = containers(spec).flat_map(hosts).collect();
    let uses = plural("uses", "use", names.len());
    let word = plural("probe or lifecycle host", "probe or lifecycle hosts", all.len());
    (!names.is_empty()).then(|| Violation {
        reason: "probe or lifecycle host",
        detail: format!("{} {uses} {word} {}", listed(&names), quoted(all)),
    })
}

pub(super) fn privileged(_: &Value, spec: &Value, _: u32) -> Option<Violation> {
    let names = where_is(spec, |container| at(container, "securityContext.privileged") == true);
    (!names.is_empty()).then(|| Violation {
        reason: "privileged",
        detail: format!("{} must not set securityContext.privileged=true", listed(&names)),
    })
}

pub(super) fn proc_mount(metadata: &Value, spec: &Value, minor: u32) -> Option<Violation> {
    if minor >= 35 && is_in_user_namespace(spec) {
        return None;
    }
    super::restricted::proc_mount(metadata, spec, minor)
}

pub(super) fn selinux(_: &Value, spec: &Value, minor: u32) -> Option<Violation> {
    let allowed = |kind: &str| {
        matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || minor >= 31 && kind == "container_engine_t"
    };
    let set = |owner: &Value, field: &str| {
        !text(owner, &format!("securityContext.seLinuxOptions.{field}")).is_empty()
    };
    let bad_type = |owner: &Value| !allowed(text(owner, "securityContext.seLinuxOptions.type"));
    let bad = |owner: &Value| bad_type(owner) || set(owner, "user") || set(owner, "role");
    let who = setters(bad(spec), &where_is(spec, bad))?;
    let owners = || std::iter::once(spec).chain(containers(spec));
    let types: BTreeSet<&str> = owners()
        .filter(|owner| bad_type(owner))
        .map(|owner| text(owner, "securityContext.seLinuxOptions.type"))
        .collect();
    let mut data = Vec::new();
    if !types.is_empty() {
        data.push(format!("{} {}", plural("type", "types", types.len()), quoted(types)));
    }
    for field in ["user", "role"] {
        if owners().any(|owner| set(owner, field)) {
            data.push(format!("{field} may not be set"));
        }
    }
    Some(violation(
        "seLinuxOptions",
        format!("{who} set forbidden securityContext.seLinuxOptions: {}", data.join("; ")),
    ))
}

pub(super) fn seccomp(metadata: &Value, spec: &Value, minor: u32) -> Option<Violation> {
    if minor < 19 {
        return seccomp_annotations(metadata, spec);
    }
    let (pod, names, values) = bad_values(spec, "seccompProfile.type", is_sound_seccomp);
    let who = setters(pod, &names)?;
    Some(violation(
        "seccompProfile",
        format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values)),
    ))
}

pub(super) fn is_sound_seccomp(kind: &str) -> bool {
    matches!(kind, "Localhost" | "RuntimeDefault")
}

fn seccomp_annotations(metadata: &Value, spec: &Value) -> Option<Violation> {
    let sound = |value: &str| {
        matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/")
    };
    let keys = std::iter::once(SECCOMP_POD.to_owned())
        .chain(containers(spec).map(|container| format!("{SECCOMP_CONTAINER}{}", text(container, "name"))));
    let forbidden: BTreeSet<String> = keys
        .filter_map(|key| {
            let value = at(metadata, "annotations").get(&key)?.as_str()?;
            (!sound(value)).then(|| format!("{key}={value:?}"))
        })
        .collect();
    let word = plural("annotation", "annotations", forbidden.len());
    (!forbidden.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!("forbidden {word} {}", forbidden.into_iter().collect::<Vec<_>>().join(", ")),
    })
}

pub(super) fn sysctls(_: &Value, spec: &Value, minor: u32) -> Option<Violation> {
    let safe = |name: &str| SYSCTLS.iter().any(|(known, since)| *known == name && *since <= minor);
    let names = items(spec, "securityContext.sysctls").iter().map(|sysctl| text(sysctl, "name"));
    let forbidden: Vec<&str> = names.filter(|name| !safe(name)).collect();
    (!forbidden.is_empty()).then(|| Violation { reason: "forbidden sysctls", detail: forbidden.join(", ") })
}

pub(super) fn windows_host_process(_: &Value, spec: &Value, _: u32) -> Option<Violation> {
    let set = |owner: &Value| at(owner, "securityContext.windowsOptions.hostProcess") == true;
    let who = setters(set(spec), &where_is(spec, set))?;
    Some(violation(
        "hostProcess",
        format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    ))
}
