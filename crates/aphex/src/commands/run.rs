//! `aphex run list|get|cancel|rerun|delete`: the runs that pushes made, and how they fare.

mod again;
mod cancel;

use aphex_api::foreign::tekton::PipelineRun;

use super::describe::state_of_run;
use super::look::{self, Shown, age, name, text};
use super::tend;
use crate::cli::{Global, RunVerb};

pub(super) const SHOWN: Shown = Shown {
    noun: "run",
    command: "run",
    head: &["NAMESPACE", "NAME", "PIPELINE", "EVENT", "STATE", "AGE", "REASON", "MESSAGE"],
    wide: 2,
    row: |object, now| {
        let state = state_of_run(object);
        let event = object["metadata"]["labels"]["platform.aphex/event-type"].as_str().unwrap_or_default();
        vec![
            text(object, "/metadata/namespace"),
            name(object).to_owned(),
            text(object, "/spec/pipelineRef/name"),
            event.to_owned(),
            text(&state, "/state"),
            age(object, now),
            text(&state, "/reason"),
            text(&state, "/message"),
        ]
    },
    namespace: None,
    goes_with_it: " with its tasks and logs",
};

pub(crate) async fn run(global: &Global, verb: RunVerb) -> anyhow::Result<()> {
    match verb {
        RunVerb::Look(look) => look::run::<PipelineRun>(global, look, &SHOWN).await,
        RunVerb::Cancel(arguments) => cancel::run(global, &arguments).await,
        RunVerb::Rerun(arguments) => again::run(global, &arguments).await,
        RunVerb::Delete(arguments) => tend::delete::<PipelineRun>(global, &arguments, &SHOWN).await,
    }
}
