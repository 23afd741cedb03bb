//! Candidates for one Lease, with durations short enough to wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aphex_runtime::lease::{Elector, Leadership, Lost, NotLeading, Settings};
use aphex_runtime::{Clock, Metrics, Shutdown, errors};
use aphex_testkit::{Cluster, eventually};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

const NAMESPACE: &str = "default";

/// Durations a fifteenth of the usual ones.
fn settings(lease: &str, identity: &str) -> Settings {
    Settings {
        duration: Duration::from_secs(1),
        renew_deadline: Duration::from_millis(700),
        retry: Duration::from_millis(100),
        ..Settings::new(NAMESPACE, lease, identity)
    }
}

async fn leader(client: Client, lease: &str, identity: &str) -> anyhow::Result<Leadership> {
    leader_with(client, settings(lease, identity)).await
}

async fn leader_with(client: Client, settings: Settings) -> anyhow::Result<Leadership> {
    let identity = settings.identity.clone();
    let elector = Elector::new(client, settings, Clock::system(), &Metrics::default());
    let led = elector.acquire(&Shutdown::new()).await;
    led.ok_or_else(|| anyhow::anyhow!("{identity} was stopped"))
}

/// An engine on which a Lease of this name does not exist.
async fn engine(lease: &str) -> anyhow::Result<(Cluster, Client, Api<Lease>)> {
    let cluster = Cluster::start().await?;
    let client = cluster.client();
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    match leases.delete(lease, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        result => drop(result?),
    }
    Ok((cluster, client, leases))
}

async fn holder(leases: &Api<Lease>, name: &str) -> anyhow::Result<Option<String>> {
    Ok(leases.get(name).await?.spec.and_then(|spec| spec.holder_identity))
}

#[tokio::test]
async fn a_lead_given_up_is_taken_without_waiting_for_the_lease_to_run_out() -> anyhow::Result<()> {
    let (_cluster, client, leases) = engine("given-up").await?;
    let settings = Settings { duration: Duration::from_hours(1), ..settings("given-up", "one") };
    let one = leader_with(client.clone(), settings).await?;
    let two = tokio::spawn(leader(client, "given-up", "two"));
    assert_eq!(holder(&leases, "given-up").await?.as_deref(), Some("one"));
    one.release().await;
    let two = two.await??;
    let record = leases.get("given-up").await?.spec.unwrap_or_default();
    assert_eq!((record.holder_identity.as_deref(), record.lease_transitions), (Some("two"), Some(1)));
    drop(two);
    Ok(())
}

#[tokio::test]
async fn only_a_silent_leader_is_replaced() -> anyhow::Result<()> {
    let (_cluster, client, leases) = engine("silent").await?;
    // Long enough for a busy machine to renew in time.
    let patient = |identity| Settings {
        duration: Duration::from_secs(3),
        renew_deadline: Duration::from_millis(2800),
        ..settings("silent", identity)
    };
    let mut one = leader_with(client.clone(), patient("one")).await?;
    let two = tokio::spawn(leader_with(client, patient("two")));
    // More than a lease duration of renewing, during which the other must not come in.
    let lost = tokio::time::timeout(Duration::from_secs(5), one.renew()).await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(holder(&leases, "silent").await?.as_deref(), Some("one"));
    let two = two.await??;
    assert_eq!(holder(&leases, "silent").await?.as_deref(), Some("two"));
    drop((one, two));
    Ok(())
}

#[tokio::test]
async fn a_leader_that_was_paused_past_its_term_writes_nothing_and_steps_down() -> anyhow::Result<()> {
    let (_cluster, client, _) = engine("paused").await?;
    let mut one = leader(client.clone(), "paused", "one").await?;
    let maps: Api<ConfigMap> = Api::namespaced(one.guard(client), NAMESPACE);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let map: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "written" } }))?;
    maps.create(&dry, &map).await?;
    // A pause is what happens to a process that does not run its renewing.
    let refused =
        eventually("a write is refused", || async { Ok(maps.create(&dry, &map).await.err()) }).await?;
    assert!(errors::chain(&refused).contains(&NotLeading.to_string()), "{refused}");
    maps.list(&kube::api::ListParams::default()).await?;
    assert!(matches!(one.renew().await, Lost::Deadline { .. }));
    Ok(())
}

#[tokio::test]
async fn a_leader_whose_lease_another_has_taken_steps_down() -> anyhow::Result<()> {
    let (_cluster, client, leases) = engine("taken").await?;
    let long = Duration::from_mins(10);
    let settings = Settings { duration: long, renew_deadline: long, ..settings("taken", "one") };
    let mut one = leader_with(client, settings).await?;
    let taken = json!({ "spec": { "holderIdentity": "two", "leaseDurationSeconds": 60 } });
    leases.patch("taken", &PatchParams::default(), &Patch::Merge(&taken)).await?;
    let lost = one.renew().await;
    assert_eq!(lost, Lost::Taken { lease: "default/taken".into(), holder: "two".into() });
    one.release().await;
    assert_eq!(holder(&leases, "taken").await?.as_deref(), Some("two"), "what is not held is not released");
    Ok(())
}

#[tokio::test]
async fn a_leader_that_cannot_reach_the_engine_steps_down_before_its_lease_runs_out() -> anyhow::Result<()> {
    let (_cluster, client, _) = engine("cut-off").await?;
    let cut = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&cut);
    let through = move |request: http::Request<kube::client::Body>| {
        let (client, cut) = (client.clone(), Arc::clone(&switch));
        async move {
            if cut.load(Ordering::Acquire) {
                std::future::pending::<()>().await;
            }
            client.send(request).await
        }
    };
    let settings = Settings { duration: Duration::from_mins(1), ..settings("cut-off", "one") };
    let mut one = leader_with(Client::new(tower::service_fn(through), NAMESPACE), settings).await?;
    cut.store(true, Ordering::Release);
    let began = Instant::now();
    assert!(matches!(one.renew().await, Lost::Deadline { .. }));
    assert!(began.elapsed() < Duration::from_mins(1), "stepped down after {:?}", began.elapsed());
    Ok(())
}
