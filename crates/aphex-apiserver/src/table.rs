//! Server-side tables: what `kubectl get` prints without knowing the kind.

mod custom;
mod jsonpath;

use serde_json::{Value, json};

use crate::call::Call;
use crate::object;
use crate::respond::{self, ListMeta};

/// One object as a table.
pub fn of_object(call: &Call, version: &str, object: &Value) -> Value {
    let meta = json!({"resourceVersion": object::resource_version(object)});
    table(call, version, &[object], &meta, true)
}

/// A list as a table.
pub fn of_list(call: &Call, version: &str, objects: &[Value], meta: &ListMeta) -> Value {
    table(call, version, &objects.iter().collect::<Vec<_>>(), &meta.to_json(), true)
}

/// The object of a watch event as a table; only the first of a watch names the columns.
pub fn of_event(call: &Call, version: &str, object: &Value, with_columns: bool) -> Value {
    let meta = json!({"resourceVersion": object::resource_version(object)});
    table(call, version, &[object], &meta, with_columns)
}

fn table(call: &Call, version: &str, objects: &[&Value], meta: &Value, with_columns: bool) -> Value {
    let now = call.server.timestamp();
    let resource = &call.resource;
    let cells = |object: &Value| match resource.custom() {
        Some(custom) => {
            std::iter::once(custom::name(object)).chain(custom::cells(custom, object, now)).collect()
        }
        None => aphex_kinds::cells(&resource.group, &resource.kind, object, now),
    };
    let row =
        |object: &&Value| json!({ "cells": cells(object), "object": row_object(call, version, object) });
    let columns = || match resource.custom() {
        Some(custom) => custom::definitions(custom),
        None => aphex_kinds::columns(&resource.group, &resource.kind).iter().map(definition).collect(),
    };
    json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": meta,
        "columnDefinitions": if with_columns { Value::Array(columns()) } else { Value::Null },
        "rows": objects.iter().map(row).collect::<Vec<_>>(),
    })
}

fn definition(column: &aphex_kinds::Column) -> Value {
    json!({
        "name": column.name,
        "type": column.kind,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    })
}

/// What a row carries beside its cells: by default the metadata.
fn row_object(call: &Call, version: &str, object: &Value) -> Value {
    match call.query.get("includeObject") {
        Some("None") => Value::Null,
        Some("Object") => object.clone(),
        _ => respond::metadata_only(object, version),
    }
}
