//! Addresses and ports of services: each is held by one service, and a service that needs one gets a free one.
//!
//! Who holds what is read from the stored services, under a lock that is kept until the new one is stored.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use aphex_store::List;
use serde_json::{Value, json};

use crate::call::Call;
use crate::codec;
use crate::object;
use crate::resource::Resource;
use crate::server::ApiServer;
use crate::status::Status;

/// How addresses of the range begin: 10.96.0.0/16, that of kubeadm's clusters.
const RANGE: [u8; 2] = [10, 96];
/// `--service-node-port-range`.
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;

/// Whether objects of the resource hold addresses.
pub(crate) fn is_service(resource: &Resource) -> bool {
    resource.custom().is_none() && resource.group.is_empty() && resource.plural == "services"
}

/// What other services hold.
#[derive(Debug, Default)]
struct Held {
    addresses: BTreeSet<Ipv4Addr>,
    ports: BTreeSet<i64>,
}

/// Gives a service what it needs and checks what it asks for.
pub(crate) fn allocate(call: &Call, service: &mut Value) -> Result<(), Status> {
    let own = (object::namespace(service).to_owned(), object::name(service).to_owned());
    let mut held = held(&call.server, &call.resource, &own)?;
    address(call, service, &held)?;
    node_ports(call, service, &mut held)?;
    health_port(service, &mut held)
}

fn held(server: &ApiServer, resource: &Resource, own: &(String, String)) -> Result<Held, Status> {
    let request = List { prefix: resource.key_prefix(None), ..List::default() };
    let page = server.store.list(&request).map_err(Status::internal)?;
    let mut held = Held::default();
    for entry in &page.entries {
        let service = codec::parse(&entry.value)?;
        if (object::namespace(&service), object::name(&service)) == (own.0.as_str(), own.1.as_str()) {
            continue;
        }
        let address = object::at(&service, "spec.clusterIP").and_then(Value::as_str).unwrap_or_default();
        held.addresses.extend(address.parse::<Ipv4Addr>());
        held.ports.extend(ports_of(&service));
    }
    Ok(held)
}

fn ports_of(service: &Value) -> Vec<i64> {
    let ports = object::at(service, "spec.ports").and_then(Value::as_array);
    let nodes = ports.into_iter().flatten().filter_map(|port| port["nodePort"].as_i64());
    let health = object::at(service, "spec.healthCheckNodePort").and_then(Value::as_i64);
    nodes.chain(health).filter(|port| *port != 0).collect()
}

fn address(call: &Call, service: &mut Value, held: &Held) -> Result<(), Status> {
    let text =
        |field: &str| object::at(service, field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let asked = text("spec.clusterIP");
    let fails = |service: &Value, why: &str| {
        let path = Path::root().child("spec").child("clusterIPs");
        let why = format!("failed to allocate IP {asked}: {why}");
        Err(call.invalid(service, vec![FieldError::invalid(&path, json!([asked]), why)]))
    };
    if text("spec.type") != "ExternalName"
        && let Ok(address) = asked.parse::<IpAddr>()
    {
        let IpAddr::V4(address) = address else {
            return fails(service, "it is of a family that is not configured on this cluster");
        };
        if address.octets()[..2] != RANGE {
            return fails(service, "the provided network does not match the current range");
        }
        if held.addresses.contains(&address) {
            return fails(service, "provided IP is already allocated");
        }
    }
    if aphex_kinds::assign_address(service, &held.addresses) {
        Ok(())
    } else {
        Err(Status::internal("failed to allocate a serviceIP: range is full"))
    }
}

/// Ports on every node. Ports of one number that differ in protocol share one.
fn node_ports(call: &Call, service: &mut Value, held: &mut Held) -> Result<(), Status> {
    let kind = object::at(service, "spec.type").and_then(Value::as_str).unwrap_or_default();
    let wanted = match kind {
        "NodePort" => true,
        "LoadBalancer" => {
            object::at(service, "spec.allocateLoadBalancerNodePorts").and_then(Value::as_bool) != Some(false)
        }
        _ => return Ok(()),
    };
    let mut ports = object::at(service, "spec.ports").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut chosen: Vec<(i64, i64)> = Vec::new();
    for index in 0..ports.len() {
        let number = |port: &Value, field: &str| port[field].as_i64().unwrap_or_default();
        let (port, asked) = (number(&ports[index], "port"), number(&ports[index], "nodePort"));
        let shared = chosen.iter().find(|(known, _)| *known == port).map(|(_, node)| *node);
        let same = |other: &Value| number(other, "port") == port && number(other, "nodePort") != 0;
        let asked_by_twin = ports.iter().find(|other| same(other)).map(|other| number(other, "nodePort"));
        let node = match (asked, shared.or(asked_by_twin)) {
            (0, None) if !wanted => continue,
            (0, None) => free(held)?,
            (0, Some(twin)) => twin,
            (asked, _) => asked,
        };
        let why = if !NODE_PORTS.contains(&node) {
            let range = format!("{}-{}", NODE_PORTS.start(), NODE_PORTS.end());
            Some(format!("provided port is not in the valid range. The range of valid ports is {range}"))
        } else if held.ports.contains(&node) && !chosen.iter().any(|(_, known)| *known == node) {
            Some("provided port is already allocated".to_owned())
        } else {
            None
        };
        if let Some(why) = why {
            let path = Path::root().child("spec").child("ports").index(index).child("nodePort");
            return Err(call.invalid(service, vec![FieldError::invalid(&path, node, why)]));
        }
        held.ports.insert(node);
        chosen.push((port, node));
        object::set_at(&mut ports[index], "nodePort", Value::from(node));
    }
    object::set_at(service, "spec.ports", Value::Array(ports));
    Ok(())
}

/// A load balancer that keeps to local pods asks the nodes for them, on one more port.
fn health_port(service: &mut Value, held: &mut Held) -> Result<(), Status> {
    let text = |field: &str| object::at(service, field).and_then(Value::as_str).unwrap_or_default();
    let needed = text("spec.type") == "LoadBalancer" && text("spec.externalTrafficPolicy") == "Local";
    let given = object::at(service, "spec.healthCheckNodePort").and_then(Value::as_i64).unwrap_or_default();
    if needed && given == 0 {
        let port = free(held)?;
        object::set_at(service, "spec.healthCheckNodePort", Value::from(port));
    }
    Ok(())
}

fn free(held: &Held) -> Result<i64, Status> {
    let full = || Status::internal("failed to allocate a nodePort: range is full");
    NODE_PORTS.into_iter().find(|port| !held.ports.contains(port)).ok_or_else(full)
}
