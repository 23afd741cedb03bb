//! `Delivery` (`dlv`): one verified webhook event and everything that was decided about it.
//!
//! The gateway stores the event in `spec` before it answers the sender, and never changes it afterwards; what became of
//! it, trigger by trigger, goes to `status`. The object lives in the namespace of the tenant whose secret signed the event,
//! whose people may read it; where that is not one tenant's, it lives beside the EventListener that received the event.
//! Payload bytes are gzip, then base64; those too large for one object are in Secrets beside the listener, wherever the
//! Delivery is. Headers that carry secrets are not kept.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::{CustomResource, CustomResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::foreign::tekton::PENDING;
use crate::labels;

/// Label: the EventListener that received the event.
pub const LISTENER_LABEL: &str = "platform.aphex/event-listener";
/// Label: the event type as GitHub names it.
pub const EVENT_LABEL: &str = "platform.aphex/event";
/// Label: the repository, `<owner>.<name>`, when it fits a label value.
pub const REPOSITORY_LABEL: &str = "platform.aphex/repo";
/// Label on Secrets with parts of a payload: the namespace of the Delivery, where it is another than theirs.
pub const DELIVERY_NAMESPACE_LABEL: &str = "platform.aphex/delivery-namespace";
/// Label beside it: the Delivery's name.
pub const DELIVERY_LABEL: &str = "platform.aphex/delivery";
/// Annotation beside it: the Delivery's uid, once it was stored.
pub const DELIVERY_UID_ANNOTATION: &str = "platform.aphex/delivery-uid";
/// Annotation beside it: when the part was stored, RFC 3339.
pub const STORED_ANNOTATION: &str = "platform.aphex/stored-at";
/// Annotation: any new value makes the gateway evaluate a finished Delivery again.
pub const REPLAY_ANNOTATION: &str = "platform.aphex/replay";

/// A webhook event whose signature was verified.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "aphex.io",
    version = "v1alpha1",
    kind = "Delivery",
    plural = "deliveries",
    shortname = "dlv",
    category = "aphex",
    namespaced,
    status = "DeliveryStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "One verified webhook event and what became of it.",
    printcolumn(name = "Event", type_ = "string", json_path = ".spec.event"),
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository"),
    printcolumn(name = "Ref", type_ = "string", json_path = ".spec.ref", priority = "1"),
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.verdict"),
    printcolumn(name = "Created", type_ = "string", json_path = ".status.created[0].name"),
    printcolumn(
        name = "Concurrency",
        type_ = "string",
        json_path = ".status.created[0].concurrency.verdict",
        priority = "1"
    ),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct DeliverySpec {
    /// Name of the EventListener that received the event.
    #[schemars(length(min = 1, max = 253))]
    pub listener: String,
    /// Namespace of the EventListener; empty when it is this Delivery's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub listener_namespace: String,
    /// The sender's id for the delivery (`X-GitHub-Delivery`); made up when the sender gave none.
    #[serde(rename = "deliveryID")]
    #[schemars(length(min = 1, max = 128))]
    pub delivery_id: String,
    /// The event type (`X-GitHub-Event`), such as `push`; empty when the sender gave none.
    #[serde(default)]
    pub event: String,
    /// Full name of the repository, `owner/name`; empty when the payload names none.
    #[serde(default)]
    pub repository: String,
    /// The git ref the event is about; empty when the payload names none.
    #[serde(rename = "ref", default)]
    pub git_ref: String,
    /// The commit the event is about; empty when the payload names none.
    #[serde(default)]
    pub revision: String,
    /// The login of the account that caused the event; empty when the payload names none.
    #[serde(default)]
    pub sender: String,
    /// Path and query of the request, as received.
    #[serde(default)]
    pub request: String,
    /// Address of the peer that sent the request.
    #[serde(default)]
    pub source: String,
    /// Request headers by canonical name, without signatures, credentials and cookies.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The JSON payload, gzip and base64; the Secrets that `payloadParts` counts hold what is not in it.
    pub payload: String,
    /// How many Secrets hold what is not in `payload`, of one too large for one object.
    ///
    /// Beside the listener `payload` has the first part, and the others are `<name>-payload-<n>` beside the Delivery.
    #[serde(default)]
    #[schemars(range(min = 0, max = 64))]
    pub payload_parts: u32,
    /// SHA-256 (hexadecimal) of a payload all of which is in Secrets, in the listener's namespace.
    ///
    /// Their names are made of it and of this object's namespace and name, so they are nobody else's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub payload_digest: String,
    /// Secrets of the listener's triggers whose signature the event carries; only their triggers may fire.
    pub verified_by: Vec<SecretKeyRef>,
    /// The gateway replica that received it; it begins without a claim.
    #[serde(default)]
    pub received_by: String,
    /// When the request had been read.
    #[schemars(schema_with = "date_time")]
    pub received_time: Option<MicroTime>,
}

/// The namespace of the EventListener that received an event.
#[must_use]
pub fn listener_namespace(delivery: &Delivery) -> &str {
    match delivery.spec.listener_namespace.as_str() {
        "" => delivery.metadata.namespace.as_deref().unwrap_or_default(),
        elsewhere => elsewhere,
    }
}

impl Delivery {
    /// The definition. Its status is no subresource: the engine would drop it from the write that creates the object.
    pub fn crd() -> CustomResourceDefinition {
        let mut definition = <Self as CustomResourceExt>::crd();
        for version in &mut definition.spec.versions {
            version.subresources = None;
        }
        definition
    }
}

/// A key of a Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretKeyRef {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret.
    pub name: String,
    /// The key inside it.
    pub key: String,
}

/// What became of a Delivery.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    /// How far the Delivery has come.
    #[serde(default)]
    pub phase: DeliveryPhase,
    /// The outcome in one word; absent until there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<DeliveryVerdict>,
    /// The outcome in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Outcome of the signature check; what fails it is not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureVerdict>,
    /// Everything this Delivery created, over all triggers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<CreatedObject>,
    /// Each trigger whose secret signed the event, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<TriggerResult>,
    /// How often evaluation was begun.
    #[serde(default)]
    pub attempts: u32,
    /// The gateway replica that works on the Delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Until when the holder's claim stands; afterwards any replica may take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub lease_until: Option<MicroTime>,
    /// When to try again what the engine did not take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub next_attempt_time: Option<MicroTime>,
    /// When the last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub started_time: Option<MicroTime>,
    /// When the verdict was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub completed_time: Option<MicroTime>,
    /// The replay annotation's value that the verdict answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_replay: Option<String>,
    /// The generation of the object that the status was written into; the spec never changes.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready` is True once there is a verdict, False when it is `Failed`, Unknown before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::schema")]
    pub conditions: Vec<Condition>,
}

/// How far a Delivery has come.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeliveryPhase {
    /// Stored; nobody has begun, or the next attempt waits for its time.
    #[default]
    Pending,
    /// A replica is evaluating it.
    Processing,
    /// The verdict is final.
    Done,
    /// Given up, or a trigger cannot work as it is written; `message` says why.
    Failed,
}

/// The outcome of a Delivery in one word.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryVerdict {
    /// At least one object was created.
    Created,
    /// No trigger wanted the event; each says why.
    NotWanted,
    /// The listener has no trigger for the secret that signed the event.
    NoTrigger,
    /// GitHub's greeting for a new webhook; nothing to do.
    Ping,
    /// The push deleted a branch or tag; there is nothing to build.
    RefDeleted,
    /// The push moved a tag, not a branch.
    Tag,
    /// The head commit's message asks for no run (`[skip ci]` and the like).
    SkipRequested,
    /// A trigger failed for good.
    Failed,
}

/// Outcome of the signature check.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureVerdict {
    /// The sender showed that it knows the secrets in `spec.verifiedBy`.
    #[default]
    Valid,
    /// The listener accepts events that no secret signed, and this is one.
    Unsigned,
}

/// An object that a Delivery created.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CreatedObject {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; absent for cluster-scoped kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Unique id, when the engine told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// What the binding's `concurrency` decided about the run; absent where it decided nothing. The controllers keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<RunConcurrency>,
}

impl CreatedObject {
    /// Whether this is an object of that name, and not an earlier or later one of the same name.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.api_version, &self.kind, &self.namespace)
            == (&other.api_version, &other.kind, &other.namespace)
            && (&self.name, &self.uid) == (&other.name, &other.uid)
    }
}

/// What a binding's `concurrency` decided about a run.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunConcurrency {
    /// The outcome in one word.
    pub verdict: ConcurrencyVerdict,
    /// Name of the newer run that superseded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
}

/// What `concurrency` decided about a run, in one word.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConcurrencyVerdict {
    /// It was made held back, and waits for its turn.
    Waiting,
    /// It was made held back, and was let go.
    Released,
    /// It was stopped for a newer run of the same ref.
    Superseded,
    /// Somebody cancelled or deleted it while it waited.
    Withdrawn,
}

impl RunConcurrency {
    /// It waits for its turn.
    pub const WAITING: Self = Self { verdict: ConcurrencyVerdict::Waiting, superseded_by: None };
    /// It was let go.
    pub const RELEASED: Self = Self { verdict: ConcurrencyVerdict::Released, superseded_by: None };

    /// Somebody cancelled or deleted it while it waited.
    pub const WITHDRAWN: Self = Self { verdict: ConcurrencyVerdict::Withdrawn, superseded_by: None };

    /// It was stopped for this run.
    #[must_use]
    pub fn superseded(by: &str) -> Self {
        Self { verdict: ConcurrencyVerdict::Superseded, superseded_by: Some(by.to_owned()) }
    }

    /// What a run shows, by its annotations and `spec.status`; nothing where nobody decided, or it cannot be told.
    #[must_use]
    pub fn of(annotations: &BTreeMap<String, String>, status: Option<&str>) -> Option<Self> {
        if let Some(by) = annotations.get(labels::SUPERSEDED_BY) {
            return Some(Self::superseded(by));
        }
        if annotations.get(labels::QUEUED).is_none_or(|queued| queued != "true") {
            return None;
        }
        match status {
            Some(PENDING) => Some(Self::WAITING),
            None | Some("") => Some(Self::RELEASED),
            // Somebody cancelled it, perhaps while it waited.
            Some(_) => None,
        }
    }
}

/// What one trigger made of the event.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct TriggerResult {
    /// Name of the trigger.
    pub name: String,
    /// Namespace of the trigger.
    pub namespace: String,
    /// Name of the trigger group that offered it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The outcome in one word.
    pub verdict: TriggerVerdict,
    /// The outcome in one sentence: the reason for silence, or what failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Each interceptor that was asked, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interceptors: Vec<InterceptorResult>,
    /// The parameters given to the template.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// What was created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<CreatedObject>,
}

/// The outcome of a trigger in one word.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TriggerVerdict {
    /// Everything its template asks for exists.
    Created,
    /// An interceptor stopped the event.
    NotWanted,
    /// The engine has not taken it yet; it will be tried again.
    Retrying,
    /// It cannot work as it is written, or the engine refuses it for good.
    Failed,
}

/// What one interceptor said.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct InterceptorResult {
    /// Name of the interceptor in its trigger, else its kind, such as `github` or `cel`.
    pub name: String,
    /// Whether the event went on.
    pub verdict: InterceptorVerdict,
    /// The reason, for an event that did not go on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The expression that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The values that the expression read, by path; long ones are cut.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

/// Whether an interceptor let the event pass.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InterceptorVerdict {
    /// The event went on.
    Passed,
    /// The event was not wanted.
    Stopped,
    /// The interceptor could not decide.
    Failed,
}

fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "nullable": true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_says_what_people_see_in_a_list() {
        let crd = Delivery::crd();
        assert_eq!(crd.metadata.name.as_deref(), Some("deliveries.aphex.io"));
        assert_eq!(crd.spec.names.short_names, Some(vec!["dlv".to_owned()]));
        let columns: Vec<String> = crd.spec.versions[0]
            .additional_printer_columns
            .iter()
            .flatten()
            .map(|c| c.name.clone())
            .collect();
        assert_eq!(crd.spec.versions[0].subresources, None);
        assert_eq!(
            columns,
            ["Event", "Repository", "Ref", "Verdict", "Created", "Concurrency", "Message", "Age"]
        );
    }

    #[test]
    fn a_run_shows_what_concurrency_decided_about_it() {
        let of = |annotations: &[(&str, &str)], status| {
            let annotations =
                annotations.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            RunConcurrency::of(&annotations, status)
        };
        let queued = (labels::QUEUED, "true");
        assert_eq!(of(&[queued], Some(PENDING)), Some(RunConcurrency::WAITING));
        assert_eq!(of(&[queued], None), Some(RunConcurrency::RELEASED));
        assert_eq!(of(&[queued], Some("Cancelled")), None, "it may have waited until then");
        let newer = (labels::SUPERSEDED_BY, "web-2");
        assert_eq!(of(&[queued, newer], Some("Cancelled")), Some(RunConcurrency::superseded("web-2")));
        assert_eq!(of(&[], Some(PENDING)), None, "somebody else holds it");
        assert_eq!(of(&[], None), None);
    }

    #[test]
    fn a_listener_that_is_not_named_elsewhere_is_beside_its_delivery() {
        let mut delivery = Delivery::new("d", DeliverySpec::default());
        delivery.metadata.namespace = Some("org-acme".into());
        assert_eq!(listener_namespace(&delivery), "org-acme");
        delivery.spec.listener_namespace = "org-other".into();
        assert_eq!(listener_namespace(&delivery), "org-other");
    }

    #[test]
    fn a_stored_delivery_reads_back_the_same() {
        let mut delivery = Delivery::new(
            "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            DeliverySpec {
                listener: "github-listener".into(),
                delivery_id: "72d3162e-cc78-11e3-81ab-4c9367dc0958".into(),
                event: "push".into(),
                git_ref: "refs/heads/main".into(),
                payload: "H4sI".into(),
                received_time: Some(MicroTime(jiff::Timestamp::from_second(1_700_000_000).unwrap())),
                ..DeliverySpec::default()
            },
        );
        delivery.status =
            Some(DeliveryStatus { verdict: Some(DeliveryVerdict::Ping), ..DeliveryStatus::default() });
        let json = serde_json::to_value(&delivery).unwrap();
        assert_eq!(json["spec"]["deliveryID"], "72d3162e-cc78-11e3-81ab-4c9367dc0958");
        assert_eq!(json["spec"]["ref"], "refs/heads/main");
        assert_eq!(json["status"]["verdict"], "Ping");
        assert_eq!(serde_json::from_value::<Delivery>(json).unwrap(), delivery);
    }
}
