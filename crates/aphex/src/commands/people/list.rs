//! Lists of the interface, once or whenever something in them changes.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use super::title;
use crate::cli::Format;
use crate::output::{self, Feed, Table, Tone, note};

/// Between two looks: the interface tells nobody of changes.
const INTERVAL: Duration = Duration::from_secs(2);

/// An object with its cells.
pub(super) struct Row {
    pub(super) object: Value,
    pub(super) cells: Vec<String>,
    /// The cell that says how the object is.
    pub(super) toned: Option<(usize, Tone)>,
}

/// How a list is shown.
pub(super) struct View<'a> {
    pub(super) format: &'a Format,
    /// What one is called: `user`, `group`.
    pub(super) noun: &'static str,
    pub(super) head: &'a [&'static str],
}

impl View<'_> {
    /// Prints a list, or one object alone.
    pub(super) fn print(&self, rows: Vec<Row>, single: bool) -> anyhow::Result<()> {
        if rows.is_empty() && self.format.is_for_people() {
            note(&format!("No {}s found.", self.noun));
            return Ok(());
        }
        let objects: Vec<Value> = rows.iter().map(|row| row.object.clone()).collect();
        let document = match objects.as_slice() {
            [one] if single => one.clone(),
            _ => Value::Array(objects.clone()),
        };
        let names: Vec<String> = objects.iter().map(|object| title(self.noun, object)).collect();
        if names.is_empty() && *self.format == Format::Name {
            return Ok(());
        }
        output::answer(self.format, &document, &names.join("\n"), || {
            output::say(self.table(rows).render().trim_end());
        })
    }

    /// Prints what is there, then each that is new, changed or gone, as long as somebody reads.
    pub(super) async fn watch(
        &self,
        mut look: impl AsyncFnMut() -> anyhow::Result<Vec<Row>>,
    ) -> anyhow::Result<()> {
        let mut feed = Feed::new(self.format);
        let mut known: HashMap<String, Row> = HashMap::new();
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            let mut before = std::mem::take(&mut known);
            let mut news = Vec::new();
            for row in look().await? {
                let key = row.object["pk"].to_string();
                let same = before.remove(&key).is_some_and(|old| old.object == row.object);
                if !same {
                    news.push(Row { object: row.object.clone(), cells: row.cells.clone(), toned: row.toned });
                }
                known.insert(key, row);
            }
            // As kubectl has it: what went away is shown once more, as it was.
            news.extend(before.into_values());
            let objects: Vec<Value> = news.iter().map(|row| row.object.clone()).collect();
            if !feed.print(&objects, |object| title(self.noun, object), || self.table(news))? {
                return Ok(());
            }
        }
    }

    fn table(&self, rows: Vec<Row>) -> Table {
        let mut table = Table::new(self.head);
        for row in rows {
            table.toned_row(row.cells, row.toned);
        }
        table
    }
}
