//! What becomes of the runs of a binding, with somebody else's hands where Tekton's would be.

use aphex_api::delivery::{Delivery, RunConcurrency};
use aphex_api::foreign::tekton::PipelineRun;
use aphex_api::repo_binding::RepoBinding;
use aphex_controllers::repo_binding::STANDALONE_PIPELINE;
use aphex_testkit::eventually;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::engine::{Engine, PLATFORM, binding_spec};

/// An organization with one binding that has these options; the tenant's namespace has its name.
async fn bound(tenant: &str, options: Value) -> anyhow::Result<Engine> {
    let engine = Engine::start().await?;
    bind(&engine, tenant, options).await?;
    Ok(engine)
}

/// The same on an engine where controllers run.
pub(crate) async fn bind(engine: &Engine, tenant: &str, options: Value) -> anyhow::Result<()> {
    let organization = format!("{tenant}-org");
    engine.organization(&organization).await?;
    let mut spec = binding_spec(tenant, &organization);
    for (field, value) in options.as_object().unwrap() {
        spec[field] = value.clone();
    }
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", tenant, spec).await?;
    engine.phase(tenant, "Ready").await?;
    Ok(())
}

/// A run as the binding's trigger makes it, of an event of this second.
pub(crate) async fn run(
    engine: &Engine,
    tenant: &str,
    name: &str,
    git_ref: &str,
    second: u32,
) -> anyhow::Result<Value> {
    let binding = engine.api::<RepoBinding>(PLATFORM).get(tenant).await?;
    let (namespace, pipeline) = match binding.spec.aphex_org {
        Some(organization) => (format!("org-{organization}"), tenant),
        None => (tenant.to_owned(), STANDALONE_PIPELINE),
    };
    let template = engine
        .dynamic("triggers.tekton.dev", "v1beta1", "TriggerTemplate", Some(&namespace))
        .get(&format!("{pipeline}-trigger-template"))
        .await?;
    let mut run = template.data["spec"]["resourcetemplates"][0].clone();
    run["metadata"]["name"] = name.into();
    run["metadata"].as_object_mut().unwrap().remove("generateName");
    let filled = serde_json::to_string(&run)?
        .replace("$(tt.params.pipeline-name)", pipeline)
        .replace("$(tt.params.pipeline-namespace)", tenant)
        .replace("$(tt.params.git-ref)", git_ref)
        .replace("$(tt.params.triggered-at)", &format!("2026-11-23T10:00:{second:02}Z"))
        .replace("$(tt.params.event-type)", "push")
        .replace("$(tt.params.event-id)", name);
    Ok(serde_json::from_str(&filled)?)
}

/// Makes a run.
pub(crate) async fn create(engine: &Engine, tenant: &str, run: Value) -> anyhow::Result<()> {
    let run: PipelineRun = serde_json::from_value(run)?;
    engine.api::<PipelineRun>(tenant).create(&PostParams::default(), &run).await?;
    Ok(())
}

/// Makes a run as the binding's trigger does, of an event of this second.
pub(crate) async fn triggered(
    engine: &Engine,
    tenant: &str,
    name: &str,
    git_ref: &str,
    second: u32,
) -> anyhow::Result<()> {
    create(engine, tenant, run(engine, tenant, name, git_ref, second).await?).await
}

/// Ends a run as Tekton does.
pub(crate) async fn ended(
    engine: &Engine,
    tenant: &str,
    name: &str,
    how: &str,
    second: u32,
) -> anyhow::Result<()> {
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

pub(crate) async fn until(
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
pub(crate) async fn volume(engine: &Engine, tenant: &str, run: &str) -> anyhow::Result<()> {
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

/// Stores the Delivery of a run, as the gateway does when it has made the run.
pub(crate) async fn delivered(engine: &Engine, tenant: &str, run: &str) -> anyhow::Result<()> {
    let made = engine.api::<PipelineRun>(tenant).get(run).await?;
    let concurrency = RunConcurrency::of(made.annotations(), made.spec.status.as_deref());
    stored(engine, tenant, run, created(tenant, &made, concurrency)).await
}

/// What the gateway writes about a run that was held back when it made it.
pub(crate) async fn waiting(engine: &Engine, tenant: &str, run: &str) -> anyhow::Result<Value> {
    let made = engine.api::<PipelineRun>(tenant).get(run).await?;
    Ok(created(tenant, &made, Some(RunConcurrency::WAITING)))
}

fn created(tenant: &str, run: &PipelineRun, concurrency: Option<RunConcurrency>) -> Value {
    let mut created = json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "namespace": tenant, "name": run.name_any(), "uid": run.uid(),
    });
    if let Some(concurrency) = concurrency {
        created["concurrency"] = json!(concurrency);
    }
    json!([created])
}

/// Stores a Delivery that has its verdict.
pub(crate) async fn stored(
    engine: &Engine,
    namespace: &str,
    name: &str,
    created: Value,
) -> anyhow::Result<()> {
    let delivery: Delivery = serde_json::from_value(json!({
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "listener": "github-listener", "deliveryID": name, "payload": "", "verifiedBy": [], "receivedTime": "2026-11-23T10:00:00.000000Z" },
        "status": {
            "phase": "Done", "verdict": "Created", "created": created, "observedGeneration": 1,
            "triggers": [{ "name": "t", "namespace": namespace, "verdict": "Created", "created": created }],
        },
    }))?;
    engine.api::<Delivery>(namespace).create(&PostParams::default(), &delivery).await?;
    Ok(())
}

/// Waits until a Delivery says this about its run, wherever it names it.
pub(crate) async fn says(
    engine: &Engine,
    namespace: &str,
    name: &str,
    expected: &RunConcurrency,
) -> anyhow::Result<Delivery> {
    engine
        .until::<Delivery>(namespace, name, &format!("it says {expected:?}"), |delivery| {
            let Some(status) = &delivery.status else { return false };
            let of_triggers = status.triggers.iter().flat_map(|trigger| &trigger.created);
            status.created.iter().chain(of_triggers).all(|run| run.concurrency.as_ref() == Some(expected))
        })
        .await
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
    // The same event came for another listener, and has the name that is looked for first.
    stored(engine, tenant, "only", json!([])).await?;
    triggered(engine, tenant, "only", "refs/heads/main", 1).await?;
    until(engine, tenant, "the run begins", &[("only", None)]).await?;
    // It came after the run was let go, as it may: what it says is put right.
    stored(engine, tenant, "only-0123456789", waiting(engine, tenant, "only").await?).await?;
    says(engine, tenant, "only-0123456789", &RunConcurrency::RELEASED).await?;
    volume(engine, tenant, "only").await?;
    ended(engine, tenant, "only", "True", 2).await?;
    until(engine, tenant, "the run goes", &[]).await
}

/// Held back.
pub(crate) const PENDING: Option<&str> = Some("PipelineRunPending");

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
async fn a_delivery_says_that_its_run_waits_and_when_it_is_let_go_or_withdrawn() -> anyhow::Result<()> {
    let engine = bound("turns", json!({ "concurrency": { "policy": "Queue" } })).await?;
    let (tenant, released) = ("turns", RunConcurrency::RELEASED);
    triggered(&engine, tenant, "a", "refs/heads/main", 1).await?;
    until(&engine, tenant, "the first begins", &[("a", None)]).await?;
    triggered(&engine, tenant, "b", "refs/heads/main", 2).await?;
    delivered(&engine, tenant, "b").await?;
    let waits = says(&engine, tenant, "b", &RunConcurrency::WAITING).await?;
    ended(&engine, tenant, "a", "True", 1).await?;
    until(&engine, tenant, "the second begins", &[("a", None), ("b", None)]).await?;
    let told = says(&engine, tenant, "b", &released).await?;
    // The verdict is about the object as it is now, and nothing else of it has changed.
    let (before, after) = (waits.status.unwrap_or_default(), told.status.unwrap_or_default());
    assert_eq!(Some(after.observed_generation), told.metadata.generation);
    assert_eq!((after.phase, after.verdict), (before.phase, before.verdict));
    assert_eq!(told.spec, waits.spec);
    // Beside the listener, too; and one that comes only when its run has been let go is told afterwards.
    ended(&engine, tenant, "b", "True", 2).await?;
    triggered(&engine, tenant, "c", "refs/heads/main", 3).await?;
    let all = [("a", None), ("b", None), ("c", None)];
    until(&engine, tenant, "the third begins at once", &all).await?;
    stored(&engine, "org-turns-org", "c", waiting(&engine, tenant, "c").await?).await?;
    let late = says(&engine, "org-turns-org", "c", &released).await?;
    assert_eq!(late.metadata.generation, Some(2), "written once");
    // Somebody changes his mind about one that waits.
    triggered(&engine, tenant, "d", "refs/heads/main", 4).await?;
    delivered(&engine, tenant, "d").await?;
    says(&engine, tenant, "d", &RunConcurrency::WAITING).await?;
    let cancel = Patch::Merge(json!({ "spec": { "status": "Cancelled" } }));
    engine.api::<PipelineRun>(tenant).patch("d", &PatchParams::default(), &cancel).await?;
    says(&engine, tenant, "d", &RunConcurrency::WITHDRAWN).await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_says_which_run_superseded_its_own() -> anyhow::Result<()> {
    let engine = bound("overtaken", json!({ "concurrency": { "policy": "CancelSuperseded" } })).await?;
    let tenant = "overtaken";
    triggered(&engine, tenant, "first", "refs/heads/main", 1).await?;
    delivered(&engine, tenant, "first").await?;
    triggered(&engine, tenant, "second", "refs/heads/main", 2).await?;
    delivered(&engine, tenant, "second").await?;
    let stop = [("first", Some("CancelledRunFinally")), ("second", None)];
    until(&engine, tenant, "the older run is told to stop", &stop).await?;
    let told = says(&engine, tenant, "first", &RunConcurrency::superseded("second")).await?;
    assert_eq!(told.metadata.generation, Some(2), "written once");
    let second = engine.api::<Delivery>(tenant).get("second").await?;
    assert_eq!(
        second.status.unwrap_or_default().created[0].concurrency,
        None,
        "nothing was decided about it"
    );
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
