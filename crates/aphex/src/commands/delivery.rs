//! `aphex delivery list|get`.

use aphex_api::delivery::Delivery;

use super::look::{self, Shown, age, name, text};
use crate::cli::{Global, Look};

const SHOWN: Shown = Shown {
    noun: "delivery",
    command: "delivery",
    head: &["NAME", "EVENT", "REPOSITORY", "REF", "VERDICT", "CREATED", "AGE", "NAMESPACE", "MESSAGE"],
    wide: 2,
    row: |object, now| {
        let verdict = match text(object, "/status/verdict") {
            none if none.is_empty() => text(object, "/status/phase"),
            verdict => verdict,
        };
        vec![
            name(object).to_owned(),
            text(object, "/spec/event"),
            text(object, "/spec/repository"),
            text(object, "/spec/ref"),
            verdict,
            created(object),
            age(object, now),
            text(object, "/metadata/namespace"),
            text(object, "/status/message"),
        ]
    },
    namespace: None,
    goes_with_it: "",
};

/// `namespace/name` of what a delivery created.
fn created(object: &serde_json::Value) -> String {
    let all = object.pointer("/status/created").and_then(serde_json::Value::as_array);
    let names =
        all.into_iter().flatten().map(|one| format!("{}/{}", text(one, "/namespace"), text(one, "/name")));
    names.collect::<Vec<_>>().join(",")
}

pub(crate) async fn run(global: &Global, verb: Look) -> anyhow::Result<()> {
    look::run::<Delivery>(global, verb, &SHOWN).await
}
