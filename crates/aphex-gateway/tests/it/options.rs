//! What a binding's options make of GitHub's events: the objects are those that the controllers' golden files hold.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aphex_api::delivery::{SecretKeyRef, TriggerVerdict};
use aphex_gateway::calls::GITHUB_API;
use aphex_gateway::evaluate::{Evaluation, Planned, evaluate};
use aphex_gateway::event::{Event, settled};
use aphex_gateway::interceptors::cel::Programs;
use aphex_gateway::snapshot::{Objects, Snapshot};
use serde_json::{Value, json};

use crate::golden::Nothing;

/// Objects of an organization and of one of its bindings, as the controllers apply them.
fn objects(binding: &str) -> anyhow::Result<Objects> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../aphex-controllers/tests/golden");
    let mut objects = Objects::default();
    for file in ["organization/acme-corp".to_owned(), format!("repo_binding/{binding}")] {
        let path = folder.join(file).join("desired.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for value in serde_saphyr::from_multiple::<Value>(&text)? {
            match value["kind"].as_str() {
                Some("EventListener") => objects.listeners.push(serde_json::from_value(value)?),
                Some("Trigger") => objects.triggers.push(serde_json::from_value(value)?),
                Some("TriggerBinding") => objects.bindings.push(serde_json::from_value(value)?),
                Some("TriggerTemplate") => objects.templates.push(serde_json::from_value(value)?),
                _ => {}
            }
        }
    }
    Ok(objects)
}

fn payload(case: &str) -> anyhow::Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case).join("event.json");
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

/// What the binding's trigger makes of an event.
fn planned(binding: &str, kind: &str, body: Value) -> anyhow::Result<Planned> {
    let objects = objects(binding)?;
    let listener = objects.listeners.first().context("an organization has a listener")?.clone();
    let event = Event {
        id: "72d3162e-cc78-11e3-81ab-4c9367dc0958".into(),
        kind: kind.into(),
        headers: [("X-Github-Event".to_owned(), kind.to_owned())].into(),
        raw: body.to_string().into(),
        body,
        url: "/acme-corp".into(),
        received: "2026-11-23T23:42:47Z".parse()?,
    };
    assert_eq!(settled(&event, false), None);
    let planned = evaluate(&Evaluation {
        snapshot: &Snapshot::of(objects),
        listener: &listener,
        kept_in: "org-acme-corp",
        event: &event,
        verified: &[SecretKeyRef {
            namespace: "org-acme-corp".into(),
            name: "webhook-hello-options".into(),
            key: "secret".into(),
        }],
        outside: Arc::new(Nothing),
        github_api: GITHUB_API,
        cel: &Programs::default(),
        seed: "org-acme-corp/72d3162e",
    });
    assert_eq!(planned.len(), 1, "{planned:?}");
    planned.into_iter().next().context("one trigger was asked")
}

/// A push to a branch, of commits that changed these files.
fn push(branch: &str, files: &[&str]) -> anyhow::Result<Value> {
    let mut body = payload("push")?;
    body["ref"] = format!("refs/heads/{branch}").into();
    body["commits"] = json!([{ "added": [], "modified": files, "removed": [] }]);
    Ok(body)
}

/// A pull request, with parts of it replaced.
fn pull_request(changes: &[(&str, Value)]) -> anyhow::Result<Value> {
    let mut body = payload("pull_request")?;
    for (pointer, value) in changes {
        *body.pointer_mut(pointer).with_context(|| (*pointer).to_owned())? = value.clone();
    }
    Ok(body)
}

/// The condition that stopped an event, or nothing when a run was made.
fn stopped(kind: &str, body: Value) -> anyhow::Result<Option<String>> {
    let planned = planned("options", kind, body)?;
    let result = &planned.result;
    match result.verdict {
        TriggerVerdict::Created => Ok(None),
        TriggerVerdict::NotWanted => {
            let last = result.interceptors.last().context("an interceptor stopped it")?;
            assert!(last.expression.is_none() || !last.values.is_empty(), "{last:?}");
            assert_eq!(result.message, last.message);
            if last.expression.is_some() {
                assert!(last.message.starts_with(&format!("{}: expression ", last.name)), "{last:?}");
            }
            Ok(Some(last.name.clone()))
        }
        verdict => anyhow::bail!("{verdict:?}: {}", result.message),
    }
}

#[test]
fn pushes_count_by_branch_and_by_path() -> anyhow::Result<()> {
    let source: &[&str] = &["src/main.rs"];
    let many: Vec<String> = (0..30_000).map(|n| format!("docs/a-rather-long-folder/page-{n}.md")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (branch, files, expected) in [
        ("master", source, None),
        ("release/1.2", source, None),
        ("release/x", source, Some("branches")),
        ("release/1/2", source, Some("branches")),
        ("it's/any/depth", source, None),
        ("its/any", source, Some("branches")),
        ("masters", source, Some("branches")),
        ("not/master", source, Some("branches")),
        ("master", &["docs/a.md", "README.md"], None),
        ("master", &["docs/a.md", "CHANGELOG.md"], Some("paths")),
        ("master", &["Makefile"], Some("paths")),
        ("master", &["lib/src/a.rs"], Some("paths")),
        ("master", &["src/deep/a\nb.rs"], None),
        ("master", &["deep/down/NOTES.md"], None),
        // Long lists are looked through to the end.
        ("master", &many, Some("paths")),
    ] {
        let stopped = stopped("push", push(branch, files)?)?;
        assert_eq!(stopped.as_deref(), expected, "{branch} {:?}", files.first());
    }
    Ok(())
}

#[test]
fn a_push_whose_files_cannot_be_known_counts() -> anyhow::Result<()> {
    let other = push("master", &["Makefile"])?;
    let mut forced = other.clone();
    forced["forced"] = true.into();
    let mut no_commits = other.clone();
    no_commits["commits"] = json!([]);
    let mut cut = other.clone();
    cut["commits"] = vec![other["commits"][0].clone(); 2048].into();
    let mut long = other.clone();
    long["commits"] = vec![other["commits"][0].clone(); 2047].into();
    for (body, expected) in [(forced, None), (no_commits, None), (cut, None), (long, Some("paths"))] {
        assert_eq!(stopped("push", body)?.as_deref(), expected);
    }
    Ok(())
}

#[test]
fn pull_requests_count_by_action_base_and_fork() -> anyhow::Result<()> {
    let fork = json!("stranger/Hello-World");
    for (changes, expected) in [
        (&[][..], None),
        (&[("/action", json!("synchronize"))][..], None),
        (&[("/action", json!("closed"))][..], Some("action")),
        (&[("/pull_request/base/ref", json!("release/7"))][..], None),
        (&[("/pull_request/base/ref", json!("topic"))][..], Some("branches")),
        (&[("/pull_request/head/repo/full_name", fork)][..], Some("forks")),
        (&[("/pull_request/head/repo", Value::Null)][..], Some("forks")),
        (&[("/repository/full_name", json!("other/repo"))][..], Some("repository")),
        (&[("/pull_request/head/sha", json!("0000"))][..], Some("commit")),
    ] {
        assert_eq!(stopped("pull_request", pull_request(changes)?)?.as_deref(), expected, "{changes:?}");
    }
    assert_eq!(stopped("issues", payload("pull_request")?)?.as_deref(), Some("github"));
    Ok(())
}

#[test]
fn a_run_of_a_pull_request_is_of_its_head_and_waits_where_runs_queue() -> anyhow::Result<()> {
    let run = |planned: &Planned| planned.resources[0].clone();
    let param = |run: &Value, name: &str| {
        let params = run["spec"]["params"].as_array().unwrap();
        params.iter().find(|param| param["name"] == name).unwrap()["value"].clone()
    };
    let body = payload("pull_request")?;
    let of_request = run(&planned("options", "pull_request", body.clone())?);
    assert_eq!(param(&of_request, "git-revision"), body["pull_request"]["head"]["sha"]);
    assert_eq!(param(&of_request, "branch"), "changes");
    assert_eq!(param(&of_request, "event-type"), "pull_request");
    assert_eq!(param(&of_request, "git-url"), "https://github.com/Codertocat/Hello-World.git");
    assert_eq!(of_request["metadata"]["annotations"]["platform.aphex/ref"], "refs/pull/2/head");
    let body = push("it's/a-branch", &["src/a"])?;
    let of_push = run(&planned("options", "push", body.clone())?);
    assert_eq!(param(&of_push, "git-revision"), body["after"]);
    assert_eq!(param(&of_push, "branch"), "it's/a-branch");
    for run in [of_request, of_push] {
        assert_eq!(run["spec"]["status"], "PipelineRunPending");
        assert_eq!(run["metadata"]["annotations"]["platform.aphex/queued"], "true");
        assert_eq!(run["metadata"]["annotations"]["platform.aphex/triggered-at"], "2026-11-23T23:42:47Z");
    }
    Ok(())
}
