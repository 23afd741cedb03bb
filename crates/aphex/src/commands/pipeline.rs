//! `aphex pipeline create|list|get|describe|delete`.

mod create;
mod questions;

use aphex_api::pipeline::Pipeline;

use super::look::{self, Shown, age, name, text};
use super::tend;
use crate::cli::{Described, Global, PipelineVerb};

pub(super) const SHOWN: Shown = Shown {
    noun: "pipeline",
    command: "pipeline",
    head: &["NAMESPACE", "NAME", "ORGANIZATION", "REPOSITORY", "PHASE", "AGE", "WEBHOOK URL", "MESSAGE"],
    wide: 2,
    row: |object, now| {
        vec![
            text(object, "/metadata/namespace"),
            name(object).to_owned(),
            text(object, "/spec/organization"),
            format!("{}/{}", text(object, "/spec/repository/org"), text(object, "/spec/repository/name")),
            text(object, "/status/phase"),
            age(object, now),
            text(object, "/status/webhookURL"),
            text(object, "/status/message"),
        ]
    },
    namespace: None,
    goes_with_it: " with its tenant namespace and everything in it",
};

pub(crate) async fn run(global: &Global, verb: PipelineVerb) -> anyhow::Result<()> {
    match verb {
        PipelineVerb::Create(arguments) => create::run(global, arguments).await,
        PipelineVerb::Look(look) => look::run::<Pipeline>(global, look, &SHOWN).await,
        PipelineVerb::Describe(one) => tend::describe_one(global, one, Described::Pipeline).await,
        PipelineVerb::Delete(arguments) => tend::delete::<Pipeline>(global, &arguments, &SHOWN).await,
    }
}
