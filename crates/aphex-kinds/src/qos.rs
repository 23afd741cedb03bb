//! The quality of service of a pod: who is evicted first. `pkg/apis/core/v1/helper/qos` of 1.35.

use serde_json::Value;

use crate::fields::{at, items};
use crate::quantity::Quantity;

const COMPUTE: &[&str] = &["cpu", "memory"];

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(crate) fn class(pod: &Value) -> &'static str {
    let own = at(pod, "spec.resources");
    let containers = || items(pod, "spec.containers").iter().chain(items(pod, "spec.initContainers"));
    let parts: Vec<&Value> = if own.is_null() {
        containers().map(|container| at(container, "resources")).collect()
    } else {
        vec![own]
    };
    let amount = |part: &Value, list: &str, name: &str| {
        at(part, list).get(name).and_then(Quantity::of).map(Quantity::nanos).filter(|nanos| *nanos > 0)
    };
    let any = parts.iter().any(|part| {
        COMPUTE
            .iter()
            .any(|name| ["requests", "limits"].iter().any(|list| amount(part, list, name).is_some()))
    });
    let full = parts.iter().all(|part| {
        COMPUTE.iter().all(|name| {
            let limit = amount(part, "limits", name);
            limit.is_some() && amount(part, "requests", name).is_none_or(|request| Some(request) == limit)
        })
    });
    match (any, full) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_with_full_limits_is_guaranteed() {
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}});
        let pod = |resources: &Value| json!({"spec": {"containers": [{"resources": resources}]}});
        assert_eq!(class(&pod(&full)), "Guaranteed");
        assert_eq!(class(&pod(&json!({"requests": {"cpu": "1"}}))), "Burstable");
        assert_eq!(class(&pod(&json!({}))), "BestEffort");
    }
}
