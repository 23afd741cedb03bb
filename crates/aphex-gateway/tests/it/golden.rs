//! Real payloads from GitHub's published examples, evaluated against the objects of each case.
//!
//! A case is a folder `golden/<event type>[-<what is special>]` with `event.json`, `objects.yaml` and `created.yaml`, the
//! last of which `APHEX_BLESS=1` writes. Payloads are MIT-licensed, see `examples/NOTICE.md`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aphex_api::delivery::SecretKeyRef;
use aphex_gateway::calls::GITHUB_API;
use aphex_gateway::evaluate::{Evaluation, evaluate};
use aphex_gateway::event::{Event, settled};
use aphex_gateway::interceptors::cel::Programs;
use aphex_gateway::interceptors::outside::{Outside, Question, Response};
use aphex_gateway::snapshot::{Objects, Snapshot};
use serde_json::{Value, json};

/// A world in which nothing can be asked.
pub(crate) struct Nothing;

impl Outside for Nothing {
    fn secret(&self, _: &SecretKeyRef) -> Option<secrecy::SecretSlice<u8>> {
        None
    }

    fn answer(&self, _: &Question) -> Option<Result<Response, String>> {
        None
    }
}

fn objects(text: &str) -> anyhow::Result<Objects> {
    let mut objects = Objects::default();
    for document in text.split("\n---\n") {
        let value: Value = serde_saphyr::from_str(document)?;
        match value["kind"].as_str() {
            Some("EventListener") => objects.listeners.push(serde_json::from_value(value)?),
            Some("Trigger") => objects.triggers.push(serde_json::from_value(value)?),
            Some("TriggerBinding") => objects.bindings.push(serde_json::from_value(value)?),
            Some("ClusterTriggerBinding") => objects.cluster_bindings.push(serde_json::from_value(value)?),
            Some("TriggerTemplate") => objects.templates.push(serde_json::from_value(value)?),
            kind => anyhow::bail!("no case has objects of kind {kind:?}"),
        }
    }
    Ok(objects)
}

fn outcome(kind: &str, body: Value, objects: Objects) -> anyhow::Result<Value> {
    let listener = objects.listeners.first().context("a case has a listener")?.clone();
    let event = Event {
        id: "72d3162e-cc78-11e3-81ab-4c9367dc0958".into(),
        kind: kind.into(),
        headers: [("X-Github-Event".to_owned(), kind.to_owned())].into(),
        raw: body.to_string().into(),
        body,
        url: "/acme".into(),
        received: "2026-11-23T23:42:47Z".parse()?,
    };
    if let Some((verdict, message)) = settled(&event, false) {
        return Ok(json!({ "settled": verdict, "message": message }));
    }
    let planned = evaluate(&Evaluation {
        snapshot: &Snapshot::of(objects),
        listener: &listener,
        kept_in: "org-acme",
        event: &event,
        verified: &[SecretKeyRef {
            namespace: "org-acme".into(),
            name: "webhook-hello".into(),
            key: "secret".into(),
        }],
        outside: Arc::new(Nothing),
        github_api: GITHUB_API,
        cel: &Programs::default(),
        seed: "org-acme/72d3162e-cc78-11e3-81ab-4c9367dc0958",
    });
    let trigger = |planned: &aphex_gateway::evaluate::Planned| {
        let account = format!("{}/{}", planned.account.namespace, planned.account.name);
        json!({ "result": planned.result, "account": account, "resources": planned.resources })
    };
    Ok(json!({ "triggers": planned.iter().map(trigger).collect::<Vec<_>>() }))
}

#[test]
fn real_payloads_create_what_the_golden_files_say() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases = BTreeSet::new();
    for case in std::fs::read_dir(&root)? {
        cases.insert(
            case?.file_name().into_string().map_err(|name| anyhow::anyhow!("odd name {}", name.display()))?,
        );
    }
    assert!(cases.len() >= 7, "{cases:?}");
    for case in cases {
        let read = |file: &str| {
            std::fs::read_to_string(root.join(&case).join(file)).context(format!("{case}/{file}"))
        };
        let kind = case.split('-').next().unwrap_or(&case);
        let made =
            outcome(kind, serde_json::from_str(&read("event.json")?)?, objects(&read("objects.yaml")?)?)?;
        if std::env::var_os("APHEX_BLESS").is_some() {
            std::fs::write(root.join(&case).join("created.yaml"), serde_saphyr::to_string(&made)?)?;
        }
        let expected: Value = serde_saphyr::from_str(&read("created.yaml")?)?;
        assert_eq!(made, expected, "{case}: {}", serde_saphyr::to_string(&made)?);
    }
    Ok(())
}
