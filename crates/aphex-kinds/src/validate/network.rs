//! Ingresses and network policies.

use std::net::IpAddr;

use aphex_schema::validate::names;
use aphex_schema::{FieldError, Path};
use serde_json::Value;

use super::rules::Rule::OneOf;
use super::rules::{check, port_faults};
use super::selector;
use crate::fields::{at, has, int, items, text, texts};

const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                          alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or \
                          'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

pub(super) fn ingress(spec: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::root().child("spec");
    let rules = items(spec, "rules");
    if rules.is_empty() && !has(spec, "defaultBackend") {
        let why = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(&path, Value::Null, why));
    }
    if has(spec, "defaultBackend") {
        backend(at(spec, "defaultBackend"), &path.child("defaultBackend"), errors);
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = path.child("rules").index(index);
        host(text(rule, "host"), &path.child("host"), errors);
        if !has(rule, "http") {
            continue;
        }
        let path = path.child("http").child("paths");
        if items(rule, "http.paths").is_empty() {
            errors.push(FieldError::required(&path, ""));
        }
        for (index, one) in items(rule, "http.paths").iter().enumerate() {
            ingress_path(one, &path.index(index), errors);
        }
    }
}

const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn host(host: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if host.parse::<IpAddr>().is_ok() {
        errors.push(FieldError::invalid(path, host, "must be a DNS name, not an IP address"));
    } else if !host.is_empty() {
        let sound = host.strip_prefix("*.").is_some_and(|rest| names::subdomain_faults(rest).is_empty());
        let faults = match host.contains('*') {
            true if sound => Vec::new(),
            true => vec![WILDCARD.to_owned()],
            false => names::subdomain_faults(host),
        };
        errors.extend(faults.into_iter().map(|why| FieldError::invalid(path, host, why)));
    }
}

fn ingress_path(one: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    const FORBIDDEN: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];
    let route = text(one, "path");
    let kind = text(one, "pathType");
    if matches!(kind, "Exact" | "Prefix") {
        if !route.starts_with('/') {
            errors.push(FieldError::invalid(&path.child("path"), route, "must be an absolute path"));
        }
        for part in FORBIDDEN.iter().filter(|part| route.contains(**part)) {
            errors.push(FieldError::invalid(
                &path.child("path"),
                route,
                format!("must not contain '{part}'"),
            ));
        }
    } else if kind.is_empty() {
        errors.push(FieldError::required(&path.child("pathType"), "pathType must be specified"));
        return;
    } else if kind != "ImplementationSpecific" {
        errors.push(FieldError::not_supported(&path.child("pathType"), kind, PATH_TYPES));
    }
    backend(at(one, "backend"), &path.child("backend"), errors);
}

fn backend(backend: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match (has(backend, "service"), has(backend, "resource")) {
        (true, true) => {
            let why = "cannot set both resource and service backends";
            errors.push(FieldError::invalid(path, "", why));
        }
        (false, false) => {
            errors.push(FieldError::invalid(path, "", "resource or service backend is required"));
        }
        (true, false) => {
            let name = text(backend, "service.name");
            let first = name.starts_with(|c: char| c.is_ascii_lowercase());
            if name.is_empty() {
                errors.push(FieldError::required(&path.child("service").child("name"), ""));
            } else if !first || !names::label_faults(name).is_empty() {
                let path = path.child("service").child("name");
                errors.push(FieldError::invalid(&path, name, LABEL_1035));
            }
            let (number, named) = (int(backend, "service.port.number"), text(backend, "service.port.name"));
            if number != 0 && !named.is_empty() {
                errors.push(FieldError::invalid(path, "", "cannot set both port name & port number"));
            } else if number == 0 && named.is_empty() {
                errors.push(FieldError::required(path, "port name or number is required"));
            }
        }
        (false, true) => {}
    }
}

pub(super) fn policy(spec: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::root().child("spec");
    selector::check(at(spec, "podSelector"), &path.child("podSelector"), errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in items(spec, direction).iter().enumerate() {
            let path = path.child(direction).index(index);
            for (index, port) in items(rule, "ports").iter().enumerate() {
                policy_port(port, &path.child("ports").index(index), errors);
            }
            for (index, one) in items(rule, peers).iter().enumerate() {
                peer(one, &path.child(peers).index(index), errors);
            }
        }
    }
    if texts(spec, "policyTypes").len() > 2 {
        let why = "may not specify more than two policyTypes";
        errors.push(FieldError::invalid(&path.child("policyTypes"), at(spec, "policyTypes").clone(), why));
        return;
    }
    check(spec, &path, &[("policyTypes[]", OneOf(&["Ingress", "Egress"]))], errors);
}

fn policy_port(port: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    check(port, path, &[("protocol", OneOf(&["TCP", "UDP", "SCTP"]))], errors);
    let (given, end) = (at(port, "port"), at(port, "endPort").as_i64());
    let faults = port_faults(given).into_iter();
    errors.extend(faults.map(|why| FieldError::invalid(&path.child("port"), given.clone(), why)));
    let Some(end) = end else { return };
    let path = path.child("endPort");
    match given {
        Value::Null => {
            errors.push(FieldError::invalid(&path, end, "may not be specified when `port` is not specified"));
        }
        Value::String(_) => {
            errors.push(FieldError::invalid(&path, end, "may not be specified when `port` is non-numeric"));
        }
        _ if given.as_i64().is_some_and(|start| end < start) => {
            let why = "must be greater than or equal to `port`";
            errors.push(FieldError::invalid(&path, given.clone(), why));
        }
        _ => {}
    }
}

fn peer(peer: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let selectors = ["podSelector", "namespaceSelector"];
    for field in selectors {
        selector::check(at(peer, field), &path.child(field), errors);
    }
    let named = selectors.iter().any(|field| has(peer, field));
    let block = at(peer, "ipBlock");
    if !named && block.is_null() {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if named && !block.is_null() {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
    if block.is_null() {
        return;
    }
    let path = path.child("ipBlock");
    let whole = network(text(block, "cidr"), &path.child("cidr"), errors);
    for (index, except) in texts(block, "except").into_iter().enumerate() {
        let path = path.child("except").index(index);
        let part = network(except, &path, errors);
        if let (Some(whole), Some(part)) = (whole, part)
            && !(whole.2 == part.2
                && part.1 > whole.1
                && (part.0 >> whole.shift()) == (whole.0 >> whole.shift()))
        {
            errors.push(FieldError::invalid(&path, except, "must be a strict subset of `cidr`"));
        }
    }
}

/// An address block: bits, length of the prefix, number of bits.
#[derive(Clone, Copy)]
struct Block(u128, u32, u32);

impl Block {
    fn shift(self) -> u32 {
        (self.2 - self.1).min(127)
    }
}

fn network(text: &str, path: &Path, errors: &mut Vec<FieldError>) -> Option<Block> {
    let block = text.split_once('/').and_then(|(address, length)| {
        let (bits, size) = match address.parse::<IpAddr>().ok()? {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        length.parse().ok().filter(|length| *length <= size).map(|length| Block(bits, length, size))
    });
    if block.is_none() {
        let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        errors.push(FieldError::invalid(path, text, why));
    }
    block
}
