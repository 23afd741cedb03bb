//! A tenant that stands alone behind an Ingress, and a knowledge base: made; runs come and go; both are changed, and the
//! webhook secret is rotated; the secret before it ends; everything is deleted.

use std::time::Duration;

use aphex_api::delivery::RunConcurrency;
use aphex_api::knowledge_base::KnowledgeBase;
use aphex_api::labels;
use aphex_api::repo_binding::RepoBinding;
use aphex_testkit::eventually_for;
use aphex_testkit::git::{GitServer, READER};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Life, PATIENCE, is_well};
use crate::engine::{PLATFORM, standalone_spec};
use crate::runs::{PENDING, create, delivered, ended, run, says, stored, triggered, until, volume, waiting};

pub(super) const STAGES: [&str; 5] = ["settled in", "ran", "altered", "expired", "moved out"];

const BINDING: (&str, &str) = ("aphex.io", "RepoBinding");
const BASE: (&str, &str) = ("aphex.io", "KnowledgeBase");
const MAIN: &str = "refs/heads/main";
/// More than a rotated secret's predecessor has.
const LATER: Duration = Duration::from_hours(25);

/// A git server with what the knowledge base tracks.
pub(in super::super) async fn repositories() -> anyhow::Result<GitServer> {
    let server = GitServer::start().await?;
    server.repository("private/docs.git").await?;
    server.commit("private/docs.git", "next").await?;
    Ok(server)
}

impl Life<'_> {
    /// The binding, its tenant and the tenant's namespace.
    fn tenant(&self) -> &str {
        &self.id
    }

    fn base(&self) -> String {
        format!("{}-docs", self.id)
    }

    fn reader(&self) -> String {
        format!("{}-reader", self.id)
    }

    /// What the knowledge base tracks.
    fn tracked(&self, server: &GitServer, branch: &str) -> Value {
        let url = server.url("private/docs.git");
        json!([{ "url": url, "branch": branch, "secretRef": { "name": self.reader() } }])
    }

    pub(super) async fn act_alone(&self, stage: &str, server: &GitServer) -> anyhow::Result<()> {
        match stage {
            "settled in" => self.settle_in(server).await,
            "ran" => self.have_runs().await,
            "altered" => self.alter(server).await,
            "expired" => {
                self.hand.advance(LATER);
                // Nobody's clock rings earlier for that.
                self.change(json!({ "metadata": { "annotations": { "test/poke": "1" } } })).await
            }
            _ => {
                let (engine, deletion) = (self.engine, DeleteParams::default());
                engine.api::<RepoBinding>(PLATFORM).delete(self.tenant(), &deletion).await?;
                engine.api::<KnowledgeBase>(PLATFORM).delete(&self.base(), &deletion).await?;
                engine.api::<Secret>(PLATFORM).delete(&self.reader(), &deletion).await?;
                Ok(())
            }
        }
    }

    pub(super) async fn settled_alone(&self, stage: &str) -> anyhow::Result<()> {
        let base = self.base();
        for (kind, name) in [(BINDING, self.tenant()), (BASE, base.as_str())] {
            let over = |object: Option<&DynamicObject>| match stage {
                "moved out" => object.is_none(),
                "expired" if kind == BINDING => {
                    is_well(object) && object.is_some_and(|o| rotation(o)["previousUntil"].is_null())
                }
                _ => is_well(object),
            };
            self.until(kind, (PLATFORM, name), stage, over).await?;
        }
        Ok(())
    }

    async fn settle_in(&self, server: &GitServer) -> anyhow::Result<()> {
        let credentials: Secret = serde_json::from_value(json!({
            "metadata": { "name": self.reader() }, "type": "kubernetes.io/basic-auth",
            "stringData": { "username": READER.0, "password": READER.1 },
        }))?;
        let engine = self.engine;
        engine.api::<Secret>(PLATFORM).create(&PostParams::default(), &credentials).await?;
        let mut spec = standalone_spec(self.tenant(), Some("hooks.example.com"));
        spec["concurrency"] = json!({ "policy": "Queue" });
        spec["retention"] = json!({ "keepSucceeded": 1 });
        engine.create::<RepoBinding>(PLATFORM, "RepoBinding", self.tenant(), spec).await?;
        let spec = json!({ "displayName": "Docs", "repositories": self.tracked(server, "main") });
        engine.create::<KnowledgeBase>(PLATFORM, "KnowledgeBase", &self.base(), spec).await?;
        Ok(())
    }

    /// Three runs, one after the other, of which one goes for good.
    ///
    /// A decision is made when a Delivery can say so: else it would be looked for until it can, and no two recordings would
    /// be alike.
    async fn have_runs(&self) -> anyhow::Result<()> {
        let (engine, tenant) = (self.engine, self.tenant());
        // No Delivery tells of a run that repeats another.
        let mut again = run(engine, tenant, "a", MAIN, 1).await?;
        again["metadata"]["annotations"][labels::RERUN_OF] = "z".into();
        create(engine, tenant, again).await?;
        until(engine, tenant, "the first begins", &[("a", None)]).await?;
        volume(engine, tenant, "a").await?;
        triggered(engine, tenant, "b", MAIN, 2).await?;
        triggered(engine, tenant, "c", MAIN, 3).await?;
        delivered(engine, tenant, "b").await?;
        // The same event came for another listener, and has the name that is looked for first.
        stored(engine, tenant, "c", json!([])).await?;
        stored(engine, tenant, "c-0123456789", waiting(engine, tenant, "c").await?).await?;
        ended(engine, tenant, "a", "True", 1).await?;
        let second = [("a", None), ("b", None), ("c", PENDING)];
        until(engine, tenant, "the second begins", &second).await?;
        says(engine, tenant, "b", &RunConcurrency::RELEASED).await?;
        self.volumes_freed().await?;
        ended(engine, tenant, "b", "True", 2).await?;
        let third = [("b", None), ("c", None)];
        until(engine, tenant, "the third begins and the first goes", &third).await?;
        says(engine, tenant, "c-0123456789", &RunConcurrency::RELEASED).await?;
        Ok(())
    }

    async fn volumes_freed(&self) -> anyhow::Result<()> {
        let volumes = self.engine.api::<PersistentVolumeClaim>(self.tenant());
        eventually_for(PATIENCE, "the volume of the run that has ended is freed", || async {
            let all = volumes.list(&ListParams::default()).await?.items;
            Ok(all.iter().all(|volume| volume.metadata.deletion_timestamp.is_some()).then_some(()))
        })
        .await
    }

    /// The way in goes, newer runs supersede older ones, there is another webhook secret; and another branch is tracked.
    async fn alter(&self, server: &GitServer) -> anyhow::Result<()> {
        let (engine, tenant) = (self.engine, self.tenant());
        self.change(json!({
            "metadata": { "annotations": { labels::ROTATE_WEBHOOK_SECRET: "one" } },
            "spec": { "ingressHost": null, "concurrency": { "policy": "CancelSuperseded" } },
        }))
        .await?;
        let spec = json!({ "spec": { "repositories": self.tracked(server, "next") } });
        let bases = engine.api::<KnowledgeBase>(PLATFORM);
        bases.patch(&self.base(), &PatchParams::default(), &Patch::Merge(spec)).await?;
        self.until(BINDING, (PLATFORM, tenant), "altered and its secret rotated", |object| {
            is_well(object) && object.is_some_and(|o| rotation(o)["previousUntil"].is_string())
        })
        .await?;
        triggered(engine, tenant, "d", MAIN, 4).await?;
        let newer = [("b", None), ("c", Some("CancelledRunFinally")), ("d", None)];
        until(engine, tenant, "the older run is told to stop", &newer).await?;
        says(engine, tenant, "c-0123456789", &RunConcurrency::superseded("d")).await?;
        Ok(())
    }

    async fn change(&self, patch: Value) -> anyhow::Result<()> {
        let bindings = self.engine.api::<RepoBinding>(PLATFORM);
        bindings.patch(self.tenant(), &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }
}

/// What a binding's status tells of the rotation of its webhook secret.
fn rotation(binding: &DynamicObject) -> &Value {
    &binding.data["status"]["webhookSecretRotation"]
}
