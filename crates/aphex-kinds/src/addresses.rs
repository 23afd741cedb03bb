//! Addresses of services: which one a new service gets, and the fields that say so.
//!
//! Pure: who holds which address is the caller's to know.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::fields::{entries, has, map_at, text};

/// The first address of the range `10.96.0.0/16`, kubeadm's default.
const FIRST: u32 = 0x0a60_0000;
/// How many addresses the range has.
const SIZE: u32 = 1 << 16;
/// The lower addresses are left to those who ask for one: `calculateRangeOffset` of Kubernetes 1.35.
const RESERVED: u32 = 256;

/// Gives a new service the address it asks for or a free one; false means that none is free.
///
/// Headless services get no address but the same fields, external names get neither.
pub fn assign_address(service: &mut Value, taken: &BTreeSet<Ipv4Addr>) -> bool {
    if text(service, "spec.type") == "ExternalName" {
        return true;
    }
    let address = match text(service, "spec.clusterIP") {
        "" => match free(taken) {
            Some(address) => address.to_string(),
            None => return false,
        },
        given => given.to_owned(),
    };
    // Who selects no pods may point anywhere, so also in both families.
    let anywhere = address == "None" && entries(service, "spec.selector").is_empty();
    let (families, policy) = if anywhere && !has(service, "spec.ipFamilies") {
        (json!(["IPv4", "IPv6"]), json!("RequireDualStack"))
    } else {
        (json!([if address.contains(':') { "IPv6" } else { "IPv4" }]), json!("SingleStack"))
    };
    let spec = map_at(service, "spec");
    spec.insert("clusterIPs".to_owned(), json!([address]));
    spec.insert("clusterIP".to_owned(), json!(address));
    for (field, value) in [("ipFamilies", families), ("ipFamilyPolicy", policy)] {
        spec.entry(field).or_insert(value);
    }
    true
}

/// The lowest free address, those before which the range keeps back last.
fn free(taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    // The first address is that of the API server's own service, the last one a broadcast address.
    let candidates = (RESERVED..SIZE - 1).chain(2..RESERVED);
    candidates.map(|offset| Ipv4Addr::from(FIRST + offset)).find(|address| !taken.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_gets_a_free_address() {
        let mut service = json!({"spec": {"type": "ClusterIP"}});
        assert!(assign_address(&mut service, &BTreeSet::from([Ipv4Addr::new(10, 96, 1, 0)])));
        assert_eq!(service["spec"]["clusterIPs"], json!(["10.96.1.1"]));
        assert_eq!(service["spec"]["ipFamilyPolicy"], "SingleStack");
    }

    #[test]
    fn a_headless_service_gets_none_and_a_full_range_refuses() {
        let mut headless = json!({"spec": {"type": "ClusterIP", "clusterIP": "None"}});
        let all: BTreeSet<_> = (0..SIZE).map(|offset| Ipv4Addr::from(FIRST + offset)).collect();
        assert!(assign_address(&mut headless, &all));
        assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
        assert!(!assign_address(&mut json!({"spec": {}}), &all));
    }
}
