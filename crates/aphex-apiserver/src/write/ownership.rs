//! Field ownership: what `aphex_merge` needs to know of the resource, and where its findings go.

use std::sync::Arc;

use aphex_merge::{Apply, ApplyError, FieldSet, OtherVersion, Update};
use serde_json::Value;

use crate::call::Call;
use crate::object;
use crate::request::WriteOptions;
use crate::resource::Resource;
use crate::status::{Details, Status};

/// Other versions of a resource, owned.
struct Versions(Vec<(String, Arc<Resource>)>);

impl Versions {
    fn of(call: &Call) -> Self {
        let siblings = call.server.registry.snapshot().siblings(&call.resource);
        Self(siblings.into_iter().map(|resource| (resource.api_version(), resource)).collect())
    }

    fn borrowed(&self) -> Vec<OtherVersion<'_>> {
        let all = self.0.iter();
        all.map(|(version, resource)| OtherVersion { api_version: version, schema: resource.typed() })
            .collect()
    }
}

/// Fields that an endpoint does not write, whatever the caller sends.
fn reset_fields(resource: &Resource, subresource: &str) -> FieldSet {
    match (subresource, resource.custom().is_some()) {
        ("" | "scale", _) if resource.has_status() && resource.strategy.resets_status => {
            FieldSet::of_fields(&[&["status"]])
        }
        ("status", true) => FieldSet::of_fields(&[&["metadata"], &["spec"]]),
        ("status", false) if resource.strategy.keeps_labels => {
            FieldSet::of_fields(&[&["spec"], &["metadata", "labels"]])
        }
        ("status", false) => FieldSet::of_fields(&[&["spec"]]),
        _ => FieldSet::new(),
    }
}

/// The object with the ownership of a create, update or patch recorded.
pub(super) fn managed_update(call: &Call, options: &WriteOptions, live: Option<&Value>, new: Value) -> Value {
    let versions = Versions::of(call);
    let mut owned = aphex_merge::update(Update {
        live,
        new,
        schema: call.resource.typed(),
        others: &versions.borrowed(),
        manager: &options.field_manager,
        subresource: call.subresource(),
        now: &call.server.now(),
        reset: &reset_fields(&call.resource, call.subresource()),
    });
    if call.subresource() == "scale" {
        forget_times(&mut owned);
    }
    owned
}

/// Entries of a scale subresource carry no time: they were handed over from another object.
fn forget_times(object: &mut Value) {
    let entries = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten().filter(|entry| entry["subresource"] == "scale") {
        object::put(object::map(entry), "time", None);
    }
}

/// The `managedFields` of an object that is answered and not stored.
pub(crate) fn owned_fields(call: &Call, options: &WriteOptions, object: &Value) -> Option<Value> {
    let owned = aphex_merge::update(Update {
        live: None,
        new: object.clone(),
        schema: call.resource.subresource_schema(call.subresource()).or(call.resource.typed()),
        others: &[],
        manager: &options.field_manager,
        subresource: call.subresource(),
        now: &call.server.now(),
        reset: &FieldSet::new(),
    });
    object::meta(&owned, "managedFields").cloned()
}

/// The live object with a configuration applied to it, ownership included.
pub fn managed_apply(
    call: &Call,
    options: &WriteOptions,
    live: Option<&Value>,
    applied: &Value,
) -> Result<Value, Status> {
    let versions = Versions::of(call);
    let merged = aphex_merge::apply(&Apply {
        live,
        applied,
        schema: call.resource.typed(),
        others: &versions.borrowed(),
        manager: &options.field_manager,
        force: options.force.unwrap_or(false),
        subresource: call.subresource(),
        now: &call.server.now(),
        reset: &reset_fields(&call.resource, call.subresource()),
    });
    merged.map_err(|error| match error {
        ApplyError::Conflicts(conflicts) => {
            let mut status = Status::new(409, "Conflict", conflicts.to_string()).with(Details::default());
            for cause in conflicts.causes() {
                status = status.because(cause.reason, cause.message, &cause.field);
            }
            status
        }
        ApplyError::BadRequest(why) => Status::bad_request(why),
        ApplyError::Mismatch(why) => Status::new(500, "", why),
    })
}

/// Whether the object tracks no owners.
pub fn owns_nothing(object: &Value) -> bool {
    object::meta(object, "managedFields").and_then(Value::as_array).is_none_or(Vec::is_empty)
}
