//! Objects whose namespace another object of the same files makes, such as the Pipeline of a standalone tenant.
//!
//! kubectl is refused these until a controller has made the namespace, and succeeds when it is run again. Here they wait.

use aphex_api::names::OrgName;
use serde_json::Value;

use crate::exit;

/// The namespace that a server said is not there.
pub(crate) fn missing_namespace(error: &anyhow::Error) -> Option<&str> {
    let status = error.chain().find_map(exit::of_server).and_then(|error| match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    })?;
    let details = status.details.as_ref().filter(|details| details.kind == "namespaces")?;
    (status.code == 404).then_some(details.name.as_str())
}

/// Which of the objects makes a namespace.
pub(crate) fn maker(objects: &[Value], namespace: &str) -> Option<usize> {
    objects.iter().position(|object| makes(object, namespace))
}

fn makes(object: &Value, namespace: &str) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (Some(kind), Some(api_version)) = (text("/kind"), text("/apiVersion")) else { return false };
    let made = match (api_version.split_once('/').map_or("", |(group, _)| group), kind) {
        ("", "Namespace") | ("platform.dev", "Pipeline") => text("/metadata/name").map(str::to_owned),
        ("aphex.io", "RepoBinding") => {
            text("/spec/tenantName").or_else(|| text("/spec/pipelineName")).map(str::to_owned)
        }
        ("aphex.io", "Organization") => {
            text("/metadata/name").and_then(|name| name.parse::<OrgName>().ok()).map(|name| name.namespace())
        }
        _ => None,
    };
    made.as_deref() == Some(namespace)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_makes_its_own_namespace_and_no_other() {
        let object = |api_version: &str, kind: &str, name: &str, spec: Value| json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name }, "spec": spec });
        let objects = [
            object("v1", "Namespace", "plain", json!({})),
            object("aphex.io/v1alpha1", "Organization", "acme", json!({})),
            object("aphex.io/v1alpha1", "RepoBinding", "a", json!({ "tenantName": "archon" })),
            object("aphex.io/v1alpha1", "RepoBinding", "b", json!({ "pipelineName": "web" })),
            object("platform.dev/v1alpha1", "Pipeline", "checkout", json!({})),
            object("tekton.dev/v1", "Pipeline", "cdktf-deploy", json!({})),
        ];
        for (namespace, expected) in
            [("plain", 0), ("org-acme", 1), ("archon", 2), ("web", 3), ("checkout", 4)]
                .map(|(n, at)| (n, Some(at)))
        {
            assert_eq!(maker(&objects, namespace), expected, "{namespace}");
        }
        for other in ["acme", "cdktf-deploy", "a", ""] {
            assert_eq!(maker(&objects, other), None, "{other}");
        }
    }

    #[test]
    fn only_a_namespace_that_is_missing_is_waited_for() {
        let refused = |code: u16, kind: &str| {
            let status =
                json!({ "code": code, "message": "no", "details": { "name": "archon", "kind": kind } });
            let status: Status = serde_json::from_value(status).unwrap();
            anyhow::Error::new(kube::Error::Api(Box::new(status))).context("cannot apply it")
        };
        assert_eq!(missing_namespace(&refused(404, "namespaces")), Some("archon"));
        assert_eq!(missing_namespace(&refused(404, "pipelines")), None);
        assert_eq!(missing_namespace(&refused(403, "namespaces")), None);
    }
}
