//! The scale subresource: replicas of any kind as one small object.

use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use http::Response;
use serde_json::{Value, json};

use super::patch::{self, Format};
use crate::body::Body;
use crate::call::Call;
use crate::codec;
use crate::object;
use crate::request::{Verb, WriteOptions};
use crate::resource::Scale;
use crate::respond::{self, Served};
use crate::status::Status;
use crate::write::{self, Change, Modified};

/// Answers a call to a scale subresource.
pub(super) async fn dispatch(call: &Call) -> Result<Response<Body>, Status> {
    let sub = call.resource.subresources.get("scale").and_then(|sub| sub.scale.clone());
    let scale = sub.ok_or_else(Status::no_resource)?;
    match call.verb {
        Verb::Get => {
            let entry = call.server.store.get(&call.key()).ok_or_else(|| call.not_found())?;
            let live = codec::read(&call.resource, &entry)?;
            respond::object(call, 200, Served::Value(view(&scale, &live)))
        }
        Verb::Update => {
            let options = WriteOptions::parse(&call.query, "UpdateOptions", call.user_agent())?;
            let wanted = write::read_object(call, options.field_validation)?;
            let name = object::name(&wanted);
            if !name.is_empty() && name != call.name() {
                return Err(write::wrong_name(name, call.name()));
            }
            change(call, &scale, &options, |_| Ok(wanted.clone())).await
        }
        Verb::Patch => {
            let format = Format::of(call)?;
            let options = patch::options(call, format)?;
            let patch = if format == Format::Apply {
                crate::input::yaml(&call.body).map_err(|error| Status::bad_request(error.to_string()))?.value
            } else {
                patch::read_patch(call, format)?
            };
            // A Scale has no lists, so applying one is merging it.
            let format = if format == Format::Apply { Format::Merge } else { format };
            let edit = |live: &Value| {
                let patched = patch::patched(call, format, live, &patch)?;
                write::settle_patched(call, patched, options.field_validation)
            };
            change(call, &scale, &options, edit).await
        }
        _ => Err(Status::method_not_allowed()),
    }
}

async fn change(
    call: &Call,
    scale: &Scale,
    options: &WriteOptions,
    edit: impl Fn(&Value) -> Result<Value, Status> + Send + Sync,
) -> Result<Response<Body>, Status> {
    let edit_object = |live: &Value| {
        let wanted = edit(&view(scale, live))?;
        let replicas = object::at(&wanted, "spec.replicas").cloned().unwrap_or_else(|| json!(0));
        if replicas.as_i64().is_some_and(|replicas| replicas < 0) {
            let path = Path::root().child("spec").child("replicas");
            let error = FieldError::invalid(&path, replicas, "must be greater than or equal to 0");
            return Err(Status::invalid("autoscaling", "Scale", object::name(live), vec![error]));
        }
        let mut new = live.clone();
        let version = object::resource_version(&wanted).to_owned();
        object::set_meta(&mut new, "resourceVersion", (!version.is_empty()).then(|| json!(version)));
        object::set_at(&mut new, &scale.spec_replicas, replicas);
        Ok(new)
    };
    match write::modify(call, options, Change::Plain, edit_object).await? {
        Modified::Object(served) => {
            let object = served.into_value()?;
            respond::object(call, 200, Served::Value(view(scale, &object)))
        }
        Modified::Absent => Err(call.not_found()),
    }
}

/// An object as a Scale.
pub(crate) fn view(scale: &Scale, object: &Value) -> Value {
    let number = |path: &str| object::at(object, path).and_then(Value::as_i64).unwrap_or_default();
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        object::put(object::map(&mut metadata), field, object::meta(object, field).cloned());
    }
    let replicas = number(&scale.spec_replicas);
    let mut spec = json!({});
    if replicas != 0 {
        spec["replicas"] = json!(replicas);
    }
    let mut status = json!({"replicas": number(&scale.status_replicas)});
    if let Some(selector) = scale.selector.as_deref().and_then(|path| object::at(object, path)) {
        let text = selector_text(selector);
        object::put(object::map(&mut status), "selector", (!text.is_empty()).then(|| json!(text)));
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status})
}

/// A selector as text: it may be text already, a map of labels, or a LabelSelector.
fn selector_text(selector: &Value) -> String {
    let Some(map) = selector.as_object() else { return selector.as_str().unwrap_or_default().to_owned() };
    let is_selector = map.keys().all(|key| key == "matchLabels" || key == "matchExpressions");
    let labels = if is_selector { map.get("matchLabels").and_then(Value::as_object) } else { Some(map) };
    let mut parts: Vec<String> = Vec::new();
    for (key, value) in labels.into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    let expressions = if is_selector { map.get("matchExpressions").and_then(Value::as_array) } else { None };
    for expression in expressions.into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let mut values = object::strings(expression.get("values"));
        values.sort();
        let values = values.join(",");
        parts.push(match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.sort();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_all_three_forms_become_text() {
        assert_eq!(selector_text(&json!("a=b")), "a=b");
        assert_eq!(selector_text(&json!({"app": "web"})), "app=web");
        let full = json!({"matchLabels": {"b": "1"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]});
        assert_eq!(selector_text(&full), "a in (x,y),b=1");
    }
}
