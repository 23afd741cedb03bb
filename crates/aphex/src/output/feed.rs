//! Objects one after the other, as they change.

use serde_json::Value;

use super::{Table, print, print_on, rendered, say_on};
use crate::cli::Format;

/// What goes on and on: rows that line up with those before, or a document for each object.
pub(crate) struct Feed<'a> {
    format: &'a Format,
    /// Of the columns, so that later rows line up.
    widths: Vec<usize>,
    started: bool,
}

impl<'a> Feed<'a> {
    pub(crate) fn new(format: &'a Format) -> Self {
        Self { format, widths: Vec::new(), started: false }
    }

    /// Prints objects; tells whether somebody still reads.
    pub(crate) fn print(
        &mut self,
        objects: &[Value],
        name: impl Fn(&Value) -> String,
        table: impl FnOnce() -> Table,
    ) -> anyhow::Result<bool> {
        if objects.is_empty() {
            return Ok(true);
        }
        if self.format.is_for_people() {
            let with_head = !std::mem::replace(&mut self.started, true);
            let lines = table().lines(&mut self.widths, with_head);
            return Ok(say_on(lines.trim_end()));
        }
        for object in objects {
            let text = rendered(self.format, object)?.unwrap_or_else(|| name(object));
            if *self.format == Format::Yaml && std::mem::replace(&mut self.started, true) {
                print("---");
            }
            if !print_on(&text) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
