//! Defaults of services and network policies that depend on other fields.

use serde_json::{Value, json};

use super::fill::Default::{Bool, Number, Text};
use super::fill::{each, fill};
use crate::fields::{at, has, int, items, map, map_at, text};

/// Fills in a service; addresses are the allocator's.
pub(super) fn service(service: &mut Value) {
    each(service, "spec.ports[]", &mut |port| {
        if matches!(at(port, "targetPort"), Value::Null)
            || at(port, "targetPort") == 0
            || at(port, "targetPort") == ""
        {
            let number = int(port, "port");
            map(port).insert("targetPort".to_owned(), json!(number));
        }
    });
    match text(service, "spec.sessionAffinity") {
        "None" => drop(map_at(service, "spec").remove("sessionAffinityConfig")),
        "ClientIP" => fill(service, &[("spec.sessionAffinityConfig.clientIP.timeoutSeconds", Number(10800))]),
        _ => {}
    }
    let kind = text(service, "spec.type").to_owned();
    let external = matches!(kind.as_str(), "LoadBalancer" | "NodePort")
        || kind == "ClusterIP" && !items(service, "spec.externalIPs").is_empty();
    if external {
        fill(service, &[("spec.externalTrafficPolicy", Text("Cluster"))]);
    }
    if matches!(kind.as_str(), "LoadBalancer" | "NodePort" | "ClusterIP") {
        fill(service, &[("spec.internalTrafficPolicy", Text("Cluster"))]);
    }
    if kind == "LoadBalancer" {
        fill(service, &[("spec.allocateLoadBalancerNodePorts", Bool(true))]);
        each(service, "status.loadBalancer.ingress[]", &mut |point| {
            if has(point, "ip") {
                fill(point, &[("ipMode", Text("VIP"))]);
            }
        });
    }
}

/// A policy that names no type is about what comes in, and about what goes out if it has rules for that.
pub(super) fn policy(policy: &mut Value) {
    if !items(policy, "spec.policyTypes").is_empty() {
        return;
    }
    let out = !items(policy, "spec.egress").is_empty();
    let types = if out { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    map_at(policy, "spec").insert("policyTypes".to_owned(), types);
}
