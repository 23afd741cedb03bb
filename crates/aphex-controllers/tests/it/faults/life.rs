//! A life: an organization, a binding and a developer's Pipeline are created, changed, deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aphex_api::organization::Organization;
use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use aphex_testkit::faults::{Faults, kubernetes};
use aphex_testkit::{eventually, eventually_for};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::Process;
use super::snapshot::Snapshot;
use crate::engine::{Engine, PLATFORM};

/// How long things may take to be as they should after a fault; an undisturbed stage takes a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at everything, which cost more than what is looked for.
const PAUSE: Duration = Duration::from_millis(50);

/// What an undisturbed life looks like: after creation, after the change, after deletion; and what it asked for.
#[derive(Clone, Debug)]
pub(super) struct Undisturbed {
    pub(super) stages: Vec<Snapshot>,
    pub(super) calls: usize,
    pub(super) writes: usize,
}

/// The names of one life.
pub(super) struct Life<'a> {
    engine: &'a Engine,
    id: String,
}

/// Names that no other test has.
pub(super) fn fresh() -> String {
    let letters = "bcdfghjklmnpqrstvwxz".as_bytes();
    let pick = |n: u64| char::from(letters[usize::try_from(n % 20).unwrap_or_default()]);
    let mut seed: u64 = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    let mut id = String::from("q");
    for _ in 0..7 {
        id.push(pick(seed));
        seed /= 20;
    }
    id
}

impl<'a> Life<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine, id: fresh() }
    }

    pub(super) fn faults(&self) -> Faults {
        Faults::new(kubernetes, &[(&self.id, "*")])
    }

    fn app(&self) -> String {
        format!("{}-app", self.id)
    }

    fn web(&self) -> String {
        format!("{}-web", self.id)
    }

    fn team(&self) -> String {
        format!("team-{}", self.id)
    }

    /// Lives it; nothing is known of how it should look.
    pub(super) async fn record(&self, faults: &Faults) -> anyhow::Result<Undisturbed> {
        faults.stage("started");
        let process = Process::start(&self.engine.account, faults)?;
        let mut stages = Vec::new();
        self.begin(faults).await?;
        for stage in ["created", "changed", "deleted"] {
            faults.stage(stage);
            self.act(stage).await?;
            self.settled(stage).await?;
            quiet(faults).await?;
            stages.push(self.snapshot().await?);
        }
        let (calls, writes) = faults.counts();
        process.stop().await;
        ensure!(stages[0].len() > 40 && stages[1] != stages[0] && stages[2].is_empty(), "{stages:#?}");
        Ok(Undisturbed { stages, calls, writes })
    }

    /// Lives it with whatever the faults do; it must come to look like an undisturbed one.
    pub(super) async fn repeat(&self, faults: &Faults, undisturbed: &Undisturbed) -> anyhow::Result<()> {
        faults.stage("started");
        let process = Process::start(&self.engine.account, faults)?;
        let lived = async {
            self.begin(faults).await?;
            for (stage, expected) in ["created", "changed", "deleted"].iter().zip(&undisturbed.stages) {
                faults.stage(stage);
                self.act(stage).await?;
                self.settled(stage).await?;
                self.looks_like(expected).await.with_context(|| format!("when {stage}"))?;
            }
            let (calls, writes) = faults.counts();
            let (usual, usual_writes) = (undisturbed.calls, undisturbed.writes);
            ensure!(calls <= usual * 3, "{calls} calls, and {usual} without the fault");
            ensure!(writes <= usual_writes * 2, "{writes} writes, and {usual_writes} without the fault");
            Ok(())
        };
        let lived = lived.await;
        process.stop().await;
        lived
    }

    /// Waits until the controllers watch everything that they have listed, however busy the machine is.
    async fn begin(&self, faults: &Faults) -> anyhow::Result<()> {
        eventually_for(PATIENCE, "the controllers watch", || async {
            let calls = faults.calls();
            let of = |verb| -> BTreeSet<&str> {
                calls.iter().filter(|call| call.verb == verb).map(|call| call.kind.as_str()).collect()
            };
            let (listed, watched) = (of("list"), of("watch"));
            Ok((!watched.is_empty() && listed.is_subset(&watched)).then_some(()))
        })
        .await?;
        quiet(faults).await
    }

    pub(super) async fn act(&self, stage: &str) -> anyhow::Result<()> {
        let engine = self.engine;
        let (change, deletion) = (PatchParams::default(), DeleteParams::default());
        let organizations = engine.api::<Organization>(PLATFORM);
        let bindings = engine.api::<RepoBinding>(PLATFORM);
        let pipelines = engine.api::<Pipeline>(&self.team());
        match stage {
            "created" => {
                engine.organization(&self.id).await?;
                engine.binding(&self.app(), &self.id).await?;
                let labels = json!({ "aphex.dev/org": self.id });
                let metadata = json!({ "name": self.team(), "labels": labels });
                engine
                    .apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }))
                    .await?;
                engine.pipeline(&self.team(), &self.web(), &self.id).await?;
            }
            "changed" => {
                let patch = |spec: Value| Patch::Merge(json!({ "spec": spec }));
                organizations
                    .patch(&self.id, &change, &patch(json!({ "adminUsers": ["ann@acme.com"] })))
                    .await?;
                let elevated = patch(json!({ "permissionProfile": "elevated" }));
                bindings.patch(&self.app(), &change, &elevated).await?;
                pipelines.patch(&self.web(), &change, &patch(json!({ "branch": "release" }))).await?;
            }
            _ => {
                organizations.delete(&self.id, &deletion).await?;
                bindings.delete(&self.app(), &deletion).await?;
                pipelines.delete(&self.web(), &deletion).await?;
            }
        }
        Ok(())
    }

    /// Waits until the statuses say that a stage is over.
    pub(super) async fn settled(&self, stage: &str) -> anyhow::Result<()> {
        let objects = [
            ("aphex.io", "Organization", PLATFORM.to_owned(), self.id.clone()),
            ("aphex.io", "RepoBinding", PLATFORM.to_owned(), self.app()),
            ("platform.dev", "Pipeline", self.team(), self.web()),
        ];
        for (group, kind, namespace, name) in objects {
            let api = self.engine.dynamic(group, "v1alpha1", kind, Some(&namespace));
            let last = std::sync::Mutex::new(String::new());
            let what = format!("{kind} is {stage}");
            let over = eventually_for(PATIENCE, &what, || async {
                let found = api.get_opt(&name).await?;
                let status = found.as_ref().map(|object| object.data["status"].clone()).unwrap_or_default();
                *last.lock().unwrap() = status.to_string();
                if stage == "deleted" {
                    return Ok(found.is_none().then_some(()));
                }
                let generation = found.and_then(|object| object.metadata.generation);
                let current = status["observedGeneration"].as_i64() == generation && generation.is_some();
                Ok((current && ["Active", "Ready"].iter().any(|phase| status["phase"] == *phase))
                    .then_some(()))
            });
            over.await.with_context(|| format!("its status is {}", last.lock().unwrap()))?;
        }
        if stage == "deleted" {
            // The developers' own.
            let namespaces: Api<Namespace> = Api::all(self.engine.client.clone());
            namespaces.delete(&self.team(), &DeleteParams::default()).await?;
            let gone = || async { Ok(namespaces.get_opt(&self.team()).await?.is_none().then_some(())) };
            eventually("the team's namespace is gone", gone).await?;
        }
        Ok(())
    }

    pub(super) async fn snapshot(&self) -> anyhow::Result<Snapshot> {
        Snapshot::take(self.engine, &self.id).await
    }

    /// Waits until everything looks as expected; tells what does not.
    pub(super) async fn looks_like(&self, expected: &Snapshot) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self.snapshot().await?;
            if found == *expected {
                return Ok(());
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "not as without the fault: {}",
                found.differs(expected)
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Waits until nothing has been asked for a while.
pub(super) async fn quiet(faults: &Faults) -> anyhow::Result<()> {
    let seen = std::sync::Mutex::new((faults.counts(), 0));
    eventually_for(PATIENCE * 2, "the controllers have nothing more to ask", || async {
        let mut seen = seen.lock().unwrap();
        let now = faults.counts();
        *seen = if seen.0 == now { (now, seen.1 + 1) } else { (now, 0) };
        Ok((seen.1 > 30).then_some(()))
    })
    .await
}
