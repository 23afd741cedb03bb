//! Services: type, ports, addresses and which of them may change.

use std::collections::HashSet;

use aphex_schema::validate::names;
use aphex_schema::{FieldError, Path, golang};
use serde_json::{Value, json};

use super::rules::Rule::{Address, Label, OneOf, Port};
use super::rules::{Table, check, port_faults};
use super::{immutable, pod};
use crate::fields::{at, has, int, items, text, texts};

const RULES: Table = &[
    ("type", OneOf(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"])),
    ("sessionAffinity", OneOf(&["ClientIP", "None"])),
    ("internalTrafficPolicy", OneOf(&["Cluster", "Local"])),
    ("externalTrafficPolicy", OneOf(&["Cluster", "Local"])),
    ("externalIPs[]", Address),
    ("ports[].name", Label),
    ("ports[].protocol", OneOf(&["SCTP", "TCP", "UDP"])),
    ("ports[].port", Port),
];

pub(super) fn create(spec: &Value) -> Vec<FieldError> {
    let path = Path::root().child("spec");
    let mut errors = Vec::new();
    check(spec, &path, RULES, &mut errors);
    pod::labels(at(spec, "selector"), &path.child("selector"), &mut errors);
    let kind = text(spec, "type");
    let headless = text(spec, "clusterIP") == "None";
    let ports = items(spec, "ports");
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    if kind == "ExternalName" {
        external_name(text(spec, "externalName"), &path.child("externalName"), &mut errors);
    }
    let address = at(spec, "clusterIPs").get(0).or_else(|| spec.get("clusterIP"));
    let address = address.and_then(Value::as_str).unwrap_or_default();
    let address_path = path.child("clusterIPs").index(0);
    if headless && matches!(kind, "NodePort" | "LoadBalancer") {
        let why = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid(&address_path, "None", why));
    } else if !matches!(address, "" | "None") && address.parse::<std::net::IpAddr>().is_err() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid(&address_path, address, why));
    }
    self::ports(ports, kind, &path.child("ports"), &mut errors);
    errors
}

fn external_name(name: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let faults = names::subdomain_faults(name.strip_suffix('.').unwrap_or(name)).into_iter();
    errors.extend(faults.map(|why| FieldError::invalid(path, name, why)));
}

fn ports(ports: &[Value], kind: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let (mut names, mut seen) = (HashSet::new(), HashSet::new());
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = text(port, "name");
        if name.is_empty() && ports.len() > 1 {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        if !seen.insert((int(port, "port"), text(port, "protocol"))) {
            let shown = format!(
                r#"{{"Name":"","Protocol":{},"AppProtocol":null,"Port":{},"TargetPort":0,"NodePort":0}}"#,
                golang::quote(text(port, "protocol")),
                int(port, "port"),
            );
            errors.push(FieldError { value: None, detail: shown, ..FieldError::duplicate(&path, "") });
        }
        let target = at(port, "targetPort");
        let faults = port_faults(target).into_iter();
        errors.extend(faults.map(|why| FieldError::invalid(&path.child("targetPort"), target.clone(), why)));
        if kind == "ClusterIP" && int(port, "nodePort") != 0 {
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(&path.child("nodePort"), why));
        }
    }
}

/// The address of a service stays for as long as it has one.
pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let external = |service: &Value| text(service, "spec.type") == "ExternalName";
    if external(new) || external(old) {
        return errors;
    }
    let path = Path::root().child("spec").child("clusterIPs");
    let first = |service: &Value| {
        texts(service, "spec.clusterIPs")
            .first()
            .map_or_else(|| text(service, "spec.clusterIP"), |ip| *ip)
            .to_owned()
    };
    if has(old, "spec.clusterIP") && first(new) != first(old) {
        let value = match at(new, "spec.clusterIPs") {
            Value::Null => json!([first(new)]),
            list => list.clone(),
        };
        let why = if value.as_array().is_some_and(Vec::is_empty) {
            "primary clusterIP can not be unset"
        } else {
            "may not change once set"
        };
        errors.push(FieldError::invalid(&path.index(0), value, why));
    }
    if has(old, "spec.loadBalancerClass")
        && text(new, "spec.type") == "LoadBalancer"
        && text(old, "spec.type") == "LoadBalancer"
        && at(new, "spec.loadBalancerClass") != at(old, "spec.loadBalancerClass")
    {
        let path = Path::root().child("spec").child("loadBalancerClass");
        errors.push(immutable(&path, Some(at(new, "spec.loadBalancerClass"))));
    }
    errors
}
