//! The store from which namespaces of the organization take its shared secrets.

use aphex_api::foreign::external_secrets::{
    CaProvider, ClusterSecretStore, ClusterSecretStoreSpec, KubernetesAuth, KubernetesProvider,
    KubernetesServer, Provider, ServiceAccountRef, StoreCondition,
};
use aphex_api::labels;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{SECRET_READER, cluster_metadata};
use crate::organization::validate::Valid;

pub(super) fn secret_store(valid: &Valid) -> ClusterSecretStore {
    let selector = LabelSelector {
        match_labels: Some([(labels::SECRET_STORE_ORGANIZATION.to_owned(), valid.name.to_string())].into()),
        ..LabelSelector::default()
    };
    let ca = CaProvider {
        kind: "ConfigMap".to_owned(),
        name: "kube-root-ca.crt".to_owned(),
        key: "ca.crt".to_owned(),
        namespace: valid.name.namespace(),
    };
    let account = ServiceAccountRef { name: SECRET_READER.to_owned(), namespace: valid.name.namespace() };
    let kubernetes = KubernetesProvider {
        remote_namespace: valid.name.namespace(),
        server: KubernetesServer { ca_provider: Some(ca), ..KubernetesServer::default() },
        auth: KubernetesAuth { service_account: Some(account), ..KubernetesAuth::default() },
    };
    ClusterSecretStore {
        metadata: cluster_metadata(&valid.name, valid.name.secret_store()),
        spec: ClusterSecretStoreSpec {
            conditions: vec![StoreCondition {
                namespace_selector: Some(selector),
                ..StoreCondition::default()
            }],
            provider: Provider { kubernetes: Some(kubernetes), ..Provider::default() },
            ..ClusterSecretStoreSpec::default()
        },
    }
}
