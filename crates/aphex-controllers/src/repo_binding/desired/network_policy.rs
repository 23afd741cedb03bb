//! Closes a tenant namespace: in from itself, out to itself, to DNS and to the internet.

use aphex_api::labels;
use aphex_api::profile::PermissionProfile;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{ISOLATION, metadata};
use crate::repo_binding::validate::Valid;

/// Link-local addresses (RFC 3927), where clouds serve instance credentials.
const LINK_LOCAL: &str = "169.254.0.0/16";

pub(super) fn network_policy(valid: &Valid) -> NetworkPolicy {
    let own =
        || NetworkPolicyPeer { pod_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() };
    let dns = |protocol: &str| NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(53)),
        end_port: None,
    };
    let internet = NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: "0.0.0.0/0".to_owned(), except: Some(vec![LINK_LOCAL.to_owned()]) }),
        ..NetworkPolicyPeer::default()
    };
    let to = |peer, ports| NetworkPolicyEgressRule { to: Some(vec![peer]), ports };
    let mut egress = vec![
        to(own(), None),
        to(namespace("kube-system"), Some(vec![dns("UDP"), dns("TCP")])),
        to(internet, None),
    ];
    if valid.profile == PermissionProfile::Elevated {
        // Infrastructure pipelines talk to the cluster's own services.
        egress.push(to(namespace("kube-system"), None));
    }
    NetworkPolicy {
        metadata: metadata(valid, ISOLATION),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule { from: Some(vec![own()]), ports: None }]),
            egress: Some(egress),
        }),
    }
}

fn namespace(name: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some([(labels::NAMESPACE_NAME.to_owned(), name.to_owned())].into()),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    }
}
