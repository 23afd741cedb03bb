//! Refusals that are not what they seem, each by itself.

use aphex_runtime::Clock;
use aphex_testkit::faults::{Call, Fault, Faults, kubernetes};
use serde_json::json;

use super::Process;
use crate::engine::Engine;
use crate::runs::{bind, triggered, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_begins_although_the_engine_refused_that_as_if_the_run_had_changed() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let faults = Faults::new(kubernetes, &[]);
    faults.stage("queued");
    let process = Process::start(&engine.account, &faults, &Clock::system())?;
    bind(&engine, "refused", json!({ "concurrency": { "policy": "Queue" } })).await?;
    let release = Call {
        stage: "queued",
        verb: "patch".to_owned(),
        kind: "pipelineruns.tekton.dev".to_owned(),
        object: "refused/a".to_owned(),
        occurrence: 1,
    };
    faults.arm(release, Fault::Conflict);
    triggered(&engine, "refused", "a", "refs/heads/main", 1).await?;
    // It has not changed, so no watch tells of it.
    until(&engine, "refused", "the run begins", &[("a", None)]).await?;
    assert!(faults.struck());
    engine.take_back().await?;
    process.stop().await;
    Ok(())
}
