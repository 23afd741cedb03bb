//! Containers: names, images, ports, environment, mounts, probes, resources.

use std::collections::HashSet;

use aphex_schema::validate::names;
use aphex_schema::{FieldError, Path};
use serde_json::Value;

use super::rules::Rule::{self, Label, NonNegative, OneOf, Port, Required};
use super::rules::{self, Table, port_name_faults, visit};
use crate::fields::{at, entries, has, int, items, text};
use crate::quantity::Quantity;

const RULES: Table = &[
    ("name", Required),
    ("name", Label),
    ("image", Required),
    ("imagePullPolicy", OneOf(&["Always", "IfNotPresent", "Never"])),
    ("terminationMessagePolicy", OneOf(&["File", "FallbackToLogsOnError"])),
    ("ports[].protocol", OneOf(&["SCTP", "TCP", "UDP"])),
    ("env[].name", Required),
    ("env[].valueFrom.secretKeyRef.key", Required),
    ("env[].valueFrom.configMapKeyRef.key", Required),
    ("volumeMounts[].name", Required),
    ("securityContext.runAsUser", NonNegative),
    ("securityContext.runAsGroup", NonNegative),
];

const PROBE: Table = &[
    ("httpGet.port", Port),
    ("tcpSocket.port", Port),
    ("grpc.port", Port),
    ("exec.command", Required),
    ("initialDelaySeconds", NonNegative),
    ("timeoutSeconds", NonNegative),
    ("periodSeconds", NonNegative),
    ("successThreshold", NonNegative),
    ("failureThreshold", NonNegative),
    ("httpGet.scheme", Rule::OneOf(&["HTTP", "HTTPS"])),
];

const SOURCES: &[&str] = &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
/// Fields of a pod that the environment may show.
const POD_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Resources that have a plain name.
const STANDARD: &[&str] = &["cpu", "memory", "ephemeral-storage"];

pub(super) fn check(container: &Value, path: &Path, volumes: &HashSet<String>, errors: &mut Vec<FieldError>) {
    rules::check(container, path, RULES, errors);
    let image = text(container, "image");
    if image.trim() != image {
        let why = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, why));
    }
    ports(container, path, errors);
    environment(container, path, errors);
    for (index, mount) in items(container, "volumeMounts").iter().enumerate() {
        let path = path.child("volumeMounts").index(index);
        if !volumes.contains(text(mount, "name")) {
            errors.push(FieldError::not_found(&path.child("name"), text(mount, "name")));
        }
        if text(mount, "mountPath").is_empty() {
            errors.push(FieldError::required(&path.child("mountPath"), ""));
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let (probe, path) = (at(container, probe), path.child(probe));
        if !probe.is_null()
            && !["exec", "httpGet", "tcpSocket", "grpc"].iter().any(|handler| has(probe, handler))
        {
            errors.push(FieldError::required(&path, "must specify a handler type"));
        }
        rules::check(probe, &path, PROBE, errors);
    }
    resources(at(container, "resources"), &path.child("resources"), errors);
}

fn ports(container: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    for (index, port) in items(container, "ports").iter().enumerate() {
        let path = path.child("ports").index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            let faults = port_name_faults(name);
            if faults.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
            errors.extend(faults.into_iter().map(|why| FieldError::invalid(&path.child("name"), name, why)));
        }
        match int(port, "containerPort") {
            0 => errors.push(FieldError::required(&path.child("containerPort"), "")),
            _ => rules::check(port, &path, &[("containerPort", Port)], errors),
        }
        if int(port, "hostPort") != 0 {
            rules::check(port, &path, &[("hostPort", Port)], errors);
        }
    }
}

fn environment(container: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (index, variable) in items(container, "env").iter().enumerate() {
        let path = path.child("env").index(index);
        let name = text(variable, "name");
        if !name.chars().all(|c| (' '..='~').contains(&c) && c != '=') {
            let why = "a valid environment variable name must consist only of printable ASCII characters other than '='";
            errors.push(FieldError::invalid(&path.child("name"), name, why));
        }
        let source = at(variable, "valueFrom");
        if source.is_null() {
            continue;
        }
        let path = path.child("valueFrom");
        let count = SOURCES.iter().filter(|field| has(source, field)).count();
        if count == 0 {
            let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or \
                       `fileKeyRef`";
            errors.push(FieldError::invalid(&path, "", why));
        } else if !text(variable, "value").is_empty() {
            errors.push(FieldError::invalid(&path, "", "may not be specified when `value` is not empty"));
        } else if count > 1 {
            errors.push(FieldError::invalid(
                &path,
                "",
                "may not have more than one field specified at a time",
            ));
        }
        source_errors(source, &path, errors);
    }
    for source in items(container, "envFrom") {
        if !has(source, "configMapRef") && !has(source, "secretRef") {
            let why = "must specify one of: `configMapRef` or `secretRef`";
            errors.push(FieldError::invalid(&path.child("envFrom"), "", why));
        }
    }
}

fn source_errors(source: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for reference in ["secretKeyRef", "configMapKeyRef"] {
        visit(source, path, reference, &mut |path, reference| {
            if !reference.is_null() {
                let name = text(reference, "name");
                let faults = names::subdomain_faults(name).into_iter();
                errors.extend(faults.map(|why| FieldError::invalid(&path.child("name"), name, why)));
            }
        });
    }
    visit(source, path, "fieldRef.fieldPath", &mut |path, field| {
        let field = field.as_str().unwrap_or_default();
        let subscript = field.starts_with("metadata.labels['") || field.starts_with("metadata.annotations['");
        if field.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else if !POD_FIELDS.contains(&field) && !subscript {
            let why = format!("error converting fieldPath: field label not supported: {field}");
            errors.push(FieldError::invalid(path, field, why));
        }
    });
}

fn is_resource(name: &str) -> bool {
    name.contains('/') || STANDARD.contains(&name) || name.starts_with("hugepages-")
}

fn resources(resources: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for list in ["limits", "requests"] {
        for (name, amount) in entries(resources, list) {
            let path = path.child(list).key(name);
            if !is_resource(name) {
                let why = "must be a standard resource type or fully qualified";
                errors.push(FieldError::invalid(&path, name, why));
                errors.push(FieldError::invalid(&path, name, "must be a standard resource for containers"));
            }
            let quantity = Quantity::of(amount);
            if quantity.is_some_and(|quantity| quantity.nanos() < 0) {
                errors.push(FieldError::invalid(&path, amount.clone(), "must be greater than or equal to 0"));
            } else if !STANDARD.contains(&name) && quantity.is_some_and(|quantity| !quantity.is_whole()) {
                errors.push(FieldError::invalid(&path, amount.clone(), "must be an integer"));
            }
        }
    }
    for (name, request) in entries(resources, "requests") {
        let limit = at(resources, "limits").get(name);
        let exact = !STANDARD.contains(&name);
        if exact && limit.is_none() {
            let why = "Limit must be set for non overcommitable resources";
            errors.push(FieldError::required(&path.child("limits"), why));
        }
        let (Some(wanted), Some(allowed)) = (Quantity::of(request), limit.and_then(Quantity::of)) else {
            continue;
        };
        let why = match wanted.nanos().cmp(&allowed.nanos()) {
            std::cmp::Ordering::Equal => continue,
            _ if exact => format!("must be equal to {name} limit of {allowed}"),
            std::cmp::Ordering::Greater => format!("must be less than or equal to {name} limit of {allowed}"),
            std::cmp::Ordering::Less => continue,
        };
        errors.push(FieldError::invalid(&path.child("requests"), request.clone(), why));
    }
}
