//! Cells of services, endpoints and ingresses.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Cell::{self, Age, Labels, Made, Name, Or, Text};
use super::{NONE, UNSET, shortened};
use crate::fields::{at, has, int, items, text, texts};

/// How many endpoints, ports or hosts a cell shows.
const SHOWN: usize = 3;

pub(super) const SERVICE: &[Cell] = &[
    Name,
    Text("spec.type"),
    Made(|service, _| json!(texts(service, "spec.clusterIPs").first().unwrap_or(&NONE))),
    Made(|service, _| json!(external_address(service))),
    Made(|service, _| json!(service_ports(service))),
    Age,
    Labels("spec.selector"),
];

pub(super) const INGRESS: &[Cell] = &[
    Name,
    Or("spec.ingressClassName", NONE),
    Made(|ingress, _| json!(hosts(ingress))),
    Made(|ingress, _| json!(balancer(ingress).join(","))),
    Made(|ingress, _| json!(if items(ingress, "spec.tls").is_empty() { "80" } else { "80, 443" })),
    Age,
];

/// Addresses that a load balancer gave.
fn balancer(object: &Value) -> Vec<&str> {
    let points = items(object, "status.loadBalancer.ingress").iter();
    let addresses = points.map(|point| match text(point, "ip") {
        "" => text(point, "hostname"),
        ip => ip,
    });
    addresses.filter(|address| !address.is_empty()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn external_address(service: &Value) -> String {
    let own = texts(service, "spec.externalIPs");
    match text(service, "spec.type") {
        "ClusterIP" | "NodePort" if own.is_empty() => NONE.to_owned(),
        "ClusterIP" | "NodePort" => own.join(","),
        "LoadBalancer" => {
            let addresses = [balancer(service), own].concat();
            if addresses.is_empty() { "<pending>".to_owned() } else { addresses.join(",") }
        }
        "ExternalName" => text(service, "spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn service_ports(service: &Value) -> String {
    let ports = items(service, "spec.ports").iter().map(|port| {
        let (number, protocol) = (int(port, "port"), text(port, "protocol"));
        match int(port, "nodePort") {
            node @ 1.. => format!("{number}:{node}/{protocol}"),
            _ => format!("{number}/{protocol}"),
        }
    });
    match ports.collect::<Vec<_>>().join(",") {
        none if none.is_empty() => NONE.to_owned(),
        ports => ports,
    }
}

fn hosts(ingress: &Value) -> String {
    let rules = items(ingress, "spec.rules");
    let named: Vec<&str> =
        rules.iter().map(|rule| text(rule, "host")).filter(|host| !host.is_empty()).collect();
    if named.is_empty() {
        return "*".to_owned();
    }
    let shown = named.iter().take(SHOWN).copied().collect::<Vec<_>>().join(",");
    // Rules are counted as kubectl's readers know them: those without a host as well.
    let third = rules.iter().enumerate().filter(|(_, rule)| !text(rule, "host").is_empty()).nth(SHOWN - 1);
    match third {
        Some((index, _)) if rules.len() > index + 1 => format!("{shown} + {} more...", rules.len() - SHOWN),
        _ => shown,
    }
}

pub(super) fn class_parameters(class: &Value, _: Timestamp) -> Value {
    let parameters = at(class, "spec.parameters");
    if parameters.is_null() {
        return json!(NONE);
    }
    let (kind, name) = (text(parameters, "kind"), text(parameters, "name"));
    json!(match text(parameters, "apiGroup") {
        "" if !has(parameters, "apiGroup") => format!("{kind}/{name}"),
        group => format!("{kind}.{group}/{name}"),
    })
}

/// What an IPAddress belongs to.
pub(super) fn parent(address: &Value, _: Timestamp) -> Value {
    let parent = at(address, "spec.parentRef");
    if parent.is_null() {
        return json!(NONE);
    }
    let resource = match text(parent, "group") {
        "" => text(parent, "resource").to_lowercase(),
        group => format!("{}.{group}", text(parent, "resource")).to_lowercase(),
    };
    json!(match text(parent, "namespace") {
        "" => format!("{resource}/{}", text(parent, "name")),
        namespace => format!("{resource}/{namespace}/{}", text(parent, "name")),
    })
}

pub(super) fn endpoints(object: &Value, _: Timestamp) -> Value {
    let subsets = items(object, "subsets");
    if subsets.is_empty() {
        return json!(NONE);
    }
    let mut list = Vec::new();
    for subset in subsets {
        let addresses = || items(subset, "addresses").iter().map(|address| text(address, "ip"));
        let ports = items(subset, "ports");
        if ports.is_empty() {
            list.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let port = int(port, "port");
            list.extend(
                addresses().map(|ip| {
                    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
                }),
            );
        }
    }
    json!(shortened(&list, SHOWN))
}

pub(super) fn slice_ports(slice: &Value, _: Timestamp) -> Value {
    let ports = items(slice, "ports").iter().map(|port| match at(port, "port").as_i64() {
        Some(number) => number.to_string(),
        None if has(port, "name") => text(port, "name").to_owned(),
        None => "*".to_owned(),
    });
    or_unset(&shortened(&ports.collect::<Vec<_>>(), SHOWN))
}

pub(super) fn slice_endpoints(slice: &Value, _: Timestamp) -> Value {
    let addresses = items(slice, "endpoints").iter().flat_map(|endpoint| texts(endpoint, "addresses"));
    or_unset(&shortened(&addresses.map(str::to_owned).collect::<Vec<_>>(), SHOWN))
}

fn or_unset(text: &str) -> Value {
    if text.is_empty() { json!(UNSET) } else { json!(text) }
}
