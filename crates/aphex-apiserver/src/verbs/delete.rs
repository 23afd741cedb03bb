//! Deleting an object: preconditions, grace, finalizers, propagation.

use aphex_store::{Change, CommitError, Entry, Expect};
use http::Response;
use jiff::ToSpan;
use serde_json::{Value, json};

use crate::admission::{self, Operation, Write};
use crate::body::Body;
use crate::call::Call;
use crate::codec;
use crate::crds;
use crate::input;
use crate::namespaces;
use crate::object;
use crate::request::DeleteOptions;
use crate::request::options::Propagation;
use crate::resource::Resource;
use crate::respond::{self, Served};
use crate::status::{self, Status};
use crate::write;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// Pods that say nothing get this many seconds to end.
const DEFAULT_GRACE: i64 = 30;

/// What became of an object.
#[derive(Debug)]
pub(super) enum Deleted {
    /// It is gone; this is its last state.
    Gone(Value),
    /// It goes when its grace period or its finalizers are done.
    Going(Value),
}

/// Deletes the object that the path names.
pub(super) async fn delete(call: &Call) -> Result<Response<Body>, Status> {
    let options = read_options(call)?;
    let resource = &call.resource;
    match delete_one(call, &options, call.namespace(), call.name()).await? {
        Deleted::Going(object) => respond::object(call, 200, Served::Value(object)),
        Deleted::Gone(object) if resource.strategy.returns_deleted => {
            respond::object(call, 200, Served::Value(object))
        }
        Deleted::Gone(object) => {
            let uid = object::uid(&object);
            let status = status::deleted(&resource.group, &resource.plural, call.name(), uid);
            respond::object(call, 200, Served::Value(status))
        }
    }
}

/// Options from body and query.
pub(super) fn read_options(call: &Call) -> Result<DeleteOptions, Status> {
    if call.body.is_empty() {
        return DeleteOptions::parse(&call.query, None);
    }
    let decoded = input::decode(call.content_type(), &call.body)?;
    let unreadable =
        |error| Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"));
    let body = decoded.map_err(unreadable)?.value;
    DeleteOptions::parse(&call.query, Some(&body))
}

/// Deletes one object, over and over until nobody changed it meanwhile.
pub(super) async fn delete_one(
    call: &Call,
    options: &DeleteOptions,
    namespace: &str,
    name: &str,
) -> Result<Deleted, Status> {
    let resource = &call.resource;
    let absent = || Status::not_found(&resource.group, &resource.plural, name);
    let mut entry = call.server.store.get(&resource.key(namespace, name)).ok_or_else(absent)?;
    loop {
        let live = codec::read(resource, &entry)?;
        check_preconditions(call, options, &live)?;
        let write = Write {
            call,
            operation: Operation::Delete,
            old: Some(&live),
            dry_run: options.dry_run,
            prefix: None,
        };
        admission::validate(&write, &live)?;
        match step(call, options, &entry, live).await {
            Ok(deleted) => return Ok(deleted),
            Err(CommitError::Conflict { current, .. }) => entry = current.ok_or_else(absent)?,
            Err(error) => return Err(write::commit_failed(&error)),
        }
    }
}

fn check_preconditions(call: &Call, options: &DeleteOptions, live: &Value) -> Result<(), Status> {
    let (group, kind, name) = (&call.resource.group, &call.resource.kind, object::name(live));
    let actual = object::uid(live);
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != actual) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({actual}). The object might \
             have been deleted and then recreated"
        );
        return Err(Status::conflict(group, kind, name, &why));
    }
    let actual = object::resource_version(live);
    if let Some(version) = options.resource_version.as_deref().filter(|version| *version != actual) {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record \
             ({actual}). The object might have been modified"
        );
        return Err(Status::conflict(group, kind, name, &why));
    }
    Ok(())
}

/// One attempt: marks the object, or removes it when nothing holds it.
async fn step(
    call: &Call,
    options: &DeleteOptions,
    entry: &Entry,
    live: Value,
) -> Result<Deleted, CommitError> {
    let resource = &call.resource;
    let mut marked = live.clone();
    set_finalizers(options, &mut marked);
    let mut held = !object::finalizers(&marked).is_empty();
    if is_namespace(resource) {
        held |= !namespaces::is_finished(&marked);
        object::set_at(&mut marked, "status.phase", json!("Terminating"));
    }
    if crds::is_definition(resource) {
        crds::mark_terminating(&mut marked);
        held = true;
    }
    let grace = if resource.strategy.graceful { grace_period(options, &live) } else { 0 };
    let first = !object::is_deleting(&live);
    let shorter =
        object::meta(&live, "deletionGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|g| grace < g);
    if first || shorter {
        let span = call.server.timestamp().saturating_add(grace.seconds());
        let when = span.map(|when| when.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        object::set_meta(&mut marked, "deletionTimestamp", when.ok().map(Value::String));
        let definition = crds::is_definition(resource);
        // Of these two the time alone is told.
        if !definition && !is_namespace(resource) {
            object::set_meta(&mut marked, "deletionGracePeriodSeconds", Some(Value::from(grace)));
        }
        let generation = object::generation(&live);
        if first && generation > 0 && !definition {
            object::set_meta(&mut marked, "generation", Some(Value::from(generation + 1)));
        }
    }
    if !held && grace == 0 {
        // What ends gracefully is told as it was marked, even when it had no time left.
        let last = if resource.strategy.graceful { marked } else { live };
        return remove(call, options, entry, last).await;
    }
    if marked == live || options.dry_run {
        return Ok(Deleted::Going(marked));
    }
    let payload = codec::encode(&marked, resource);
    let change =
        Change::Put { key: entry.key.to_string(), payload, expect: Expect::Revision(entry.modified) };
    let committed = call.server.store.commit(vec![change]).await?;
    settle(call).await;
    Ok(Deleted::Going(codec::with_revision(marked, committed.revision)))
}

fn is_namespace(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.plural == "namespaces"
}

async fn remove(
    call: &Call,
    options: &DeleteOptions,
    entry: &Entry,
    live: Value,
) -> Result<Deleted, CommitError> {
    if !options.dry_run {
        let change = Change::Delete { key: entry.key.to_string(), expect: Expect::Revision(entry.modified) };
        call.server.store.commit(vec![change]).await?;
        settle(call).await;
    }
    Ok(Deleted::Gone(live))
}

/// The object is gone for good: whatever depended on it must learn so, but cannot undo it.
async fn settle(call: &Call) {
    if let Err(error) = write::after_commit(call).await {
        tracing::error!(%error, resource = %call.resource.plural, "a deletion does not take effect yet");
    }
}

/// Propagation is kept as a finalizer, which the garbage collector takes away when it is done.
fn set_finalizers(options: &DeleteOptions, marked: &mut Value) {
    let Some(propagation) = options.propagation else { return };
    let mut finalizers = object::finalizers(marked);
    finalizers.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
    match propagation {
        Propagation::Foreground => finalizers.push(FOREGROUND.to_owned()),
        Propagation::Orphan => finalizers.push(ORPHAN.to_owned()),
        Propagation::Background => {}
    }
    let value = (!finalizers.is_empty()).then(|| json!(finalizers));
    object::set_meta(marked, "finalizers", value);
}

/// Seconds until the object may go: what is asked for, else what the pod says; none if nothing runs.
///
/// `podStrategy.CheckGracefulDelete` and `rest.BeforeDelete`: a running grace period can only be shortened.
fn grace_period(options: &DeleteOptions, live: &Value) -> i64 {
    let wanted = options.grace_period.map(|seconds| if seconds < 0 { 1 } else { seconds });
    if object::is_deleting(live) {
        let running = object::meta(live, "deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
        return wanted.unwrap_or(running).min(running);
    }
    let unscheduled =
        object::at(live, "spec.nodeName").and_then(Value::as_str).unwrap_or_default().is_empty();
    let phase = object::at(live, "status.phase").and_then(Value::as_str).unwrap_or_default();
    if unscheduled || matches!(phase, "Failed" | "Succeeded") {
        return 0;
    }
    let own = object::at(live, "spec.terminationGracePeriodSeconds").and_then(Value::as_i64);
    wanted.or(own).unwrap_or(DEFAULT_GRACE)
}
