//! Bindings as others see them: whose they are, which names they claim, and how far they came.
//!
//! Every pass over a binding or an organization looks at all bindings. Read whole, with pipelines and managed fields,
//! they would make a pass ever longer as bindings become more; of each only a few fields are looked at.

use std::collections::BTreeMap;

use aphex_api::repo_binding::{RepoBinding, RepoBindingPhase, RepoBindingSpec, RepoBindingStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource as _;
use kube::api::{ListParams, ObjectMeta};
use kube::core::Request;
use serde::Deserialize;

use crate::context::Context;
use crate::outcome::StepError;

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Claim>,
}

/// As much of a binding as is read; everything else in the answer is skipped.
#[derive(Debug, Deserialize)]
struct Claim {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    aphex_org: Option<String>,
    pipeline_name: Option<String>,
    tenant_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    phase: RepoBindingPhase,
    #[serde(default)]
    namespace_created: bool,
}

impl From<Claim> for RepoBinding {
    fn from(claim: Claim) -> Self {
        let Claim { metadata, spec, status } = claim;
        let metadata = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            labels: metadata.labels,
            creation_timestamp: metadata.creation_timestamp,
            deletion_timestamp: metadata.deletion_timestamp,
            ..ObjectMeta::default()
        };
        let spec = RepoBindingSpec {
            aphex_org: spec.aphex_org,
            pipeline_name: spec.pipeline_name,
            tenant_name: spec.tenant_name,
            ..RepoBindingSpec::default()
        };
        let status = RepoBindingStatus {
            phase: status.phase,
            namespace_created: status.namespace_created,
            ..RepoBindingStatus::default()
        };
        Self { metadata, spec, status: Some(status) }
    }
}

/// All bindings, read now: names, owners, phase; the rest of them is empty.
pub(crate) async fn all(context: &Context) -> Result<Vec<RepoBinding>, StepError> {
    let read = |source| StepError::read("RepoBindings", source);
    let path = RepoBinding::url_path(&(), Some(&context.settings.platform_namespace));
    let request = Request::new(path).list(&ListParams::default());
    let request = request.map_err(|source| read(kube::Error::BuildRequest(source)))?;
    let list: List = context.client.request(request).await.map_err(read)?;
    Ok(list.items.into_iter().map(RepoBinding::from).collect())
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_decides_about_names_is_read_and_nothing_else() {
        let item = json!({
            "apiVersion": "aphex.io/v1alpha1",
            "kind": "RepoBinding",
            "metadata": {
                "name": "web", "namespace": "platform-system", "uid": "u-1", "labels": { "a": "b" }, "managedFields": [{ "manager": "x" }],
                "creationTimestamp": "2026-11-23T10:00:00Z", "deletionTimestamp": "2026-11-24T10:00:00Z",
            },
            "spec": { "aphexOrg": "acme", "pipelineName": "web-main", "pipelineSpec": "long" },
            "status": { "phase": "Ready", "namespaceCreated": true, "webhookSecret": "whsec_1" },
        });
        let unborn = json!({ "metadata": { "name": "new" }, "spec": { "tenantName": "alone" } });
        let list: List = serde_json::from_value(json!({ "items": [item, unborn] })).unwrap();
        let bindings: Vec<RepoBinding> = list.items.into_iter().map(RepoBinding::from).collect();
        let [web, new] = bindings.as_slice() else { panic!("{bindings:?}") };
        assert_eq!((web.metadata.name.as_deref(), web.metadata.uid.as_deref()), (Some("web"), Some("u-1")));
        assert_eq!(web.labels().get("a").map(String::as_str), Some("b"), "they tell who the owner is");
        assert!(web.metadata.creation_timestamp < web.metadata.deletion_timestamp);
        assert_eq!(web.spec.pipeline_name.as_deref(), Some("web-main"));
        assert_eq!((web.spec.aphex_org.as_deref(), &web.spec.pipeline_spec), (Some("acme"), &None));
        let status = web.status.as_ref().unwrap();
        assert!(status.namespace_created && status.phase == RepoBindingPhase::Ready);
        assert_eq!(status.webhook_secret, None);
        assert_eq!(new.spec.tenant_name.as_deref(), Some("alone"));
        assert_eq!(new.status.as_ref().unwrap().phase, RepoBindingPhase::default());
    }
}
