//! The old kind of interceptor: a Service that is posted the event, and whose answer takes its place.
//!
//! `webhook.objectRef` names the Service, `webhook.url` an address; `webhook.header` is added to the request. Extensions
//! are merged into the body. After `pkg/interceptors/webhook/webhook.go` of Tekton Triggers v0.34.

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_api::foreign::triggers::or_default;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::outside::{Question, Whom};
use super::{Context, Replacement, Reply, cel, remote};
use crate::bindings::canonical_header;
use crate::event::Event;

/// The request's own URL is told in this header.
const URL_HEADER: &str = "Eventlistener-Request-Url";
/// Headers that belong to one connection or one body, and not to the next.
const OWN: [&str; 6] =
    ["Host", "Content-Length", "Connection", "Transfer-Encoding", "Accept-Encoding", "Content-Encoding"];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Webhook {
    url: Option<String>,
    object_ref: Option<ObjectRef>,
    #[serde(deserialize_with = "or_default")]
    header: Vec<Header>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    #[serde(deserialize_with = "or_default")]
    api_version: String,
    #[serde(deserialize_with = "or_default")]
    kind: String,
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    namespace: String,
}

#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    value: Values,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

/// Asks the service.
pub(super) fn ask(
    webhook: &Value,
    context: &Context<'_>,
    event: &Event,
    extensions: &Map<String, Value>,
) -> Reply {
    let webhook: Webhook = match serde_json::from_value(webhook.clone()) {
        Ok(webhook) => webhook,
        Err(error) => return Reply::Fail(format!("webhook interceptor cannot be read: {error}")),
    };
    let Some(url) = address(&webhook, context.namespace) else {
        return Reply::Fail("webhook interceptor names no Service: invalid objRef".to_owned());
    };
    let own = |name: &&String| !OWN.contains(&name.as_str());
    let mut headers: BTreeMap<String, String> =
        event.headers.iter().filter(|(name, _)| own(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    headers.insert(URL_HEADER.to_owned(), event.url.clone());
    for header in webhook.header {
        let value = match header.value {
            Values::One(value) => value,
            Values::Many(values) => values.join(","),
        };
        headers.insert(canonical_header(&header.name), value);
    }
    let body = match extended(event, extensions) {
        Ok(body) => body,
        Err(error) => return Reply::Fail(format!("failed to sjson extensions to body: {error}")),
    };
    let question =
        Question { whom: Whom::Service, url, ca_bundle: None, headers, body: Some(body), token: None };
    match context.outside.answer(&question) {
        None => Reply::Again("webhook interceptor has not been asked".to_owned()),
        Some(Err(message)) => Reply::Again(format!("webhook interceptor does not answer: {message}")),
        Some(Ok(response)) if response.status == 200 => {
            let body =
                if response.body.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&response.body) };
            match body {
                Ok(body) => {
                    let replacement = Replacement { body, raw: response.body, headers: response.headers };
                    Reply::Replace(Box::new(replacement))
                }
                Err(error) => Reply::Fail(format!("webhook interceptor did not answer with JSON: {error}")),
            }
        }
        Some(Ok(response)) => {
            let said = remote::cut(&response.body);
            let message = format!("request rejected; status: {}; message: {said}", response.status);
            if response.may_pass() { Reply::Again(message) } else { Reply::Fail(message) }
        }
    }
}

fn address(webhook: &Webhook, own: &str) -> Option<String> {
    if let Some(url) = &webhook.url {
        return Some(url.clone());
    }
    let object = webhook.object_ref.as_ref()?;
    if object.kind != "Service" || object.api_version != "v1" {
        return None;
    }
    let namespace = if object.namespace.is_empty() { own } else { &object.namespace };
    Some(format!("http://{}.{namespace}.svc/", object.name))
}

/// The body with the extensions under `extensions`, where each name is a path as an overlay's key is; as it came where
/// there are none.
fn extended(event: &Event, extensions: &Map<String, Value>) -> Result<Arc<str>, String> {
    match &event.body {
        Value::Object(fields) if !extensions.is_empty() => {
            let mut fields = fields.clone();
            for (name, value) in extensions {
                cel::keys::set(&mut fields, &format!("extensions.{name}"), value.clone())?;
            }
            Ok(Value::Object(fields).to_string().into())
        }
        _ => Ok(Arc::clone(&event.raw)),
    }
}
