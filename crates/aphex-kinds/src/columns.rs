//! The columns of tables of built-in kinds, as kube-apiserver 1.35 sends them; recorded in `data/columns.json`.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

static DATA: &str = include_str!("../data/columns.json");
static NONE: &[Column] = &[];

/// A column of a server-side table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `boolean` or `date`.
    pub kind: String,
    /// `name` marks the column that tells which object a row is.
    pub format: String,
    /// What the column shows.
    pub description: String,
    /// 0 is always shown, 1 only in wide output.
    pub priority: i64,
}

/// The columns of a built-in kind; those of an unknown one are name and creation time.
pub fn columns(group: &str, kind: &str) -> &'static [Column] {
    let tables = tables();
    // A Role has no printer of its own, so its columns are everyone's.
    let found =
        tables.get(&format!("{kind}.{group}")).or_else(|| tables.get("Role.rbac.authorization.k8s.io"));
    found.map_or(NONE, Vec::as_slice)
}

fn tables() -> &'static HashMap<String, Vec<Column>> {
    static TABLES: OnceLock<HashMap<String, Vec<Column>>> = OnceLock::new();
    TABLES.get_or_init(|| {
        // The file is part of the program; a test reads all of it.
        let data: HashMap<String, Vec<Vec<Value>>> = serde_json::from_str(DATA).unwrap_or_default();
        data.into_iter().map(|(kind, rows)| (kind, rows.iter().map(|row| column(row)).collect())).collect()
    })
}

fn column(row: &[Value]) -> Column {
    let text = |index: usize| row.get(index).and_then(Value::as_str).unwrap_or_default().to_owned();
    Column {
        name: text(0),
        kind: text(1),
        format: text(2),
        description: text(3),
        priority: row.get(4).and_then(Value::as_i64).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_columns_are_readable() {
        assert!(tables().len() > 50);
        assert!(tables().values().flatten().all(|column| !column.name.is_empty() && !column.kind.is_empty()));
    }

    #[test]
    fn a_kind_without_a_printer_shows_when_it_was_made() {
        let names: Vec<_> =
            columns("example.com", "Widget").iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["Name", "Created At"]);
    }
}
