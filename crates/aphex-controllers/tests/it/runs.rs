//! What becomes of the runs of a binding, with somebody else's hands where Tekton's would be.

use aphex_api::foreign::tekton::PipelineRun;
use aphex_api::repo_binding::RepoBinding;
use aphex_testkit::eventually;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::engine::{Engine, PLATFORM, binding_spec};

/// An organization with one binding that has these options; the tenant's namespace has its name.
async fn bound(tenant: &str, options: Value) -> anyhow::Result<Engine> {
    let engine = Engine::start().await?;
    let organization = format!("{tenant}-org");
    engine.organization(&organization).await?;
    let mut spec = binding_spec(tenant, &organization);
    for (field, value) in options.as_object().unwrap() {
        spec[field] = value.clone();
    }
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", tenant, spec).await?;
    engine.phase(tenant, "Ready").await?;
    Ok(engine)
}

/// Makes a run as the binding's trigger does, of an event of this second.
async fn triggered(
    engine: &Engine,
    tenant: &str,
    name: &str,
    git_ref: &str,
    second: u32,
) -> anyhow::Result<()> {
    let binding = engine.api::<RepoBinding>(PLATFORM).get(tenant).await?;
    let organization = format!("org-{}", binding.spec.aphex_org.unwrap_or_default());
    let template = engine
        .dynamic("triggers.tekton.dev", "v1beta1", "TriggerTemplate", Some(&organization))
        .get(&format!("{tenant}-trigger-template"))
        .await?;
    let mut run = template.data["spec"]["resourcetemplates"][0].clone();
    run["metadata"]["name"] = name.into();
    run["metadata"].as_object_mut().unwrap().remove("generateName");
    let filled = serde_json::to_string(&run)?
        .replace("$(tt.params.pipeline-name)", tenant)
        .replace("$(tt.params.pipeline-namespace)", tenant)
        .replace("$(tt.params.git-ref)", git_ref)
        .replace("$(tt.params.triggered-at)", &format!("2026-11-23T10:00:{second:02}Z"))
        .replace("$(tt.params.event-type)", "push")
        .replace("$(tt.params.event-id)", name);
    let run: PipelineRun = serde_json::from_str(&filled)?;
    engine.api::<PipelineRun>(tenant).create(&PostParams::default(), &run).await?;
    Ok(())
}

/// Ends a run as Tekton does.
async fn ended(engine: &Engine, tenant: &str, name: &str, how: &str, second: u32) -> anyhow::Result<()> {
    let status = json!({ "status": {
        "completionTime": format!("2026-11-23T11:00:{second:02}Z"),
        "conditions": [{ "type": "Succeeded", "status": how, "reason": "Completed" }],
    } });
    let api = engine.api::<PipelineRun>(tenant);
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

/// The runs that somebody asked something of, or nothing, by name.
async fn asked(engine: &Engine, tenant: &str) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let runs = engine.api::<PipelineRun>(tenant).list(&ListParams::default()).await?;
    Ok(runs.items.iter().map(|run| (run.name_any(), run.spec.status.clone())).collect())
}

async fn until(
    engine: &Engine,
    tenant: &str,
    what: &str,
    expected: &[(&str, Option<&str>)],
) -> anyhow::Result<()> {
    let expected: Vec<(String, Option<String>)> =
        expected.iter().map(|(name, status)| ((*name).to_owned(), status.map(str::to_owned))).collect();
    let is = || async { Ok((asked(engine, tenant).await? == expected).then_some(())) };
    let found = eventually(what, is).await;
    anyhow::ensure!(found.is_ok(), "{what}: there are {:?}", asked(engine, tenant).await?);
    Ok(())
}

/// Makes the volume of a run, as Tekton does.
async fn volume(engine: &Engine, tenant: &str, run: &str) -> anyhow::Result<()> {
    let uid = engine.api::<PipelineRun>(tenant).get(run).await?.uid();
    let volume: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": {
            "name": format!("pvc-{run}"),
            "ownerReferences": [{ "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": run, "uid": uid }],
        },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    }))?;
    engine.api::<PersistentVolumeClaim>(tenant).create(&PostParams::default(), &volume).await?;
    Ok(())
}

/// Has the controllers do to runs of a ready binding what they can do.
pub(crate) async fn every_change(engine: &Engine, tenant: &str) -> anyhow::Result<()> {
    let options = |options: Value| Patch::Merge(json!({ "spec": options }));
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    let queue = options(json!({ "concurrency": { "policy": "Queue" }, "retention": { "keepSucceeded": 0 } }));
    let generation = bindings.patch(tenant, &PatchParams::default(), &queue).await?.metadata.generation;
    engine
        .until::<RepoBinding>(PLATFORM, tenant, "runs queue", |binding| {
            binding.status.as_ref().is_some_and(|status| status.observed_generation == generation)
        })
        .await?;
    triggered(engine, tenant, "only", "refs/heads/main", 1).await?;
    until(engine, tenant, "the run begins", &[("only", None)]).await?;
    volume(engine, tenant, "only").await?;
    ended(engine, tenant, "only", "True", 2).await?;
    until(engine, tenant, "the run goes", &[]).await
}

const PENDING: Option<&str> = Some("PipelineRunPending");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_queue_and_begin_oldest_first() -> anyhow::Result<()> {
    let engine = bound("queued", json!({ "concurrency": { "policy": "Queue", "max": 2 } })).await?;
    // The last to arrive is of the oldest event, but comes when there is no room.
    for (name, second) in [("b", 2), ("c", 3), ("d", 4), ("a", 1)] {
        triggered(&engine, "queued", name, "refs/heads/main", second).await?;
        if name == "c" {
            let two = [("b", None), ("c", None)];
            until(&engine, "queued", "the first two begin", &two).await?;
        }
    }
    ended(&engine, "queued", "b", "True", 1).await?;
    let next = [("a", None), ("b", None), ("c", None), ("d", PENDING)];
    until(&engine, "queued", "the oldest takes the place of one that ended", &next).await?;
    // Without the queue nothing waits any longer.
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    let allow = Patch::Merge(json!({ "spec": { "concurrency": null } }));
    bindings.patch("queued", &PatchParams::default(), &allow).await?;
    let all = [("a", None), ("b", None), ("c", None), ("d", None)];
    until(&engine, "queued", "everything begins", &all).await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_run_of_a_branch_cancels_the_older() -> anyhow::Result<()> {
    let engine = bound("newest", json!({ "concurrency": { "policy": "CancelSuperseded" } })).await?;
    for (name, git_ref, second) in [
        ("first", "refs/heads/main", 1),
        ("other", "refs/heads/topic", 2),
        ("request", "refs/pull/7/head", 3),
        ("second", "refs/heads/main", 4),
    ] {
        triggered(&engine, "newest", name, git_ref, second).await?;
    }
    let stop = Some("CancelledRunFinally");
    let one = [("first", stop), ("other", None), ("request", None), ("second", None)];
    until(&engine, "newest", "the older run is told to stop", &one).await?;
    let first = engine.api::<PipelineRun>("newest").get("first").await?;
    assert_eq!(first.annotations()["platform.aphex/superseded-by"], "second");
    // By it the gateway knows that the order of events matters.
    let template = engine
        .dynamic("triggers.tekton.dev", "v1beta1", "TriggerTemplate", Some("org-newest-org"))
        .get("newest-trigger-template")
        .await?;
    assert_eq!(template.annotations()["platform.aphex/concurrency"], "CancelSuperseded");
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_newest_ended_runs_stay() -> anyhow::Result<()> {
    let engine = bound("kept", json!({ "retention": { "keepSucceeded": 2, "keepFailed": 1 } })).await?;
    triggered(&engine, "kept", "running", "refs/heads/main", 0).await?;
    volume(&engine, "kept", "running").await?;
    // Not of the trigger: somebody made it by hand.
    let own: PipelineRun = serde_json::from_value(json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": { "name": "own", "namespace": "kept" }, "spec": {},
    }))?;
    engine.api::<PipelineRun>("kept").create(&PostParams::default(), &own).await?;
    ended(&engine, "kept", "own", "True", 0).await?;
    for (name, how, second) in
        [("f1", "False", 1), ("f2", "False", 2), ("s1", "True", 3), ("s2", "True", 9), ("s3", "True", 5)]
    {
        triggered(&engine, "kept", name, "refs/heads/main", second).await?;
        volume(&engine, "kept", name).await?;
        ended(&engine, "kept", name, how, second).await?;
    }
    let kept = [("f2", None), ("own", None), ("running", None), ("s2", None), ("s3", None)];
    until(&engine, "kept", "older ended runs go", &kept).await?;
    let volumes = engine.api::<PersistentVolumeClaim>("kept");
    eventually("the volume of the run that has not ended stays, and no other", || async {
        let staying = volumes.list(&ListParams::default()).await?.items.into_iter();
        let staying = staying.filter(|volume| volume.metadata.deletion_timestamp.is_none());
        let names: Vec<String> = staying.map(|volume| volume.name_any()).collect();
        Ok((names == ["pvc-running"]).then_some(()))
    })
    .await?;
    engine.finish().await
}
