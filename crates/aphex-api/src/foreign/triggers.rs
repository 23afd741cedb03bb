//! Tekton Triggers (`triggers.tekton.dev`, read at v0.34.0): the fields we read or write, the rest kept as found.
//!
//! Written from `pkg/apis/triggers/v1beta1`. Statuses are left out: on a real cluster Tekton owns them, and we read none.

mod reading;

pub use reading::or_default;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Label on created objects: the EventListener.
pub const EVENT_LISTENER_LABEL: &str = "triggers.tekton.dev/eventlistener";
/// Label on created objects: the Trigger.
pub const TRIGGER_LABEL: &str = "triggers.tekton.dev/trigger";
/// Label on created objects: the event's id.
pub const EVENT_ID_LABEL: &str = "triggers.tekton.dev/triggers-eventid";
/// Annotation on a TriggerTemplate: quotes in parameters are escaped, as early releases did.
pub const OLD_ESCAPE_ANNOTATION: &str = "triggers.tekton.dev/old-escape-quotes";
/// Annotation on a Delivery's EventListener: `none` gives tags, deletions and skip words Tekton's plain treatment.
pub const EVENT_POLICY_ANNOTATION: &str = "platform.aphex/event-policy";

/// Annotation on an EventListener: `accept` lets events in that none of its triggers' secrets signed.
pub const UNSIGNED_EVENTS_ANNOTATION: &str = "platform.aphex/unsigned-events";
/// Tekton's annotation on an EventListener: `false` lets payloads in that are not JSON, such as Slack's forms.
pub const PAYLOAD_VALIDATION_ANNOTATION: &str = "tekton.dev/payload-validation";

/// Fields that this program neither reads nor writes.
pub type Rest = Map<String, Value>;

/// Where events arrive and which triggers they are offered to.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "triggers.tekton.dev",
    version = "v1beta1",
    kind = "EventListener",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct EventListenerSpec {
    /// Account that creates resources for triggers that name none.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub service_account_name: String,
    /// Triggers written in place or referred to by name.
    #[serde(default, deserialize_with = "reading::each", skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<EventListenerTrigger>,
    /// Triggers behind a shared chain of interceptors.
    #[serde(default, deserialize_with = "reading::each", skip_serializing_if = "Vec::is_empty")]
    pub trigger_groups: Vec<TriggerGroup>,
    /// Namespaces whose Trigger objects are offered the events.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "NamespaceSelector::is_empty")]
    pub namespace_selector: NamespaceSelector,
    /// Labels of the Trigger objects that are offered the events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

impl EventListenerSpec {
    /// Where CloudEvents tell of what becomes of the events, if anywhere.
    pub fn cloud_event_uri(&self) -> Option<&str> {
        self.rest.get("cloudEventURI")?.as_str().filter(|uri| !uri.is_empty())
    }
}

/// One entry of an EventListener: a whole trigger, or the name of one.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EventListenerTrigger {
    /// Name of the entry.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Name of a Trigger in the listener's namespace.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub trigger_ref: String,
    /// Where parameters come from.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Binding>,
    /// What is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateRef>,
    /// Who may stop the event.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub interceptors: Vec<TriggerInterceptor>,
    /// Account that creates the resources.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub service_account_name: String,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
    /// Why the entry cannot be read, where it cannot: then all of it is in `rest`, and it does nothing.
    #[serde(skip)]
    pub unreadable: Option<String>,
}

/// Triggers behind a shared chain of interceptors.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TriggerGroup {
    /// Name of the group.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Asked once, before the group's triggers are selected.
    #[serde(default, deserialize_with = "or_default")]
    pub interceptors: Vec<TriggerInterceptor>,
    /// Which Trigger objects belong to the group.
    #[serde(default, deserialize_with = "or_default")]
    pub trigger_selector: TriggerSelector,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
    /// Why the group cannot be read, where it cannot: then all of it is in `rest`, and it selects nothing.
    #[serde(skip)]
    pub unreadable: Option<String>,
}

/// Selects Trigger objects.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TriggerSelector {
    /// By namespace.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "NamespaceSelector::is_empty")]
    pub namespace_selector: NamespaceSelector,
    /// By label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
}

/// Selects namespaces by name; `*` alone means all.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// The names.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub match_names: Vec<String>,
}

impl NamespaceSelector {
    /// Whether it names no namespace.
    pub fn is_empty(&self) -> bool {
        self.match_names.is_empty()
    }
}

/// From an event to resources: interceptors, then bindings, then the template.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "triggers.tekton.dev",
    version = "v1beta1",
    kind = "Trigger",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct TriggerSpec {
    /// A name for people.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where parameters come from.
    #[serde(default, deserialize_with = "or_default")]
    pub bindings: Vec<Binding>,
    /// What is created.
    #[serde(default, deserialize_with = "or_default")]
    pub template: TemplateRef,
    /// Who may stop the event.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub interceptors: Vec<TriggerInterceptor>,
    /// Account, in the Trigger's namespace, that creates the resources.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub service_account_name: String,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A parameter given in place (`name`, `value`), or a reference to a binding object (`ref`, `kind`).
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Name of the parameter.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its value; `$(…)` expressions are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Name of a TriggerBinding or ClusterTriggerBinding.
    #[serde(
        rename = "ref",
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub reference: String,
    /// `TriggerBinding` (also when empty) or `ClusterTriggerBinding`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub kind: String,
}

/// A reference to a TriggerTemplate, or one written in place.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct TemplateRef {
    /// Name of a TriggerTemplate in the trigger's namespace.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The template itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<TriggerTemplateSpec>,
}

/// One interceptor of a chain, with its parameters.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(from = "reading::Written")]
pub struct TriggerInterceptor {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which interceptor.
    #[serde(rename = "ref", default, deserialize_with = "or_default")]
    pub reference: InterceptorRef,
    /// What it is told.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<InterceptorParam>,
    /// An interceptor of the old kind: any HTTP service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Value>,
}

/// Names a ClusterInterceptor or Interceptor.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct InterceptorRef {
    /// Its name.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `ClusterInterceptor` (also when empty) or `NamespacedInterceptor`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its group and version.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub api_version: String,
}

/// A parameter of an interceptor.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct InterceptorParam {
    /// Its name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: Value,
}

/// Parameters taken from events, for triggers of the same namespace.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "triggers.tekton.dev",
    version = "v1beta1",
    kind = "TriggerBinding",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
pub struct TriggerBindingSpec {
    /// The parameters.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
}

/// Parameters taken from events, for triggers of every namespace.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "triggers.tekton.dev",
    version = "v1beta1",
    kind = "ClusterTriggerBinding",
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
pub struct ClusterTriggerBindingSpec {
    /// The parameters.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
}

/// A parameter and its value.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Its value; `$(…)` expressions are replaced.
    #[serde(default, deserialize_with = "or_default")]
    pub value: String,
}

/// Resources to create, with places for parameters (`$(tt.params.<name>)`).
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "triggers.tekton.dev",
    version = "v1beta1",
    kind = "TriggerTemplate",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
pub struct TriggerTemplateSpec {
    /// The parameters it takes.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<TemplateParam>,
    /// The resources it makes.
    #[serde(
        rename = "resourcetemplates",
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub resource_templates: Vec<Value>,
}

/// A parameter that a TriggerTemplate takes.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateParam {
    /// Its name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// What it is for.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its value when no binding gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// An interceptor service for every namespace.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "triggers.tekton.dev",
    version = "v1alpha1",
    kind = "ClusterInterceptor",
    schema = "disabled",
    status = "InterceptorStatus",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterInterceptorSpec {
    /// Where it is reached.
    #[serde(default, deserialize_with = "or_default")]
    pub client_config: ClientConfig,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// An interceptor service for its own namespace.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "triggers.tekton.dev",
    version = "v1alpha1",
    kind = "Interceptor",
    namespaced,
    schema = "disabled",
    status = "InterceptorStatus",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct InterceptorSpec {
    /// Where it is reached.
    #[serde(default, deserialize_with = "or_default")]
    pub client_config: ClientConfig,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Where an interceptor service is reached.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClientConfig {
    /// Certificates of the authorities that signed the service's own: PEM, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The Service in front of it, where there is no address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceReference>,
}

/// Names a Service and what to ask there.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceReference {
    /// Its name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Its namespace.
    #[serde(default, deserialize_with = "or_default")]
    pub namespace: String,
    /// Path of the request.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Its port: 8443 with a `caBundle`, else 80, where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What Tekton found out about an interceptor.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct InterceptorStatus {
    /// Where it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}

/// An address, as Knative writes it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_listener_keeps_the_fields_nobody_here_knows() {
        let written = json!({
            "serviceAccountName": "pipeline-runner",
            "triggers": [{
                "name": "github-push",
                "interceptors": [{ "ref": { "name": "cel" }, "params": [{ "name": "filter", "value": "true" }] }],
                "bindings": [{ "ref": "github-push-binding" }, { "name": "x", "value": "" }],
                "template": { "ref": "cdktf-deploy-trigger-template" },
            }],
            "namespaceSelector": { "matchNames": ["org-acme"] },
            "resources": { "kubernetesResource": { "replicas": 3 } },
        });
        let spec: EventListenerSpec = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(spec.triggers[0].bindings[1].value.as_deref(), Some(""));
        assert_eq!(serde_json::to_value(spec).unwrap(), written);
    }
}
