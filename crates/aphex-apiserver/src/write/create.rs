//! Storing a new object.

use aphex_store::{Change, CommitError, Expect};
use serde_json::Value;

use super::{commit_failed, draft, ownership, schema};
use crate::admission::policy;
use crate::admission::quota::{self, Refused};
use crate::admission::{self, Operation, Write};
use crate::builtin;
use crate::call::Call;
use crate::codec;
use crate::crds;
use crate::metadata;
use crate::object;
use crate::request::WriteOptions;
use crate::respond::Served;
use crate::services;
use crate::status::Status;

/// How often a generated name is tried again when it is taken.
const NAME_ATTEMPTS: usize = 8;

/// Who recorded the ownership of the object's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// Nobody yet.
    Plain,
    /// A server-side apply did.
    Applied,
}

/// Creates an object of the call's resource.
pub async fn create(
    call: &Call,
    options: &WriteOptions,
    mut object: Value,
    creation: Creation,
) -> Result<Served, Status> {
    let resource = &call.resource;
    if let Some(custom) = resource.custom()
        && custom.terminating
    {
        return Err(Status::method_not_supported(&resource.group, &resource.plural, "create")
            .with_text("create not allowed while custom resource definition is terminating"));
    }
    draft::settle_namespace(call, &mut object)?;
    if !object::resource_version(&object).is_empty() {
        return Err(Status::new(500, "", "resourceVersion should not be set on objects to be created"));
    }
    let generate = object::meta_str(&object, "generateName").to_owned();
    let generated = object::name(&object).is_empty() && !generate.is_empty();
    let attempts = if generated { NAME_ATTEMPTS } else { 1 };
    for attempt in 1..=attempts {
        let mut object = if attempt < attempts { object.clone() } else { std::mem::take(&mut object) };
        if generated {
            object::set_meta(&mut object, "name", Some(Value::String(crate::uid::generated_name(&generate))));
        }
        let prefix = generated.then_some(generate.as_str());
        match attempt_create(call, options, object, creation, prefix).await {
            Err(status) if status.reason == "AlreadyExists" && attempt < attempts => {}
            done => return done,
        }
    }
    Err(Status::not_unique(&resource.group, &resource.plural, &generate))
}

/// Why the name of a new object is taken.
fn taken(call: &Call, key: &str, object: &Value) -> Status {
    let (group, plural, name) = (&call.resource.group, &call.resource.plural, object::name(object));
    let holder = call.server.store.get(key).and_then(|entry| codec::read(&call.resource, &entry).ok());
    if holder.is_some_and(|holder| object::is_deleting(&holder)) {
        Status::still_there(group, plural, name)
    } else if object::meta_str(object, "generateName").is_empty() {
        Status::already_exists(group, plural, name)
    } else {
        Status::not_unique(group, plural, name)
    }
}

async fn attempt_create(
    call: &Call,
    options: &WriteOptions,
    mut object: Value,
    creation: Creation,
    prefix: Option<&str>,
) -> Result<Served, Status> {
    let resource = &call.resource;
    let server = &call.server;
    super::apply_defaults(call, &mut object);
    let write =
        Write { call, operation: Operation::Create, old: None, dry_run: options.dry_run, prefix: None };
    admission::await_account(&write, &object).await;
    if resource.has_status() && resource.strategy.resets_status {
        object::map(&mut object).remove("status");
    }
    metadata::prepare_create(resource, &mut object, &server.now());
    // Nobody owns what the server adds to every object of a kind.
    if creation == Creation::Plain {
        object = ownership::managed_update(call, options, None, object);
    }
    admission::mutate(&Write { prefix, ..write }, &mut object)?;
    builtin::prepare_create(resource, &mut object);
    schema::check_create(call, &object)?;
    for warning in builtin::warnings(resource, &object) {
        call.warnings.add(warning);
    }
    let _one_at_a_time = if services::is_service(resource) {
        let guard = server.allocating.lock().await;
        services::allocate(call, &mut object)?;
        Some(guard)
    } else {
        None
    };
    admission::validate(&write, &object)?;
    if crds::is_definition(resource) {
        crds::settle(server, &mut object);
    }
    policy::settle(resource, &mut object);
    let key = resource.key(object::namespace(&object), object::name(&object));
    if options.dry_run {
        quota::check(&write, &object)?;
        let free = server.store.get(&key).is_none();
        return if free { Ok(Served::Value(object)) } else { Err(taken(call, &key, &object)) };
    }
    let payload = codec::encode(&object, resource);
    let change = Change::Put { key: key.clone(), payload, expect: Expect::Absent };
    // What the server reads back itself has to be there.
    let ahead = options.ahead
        && !(crds::is_definition(resource) || policy::is_policy(resource) || services::is_service(resource));
    let committed = match quota::commit(&write, &object, change, ahead).await {
        Ok(committed) => committed,
        Err(Refused::Quota(status)) => return Err(status),
        Err(Refused::Store(CommitError::Conflict { .. })) => return Err(taken(call, &key, &object)),
        Err(Refused::Store(error)) => return Err(commit_failed(&error)),
    };
    super::after_commit(call).await?;
    match committed.entries.into_iter().next().flatten() {
        Some(entry) => Ok(Served::Bytes(codec::serve(resource, &entry)?)),
        None => Ok(Served::Value(codec::with_revision(object, committed.revision))),
    }
}
