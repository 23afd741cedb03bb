use aphex_api::foreign::tekton::PipelineRun;
use aphex_runtime::Metrics;
use serde_json::{Value, json};

use super::*;

fn run(name: &str, version: &str, more: &Value) -> PipelineRun {
    let mut object = json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {
            "name": name, "namespace": "app", "uid": format!("uid-{name}"), "resourceVersion": version,
            "creationTimestamp": "2026-11-23T10:00:00Z",
            "labels": { "platform.aphex/triggered": "true", "platform.aphex/pipeline": "app", "platform.aphex/event-id": "event" },
            "annotations": { "platform.aphex/queued": "true", "platform.aphex/triggered-at": "" },
        },
        "spec": { "status": "PipelineRunPending" },
    });
    for (pointer, value) in more.as_object().unwrap() {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field.replace("~1", "/")] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn binding(name: &str, has_namespace: bool) -> RepoBinding {
    serde_json::from_value(json!({
        "apiVersion": "aphex.io/v1alpha1",
        "kind": "RepoBinding",
        "metadata": { "name": name },
        "spec": {
            "aphexOrg": "acme", "pipelineName": "app", "repoOrg": "o", "repoName": "r",
            "concurrency": { "policy": "Queue" },
        },
        "status": { "namespaceCreated": has_namespace },
    }))
    .unwrap()
}

/// An index that knows a binding and these runs.
fn index(runs: &[PipelineRun]) -> Index {
    let mut index = Index::default();
    index.begin_bindings();
    index.put_binding(&binding("app-binding", true));
    index.put_binding(&binding("rival", false));
    index.end_bindings();
    index.begin_runs();
    for run in runs {
        index.put_run(run, Arrival::Listed);
    }
    index.end_runs();
    index
}

fn planned(index: &mut Index) -> Vec<Action> {
    let metrics = ControllerMetrics::register(&Metrics::default());
    index.plan("app", &metrics).map(|planned| planned.actions).unwrap_or_default()
}

#[test]
fn nothing_is_done_before_everything_is_known() {
    let mut index = Index::default();
    index.begin_runs();
    index.put_run(&run("a", "1", &json!({})), Arrival::Listed);
    index.end_runs();
    assert!(index.take_changed().is_empty());
    index.put_binding(&binding("app-binding", true));
    index.end_bindings();
    assert_eq!(index.take_changed().into_iter().collect::<Vec<_>>(), ["app"]);
    assert!(index.take_changed().is_empty());
}

#[test]
fn what_was_asked_of_a_run_counts_before_the_watch_tells_it() {
    let mut index = index(&[run("a", "1", &json!({})), run("b", "1", &json!({}))]);
    let first = planned(&mut index);
    assert!(matches!(&first[..], [Action::Release(run)] if run.name == "a"), "{first:?}");
    index.asked("app", &first[0]);
    // An older state of it arrives late, and changes nothing.
    index.put_run(&run("a", "2", &json!({})), Arrival::Watched);
    assert!(planned(&mut index).is_empty());
    index.put_run(&run("a", "3", &json!({ "/spec/status": null })), Arrival::Watched);
    assert!(planned(&mut index).is_empty());
    let ended = json!({
        "/spec/status": null, "/status": { "conditions": [{ "type": "Succeeded", "status": "True" }] },
    });
    index.put_run(&run("a", "4", &ended), Arrival::Watched);
    let next = planned(&mut index);
    assert!(matches!(&next[..], [Action::Release(run)] if run.name == "b"), "{next:?}");
}

#[test]
fn only_runs_of_the_tenants_own_pipeline_are_anybodys() {
    let others = json!({ "/metadata/labels/platform.aphex~1pipeline": "other" });
    let going = json!({ "/metadata/deletionTimestamp": "2026-11-23T10:00:00Z" });
    let held = json!({ "/metadata/annotations/platform.aphex~1queued": "false" });
    let objects = [&others, &going, &held].map(|more| run("a", "1", more));
    for object in objects {
        assert!(planned(&mut index(&[object])).is_empty());
    }
}

#[test]
fn what_a_new_list_lacks_is_gone() {
    let active = run("a", "1", &json!({ "/spec/status": null }));
    let mut index = index(&[active, run("b", "1", &json!({}))]);
    assert!(planned(&mut index).is_empty());
    index.take_changed();
    index.begin_runs();
    index.put_run(&run("b", "1", &json!({})), Arrival::Listed);
    index.end_runs();
    assert!(index.take_changed().contains("app"));
    assert_eq!(planned(&mut index).len(), 1);
    index.begin_bindings();
    index.end_bindings();
    assert!(planned(&mut index).is_empty());
}

#[test]
fn a_run_that_comes_later_within_a_second_is_newer() {
    let mut index = index(&[]);
    for name in ["z", "a"] {
        index.put_run(&run(name, "1", &json!({})), Arrival::Watched);
    }
    index.put_run(&run("z", "2", &json!({})), Arrival::Watched);
    let first = planned(&mut index);
    assert!(matches!(&first[..], [Action::Release(run)] if run.name == "z"), "{first:?}");
}

#[test]
fn what_was_decided_about_young_runs_is_looked_at_after_each_list() {
    let (begun, repeated) = (json!({ "/spec/status": null }), "platform.aphex/rerun-of");
    let mut again = run("again", "1", &begun);
    again.metadata.annotations.as_mut().unwrap().insert(repeated.into(), "begun".into());
    let all = [run("begun", "1", &begun), run("waits", "1", &json!({})), again];
    let mut index = index(&all);
    let names = |decided: Vec<Decided>| decided.into_iter().map(|one| one.run.name).collect::<Vec<_>>();
    let since = |time: &str| time.parse::<Timestamp>().unwrap();
    assert_eq!(names(index.take_decided(since("2026-11-23T09:55:00Z"))), ["begun"]);
    assert!(index.take_decided(since("2026-11-23T09:55:00Z")).is_empty(), "once");
    index.begin_runs();
    for run in &all {
        index.put_run(run, Arrival::Listed);
    }
    index.end_runs();
    assert!(index.take_decided(since("2026-11-23T10:05:00Z")).is_empty(), "they are old");
    assert_eq!(index.listener("app"), Some("org-acme".to_owned()));
}

#[test]
fn a_run_that_somebody_ends_while_it_waits_was_withdrawn() {
    let waits = |name: &str| run(name, "1", &json!({}));
    let mut index = index(&["cancelled", "deleted", "missed", "released", "stopped", "newer"].map(waits));
    index.take_decided(Timestamp::MAX);
    let cancelled = json!({ "/spec/status": "Cancelled" });
    index.put_run(&run("cancelled", "2", &cancelled), Arrival::Watched);
    index.put_run(&run("cancelled", "3", &cancelled), Arrival::Watched);
    index.remove_run("app", "deleted");
    index.put_run(&run("released", "2", &json!({ "/spec/status": null })), Arrival::Watched);
    index.remove_run("app", "released");
    let newer = json!({ "/spec/status": "Cancelled", "/metadata/annotations/platform.aphex~1superseded-by": "newer" });
    index.put_run(&run("stopped", "2", &newer), Arrival::Watched);
    index.begin_runs();
    index.put_run(&waits("newer"), Arrival::Listed);
    index.end_runs();
    let withdrawn: Vec<_> =
        index.take_decided(Timestamp::MAX).into_iter().map(|one| (one.run.name, one.concurrency)).collect();
    let expected =
        ["cancelled", "deleted", "missed"].map(|name| (name.to_owned(), RunConcurrency::WITHDRAWN));
    assert_eq!(withdrawn, expected);
    assert!(index.take_decided(Timestamp::MAX).is_empty(), "once");
}
