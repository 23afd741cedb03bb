//! `aphex repo list|get|describe|apply|delete|rotate-secret|check`.

mod check;

use aphex_api::repo_binding::RepoBinding;

use super::look::{Shown, age, name, text};
use super::{rotate, tend};
use crate::cli::{Described, Global, Keep, KeepRepo};

pub(super) const SHOWN: Shown = Shown {
    noun: "binding",
    command: "repo",
    head: &["NAME", "ORGANIZATION", "REPOSITORY", "PIPELINE", "PHASE", "AGE", "WEBHOOK URL", "MESSAGE"],
    wide: 2,
    row: |object, now| {
        let pipeline = match text(object, "/spec/pipelineName") {
            none if none.is_empty() => text(object, "/spec/tenantName"),
            pipeline => pipeline,
        };
        vec![
            name(object).to_owned(),
            text(object, "/spec/aphexOrg"),
            format!("{}/{}", text(object, "/spec/repoOrg"), text(object, "/spec/repoName")),
            pipeline,
            text(object, "/status/phase"),
            age(object, now),
            text(object, "/status/webhookURL"),
            text(object, "/status/message"),
        ]
    },
    namespace: Some("platform-system"),
    goes_with_it: " with its tenant namespace and everything in it",
};

pub(crate) async fn run(global: &Global, verb: KeepRepo) -> anyhow::Result<()> {
    let verb = match verb {
        KeepRepo::Check(arguments) => return check::run(global, arguments).await,
        KeepRepo::Keep(verb) => verb,
    };
    match verb {
        Keep::Tend(tend) => tend::run::<RepoBinding>(global, tend, &SHOWN, Described::Repo).await,
        Keep::RotateSecret(arguments) => rotate::run::<RepoBinding>(global, &arguments).await,
    }
}
