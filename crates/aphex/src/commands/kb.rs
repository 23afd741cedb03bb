//! `aphex kb list|get|describe|apply|delete`.

use aphex_api::knowledge_base::KnowledgeBase;
use serde_json::Value;

use super::look::{Shown, age, name, text};
use super::tend;
use crate::cli::{Described, Global, Tend};

const SHOWN: Shown = Shown {
    noun: "knowledge base",
    command: "kb",
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
    goes_with_it: "",
};

/// How many of the repositories were read at the last look.
fn tracked(object: &Value) -> String {
    let all = |pointer: &str| object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let read = all("/status/repositories").filter(|one| one["error"].is_null() && !one["commit"].is_null());
    format!("{}/{}", read.count(), all("/spec/repositories").count())
}

pub(crate) async fn run(global: &Global, verb: Tend) -> anyhow::Result<()> {
    tend::run::<KnowledgeBase>(global, verb, &SHOWN, Described::Kb).await
}
