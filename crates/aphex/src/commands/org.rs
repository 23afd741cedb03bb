//! `aphex org list|get|rotate-secret`.

use aphex_api::organization::Organization;

use super::look::{self, Shown, age, name, text};
use super::rotate;
use crate::cli::{Global, Keep};

const SHOWN: Shown = Shown {
    noun: "organization",
    head: &["NAME", "DISPLAY NAME", "PHASE", "WEBHOOK URL", "AGE", "NAMESPACE", "MESSAGE"],
    wide: 2,
    row: |object, now| {
        vec![
            name(object).to_owned(),
            text(object, "/spec/displayName"),
            text(object, "/status/phase"),
            text(object, "/status/webhookURL"),
            age(object, now),
            text(object, "/status/namespace"),
            text(object, "/status/message"),
        ]
    },
    namespace: Some("platform-system"),
};

pub(crate) async fn run(global: &Global, verb: Keep) -> anyhow::Result<()> {
    match verb {
        Keep::Look(look) => look::run::<Organization>(global, look, &SHOWN).await,
        Keep::RotateSecret(arguments) => rotate::run::<Organization>(global, &arguments).await,
    }
}
