//! Ownership of writes that are not applies: create, update, and the other patches.

#[cfg(test)]
mod tests;

use aphex_schema::Typed;
use serde_json::Value;

use crate::OtherVersion;
use crate::apply::{empty_like, text};
use crate::field_set::FieldSet;
use crate::managed::{Managed, ManagerId, entries, strip};
use crate::node::Node;
use crate::updater::Updater;

/// One write that is not an apply.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    /// The object before, in the written apiVersion; none on create.
    pub live: Option<&'a Value>,
    /// The object as it will be stored.
    pub new: Value,
    /// The schema of the kind; `None` deduces it from the values.
    pub schema: Option<Typed<'a>>,
    /// Other apiVersions of the kind; entries of any other one are dropped.
    pub others: &'a [OtherVersion<'a>],
    /// The field manager: what the caller names, or the first part of its user agent.
    pub manager: &'a str,
    /// The subresource written through, or empty.
    pub subresource: &'a str,
    /// The time of the write, RFC 3339.
    pub now: &'a str,
    /// Fields this endpoint does not write.
    pub reset: &'a FieldSet,
}

/// The new object with `metadata.managedFields` brought up to date.
///
/// Entries in the new object replace those of the old one if they can be read; an empty list (or one empty entry)
/// stops tracking. An object that does not fit its schema ends up without entries.
pub fn update(request: Update<'_>) -> Value {
    let Update { live, mut new, schema, others, manager, subresource, now, reset } = request;
    let mut managed = starting_point(live, &new, subresource);
    strip(&mut new);
    let exists = live.is_some();
    if managed.owners.is_empty() && exists {
        // Untracked objects stay untracked until they are applied.
        return new;
    }
    let empty = empty_like(&new);
    let mut old = live.cloned().unwrap_or(empty);
    strip(&mut old);
    let api_version = text(&new, "apiVersion").to_owned();
    let updater = Updater { node: Node::root(schema), api_version: &api_version, others, reset };
    let writer = ManagerId::new(manager, false, &api_version, subresource);
    if updater.update(&old, &new, &mut managed, &writer, now).is_ok() {
        managed.encode_into(&mut new);
    }
    new
}

/// The entries to start from.
fn starting_point(live: Option<&Value>, new: &Value, subresource: &str) -> Managed {
    let of_live = || Managed::decode(live.and_then(entries)).unwrap_or_default();
    if !subresource.is_empty() {
        return of_live();
    }
    match entries(new) {
        Some(Value::Array(all)) if all.is_empty() => Managed::default(),
        Some(Value::Array(all)) if matches!(all.as_slice(), [Value::Object(only)] if only.is_empty()) => {
            Managed::default()
        }
        given => match Managed::decode(given) {
            Ok(managed) if !managed.owners.is_empty() => managed,
            _ => of_live(),
        },
    }
}
