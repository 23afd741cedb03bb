//! `aphex run rerun`: a new run with the spec of another, as `tkn pipeline start --use-pipelinerun` makes it.

use anyhow::Context as _;
use aphex_api::foreign::tekton::{PENDING, PipelineRun};
use aphex_api::labels;
use kube::api::{DynamicObject, PostParams};
use kube::core::ApiResource;
use serde_json::{Map, Value, json};

use super::SHOWN;
use crate::cli::{Global, Rerun};
use crate::commands::apply::MANAGER;
use crate::commands::look;
use crate::connect;
use crate::output::{self, note, say};
use crate::rights::{self, Wish};

/// What the labels and annotations of the platform begin with; a repeated run keeps those.
const OURS: &str = "platform.aphex/";

pub(super) async fn run(global: &Global, arguments: &Rerun) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let resource = ApiResource::erase::<PipelineRun>(&());
    let name = &arguments.name;
    let found = look::must_find(&client, &resource, name, arguments.namespace.as_deref(), &SHOWN).await?;
    let namespace = found.metadata.namespace.clone().unwrap_or_default();
    rights::ensure(&client, Wish::new("create", &resource, &namespace)).await?;
    let again: DynamicObject = serde_json::from_value(again(&look::value(found, &resource)?))?;
    let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let made = look::api(&client, &resource, Some(&namespace))
        .create(&parameters, &again)
        .await
        .with_context(|| format!("cannot start run {name:?} again in {namespace}"))?;
    let made = look::value(made, &resource)?;
    let new = look::name(&made).to_owned();
    let title = output::title(&made);
    output::answer(&global.output, &made, &title, || {
        say(&format!("{title} created"));
        note(&format!("`aphex logs -f {new} -n {namespace}` follows it"));
    })
}

/// The new run: the same spec, and what the platform's own labels say, so that it is counted and kept like the first.
fn again(run: &Value) -> Value {
    let prefix = match look::text(run, "/metadata/generateName") {
        none if none.is_empty() => format!("{}-", look::name(run)),
        prefix => prefix,
    };
    let mut spec = run["spec"].clone();
    let queued = run["metadata"]["annotations"].get(labels::QUEUED).is_some();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("status");
        if queued {
            // Where runs queue, this one waits for its turn as well.
            spec.insert("status".to_owned(), PENDING.into());
        }
    }
    let mut annotations = ours(&run["metadata"]["annotations"]);
    // Its age is that of its making, not of the event: else a newer run would supersede it at once.
    annotations.remove(labels::SUPERSEDED_BY);
    annotations.remove(labels::TRIGGERED_AT);
    annotations.insert(labels::RERUN_OF.to_owned(), look::name(run).into());
    json!({
        "apiVersion": run["apiVersion"],
        "kind": run["kind"],
        "metadata": {
            "generateName": prefix,
            "namespace": run["metadata"]["namespace"],
            "labels": ours(&run["metadata"]["labels"]),
            "annotations": annotations,
        },
        "spec": spec,
    })
}

fn ours(entries: &Value) -> Map<String, Value> {
    let all = entries.as_object().into_iter().flatten();
    all.filter(|(key, _)| key.starts_with(OURS)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_run_has_the_same_spec_and_begins_anew() {
        let run = json!({
            "apiVersion": "tekton.dev/v1",
            "kind": "PipelineRun",
            "metadata": {
                "name": "build-1", "namespace": "shop", "uid": "u", "generateName": "build-",
                "labels": { "platform.aphex/triggered": "true", "tekton.dev/pipeline": "build" },
                "annotations": { "platform.aphex/queued": "true", "platform.aphex/superseded-by": "build-2", "platform.aphex/triggered-at": "2026-01-01T00:00:00Z" },
            },
            "spec": { "pipelineRef": { "name": "build" }, "status": "Cancelled" },
            "status": { "conditions": [] },
        });
        let new = again(&run);
        assert_eq!(new["metadata"]["generateName"], "build-");
        assert_eq!(new["metadata"]["labels"], json!({ "platform.aphex/triggered": "true" }));
        assert_eq!(
            new["metadata"]["annotations"],
            json!({ "platform.aphex/queued": "true", "platform.aphex/rerun-of": "build-1" })
        );
        assert_eq!(
            new["spec"],
            json!({ "pipelineRef": { "name": "build" }, "status": "PipelineRunPending" })
        );
        assert!(new.get("status").is_none() && new["metadata"].get("uid").is_none());
    }

    #[test]
    fn a_run_that_was_cancelled_is_not_cancelled_again() {
        let run = json!({ "metadata": { "name": "one" }, "spec": { "status": "Cancelled" } });
        let new = again(&run);
        assert_eq!(
            (new["metadata"]["generateName"].clone(), new["spec"].clone()),
            (json!("one-"), json!({}))
        );
    }
}
