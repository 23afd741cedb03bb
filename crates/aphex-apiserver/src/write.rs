//! The way of every write: read, default, admit, prepare, own, validate, store.
//!
//! [`create`] and [`modify`] are that way for new and for existing objects; verbs only say what changes. Field
//! ownership, schemas and CEL rules are the business of other crates, called from here.

mod create;
mod draft;
mod modify;
mod ownership;
mod pod_parts;
mod schema;

use std::sync::Arc;

use aphex_auth::User;
use aphex_store::CommitError;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

pub use create::{Creation, create};
pub use draft::{check_kind, read_object, settle_patched};
pub use modify::{Change, Modified, modify, wrong_name};
pub(crate) use ownership::owned_fields;
pub use ownership::{managed_apply, owns_nothing};

use crate::admission::policy;
use crate::call::{Call, Warnings};
use crate::object;
use crate::request::{FieldValidation, Output, Query, ResourcePath, Verb, WriteOptions};
use crate::resource::split_api_version;
use crate::server::ApiServer;
use crate::status::Status;

/// A call that the server makes to itself, for an object of a built-in kind.
pub fn internal_call(
    server: &Arc<ApiServer>,
    user: &User,
    verb: Verb,
    object: &Value,
) -> Result<Call, Status> {
    let (group, version) = split_api_version(object::api_version(object));
    let snapshot = server.registry.snapshot();
    let resource = snapshot.by_kind(group, version, object::kind(object)).ok_or_else(Status::no_resource)?;
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(Call {
        server: Arc::clone(server),
        user: user.clone(),
        path: ResourcePath {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: text(object::namespace(object)),
            plural: resource.plural.clone(),
            name: text(object::name(object)),
            ..ResourcePath::default()
        },
        verb,
        resource: Arc::clone(resource),
        query: Query::default(),
        output: Output::JSON,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        warnings: Warnings::default(),
        internal: true,
    })
}

/// The options of a write that the server itself makes.
pub fn internal_options() -> WriteOptions {
    WriteOptions {
        field_manager: "kube-apiserver".to_owned(),
        field_validation: FieldValidation::Ignore,
        ..WriteOptions::default()
    }
}

/// Creates an object unless it is there.
pub async fn ensure(server: &Arc<ApiServer>, user: &User, object: Value) -> Result<(), Status> {
    let call = internal_call(server, user, Verb::Create, &object)?;
    if server.store.get(&call.key()).is_some() {
        return Ok(());
    }
    match create(&call, &internal_options(), object, Creation::Plain).await {
        Err(status) if status.reason != "AlreadyExists" => Err(status),
        _ => Ok(()),
    }
}

/// A failed commit as the caller may read it; the log gets the rest.
pub fn commit_failed(error: &CommitError) -> Status {
    match error {
        CommitError::Closed => Status::unavailable("the server is shutting down"),
        CommitError::Invalid { reason, .. } => {
            tracing::error!(error = %error, "the store refused a transaction");
            Status::internal(reason)
        }
        other => {
            tracing::error!(error = %other, "the store cannot write");
            Status::internal("the store cannot write; see the server's log")
        }
    }
}

/// Fills in what the object leaves out.
fn apply_defaults(call: &Call, object: &mut Value) {
    match call.resource.custom() {
        Some(custom) => aphex_schema::default::apply(object, custom.typed()),
        None => crate::builtin::default(&call.resource, object),
    }
}

/// What must have happened before a write is answered.
pub(crate) async fn after_commit(call: &Call) -> Result<(), Status> {
    if crate::crds::is_definition(&call.resource) {
        crate::crds::refresh(&call.server).await?;
    } else if policy::is_policy(&call.resource) {
        policy::index::refresh(&call.server).await?;
    }
    Ok(())
}
