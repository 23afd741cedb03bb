//! The organization's namespace, what may reach into it, and its webhook secret.

use aphex_api::labels;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{WEBHOOK_SECRET, cluster_metadata, metadata};
use crate::context::Settings;
use crate::organization::validate::Valid;

pub(super) fn namespace(valid: &Valid) -> Namespace {
    let mut metadata = cluster_metadata(&valid.name, valid.name.namespace());
    metadata.labels.get_or_insert_default().extend([
        (labels::SECRET_STORE_ORGANIZATION.to_owned(), valid.name.to_string()),
        // What runs here is the platform's: tunnels, and Tekton's own listener where it is installed.
        (labels::POD_SECURITY.to_owned(), "restricted".to_owned()),
    ]);
    Namespace { metadata, ..Namespace::default() }
}

/// Nothing but the gateway and a tunnel may reach pods here.
pub(super) fn network_policy(valid: &Valid, settings: &Settings) -> NetworkPolicy {
    let labelled = |pairs: &[(&str, &str)]| LabelSelector {
        match_labels: Some(
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ),
        ..LabelSelector::default()
    };
    let gateway = NetworkPolicyPeer {
        namespace_selector: Some(labelled(&[(labels::NAMESPACE_NAME, &settings.platform_namespace)])),
        pod_selector: Some(labelled(&[(labels::APP_NAME, "aphex"), (labels::APP_COMPONENT, "gateway")])),
        ..NetworkPolicyPeer::default()
    };
    let tunnel = NetworkPolicyPeer {
        pod_selector: Some(labelled(&[("app", "cloudflared")])),
        ..NetworkPolicyPeer::default()
    };
    let ingress = NetworkPolicyIngressRule { from: Some(vec![gateway, tunnel]), ports: None };
    NetworkPolicy {
        metadata: metadata(&valid.name, "default-deny-ingress"),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![ingress]),
            egress: None,
        }),
    }
}

pub(super) fn webhook_secret(valid: &Valid) -> Option<Secret> {
    let secret = Secret {
        metadata: metadata(&valid.name, WEBHOOK_SECRET),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    Some(valid.webhook_secret.clone()?.into_secret(secret))
}
