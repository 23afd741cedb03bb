//! The Ingress that leads an organization's host name to the gateway, where the exposure is through Ingress objects.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};

use super::{GATEWAY_PORT, GATEWAY_SERVICE, cluster_metadata};
use crate::context::Settings;
use crate::organization::validate::Valid;
use crate::tunnels::Path;

/// In the platform's namespace: an Ingress leads to Services of its own namespace alone.
pub(super) fn ingress(valid: &Valid, settings: &Settings) -> Option<Ingress> {
    let Path::Ingress { host } = &valid.exposure.as_ref()?.path else { return None };
    let mut metadata = cluster_metadata(&valid.name, valid.name.ingress());
    metadata.namespace = Some(settings.platform_namespace.clone());
    // The organization's own webhooks and no others': the gateway would answer paths of others under this host too.
    let paths = ["/".to_owned(), format!("/{}", valid.name)].map(path);
    Some(Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: settings.exposure.ingress_class.clone(),
            rules: Some(vec![IngressRule {
                host: Some(host.clone()),
                http: Some(HTTPIngressRuleValue { paths: paths.into() }),
            }]),
            tls: Some(vec![IngressTLS {
                hosts: Some(vec![host.clone()]),
                secret_name: settings.exposure.ingress_tls_secret.clone(),
            }]),
            ..IngressSpec::default()
        }),
        status: None,
    })
}

fn path(path: String) -> HTTPIngressPath {
    let service = IngressServiceBackend {
        name: GATEWAY_SERVICE.to_owned(),
        port: Some(ServiceBackendPort { name: Some(GATEWAY_PORT.to_owned()), number: None }),
    };
    HTTPIngressPath {
        path: Some(path),
        path_type: "Exact".to_owned(),
        backend: IngressBackend { service: Some(service), resource: None },
    }
}
