//! Questions about access, answered and not stored: may someone do something, what may I do, whose token is this.
//!
//! `pkg/registry/{authorization,authentication}` of Kubernetes 1.35 with its validation messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_auth::{Attributes, PolicyRule, User, authorize, rules_for};
use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::object;
use crate::server::ApiServer;
use crate::status::Status;

const AUTHORIZATION: &str = "authorization.k8s.io";

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    resource_attributes: Option<ResourceAttributes>,
    non_resource_attributes: Option<PathAttributes>,
    user: String,
    groups: Option<Vec<String>>,
    uid: String,
    extra: Option<BTreeMap<String, Vec<String>>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ResourceAttributes {
    namespace: String,
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    name: String,
    field_selector: Option<Selector>,
    label_selector: Option<Selector>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Selector {
    raw_selector: String,
    requirements: Option<Vec<Value>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PathAttributes {
    path: String,
    verb: String,
}

/// Answers a review of that plural name.
pub(crate) async fn answer(
    server: &Arc<ApiServer>,
    user: &User,
    namespace: &str,
    plural: &str,
    mut review: Value,
) -> Result<Value, Status> {
    match plural {
        "subjectaccessreviews" => subject_access(server, None, None, review),
        "localsubjectaccessreviews" => subject_access(server, None, Some(namespace), review),
        "selfsubjectaccessreviews" => subject_access(server, Some(user), None, review),
        "selfsubjectrulesreviews" => own_rules(server, user, &review),
        "selfsubjectreviews" => {
            object::set_meta(&mut review, "creationTimestamp", Some(Value::from(server.now())));
            Ok(answered(&review, json!({"userInfo": user})))
        }
        "tokenreviews" => token(server, &review).await,
        _ => Err(Status::no_resource()),
    }
}

fn read(review: &Value) -> Result<Spec, Status> {
    Option::<Spec>::deserialize(&review["spec"])
        .map(Option::unwrap_or_default)
        .map_err(|error| Status::bad_request(format!("the spec cannot be read: {error}")))
}

/// The review with its answer.
fn answered(review: &Value, status: Value) -> Value {
    let mut out = review.clone();
    // Clients expect the field though a review has no metadata.
    object::meta_map(&mut out);
    object::map(&mut out).insert("status".to_owned(), status);
    out
}

fn subject_access(
    server: &Arc<ApiServer>,
    own: Option<&User>,
    local: Option<&str>,
    mut review: Value,
) -> Result<Value, Status> {
    if let Some(namespace) = local {
        object::set_meta(&mut review, "namespace", Some(Value::from(namespace)));
    }
    let spec = read(&review)?;
    let mut errors = validate_spec(&spec, own.is_none());
    errors.extend(validate_metadata(&review, local.is_some()));
    if let Some(namespace) = local {
        errors.extend(validate_local(&spec, namespace));
    }
    if !errors.is_empty() {
        // Kubernetes names no kind here.
        return Err(Status::invalid(AUTHORIZATION, "", "", errors));
    }
    let asked;
    let user = if let Some(user) = own {
        user
    } else {
        asked = User {
            name: spec.user.clone(),
            uid: spec.uid.clone(),
            groups: spec.groups.clone().unwrap_or_default(),
            extra: spec.extra.clone().unwrap_or_default(),
        };
        &asked
    };
    let decision = authorize(&*server.access.roles.current(), &attributes(&spec, user));
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = Value::from(decision.reason);
    }
    Ok(answered(&review, status))
}

fn attributes<'a>(spec: &'a Spec, user: &'a User) -> Attributes<'a> {
    match (&spec.resource_attributes, &spec.non_resource_attributes) {
        (Some(asked), _) => Attributes {
            version: &asked.version,
            subresource: &asked.subresource,
            namespace: &asked.namespace,
            name: &asked.name,
            ..Attributes::resource(user, &asked.verb, &asked.group, &asked.resource)
        },
        (None, Some(asked)) => Attributes::path(user, &asked.verb, &asked.path),
        // Refused by validation.
        (None, None) => Attributes::path(user, "", ""),
    }
}

fn validate_spec(spec: &Spec, for_others: bool) -> Vec<FieldError> {
    let path = Path::root().child("spec");
    let mut errors = Vec::new();
    match (&spec.resource_attributes, &spec.non_resource_attributes) {
        (Some(_), Some(asked)) => {
            let why = "cannot be specified in combination with resourceAttributes";
            errors.push(FieldError::invalid(&path.child("nonResourceAttributes"), go_path(asked), why));
        }
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.push(FieldError::invalid(&path.child("resourceAttributes"), Value::Null, why));
        }
        _ => {}
    }
    if for_others && spec.user.is_empty() && spec.groups.as_ref().is_none_or(Vec::is_empty) {
        let why = "at least one of user or group must be specified";
        errors.push(FieldError::invalid(&path.child("user"), "", why));
    }
    if let Some(asked) = &spec.resource_attributes {
        let path = path.child("resourceAttributes");
        let selectors = [("fieldSelector", &asked.field_selector), ("labelSelector", &asked.label_selector)];
        for (field, selector) in selectors {
            errors.extend(
                selector.iter().filter_map(|selector| validate_selector(selector, &path.child(field))),
            );
        }
    }
    errors
}

/// Selectors narrow what is asked; RBAC knows nothing of them and decides on the wider question.
fn validate_selector(selector: &Selector, path: &Path) -> Option<FieldError> {
    let listed = selector.requirements.as_ref().is_some_and(|list| !list.is_empty());
    match (selector.raw_selector.is_empty(), listed) {
        (false, true) => {
            let why = "may not specified at the same time as requirements";
            Some(FieldError::invalid(&path.child("rawSelector"), selector.raw_selector.as_str(), why))
        }
        (true, false) => {
            let why = format!("when {path} is specified, requirements or rawSelector is required");
            Some(FieldError::required(&path.child("requirements"), why))
        }
        _ => None,
    }
}

/// Reviews have no metadata, save a local one's namespace and what the server itself fills in.
fn validate_metadata(review: &Value, local: bool) -> Option<FieldError> {
    let own = |field: &str| {
        field == "managedFields" || field == "creationTimestamp" || (local && field == "namespace")
    };
    let metadata = review.get("metadata").and_then(Value::as_object)?;
    if metadata.iter().all(|(field, value)| own(field) || is_empty(value)) {
        return None;
    }
    let why = if local { "must be empty except for namespace" } else { "must be empty" };
    let metadata: Map<String, Value> = metadata.clone();
    Some(FieldError::invalid(&Path::root().child("metadata"), Value::Object(metadata), why))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn validate_local(spec: &Spec, namespace: &str) -> Vec<FieldError> {
    let path = Path::root().child("spec");
    let mut errors = Vec::new();
    if let Some(asked) = spec.resource_attributes.as_ref().filter(|asked| asked.namespace != namespace) {
        let at = path.child("resourceAttributes").child("namespace");
        errors.push(FieldError::invalid(&at, asked.namespace.as_str(), "must match metadata.namespace"));
    }
    if let Some(asked) = &spec.non_resource_attributes {
        let why = "disallowed on this kind of request";
        errors.push(FieldError::invalid(&path.child("nonResourceAttributes"), go_path(asked), why));
    }
    errors
}

/// The attributes as Go prints the internal type in an error.
fn go_path(asked: &PathAttributes) -> Value {
    json!({"Path": asked.path, "Verb": asked.verb})
}

fn own_rules(server: &Arc<ApiServer>, user: &User, review: &Value) -> Result<Value, Status> {
    let namespace = object::at(review, "spec.namespace").and_then(Value::as_str).unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let found = rules_for(&*server.access.roles.current(), user, namespace);
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in &found.rules {
        if !rule.resources.is_empty() {
            let rule = PolicyRule { non_resource_urls: Vec::new(), ..rule.clone() };
            resources.push(json!(rule));
        }
        if !rule.non_resource_urls.is_empty() {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
        }
    }
    let mut status = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
    if !found.errors.is_empty() {
        status["evaluationError"] = Value::from(aphex_auth::rbac::joined(&found.errors));
    }
    // The answer is a new object: the question is not repeated in it.
    let mut out = review.clone();
    object::map(&mut out).insert("spec".to_owned(), json!({}));
    Ok(answered(&out, status))
}

async fn token(server: &Arc<ApiServer>, review: &Value) -> Result<Value, Status> {
    let token = object::at(review, "spec.token").and_then(Value::as_str).unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = object::strings(object::at(review, "spec.audiences"));
    let status = match server.access.accept(token, &audiences, server.timestamp()).await {
        Ok(accepted) => json!({
            "authenticated": true,
            "user": accepted.user,
            "audiences": accepted.audiences,
        }),
        Err(rejected) => json!({"user": {}, "error": rejected.to_string()}),
    };
    Ok(answered(review, status))
}
