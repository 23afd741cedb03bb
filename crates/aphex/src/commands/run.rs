//! `aphex run list`: the runs that pushes made, and how they fare.

use aphex_api::foreign::tekton::PipelineRun;

use super::describe::state_of_run;
use super::look::{self, Shown, age, name, text};
use crate::cli::{Global, Look};

const SHOWN: Shown = Shown {
    noun: "run",
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
};

pub(crate) async fn run(global: &Global, verb: Look) -> anyhow::Result<()> {
    look::run::<PipelineRun>(global, verb, &SHOWN).await
}
