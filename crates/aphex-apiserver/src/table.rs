//! Server-side tables: what `kubectl get` prints without knowing the kind.

use serde_json::{Value, json};

use crate::call::Call;
use crate::object;
use crate::respond::{self, ListMeta};

/// One object as a table.
pub fn of_object(call: &Call, version: &str, object: &Value) -> Value {
    let meta = json!({"resourceVersion": object::resource_version(object)});
    table(call, version, &[object], meta, true)
}

/// A list as a table.
pub fn of_list(call: &Call, version: &str, objects: &[Value], meta: &ListMeta) -> Value {
    table(call, version, &objects.iter().collect::<Vec<_>>(), meta.to_json(), true)
}

/// The object of a watch event as a table; only the first of a watch names the columns.
pub fn of_event(call: &Call, version: &str, kind: &str, object: &Value, with_columns: bool) -> Value {
    let meta = json!({"resourceVersion": object::resource_version(object)});
    if kind == "BOOKMARK" {
        let mut meta = meta;
        object::put(object::map(&mut meta), "annotations", object::meta(object, "annotations").cloned());
        return table(call, version, &[], meta, with_columns);
    }
    table(call, version, &[object], meta, with_columns)
}

fn table(call: &Call, version: &str, objects: &[&Value], meta: Value, with_columns: bool) -> Value {
    let columns = json!([
        {"name": "Name", "type": "string", "format": "name", "description": "Name must be unique within a namespace.", "priority": 0},
        {"name": "Created At", "type": "date", "format": "", "description": "CreationTimestamp is a timestamp representing the server time when this object was created.", "priority": 0},
    ]);
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            json!({
                "cells": [object::name(object), object::meta_str(object, "creationTimestamp")],
                "object": row_object(call, version, object),
            })
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": meta,
        "columnDefinitions": if with_columns { columns } else { Value::Null },
        "rows": rows,
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
