//! What a tenant that stands alone has instead of an organization: a listener of its own, and a way in to it.
//!
//! ```text
//! GitHub -> Ingress github-webhook -> Service github-webhook -> Service aphex-gateway of the platform
//! ```
//!
//! An Ingress leads to a Service of its own namespace; ours is an alias (ExternalName) for the gateway's. The Service
//! `el-github-listener` is not used: where Tekton Triggers is installed, it is Tekton's, and leads past the gateway.

use aphex_api::foreign::triggers::{EventListener, EventListenerSpec, EventListenerTrigger, TriggerBinding};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{RUNNER, WEBHOOK, metadata, trigger};
use crate::context::Settings;
use crate::organization::{LISTENER, PUSH_BINDING, push_params};
use crate::repo_binding::shape::Shape;
use crate::repo_binding::validate::Valid;

/// The listener's entry for pushes.
const PUSH_TRIGGER: &str = "github-push";
/// Port of the gateway's Service.
const GATEWAY_PORT: i32 = 80;

/// What the trigger takes from the event, as in an organization.
pub(super) fn push_binding(valid: &Valid) -> Option<TriggerBinding> {
    is_standalone(valid)
        .then(|| TriggerBinding { metadata: metadata(valid, PUSH_BINDING), spec: push_params() })
}

/// Listens for the tenant alone; its runs are made by the runner, who may make them anyway.
pub(super) fn event_listener(valid: &Valid) -> Option<EventListener> {
    if !is_standalone(valid) {
        return None;
    }
    let spec = trigger::spec(valid);
    let push = EventListenerTrigger {
        name: PUSH_TRIGGER.to_owned(),
        interceptors: spec.interceptors,
        bindings: spec.bindings,
        template: Some(spec.template),
        ..EventListenerTrigger::default()
    };
    Some(EventListener {
        metadata: metadata(valid, LISTENER),
        spec: EventListenerSpec {
            service_account_name: RUNNER.to_owned(),
            triggers: vec![push],
            ..EventListenerSpec::default()
        },
    })
}

pub(super) fn service(valid: &Valid, settings: &Settings) -> Option<Service> {
    host(valid)?;
    let port = ServicePort {
        name: Some("http".to_owned()),
        port: GATEWAY_PORT,
        // Some Ingress controllers connect to this port, not to the other.
        target_port: Some(IntOrString::Int(GATEWAY_PORT)),
        ..ServicePort::default()
    };
    Some(Service {
        metadata: metadata(valid, WEBHOOK),
        spec: Some(ServiceSpec {
            type_: Some("ExternalName".to_owned()),
            external_name: Some(settings.ingress.gateway_service.clone()),
            ports: Some(vec![port]),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}

pub(super) fn ingress(valid: &Valid, settings: &Settings) -> Option<Ingress> {
    let host = host(valid)?;
    let backend = IngressServiceBackend {
        name: WEBHOOK.to_owned(),
        port: Some(ServiceBackendPort { number: Some(GATEWAY_PORT), name: None }),
    };
    let path = HTTPIngressPath {
        path: Some(format!("/{}", valid.tenant)),
        path_type: "Prefix".to_owned(),
        backend: IngressBackend { service: Some(backend), resource: None },
    };
    Some(Ingress {
        metadata: metadata(valid, WEBHOOK),
        spec: Some(IngressSpec {
            ingress_class_name: settings.exposure.ingress_class.clone(),
            rules: Some(vec![IngressRule {
                host: Some(host.clone()),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            // The webhook's address is https, which the Ingress API promises for hosts named here alone. The certificate is the
            // controller's own: a tenant's namespace has none.
            tls: Some(vec![IngressTLS { hosts: Some(vec![host.clone()]), secret_name: None }]),
            ..IngressSpec::default()
        }),
        status: None,
    })
}

fn is_standalone(valid: &Valid) -> bool {
    matches!(valid.shape, Shape::Standalone { .. })
}

fn host(valid: &Valid) -> Option<&String> {
    match &valid.shape {
        Shape::Standalone { ingress_host, .. } => ingress_host.as_ref(),
        Shape::Organization { .. } => None,
    }
}
