//! Changing an object that exists, over and over until nobody else changed it meanwhile.

use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use aphex_store::{Change as StoreChange, CommitError, Entry, Expect};
use serde_json::Value;

use super::{commit_failed, draft, ownership, pod_parts, schema};
use crate::admission::policy;
use crate::admission::quota::{self, Refused};
use crate::admission::{self, Operation, Write};
use crate::builtin;
use crate::call::Call;
use crate::codec;
use crate::crds;
use crate::metadata;
use crate::namespaces;
use crate::object;
use crate::request::WriteOptions;
use crate::respond::Served;
use crate::services;
use crate::status::Status;

/// Who recorded the ownership of the changed fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nobody yet.
    Plain,
    /// A server-side apply did.
    Applied,
}

/// What came of it.
#[derive(Debug)]
pub enum Modified {
    /// The object as it is now.
    Object(Served),
    /// There is no such object.
    Absent,
}

/// Changes the object that the call's path names; `edit` gives the whole new object from the live one.
///
/// An edit may run several times. It decides itself whether a lost race matters: an object it returns with the
/// resourceVersion that its caller sent fails with 409, one with that of the live object is tried again.
pub async fn modify(
    call: &Call,
    options: &WriteOptions,
    change: Change,
    edit: impl Fn(&Value) -> Result<Value, Status> + Send + Sync,
) -> Result<Modified, Status> {
    let server = &call.server;
    let key = call.key();
    let _one_at_a_time =
        if services::is_service(&call.resource) { Some(server.allocating.lock().await) } else { None };
    let mut entry = server.store.get(&key);
    loop {
        let Some(current) = entry else { return Ok(Modified::Absent) };
        let live = codec::read(&call.resource, &current)?;
        let new = prepare(call, options, change, &live, edit(&live)?)?;
        if options.dry_run {
            let write =
                Write { call, operation: Operation::Update, old: Some(&live), dry_run: true, prefix: None };
            quota::check(&write, &new)?;
            return Ok(Modified::Object(Served::Value(new)));
        }
        if new == live {
            return Ok(Modified::Object(Served::Bytes(codec::serve(&call.resource, &current)?)));
        }
        match store(call, &current, &live, &new).await {
            Ok(served) => {
                super::after_commit(call).await?;
                return Ok(Modified::Object(served));
            }
            Err(Refused::Quota(status)) => return Err(status),
            Err(Refused::Store(CommitError::Conflict { current, .. })) => entry = current,
            Err(Refused::Store(error)) => return Err(commit_failed(&error)),
        }
    }
}

fn prepare(
    call: &Call,
    options: &WriteOptions,
    change: Change,
    live: &Value,
    mut new: Value,
) -> Result<Value, Status> {
    let resource = &call.resource;
    check_identity(call, live, &new)?;
    draft::settle_namespace(call, &mut new)?;
    super::apply_defaults(call, &mut new);
    let write =
        Write { call, operation: Operation::Update, old: Some(live), dry_run: options.dry_run, prefix: None };
    admission::mutate(&write, &mut new)?;
    reset(call, &mut new, live);
    metadata::prepare_update(&mut new, live);
    bump_generation(call, &mut new, live);
    if change == Change::Plain {
        new = ownership::managed_update(call, options, Some(live), new);
    }
    if call.subresource().is_empty() {
        builtin::settle_update(resource, &mut new, live);
    }
    aphex_merge::keep_times(live, &mut new);
    schema::check_update(call, &new, live)?;
    if services::is_service(resource) && call.subresource().is_empty() {
        services::allocate(call, &mut new)?;
    }
    admission::validate(&write, &new)?;
    if crds::is_definition(resource) {
        crds::settle(&call.server, &mut new);
    }
    policy::settle(resource, &mut new);
    Ok(new)
}

/// The caller's idea of which object this is must not be wrong.
fn check_identity(call: &Call, live: &Value, new: &Value) -> Result<(), Status> {
    let resource = &call.resource;
    let name = object::name(live);
    let given = object::uid(new);
    if !given.is_empty() && given != object::uid(live) {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
             failed: UID in precondition: {given}, UID in object meta: {}",
            // As kube-apiserver keeps it, where built-in kinds have no group in their keys.
            call.key().replacen(&format!("/registry/{}/", group_of(resource)), "/registry/", 1),
            object::uid(live)
        );
        return Err(Status::conflict(&resource.group, &resource.plural, name, &why));
    }
    let version = object::resource_version(new);
    if version.is_empty() && !resource.strategy.unconditional_update {
        let path = Path::root().child("metadata").child("resourceVersion");
        let error = FieldError::invalid(&path, 0, "must be specified for an update");
        return Err(Status::invalid(&resource.group, &resource.plural, name, vec![error]));
    }
    if version.is_empty() || version == "0" || version == object::resource_version(live) {
        return Ok(());
    }
    if version.parse::<u64>().is_err() {
        return Err(Status::new(
            500,
            "",
            format!("strconv.ParseUint: parsing \"{version}\": invalid syntax"),
        ));
    }
    Err(Status::modified(&resource.group, &resource.plural, name))
}

/// The group as keys have it; nothing for custom kinds.
fn group_of(resource: &crate::resource::Resource) -> &str {
    match (resource.custom(), resource.group.as_str()) {
        (Some(_), _) => "-",
        (None, "") => "core",
        (None, group) => group,
    }
}

/// Takes back what this endpoint does not write.
fn reset(call: &Call, new: &mut Value, live: &Value) {
    let resource = &call.resource;
    match call.subresource() {
        // The approval of a certificate request is part of its status.
        "status" | "approval" => {
            let managed = object::meta(new, "managedFields").cloned();
            let status = new.get("status").cloned();
            let metadata = new.get("metadata").cloned();
            *new = live.clone();
            object::put(object::map(new), "status", status);
            if resource.custom().is_none() {
                // A built-in's status endpoint takes metadata as well, owners excepted.
                object::put(object::map(new), "metadata", metadata);
                object::set_meta(new, "ownerReferences", object::meta(live, "ownerReferences").cloned());
                if resource.strategy.keeps_labels {
                    object::set_meta(new, "labels", object::meta(live, "labels").cloned());
                }
            }
            object::set_meta(new, "managedFields", managed);
        }
        "ephemeralcontainers" => pod_parts::only_ephemeral_containers(new, live),
        "resize" => pod_parts::only_resources(new, live),
        // The whole object was made by the one who binds.
        "binding" => {}
        "finalize" => {
            let spec = new.get("spec").cloned();
            object::copy(new, live, "status");
            object::put(object::map(new), "spec", spec);
        }
        _ => {
            if resource.has_status() {
                object::copy(new, live, "status");
            }
            builtin::prepare_update(resource, new, live);
        }
    }
}

/// Counts a change of what the user wants (everything but metadata and status, for custom resources).
fn bump_generation(call: &Call, new: &mut Value, live: &Value) {
    let strategy = &call.resource.strategy;
    if !strategy.generation || matches!(call.subresource(), "status" | "binding") {
        return;
    }
    let changed = if call.resource.custom().is_some() {
        let status = call.resource.has_status();
        let counts = |field: &str| field != "metadata" && !(status && field == "status");
        let fields = |object: &Value| {
            object.as_object().map_or(0, |map| map.keys().filter(|field| counts(field)).count())
        };
        let mut content = new.as_object().into_iter().flatten().filter(|(field, _)| counts(field));
        fields(new) != fields(live) || content.any(|(field, value)| live.get(field) != Some(value))
    } else {
        let mut fields = strategy.generation_fields.iter().copied().chain(["spec"]);
        fields.any(|field| new.get(field) != live.get(field))
    };
    if changed {
        let next = object::generation(live) + 1;
        object::set_meta(new, "generation", Some(Value::from(next)));
    }
}

async fn store(call: &Call, current: &Entry, live: &Value, new: &Value) -> Result<Served, Refused> {
    let resource = &call.resource;
    let (key, expect) = (current.key.to_string(), Expect::Revision(current.modified));
    if is_finished(call, new) {
        let committed = call.server.store.commit(vec![StoreChange::Delete { key, expect }]).await?;
        return Ok(Served::Value(codec::with_revision(new.clone(), committed.revision)));
    }
    let payload = codec::encode(new, resource);
    let write = Write { call, operation: Operation::Update, old: Some(live), dry_run: false, prefix: None };
    let committed = quota::commit(&write, new, StoreChange::Put { key, payload, expect }, false).await?;
    let served =
        committed.entries.into_iter().next().flatten().and_then(|entry| codec::serve(resource, &entry).ok());
    Ok(served
        .map_or_else(|| Served::Value(codec::with_revision(new.clone(), committed.revision)), Served::Bytes))
}

/// An object whose deletion waited for its last finalizer goes with the update that removes it.
fn is_finished(call: &Call, new: &Value) -> bool {
    let grace = object::meta(new, "deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or_default();
    let namespace = call.resource.group.is_empty() && call.resource.plural == "namespaces";
    object::is_deleting(new)
        && object::finalizers(new).is_empty()
        && grace == 0
        && (!namespace || namespaces::is_finished(new))
}

/// The field errors of a name in the body that is not the one in the path.
pub fn wrong_name(given: &str, wanted: &str) -> Status {
    Status::bad_request(format!(
        "the name of the object ({given}) does not match the name on the URL ({wanted})"
    ))
}
