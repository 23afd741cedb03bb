//! What the tenant's Argo CD Applications may do: deploy this repository into its own namespaces.

use aphex_api::foreign::argocd::{AppProject, AppProjectSpec, Destination, GroupKind};
use kube::core::ObjectMeta;

use super::cluster_metadata;
use crate::context::Settings;
use crate::repo_binding::validate::Valid;

pub(super) fn app_project(valid: &Valid, settings: &Settings) -> AppProject {
    let tenant = &valid.tenant;
    let destination = |namespace| Destination { server: settings.cluster_url.clone(), namespace };
    AppProject {
        metadata: ObjectMeta {
            namespace: Some(settings.argocd_namespace.clone()),
            ..cluster_metadata(valid, tenant.app_project())
        },
        spec: AppProjectSpec {
            description: format!("Project for {tenant} pipeline"),
            destinations: vec![destination(tenant.namespace()), destination(tenant.namespace_wildcard())],
            source_repos: vec![valid.repository.url(), valid.repository.clone_url()],
            cluster_resource_whitelist: Vec::new(),
            namespace_resource_whitelist: vec![GroupKind { group: "*".to_owned(), kind: "*".to_owned() }],
            ..AppProjectSpec::default()
        },
    }
}
