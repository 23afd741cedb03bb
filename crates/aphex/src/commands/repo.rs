//! `aphex repo list|get`.

use aphex_api::repo_binding::RepoBinding;

use super::look::{self, Shown, age, name, text};
use crate::cli::{Global, Look};

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

pub(crate) async fn run(global: &Global, verb: Look) -> anyhow::Result<()> {
    look::run::<RepoBinding>(global, verb, &SHOWN).await
}
