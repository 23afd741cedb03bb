//! `aphex kb list|get`.

use aphex_api::knowledge_base::KnowledgeBase;
use serde_json::Value;

use super::look::{self, Shown, age, name, text};
use crate::cli::{Global, Look};

const SHOWN: Shown = Shown {
    noun: "knowledge base",
    head: &["NAMESPACE", "NAME", "DISPLAY NAME", "TRACKED", "PHASE", "AGE", "MESSAGE"],
    wide: 1,
    row: |object, now| {
        vec![
            text(object, "/metadata/namespace"),
            name(object).to_owned(),
            text(object, "/spec/displayName"),
            tracked(object),
            text(object, "/status/phase"),
            age(object, now),
            text(object, "/status/message"),
        ]
    },
    namespace: None,
};

/// How many of the repositories were read at the last look.
fn tracked(object: &Value) -> String {
    let all = |pointer: &str| object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let read = all("/status/repositories").filter(|one| one["error"].is_null() && !one["commit"].is_null());
    format!("{}/{}", read.count(), all("/spec/repositories").count())
}

pub(crate) async fn run(global: &Global, verb: Look) -> anyhow::Result<()> {
    look::run::<KnowledgeBase>(global, verb, &SHOWN).await
}
