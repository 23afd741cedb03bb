//! `serviceaccounts/token`: a token for a service account, bound to an object if so asked.
//!
//! `pkg/registry/core/serviceaccount/storage/token.go` of Kubernetes 1.35.

use std::sync::Arc;

use aphex_auth::tokens::{BoundTo, ObjectRef, Request};
use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::object;
use crate::resource::split_api_version;
use crate::server::ApiServer;
use crate::status::Status;

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";
const HOUR: i64 = 60 * 60;
const SHORTEST: i64 = 10 * 60;
const LONGEST: i64 = 1 << 32;
/// What the kubelet's injected volumes ask for: such tokens live a year and warn after an hour.
const INJECTED: i64 = HOUR + 7;
const EXTENDED: i64 = 365 * 24 * HOUR;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    audiences: Option<Vec<String>>,
    expiration_seconds: Option<i64>,
    bound_object_ref: Option<Reference>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Reference {
    kind: String,
    api_version: String,
    name: String,
    uid: String,
}

/// Issues a token for the service account of the path.
pub(crate) fn create(
    server: &Arc<ApiServer>,
    namespace: &str,
    name: &str,
    mut request: Value,
) -> Result<Value, Status> {
    let tokens = &server.access.tokens;
    let signer = tokens.signer().ok_or_else(Status::no_resource)?;
    check_name(&request, name)?;
    let account = tokens
        .find("serviceaccounts", namespace, name)
        .ok_or_else(|| Status::not_found("", "serviceaccounts", name))?;
    let uid = object::uid(&account).to_owned();
    let asked = object::uid(&request);
    if !asked.is_empty() && asked != uid {
        let why = format!(
            "the UID in the token request ({asked}) does not match the UID of the service account ({uid})"
        );
        return Err(Status::conflict(GROUP, KIND, name, &why));
    }
    let spec = Option::<Spec>::deserialize(&request["spec"])
        .map(Option::unwrap_or_default)
        .map_err(|error| Status::bad_request(format!("the spec cannot be read: {error}")))?;
    let seconds = spec.expiration_seconds.unwrap_or(HOUR);
    let errors = validate(seconds);
    if !errors.is_empty() {
        return Err(Status::invalid(GROUP, KIND, "", errors));
    }
    let audiences =
        spec.audiences.filter(|list| !list.is_empty()).unwrap_or_else(|| signer.audiences().to_vec());
    let bound_to = bound(server, namespace, name, spec.bound_object_ref.as_ref())?;
    let own = audiences.iter().all(|audience| signer.audiences().contains(audience));
    let extended = seconds == INJECTED && own && matches!(bound_to, BoundTo::Pod { .. });
    let now = server.timestamp();
    let issued = signer
        .issue(
            &Request {
                namespace,
                account: &ObjectRef::new(name, uid.as_str()),
                bound_to: &bound_to,
                audiences: &audiences,
                seconds: if extended { EXTENDED } else { seconds },
                warn_after_seconds: extended.then_some(seconds),
            },
            now,
        )
        .map_err(|error| {
            tracing::error!(%error, service_account.name = name, "a token could not be issued");
            Status::internal("failed to generate token")
        })?;
    let reference = object::at(&request, "spec.boundObjectRef").cloned().unwrap_or_default();
    let expires = now.as_second().saturating_add(seconds);
    let expires = jiff::Timestamp::from_second(expires).unwrap_or(issued.expires);
    for (field, value) in [("name", name), ("namespace", namespace), ("uid", &uid)] {
        object::set_meta(&mut request, field, Some(Value::from(value)));
    }
    object::set_meta(&mut request, "creationTimestamp", Some(Value::from(server.now())));
    let out = object::map(&mut request);
    out.insert("apiVersion".to_owned(), json!("authentication.k8s.io/v1"));
    out.insert("kind".to_owned(), json!(KIND));
    let spec = json!({"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference});
    out.insert("spec".to_owned(), spec);
    let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    out.insert("status".to_owned(), json!({"token": issued.token, "expirationTimestamp": expires}));
    Ok(request)
}

/// A name in the body is that of the path.
fn check_name(request: &Value, name: &str) -> Result<(), Status> {
    let asked = object::name(request);
    if asked.is_empty() || asked == name {
        return Ok(());
    }
    let path = Path::root().child("metadata").child("name");
    let why = "must match the service account name if specified";
    Err(Status::invalid(GROUP, KIND, name, vec![FieldError::invalid(&path, asked, why)]))
}

fn validate(seconds: i64) -> Vec<FieldError> {
    let path = Path::root().child("spec").child("expirationSeconds");
    let mut errors = Vec::new();
    if seconds < SHORTEST {
        errors.push(FieldError::invalid(&path, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > LONGEST {
        errors.push(FieldError::invalid(
            &path,
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        ));
    }
    errors
}

/// The object that the token is to be bound to, as it is now.
fn bound(
    server: &Arc<ApiServer>,
    namespace: &str,
    account: &str,
    reference: Option<&Reference>,
) -> Result<BoundTo, Status> {
    let Some(reference) = reference else { return Ok(BoundTo::Account) };
    let (group, version) = split_api_version(&reference.api_version);
    let (plural, scope) = match (group, reference.kind.as_str()) {
        ("", "Pod") => ("pods", namespace),
        ("", "Secret") => ("secrets", namespace),
        ("", "Node") => ("nodes", ""),
        (group, kind) => {
            let what = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Status::bad_request(what));
        }
    };
    let tokens = &server.access.tokens;
    let found = tokens
        .find(plural, scope, &reference.name)
        .ok_or_else(|| Status::not_found("", plural, &reference.name))?;
    let text = |path: &str| object::at(&found, path).and_then(Value::as_str).unwrap_or_default();
    if plural == "pods" && text("spec.serviceAccountName") != account {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        )));
    }
    let uid = object::uid(&found);
    if !reference.uid.is_empty() && reference.uid != uid {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. \
             The object might have been deleted and then recreated",
            reference.uid
        );
        return Err(Status::conflict("", &reference.kind, &reference.name, &why));
    }
    let bound = ObjectRef::new(reference.name.as_str(), uid);
    Ok(match plural {
        "pods" => {
            let node = text("spec.nodeName");
            let uid = tokens.find("nodes", "", node).map(|node| object::uid(&node).to_owned());
            let node = (!node.is_empty()).then(|| ObjectRef::new(node, uid.unwrap_or_default()));
            BoundTo::Pod { pod: bound, node }
        }
        "secrets" => BoundTo::Secret(bound),
        _ => BoundTo::Node(bound),
    })
}
