//! The objects of files as changes to those that the engine has.

use aphex_controllers::plan::Change;
use kube::Client;
use serde_json::Value;

use super::{left_out, unguarded};
use crate::commands::look::text;
use crate::commands::plan::rendered::{Rendered, becomes_triggers, rendered};
use crate::commands::trial::objects::{Book, Problem};

/// What is changed, and what is wrong with it.
pub(super) struct Changes {
    files: Book,
    /// What the controllers would make of the files' organizations, bindings and Pipelines.
    planned: Vec<Change>,
    pub(super) problems: Vec<Problem>,
}

impl Changes {
    /// Of the objects; those that name no namespace are in the context's.
    pub(super) async fn of(client: &Client, objects: Vec<Value>) -> anyhow::Result<Self> {
        let (platform, objects): (Vec<_>, Vec<_>) = objects.into_iter().partition(becomes_triggers);
        // Signatures were checked when the deliveries came.
        let (secrets, objects): (Vec<_>, Vec<_>) =
            objects.into_iter().partition(|object| text(object, "/kind") == "Secret");
        let (files, mut left) = Book::of(objects, client.default_namespace())?;
        left.others.extend(secrets.iter().map(|secret| text(secret, "/kind")));
        left_out(&left.others);
        anyhow::ensure!(
            !(files.is_empty() && platform.is_empty() && left.unknown.is_empty()),
            "the files have nothing that a trigger is made of"
        );
        let Rendered { changes, problems } = rendered(client, &platform).await?;
        let problems = left.unknown.into_iter().chain(problems).chain(files.view().1).collect();
        Ok(Self { files, planned: changes, problems })
    }

    /// What the engine would have, with the changes; tells what of them changes nothing.
    pub(super) fn on(&mut self, now: &Book) -> Book {
        let mut after = now.clone();
        for change in
            self.planned.drain(..).filter(|change| change.api_version.starts_with("triggers.tekton.dev/"))
        {
            let namespace = change.namespace.as_deref().unwrap_or_default();
            after.put(&change.kind, namespace, &change.name, change.after);
        }
        let after = after.with(&self.files);
        self.problems.extend(self.files.idle(now, &after));
        self.problems.extend(self.never_fires(now, &after));
        after
    }

    /// Triggers that no secret guards: those that are so with the changes alone, and those of the files.
    fn never_fires(&self, now: &Book, after: &Book) -> Vec<Problem> {
        let told = |book: &Book| -> Vec<Problem> {
            let (snapshot, _) = book.view();
            let listeners = snapshot.every_listener();
            listeners.iter().flat_map(|listener| unguarded(listener, &snapshot)).collect()
        };
        let before = told(now);
        let mine = self.files.titles("Trigger");
        let mut found = told(after);
        found.retain(|problem| {
            // The comma ends the name.
            let names = |title: &String| problem.message.contains(&format!("{title},"));
            !before.contains(problem) || mine.iter().any(names)
        });
        found
    }
}
