//! What the server counts, in the Prometheus text format.

use std::fmt::Write as _;

use crate::server::ApiServer;

impl ApiServer {
    /// The server's metrics as text.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP apiserver_storage_objects Number of stored objects.");
        let _ = writeln!(text, "# TYPE apiserver_storage_objects gauge");
        let snapshot = self.registry.snapshot();
        for resource in snapshot.preferred().filter(|resource| resource.is_stored()) {
            let count = self.store.count(&resource.storage.prefix);
            let dot = if resource.group.is_empty() { "" } else { "." };
            let (plural, group) = (&resource.plural, &resource.group);
            let _ = writeln!(text, "apiserver_storage_objects{{resource=\"{plural}{dot}{group}\"}} {count}");
        }
        let _ = writeln!(text, "# HELP apiserver_store_revision Newest revision of the store.");
        let _ = writeln!(text, "# TYPE apiserver_store_revision counter");
        let _ = writeln!(text, "apiserver_store_revision {}", self.store.revision());
        if let Some(more) = &self.config.more_metrics {
            text.push_str(&more());
        }
        text
    }
}
