//! From parameters to resources: `$(tt.params.…)` and `$(uid)` in a TriggerTemplate, and Tekton's labels.
//!
//! Follows `pkg/template/resource.go` and `pkg/resources/create.go` of Tekton Triggers v0.34, with three differences:
//! all parameters are replaced in one pass (upstream goes through a Go map, so a value that looks like a parameter may
//! or may not be replaced again); `$(uid)` and generated names derive from the delivery, so that a second attempt makes
//! the same objects; a parameter nobody gave a value is an error instead of text left standing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aphex_api::foreign::triggers::{
    EVENT_ID_LABEL, EVENT_LISTENER_LABEL, TRIGGER_LABEL, TriggerTemplateSpec,
};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};
use thiserror::Error;

/// Hex digits that make a generated name unique.
const SUFFIX_LENGTH: usize = 10;
/// Longest generated name: it must fit a label value.
const NAME_MAX: usize = 63;
const MARK: &str = "$(tt.params.";
const UID: &str = "$(uid)";

/// Why a template does not make resources.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The template's text with the parameters in it is not JSON.
    #[error("resource {index} of the template is not valid JSON once its parameters are filled in")]
    Json {
        /// Which resource, from 0.
        index: usize,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// A resource lacks what every object has.
    #[error("resource {index} of the template has no {field}")]
    Incomplete {
        /// Which resource, from 0.
        index: usize,
        /// The missing field.
        field: &'static str,
    },
    /// The resource uses a parameter that has no value.
    #[error("resource {index} of the template uses the parameter {name}, which has no value")]
    NoValue {
        /// Which resource, from 0.
        index: usize,
        /// Name of the parameter.
        name: String,
    },
    /// Labels or annotations of the resource are not a map of strings.
    #[error("resource {index} of the template has {field} that are not strings")]
    NoStrings {
        /// Which resource, from 0.
        index: usize,
        /// Which of the two.
        field: &'static str,
    },
}

/// Where the resources come from; all of it goes into their labels and generated names.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Name of the EventListener.
    pub listener: &'a str,
    /// Namespace of the trigger; also of resources that name none.
    pub namespace: &'a str,
    /// Name of the trigger, which is not that of another one of the listener.
    pub trigger: &'a str,
    /// Name of the group that offered it, where that is what tells it apart.
    pub group: Option<&'a str>,
    /// The trigger's name as the label says it.
    pub label: &'a str,
    /// The event's id.
    pub event_id: &'a str,
    /// What makes this evaluation the same as another one: the event, and its replay if there is one.
    pub seed: &'a str,
}

impl Origin<'_> {
    /// What the names that this trigger's evaluation of the event makes up derive from.
    fn seed(&self) -> String {
        let Self { seed, namespace, trigger, .. } = self;
        match self.group {
            None => format!("{seed}/{namespace}/{trigger}"),
            // No name of a trigger has an `@`: a label holds it.
            Some(group) => format!("{seed}/{namespace}/{trigger}@{group}"),
        }
    }
}

/// The resources that a template makes of parameters, in order, ready to be created.
pub fn render(
    template: &TriggerTemplateSpec,
    params: &BTreeMap<String, String>,
    old_escape: bool,
    origin: Origin<'_>,
) -> Result<Vec<Value>, TemplateError> {
    let uid = uid(&origin.seed());
    let one = |(index, resource): (usize, &Value)| {
        let text = fill(&resource.to_string(), params, old_escape)
            .map_err(|name| TemplateError::NoValue { index, name })?
            .replace(UID, &uid);
        let value = serde_json::from_str(&text).map_err(|source| TemplateError::Json { index, source })?;
        complete(value, index, origin)
    };
    template.resource_templates.iter().enumerate().map(one).collect()
}

/// Replaces `$(tt.params.<name>)`; the error is the name of a parameter without a value.
fn fill(text: &str, params: &BTreeMap<String, String>, old_escape: bool) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        filled.push_str(&rest[..at]);
        let after = &rest[at + MARK.len()..];
        let end = after.find(')').unwrap_or(after.len());
        let name = &after[..end];
        let Some(value) = params.get(name) else {
            if is_name(name) {
                return Err(name.to_owned());
            }
            filled.push_str(MARK);
            rest = after;
            continue;
        };
        let value = if old_escape { value.replace('"', "\\\"") } else { value.clone() };
        // Tekton would read `$(` in the created object as its own variable; `$$(` is its escape.
        filled.push_str(&value.replace("$(", "$$("));
        rest = after.get(end + 1..).unwrap_or_default();
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Whether this is a parameter's name even where nothing gives it a value (`paramsRegexp` upstream); else it is left as it is.
fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(inner)
}

/// The parameters that a resource's text uses.
pub(crate) fn used(text: &str) -> Vec<String> {
    let names = text.split(MARK).skip(1).filter_map(|rest| rest.split_once(')'));
    names.map(|(name, _)| name.to_owned()).filter(|name| is_name(name)).collect()
}

/// Adds namespace, name and labels.
fn complete(mut value: Value, index: usize, origin: Origin<'_>) -> Result<Value, TemplateError> {
    for field in ["apiVersion", "kind"] {
        if value[field].as_str().is_none_or(str::is_empty) {
            return Err(TemplateError::Incomplete { index, field });
        }
    }
    let root = value.as_object_mut().ok_or(TemplateError::Incomplete { index, field: "metadata" })?;
    let metadata = root.entry("metadata").or_insert_with(|| json!({}));
    let metadata = metadata.as_object_mut().ok_or(TemplateError::Incomplete { index, field: "metadata" })?;
    if metadata.get("namespace").and_then(Value::as_str).is_none_or(str::is_empty) {
        metadata.insert("namespace".to_owned(), origin.namespace.into());
    }
    if metadata.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
        let prefix = metadata.get("generateName").and_then(Value::as_str).unwrap_or_default();
        if prefix.is_empty() {
            return Err(TemplateError::Incomplete { index, field: "name or generateName" });
        }
        let name = generated_name(prefix, &format!("{}/{index}", origin.seed()));
        metadata.remove("generateName");
        metadata.insert("name".to_owned(), name.into());
    }
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    if labels.is_null() {
        *labels = json!({});
    }
    let labels = labels.as_object_mut().filter(|labels| labels.values().all(Value::is_string));
    let labels = labels.ok_or(TemplateError::NoStrings { index, field: "labels" })?;
    labels.insert(EVENT_LISTENER_LABEL.to_owned(), origin.listener.into());
    labels.insert(TRIGGER_LABEL.to_owned(), origin.label.into());
    labels.insert(EVENT_ID_LABEL.to_owned(), origin.event_id.into());
    let annotations = metadata.get("annotations").unwrap_or(&Value::Null);
    let strings = |map: &Map<String, Value>| map.values().all(Value::is_string);
    if !annotations.is_null() && !annotations.as_object().is_some_and(strings) {
        return Err(TemplateError::NoStrings { index, field: "annotations" });
    }
    Ok(value)
}

/// The prefix, cut to fit, and a suffix that the seed determines.
fn generated_name(prefix: &str, seed: &str) -> String {
    let mut end = prefix.len().min(NAME_MAX - SUFFIX_LENGTH);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &prefix[..end], &hex(seed)[..SUFFIX_LENGTH])
}

/// A UUID (version 8: made by a rule of our own) that the seed determines.
fn uid(seed: &str) -> String {
    let hex = hex(seed);
    format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

/// SHA-256 as hexadecimal digits.
pub(crate) fn hex(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'_> = Origin {
        listener: "el",
        namespace: "org-acme",
        trigger: "web-trigger",
        group: None,
        label: "web-trigger",
        event_id: "e1",
        seed: "d1",
    };

    fn rendered(resource: Value, params: &[(&str, &str)]) -> Result<Value, TemplateError> {
        let template = TriggerTemplateSpec { params: Vec::new(), resource_templates: vec![resource] };
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        render(&template, &params, false, ORIGIN).map(|mut all| all.remove(0))
    }

    fn config_map(data: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "n" }, "data": { "k": data } })
    }

    #[test]
    fn parameters_are_spliced_in_as_json_text() {
        let cases = [
            ("$(tt.params.p)", "plain", "plain"),
            ("a-$(tt.params.p)-$(tt.params.p)", "x", "a-x-x"),
            ("$(tt.params.p)", "v\\r\\n烈", "v\r\n烈"),
            ("$(tt.params.p)", "say \\\"hi\\\"", "say \"hi\""),
            ("$(tt.params.p)", "$(tasks.x.results.y)", "$$(tasks.x.results.y)"),
            ("$(tt.params.p)", "$(tt.params.p)", "$$(tt.params.p)"),
            ("$(params.p)", "x", "$(params.p)"),
            ("$(tt.params.2fa) $(tt.params.größe)", "x", "$(tt.params.2fa) $(tt.params.größe)"),
            ("$(tt.params.p $(tt.params.p)", "x", "$(tt.params.p x"),
        ];
        for (text, value, expected) in cases {
            let made = rendered(config_map(text), &[("p", value)]).unwrap();
            assert_eq!(made["data"]["k"], expected, "{text} with {value}");
        }
    }

    #[test]
    fn a_parameter_that_has_a_value_is_replaced_whatever_its_name() {
        let text = "$(tt.params.2fa) $(tt.params.größe) $(tt.params.a b)";
        let made = rendered(config_map(text), &[("2fa", "1"), ("größe", "2"), ("a b", "3")]).unwrap();
        assert_eq!(made["data"]["k"], "1 2 3");
    }

    #[test]
    fn a_value_that_breaks_the_text_is_an_error() {
        let error = rendered(config_map("$(tt.params.p)"), &[("p", "{\"a\":1}")]).unwrap_err();
        assert!(matches!(error, TemplateError::Json { index: 0, .. }));
        let error = rendered(config_map("$(tt.params.q)"), &[("p", "x")]).unwrap_err();
        assert!(matches!(error, TemplateError::NoValue { name, .. } if name == "q"));
    }

    #[test]
    fn names_and_labels_derive_from_the_delivery() {
        let run = json!({
            "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
            "metadata": { "generateName": "web-", "namespace": "web", "labels": { "own": "label" } },
            "spec": { "params": [{ "name": "id", "value": "$(uid)" }] },
        });
        let first = rendered(run.clone(), &[]).unwrap();
        assert_eq!(first, rendered(run.clone(), &[]).unwrap());
        let name = first["metadata"]["name"].as_str().unwrap();
        assert_eq!((name.len(), &name[..4]), (14, "web-"));
        assert_eq!(first["metadata"].get("generateName"), None);
        assert_eq!(first["metadata"]["namespace"], "web");
        assert_eq!(
            first["metadata"]["labels"],
            json!({ "own": "label", EVENT_LISTENER_LABEL: "el", TRIGGER_LABEL: "web-trigger", EVENT_ID_LABEL: "e1" })
        );
        let template = TriggerTemplateSpec { params: Vec::new(), resource_templates: vec![run] };
        let other = render(&template, &BTreeMap::new(), false, Origin { seed: "d2", ..ORIGIN }).unwrap();
        assert_ne!(other[0]["metadata"]["name"], first["metadata"]["name"]);
        assert_ne!(other[0]["spec"], first["spec"]);
        let grouped =
            render(&template, &BTreeMap::new(), false, Origin { group: Some("g"), ..ORIGIN }).unwrap();
        assert_ne!(grouped[0]["metadata"]["name"], first["metadata"]["name"]);
        assert_ne!(grouped[0]["spec"], first["spec"]);
    }

    #[test]
    fn a_long_prefix_is_cut_so_that_the_name_fits_a_label() {
        assert_eq!(generated_name(&"p".repeat(80), "s").len(), NAME_MAX);
    }

    #[test]
    fn an_object_without_a_name_or_kind_is_an_error() {
        let no_kind = rendered(json!({ "apiVersion": "v1", "metadata": { "name": "n" } }), &[]).unwrap_err();
        assert_eq!(no_kind.to_string(), "resource 0 of the template has no kind");
        let no_name = rendered(json!({ "apiVersion": "v1", "kind": "ConfigMap" }), &[]).unwrap_err();
        assert_eq!(no_name.to_string(), "resource 0 of the template has no name or generateName");
        let annotated = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "n", "annotations": { "y": true } } });
        let no_string = rendered(annotated, &[]).unwrap_err();
        assert_eq!(no_string.to_string(), "resource 0 of the template has annotations that are not strings");
    }
}
