//! An object as the collector's watches see it: who it is and whose, and nothing else of its metadata.
//!
//! Every write of the cluster comes by here; managed fields, most of an object's metadata, are read past.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use kube::core::{ApiResource, DynamicObject};
use serde::{Deserialize, Deserializer};

/// As much of an object's metadata as the graph is made of.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Seen {
    #[serde(deserialize_with = "metadata")]
    pub(super) metadata: ObjectMeta,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        deletion_timestamp: Option<Time>,
        finalizers: Option<Vec<String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let seen = Metadata::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: seen.name,
        namespace: seen.namespace,
        uid: seen.uid,
        resource_version: seen.resource_version,
        deletion_timestamp: seen.deletion_timestamp,
        finalizers: seen.finalizers,
        owner_references: seen.owner_references,
        ..ObjectMeta::default()
    })
}

impl Resource for Seen {
    type DynamicType = ApiResource;
    type Scope = <DynamicObject as Resource>::Scope;

    fn metadata_api() -> bool {
        true
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(resource)
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(resource)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(resource)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(resource)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::catalog::Kind;
    use crate::collector::graph::Node;

    #[test]
    fn what_the_graph_is_made_of_is_read_and_the_rest_read_past() {
        let metadata = json!({
            "name": "a", "namespace": "b", "uid": "u", "resourceVersion": "7", "finalizers": ["foregroundDeletion"],
            "deletionTimestamp": "2026-01-01T00:00:00Z", "labels": {"x": "y"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "o", "blockOwnerDeletion": true}],
            "managedFields": [{"manager": "m", "fieldsV1": {"f:data": {}}}],
        });
        let object =
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
        let seen: Seen = serde_json::from_value(object).unwrap();
        let whole: ObjectMeta = serde_json::from_value(metadata).unwrap();
        let resource = ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&());
        let kind = Arc::new(Kind { resource, namespaced: true, delete_collection: true });
        let node = |metadata| format!("{:?}", Node::of(&kind, metadata).unwrap());
        assert_eq!(node(&seen.metadata), node(&whole));
        assert_eq!(seen.metadata.resource_version, whole.resource_version);
        assert_eq!((seen.metadata.managed_fields, seen.metadata.labels), (None, None));
    }
}
