//! Server-side tables: what `kubectl get` prints without knowing the kind.

mod custom;
mod jsonpath;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::Call;
use crate::object;
use crate::respond::{self, ListMeta};

/// Descriptions of the columns that every kind has.
const NAME: &str = "Name must be unique within a namespace.";
const CREATED: &str =
    "CreationTimestamp is a timestamp representing the server time when this object was created.";

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
pub fn of_event(call: &Call, version: &str, kind: &str, object: &Value, with_columns: bool) -> Value {
    let meta = json!({"resourceVersion": object::resource_version(object)});
    if kind == "BOOKMARK" {
        let mut meta = meta;
        object::put(object::map(&mut meta), "annotations", object::meta(object, "annotations").cloned());
        return table(call, version, &[], &meta, with_columns);
    }
    table(call, version, &[object], &meta, with_columns)
}

fn table(call: &Call, version: &str, objects: &[&Value], meta: &Value, with_columns: bool) -> Value {
    let now = call.server.timestamp();
    let custom = call.resource.custom();
    let row = |object: &&Value| {
        let cells = match custom {
            Some(custom) => {
                std::iter::once(custom::name(object)).chain(custom::cells(custom, object, now)).collect()
            }
            None => vec![custom::name(object), json!(object::meta_str(object, "creationTimestamp"))],
        };
        json!({ "cells": cells, "object": row_object(call, version, object) })
    };
    let columns = || {
        let name =
            json!({"name": "Name", "type": "string", "format": "name", "description": NAME, "priority": 0});
        let more = match custom {
            Some(custom) => custom::definitions(custom),
            None => vec![
                json!({"name": "Created At", "type": "date", "format": "", "description": CREATED, "priority": 0}),
            ],
        };
        std::iter::once(name).chain(more).collect()
    };
    json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": meta,
        "columnDefinitions": if with_columns { columns() } else { Value::Null },
        "rows": objects.iter().map(row).collect::<Vec<_>>(),
    })
}

/// How long ago, as kubectl's tables say it (k8s.io/apimachinery `duration.HumanDuration`).
fn age(since: &str, now: Timestamp) -> String {
    let Ok(since) = since.parse::<Timestamp>() else { return "<invalid>".to_owned() };
    let seconds = now.as_second() - since.as_second();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let years = days / 365;
    let two = |large: i64, unit: char, small: i64, part: char| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{part}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => two(years, 'y', days % 365, 'd'),
        _ => format!("{years}y"),
    }
}

/// What a row carries beside its cells: by default the metadata.
fn row_object(call: &Call, version: &str, object: &Value) -> Value {
    match call.query.get("includeObject") {
        Some("None") => Value::Null,
        Some("Object") => object.clone(),
        _ => respond::metadata_only(object, version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_as_coarse_as_they_are_long() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let said =
            |seconds: i64| age(&Timestamp::from_second(1_000_000_000 - seconds).unwrap().to_string(), now);
        let minute = 60;
        let (hour, day) = (60 * minute, 24 * 60 * minute);
        assert_eq!(
            [said(-10), said(-1), said(119), said(5 * minute + 3), said(9 * minute)],
            ["<invalid>", "0s", "119s", "5m3s", "9m"]
        );
        assert_eq!(
            [said(179 * minute), said(7 * hour + 59 * minute), said(47 * hour)],
            ["179m", "7h59m", "47h"]
        );
        assert_eq!(
            [said(3 * day + 4 * hour), said(400 * day), said(3 * 365 * day + 5 * day)],
            ["3d4h", "400d", "3y5d"]
        );
        assert_eq!(age("yesterday", now), "<invalid>");
    }
}
