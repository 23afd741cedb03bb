//! `aphex repo list|get|rotate-secret`.

use aphex_api::repo_binding::RepoBinding;

use super::look::{self, Shown, age, name, text};
use super::rotate;
use crate::cli::{Global, Keep};

const SHOWN: Shown = Shown {
    noun: "binding",
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
};

pub(crate) async fn run(global: &Global, verb: Keep) -> anyhow::Result<()> {
    match verb {
        Keep::Look(look) => look::run::<RepoBinding>(global, look, &SHOWN).await,
        Keep::RotateSecret(arguments) => rotate::run::<RepoBinding>(global, &arguments).await,
    }
}
