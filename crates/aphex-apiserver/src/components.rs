//! Component statuses: the state of the control plane's parts, worked out when somebody asks and stored nowhere.
//!
//! Deprecated since Kubernetes 1.19 and still served by 1.35; `kubectl get componentstatuses` and some clients read
//! them. A part that is another process counts as healthy while it holds the lease that leaders hold.

use http::Response;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::Call;
use crate::codec;
use crate::request::{ListOptions, Verb};
use crate::resource::Resource;
use crate::respond::{self, ListMeta, Served};
use crate::selectors::Filter;
use crate::status::Status;

const DEPRECATED: &str = "v1 ComponentStatus is deprecated in v1.19+";
/// Names that Kubernetes gives them, and the lease in `kube-system` of those that are processes of their own.
const COMPONENTS: &[(&str, Option<&str>)] = &[
    ("controller-manager", Some("kube-controller-manager")),
    ("etcd-0", None),
    ("scheduler", Some("kube-scheduler")),
];

/// Whether a resource is this one.
pub fn is(resource: &Resource) -> bool {
    resource.custom().is_none() && resource.group.is_empty() && resource.plural == "componentstatuses"
}

/// Answers a read.
pub fn answer(call: &Call) -> Result<Response<Body>, Status> {
    call.warnings.add(DEPRECATED);
    match call.verb {
        Verb::Get => {
            let found = COMPONENTS.iter().find(|(name, _)| *name == call.name());
            let (name, lease) = found.ok_or_else(|| call.not_found())?;
            respond::object(call, 200, Served::Value(component(call, name, *lease)))
        }
        Verb::List => {
            let options = ListOptions::parse(&call.query, false)?;
            let filter = Filter::parse(&call.resource, &options.label_selector, &options.field_selector)?;
            let all = COMPONENTS
                .iter()
                .map(|(name, lease)| (name, codec::to_bytes(&component(call, name, *lease))));
            let items = all.filter(|(name, bytes)| filter.matches("", name, bytes)).map(|(_, bytes)| bytes);
            let meta = ListMeta { revision: call.server.store.revision(), ..ListMeta::default() };
            respond::list(call, items.collect(), &meta)
        }
        _ => Err(Status::method_not_allowed()),
    }
}

fn component(call: &Call, name: &str, lease: Option<&str>) -> Value {
    // Whoever reads this was answered from the store: it works.
    let why = lease.and_then(|lease| why_absent(call, lease));
    let condition = match &why {
        None => json!({"type": "Healthy", "status": "True", "message": "ok"}),
        Some(why) => json!({"type": "Healthy", "status": "False", "message": why}),
    };
    json!({
        "kind": "ComponentStatus",
        "apiVersion": "v1",
        "metadata": {"name": name},
        "conditions": [condition],
    })
}

/// Why nobody seems to hold a lease of `kube-system`.
fn why_absent(call: &Call, name: &str) -> Option<String> {
    let snapshot = call.server.registry.snapshot();
    let leases = snapshot.resource("coordination.k8s.io", "v1", "leases")?;
    let entry = call.server.store.get(&leases.key("kube-system", name));
    let Some(lease) = entry.and_then(|entry| codec::read(leases, &entry).ok()) else {
        return Some(format!("not running: nobody holds the lease kube-system/{name}"));
    };
    match held_until(&lease) {
        Some(end) if end > call.server.timestamp() => None,
        Some(end) => Some(format!("not running: the lease kube-system/{name} was held until {end}")),
        None => Some(format!("not running: nobody holds the lease kube-system/{name}")),
    }
}

/// When a lease that has a holder ends.
fn held_until(lease: &Value) -> Option<Timestamp> {
    let spec = &lease["spec"];
    spec["holderIdentity"].as_str().filter(|holder| !holder.is_empty())?;
    let renewed: Timestamp = spec["renewTime"].as_str()?.parse().ok()?;
    renewed.checked_add(Span::new().try_seconds(spec["leaseDurationSeconds"].as_i64()?).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_until_its_duration_after_the_last_renewal() {
        let lease = |holder: &str| json!({"spec": {"holderIdentity": holder, "renewTime": "2031-02-03T04:05:06.000000Z", "leaseDurationSeconds": 15}});
        assert_eq!(held_until(&lease("host_1")), Some("2031-02-03T04:05:21Z".parse().unwrap()));
        assert_eq!(held_until(&lease("")), None);
        assert_eq!(held_until(&json!({"spec": {}})), None);
    }
}
