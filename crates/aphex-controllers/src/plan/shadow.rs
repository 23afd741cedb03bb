//! A client that reads from the engine and writes nowhere: a write is tried by dry run, and kept here.
//!
//! Whoever uses it sees the engine as it would be. Requests to the engine are reads, and applies and creations with
//! `dryRun=All`; nothing else is ever sent, for a deletion's dry run is asked for in its body, where it can be missed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aphex_api::labels::FIELD_MANAGER;
use http::{Method, Request, Response, StatusCode, header};
use kube::Client;
use kube::client::Body;
use kube::core::SelectorExt as _;
use serde_json::{Value, json};
use tower::BoxError;

use super::address::{Address, Id, parameter, selector};
use super::state::{Entry, State, applied};

/// The engine as it would be after some writes.
#[derive(Clone)]
pub struct Shadow(Arc<Inner>);

struct Inner {
    engine: Client,
    state: Mutex<State>,
}

/// What is not sent, and cannot be answered without.
#[derive(Debug, thiserror::Error)]
enum ShadowError {
    #[error("{method} {path} is not sent: a plan writes nothing")]
    NotSent { method: Method, path: String },
    #[error("label selector {0:?} cannot be followed")]
    Selector(String),
    #[error("the body is no JSON")]
    Body(#[source] serde_json::Error),
}

type Answer = Result<Response<Body>, BoxError>;

impl Shadow {
    /// The shadow of an engine; everything is as it is.
    #[must_use]
    pub fn new(engine: Client) -> Self {
        Self(Arc::new(Inner { engine, state: Mutex::default() }))
    }

    /// A client of the engine as it would be.
    #[must_use]
    pub fn client(&self) -> Client {
        let shadow = self.clone();
        let namespace = self.0.engine.default_namespace().to_owned();
        let answer = move |request: Request<Body>| {
            let shadow = shadow.clone();
            async move { shadow.answer(request).await }
        };
        Client::new(tower::service_fn(answer), namespace)
    }

    /// How often something came to differ.
    pub(super) fn revision(&self) -> u64 {
        self.state().revision()
    }

    /// Everything that was written, in the order of first writes.
    pub(super) fn written(&self) -> Vec<(Id, Entry)> {
        self.state().written()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let reads = request.method() == Method::GET;
        let Some(address) = Address::parse(request.uri().path()) else {
            return if reads { Ok(self.0.engine.send(request).await?) } else { refuse(&request) };
        };
        let query = request.uri().query().unwrap_or_default().to_owned();
        let subresource = address.subresource.clone();
        match (request.method().clone(), address.name.clone(), subresource.as_deref()) {
            (Method::GET, None, None) if parameter(&query, "watch").is_none() => {
                self.list(&address, &query, request).await
            }
            (Method::GET, Some(name), None) => self.get(&address.id(&name, None), request).await,
            (Method::GET, ..) => Ok(self.0.engine.send(request).await?),
            // Events tell what happened; nothing did.
            (Method::POST | Method::PATCH, ..) if address.plural == "events" => {
                json_answer(StatusCode::OK, &read_body(request).await?)
            }
            (Method::POST, None, None) => {
                let body = read_body(request).await?;
                let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                self.write(&address.id(&name, None), &Write { method: Method::POST, query, body }).await
            }
            (Method::PATCH, Some(name), None) if is_apply(&request) => {
                let body = read_body(request).await?;
                self.write(&address.id(&name, None), &Write { method: Method::PATCH, query, body }).await
            }
            (Method::PATCH, Some(name), None) => {
                self.change(&address.id(&name, None), request, |object, patch| {
                    let mut patch = patch.clone();
                    if let Some(metadata) = patch["metadata"].as_object_mut() {
                        metadata.remove("resourceVersion");
                    }
                    json_patch::merge(object, &patch);
                })
                .await
            }
            (Method::PATCH, Some(name), Some("status")) => {
                self.change(&address.id(&name, None), request, |object, patch| {
                    object["status"] = patch["status"].clone();
                })
                .await
            }
            (Method::DELETE, Some(name), None) => self.delete(&address.id(&name, None)).await,
            _ => refuse(&request),
        }
    }

    async fn get(&self, id: &Id, request: Request<Body>) -> Answer {
        let known = self.state().get(id).map(|entry| entry.after.clone());
        match known {
            Some(Some(object)) => json_answer(StatusCode::OK, &object),
            Some(None) => not_found(id),
            None => Ok(self.0.engine.send(request).await?),
        }
    }

    async fn list(&self, address: &Address, query: &str, request: Request<Body>) -> Answer {
        let wanted = parameter(query, "labelSelector").unwrap_or_default();
        let selector = selector(&wanted).ok_or(ShadowError::Selector(wanted))?;
        let (status, mut list) = self.ask(request).await?;
        let (objects, written) = self.state().within(address);
        if status.is_success() && list["items"].is_null() {
            // A kube-apiserver writes an empty list of metadata so.
            list["items"] = json!([]);
        }
        if let (true, Some(items)) = (status.is_success(), list["items"].as_array_mut()) {
            items.retain(|item| !written.contains(&named(address, item)));
            items.extend(objects.into_iter().filter(|object| {
                let labels = serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
                selector.matches(&labels)
            }));
        }
        json_answer(status, &list)
    }

    /// Creates or applies: by dry run where that is possible.
    async fn write(&self, id: &Id, write: &Write) -> Answer {
        if let Err(answer) = self.note(id).await? {
            return Ok(answer);
        }
        let entry = self.state().get(id).cloned().unwrap_or_default();
        let manager = parameter(&write.query, "fieldManager").unwrap_or_default();
        if write.method == Method::POST && entry.after.is_some() {
            return status(StatusCode::CONFLICT, "AlreadyExists", "already exists", id);
        }
        let new_namespace = {
            let state = self.state();
            id.namespace.as_deref().is_some_and(|namespace| state.is_new_namespace(namespace))
        };
        let replaced = entry.before.is_some() && entry.after.is_none();
        // The engine does not know what others applied here.
        let shared = entry.appliers.iter().any(|applier| *applier != manager);
        if !(new_namespace || replaced || shared) {
            let (status, answer) = self.ask(write.dry_run(id)?).await?;
            if status.is_success() {
                let object = self.state().store(id, answer, Some(&manager), true);
                return json_answer(status, &object);
            }
            if manager != FIELD_MANAGER || !is_mere_lack_of_rights(status, &answer) {
                return json_answer(status, &answer);
            }
        }
        let object = applied(entry.after.as_ref(), &write.body, &manager, jiff::Timestamp::now());
        let object = self.state().store(id, object, Some(&manager), false);
        json_answer(StatusCode::OK, &object)
    }

    /// Changes an object here alone: its status, or what only the controllers set.
    async fn change(
        &self,
        id: &Id,
        request: Request<Body>,
        change: impl FnOnce(&mut Value, &Value),
    ) -> Answer {
        let patch = read_body(request).await?;
        if let Err(answer) = self.note(id).await? {
            return Ok(answer);
        }
        let Some(mut object) = self.state().get(id).and_then(|entry| entry.after.clone()) else {
            return not_found(id);
        };
        change(&mut object, &patch);
        let object = self.state().store(id, object, None, true);
        json_answer(StatusCode::OK, &object)
    }

    async fn delete(&self, id: &Id) -> Answer {
        if let Err(answer) = self.note(id).await? {
            return Ok(answer);
        }
        let mut state = self.state();
        let Some(object) = state.get(id).and_then(|entry| entry.after.clone()) else {
            drop(state);
            return not_found(id);
        };
        state.delete(id);
        drop(state);
        json_answer(StatusCode::OK, &object)
    }

    /// Notes what the engine has before the first write; gives the engine's answer when it does not tell.
    async fn note(&self, id: &Id) -> Result<Result<(), Response<Body>>, BoxError> {
        if self.state().get(id).is_some() {
            return Ok(Ok(()));
        }
        let request = Request::get(id.path()).body(Body::empty())?;
        let (status, answer) = self.ask(request).await?;
        let live = match status {
            StatusCode::OK => Some(answer),
            StatusCode::NOT_FOUND => None,
            _ => return Ok(Err(json_answer(status, &answer)?)),
        };
        self.state().note(id, live);
        Ok(Ok(()))
    }

    async fn ask(&self, request: Request<Body>) -> Result<(StatusCode, Value), BoxError> {
        let response = self.0.engine.send(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect_bytes().await?;
        // A proxy's error page, or a path that is not served, is no JSON.
        let text = || {
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
            "reason": "", "message": String::from_utf8_lossy(&bytes).trim() })
        };
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_else(|_| text())))
    }
}

/// A creation or an apply.
struct Write {
    method: Method,
    query: String,
    body: Value,
}

impl Write {
    /// The same write, without effect.
    fn dry_run(&self, id: &Id) -> Result<Request<Body>, BoxError> {
        let path = id.path();
        let (path, content) = if self.method == Method::POST {
            (path.rsplit_once('/').map_or(path.as_str(), |(collection, _)| collection), "application/json")
        } else {
            (path.as_str(), "application/apply-patch+yaml")
        };
        let query = if self.query.is_empty() { String::new() } else { format!("{}&", self.query) };
        let body = serde_json::to_vec(&self.body)?;
        Ok(Request::builder()
            .method(self.method.clone())
            .uri(format!("{path}?{query}dryRun=All"))
            .header(header::CONTENT_TYPE, content)
            .header(header::ACCEPT, "application/json")
            .body(Body::from(body))?)
    }
}

/// Whether the user may not do what the controllers may, by rights or by the platform's own policies.
fn is_mere_lack_of_rights(status: StatusCode, answer: &Value) -> bool {
    let terminating = answer["details"]["causes"]
        .as_array()
        .is_some_and(|causes| causes.iter().any(|cause| cause["reason"] == "NamespaceTerminating"));
    let message = answer["message"].as_str().unwrap_or_default();
    status == StatusCode::FORBIDDEN && !terminating && !message.contains("exceeded quota")
}

fn is_apply(request: &Request<Body>) -> bool {
    let content = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content.is_some_and(|content| content.starts_with("application/apply-patch"))
}

fn named(address: &Address, item: &Value) -> Id {
    let text = |field: &str| item["metadata"][field].as_str();
    address.id(text("name").unwrap_or_default(), text("namespace"))
}

async fn read_body(request: Request<Body>) -> Result<Value, BoxError> {
    let bytes = request.into_body().collect_bytes().await?;
    Ok(serde_json::from_slice(&bytes).map_err(ShadowError::Body)?)
}

fn refuse(request: &Request<Body>) -> Answer {
    Err(ShadowError::NotSent { method: request.method().clone(), path: request.uri().path().to_owned() }
        .into())
}

fn not_found(id: &Id) -> Answer {
    status(StatusCode::NOT_FOUND, "NotFound", "not found", id)
}

fn status(code: StatusCode, reason: &str, what: &str, id: &Id) -> Answer {
    let Id { plural, name, .. } = id;
    let answer = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "reason": reason,
        "message": format!("{plural} {name:?} {what}"), "details": { "name": name, "kind": plural },
    });
    json_answer(code, &answer)
}

fn json_answer(status: StatusCode, value: &Value) -> Answer {
    let body = serde_json::to_vec(value)?;
    Ok(Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))?)
}
