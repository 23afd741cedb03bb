//! What became of a request, in words that both can be compared in.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// What was answered, and what each trigger made of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Answered {
    /// HTTP status.
    pub(super) status: u16,
    /// By the trigger's name.
    pub(super) triggers: BTreeMap<String, Made>,
}

/// What one trigger made of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Made {
    /// The objects, without what every run has otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) objects: Vec<Value>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) silence: Option<String>,
}

/// The words that are replaced in objects, each by what it stands for.
pub(super) struct Words<'a> {
    pub(super) namespace: &'a str,
    pub(super) services: &'a str,
    pub(super) event: &'a str,
    pub(super) listener: &'a str,
}

/// An object without what differs from run to run.
pub(super) fn normal(object: &Value, words: &Words<'_>) -> Value {
    let text = object.to_string();
    let text = text.replace(words.namespace, "NAMESPACE").replace(words.services, "SERVICES");
    let text = text.replace(words.event, "EVENT").replace(&format!("\"{}\"", words.listener), "\"LISTENER\"");
    let mut object: Value = serde_json::from_str(&text).unwrap_or_default();
    if let Some(fields) = object.as_object_mut() {
        // What the engine adds by itself.
        fields.retain(|field, _| field != "status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| matches!(field.as_str(), "name" | "namespace" | "labels" | "annotations"));
        // Both make up the end of a name; what is before is the template's.
        if let Some(name) = metadata.get("name").and_then(Value::as_str)
            && let Some((prefix, _)) = name.rsplit_once('-')
        {
            metadata["name"] = format!("{prefix}-…").into();
        }
    }
    object
}

/// A reason for silence, in common words: pairs of a text within the message and what it means.
///
/// Reasons that the two say in the same words are compared as they are.
pub(super) fn reason(message: &str) -> String {
    const MEANINGS: [(&str, &str); 39] = [
        ("error evaluating cel expression", "the expression fails"),
        ("error making the evaluation context", "the expression fails"),
        ("failed to convert overlay result", "the overlay is no JSON"),
        ("failed to unmarshal extensions into map", "the overlay is no JSON"),
        ("signature", "the secret is not shown"),
        ("Signature", "the secret is not shown"),
        ("X-GitLab-Token", "the secret is not shown"),
        ("X-Gitlab-Token", "the secret is not shown"),
        ("error getting secret", "the secret is not shown"),
        ("secretKey is empty", "secretKey is empty"),
        ("failed to replace JSONPath value for param", "a parameter has no value"),
        ("cannot be read from", "a parameter has no value"),
        ("duplicate param name", "two bindings give a parameter"),
        ("two bindings give the parameter", "two bindings give a parameter"),
        ("invalid binding", "a binding is neither value nor reference"),
        ("neither name and value nor ref", "a binding is neither value nor reference"),
        ("couldn't unmarshal json", "the resource is no object"),
        ("is not valid JSON", "the resource is no object"),
        ("of the template has no", "the resource is no object"),
        ("couldn't find API resource", "no such kind"),
        ("cannot find out how", "no such kind"),
        ("couldn't create resource", "the engine refuses the object"),
        ("cannot create", "the engine refuses the object"),
        ("TriggerBinding", "no such binding"),
        ("TriggerTemplate", "no such template"),
        ("url resolution failed", "no such interceptor"),
        ("does not exist", "no such interceptor"),
        ("failed to parse interceptor params", "the parameters of the interceptor cannot be read"),
        ("instead of 200", "the service fails"),
        ("interceptor response was not 200", "the service fails"),
        ("request rejected; status", "the service fails"),
        ("did not answer with an InterceptorResponse", "the service's answer cannot be read"),
        ("v1beta1.InterceptorResponse", "the service's answer cannot be read"),
        ("invalid code", "the service's answer cannot be read"),
        ("json: cannot unmarshal", "the service's answer cannot be read"),
        ("gave no reason", ""),
        ("invalid objRef", "the webhook names no service"),
        ("which has no value", "a parameter has no value"),
        ("requested field", "a requested field is not there"),
    ];
    let found = MEANINGS.iter().find(|(part, _)| message.contains(part));
    found.map_or_else(|| message.to_owned(), |(_, meaning)| (*meaning).to_owned())
}
