//! `aphex pipeline list|get`.

use aphex_api::pipeline::Pipeline;

use super::look::{self, Shown, age, name, text};
use crate::cli::{Global, Look};

const SHOWN: Shown = Shown {
    noun: "pipeline",
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
};

pub(crate) async fn run(global: &Global, verb: Look) -> anyhow::Result<()> {
    look::run::<Pipeline>(global, verb, &SHOWN).await
}
