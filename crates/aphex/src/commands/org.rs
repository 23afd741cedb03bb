//! `aphex org list|get|describe|apply|delete|rotate-secret`.

use aphex_api::organization::Organization;

use super::look::{Shown, age, name, text};
use super::{rotate, tend};
use crate::cli::{Described, Global, Keep};

pub(super) const SHOWN: Shown = Shown {
    noun: "organization",
    command: "org",
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
    goes_with_it: " with its namespace, its webhook endpoint and its secrets",
};

pub(crate) async fn run(global: &Global, verb: Keep) -> anyhow::Result<()> {
    match verb {
        Keep::Tend(tend) => tend::run::<Organization>(global, tend, &SHOWN, Described::Org).await,
        Keep::RotateSecret(arguments) => rotate::run::<Organization>(global, &arguments).await,
    }
}
