//! The organization's EventListener, and the binding that its push triggers share.

use aphex_api::dispatch;
use aphex_api::foreign::triggers::{
    EventListener, EventListenerSpec, NamespaceSelector, Param, TriggerBinding, TriggerBindingSpec,
};
use aphex_api::labels;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{LISTENER, LISTENER_ACCOUNT, PUSH_BINDING, metadata};
use crate::organization::validate::Valid;

/// Listens for every trigger of the organization, in its own namespace and in those of its tenants.
///
/// Each trigger verifies the signature with its own secret. The label keeps out triggers that a tenant might put into
/// its namespace for its own use.
pub(super) fn event_listener(valid: &Valid) -> EventListener {
    let mut names = vec![valid.name.namespace()];
    names.extend(valid.tenants.iter().cloned());
    EventListener {
        metadata: metadata(&valid.name, LISTENER),
        spec: EventListenerSpec {
            service_account_name: LISTENER_ACCOUNT.to_owned(),
            namespace_selector: NamespaceSelector { match_names: names },
            label_selector: Some(LabelSelector {
                match_labels: Some([(labels::ORGANIZATION.to_owned(), valid.name.to_string())].into()),
                ..LabelSelector::default()
            }),
            ..EventListenerSpec::default()
        },
    }
}

/// What a push trigger takes from the event. The clone address is not among it: that is the binding's own.
pub(super) fn push_binding(valid: &Valid) -> TriggerBinding {
    TriggerBinding { metadata: metadata(&valid.name, PUSH_BINDING), spec: push_params() }
}

/// The same for every push trigger of the platform.
pub(crate) fn push_params() -> TriggerBindingSpec {
    let param = |name: &str, value: &str| Param { name: name.to_owned(), value: value.to_owned() };
    TriggerBindingSpec {
        params: vec![
            param("git-revision", "$(body.after)"),
            param("event-type", "$(header.X-Github-Event)"),
            param("event-id", "$(context.eventID)"),
            param("triggered-at", &dispatch::expression(dispatch::RECEIVED_TIME)),
        ],
    }
}
