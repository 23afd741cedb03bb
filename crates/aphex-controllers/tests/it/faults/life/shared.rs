//! An organization, a binding and a developer's Pipeline are created, changed, deleted.

use aphex_api::organization::Organization;
use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use aphex_testkit::eventually;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Life, is_well};
use crate::engine::PLATFORM;

pub(super) const STAGES: [&str; 3] = ["created", "changed", "deleted"];

impl Life<'_> {
    fn app(&self) -> String {
        format!("{}-app", self.id)
    }

    fn web(&self) -> String {
        format!("{}-web", self.id)
    }

    fn team(&self) -> String {
        format!("team-{}", self.id)
    }

    pub(super) async fn act_shared(&self, stage: &str) -> anyhow::Result<()> {
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

    pub(super) async fn settled_shared(&self, stage: &str) -> anyhow::Result<()> {
        let (id, app, web, team) = (self.id.clone(), self.app(), self.web(), self.team());
        let deleted = stage == "deleted";
        for (kind, place) in [
            (("aphex.io", "Organization"), (PLATFORM, id.as_str())),
            (("aphex.io", "RepoBinding"), (PLATFORM, app.as_str())),
            (("platform.dev", "Pipeline"), (team.as_str(), web.as_str())),
        ] {
            self.until(kind, place, stage, |object| if deleted { object.is_none() } else { is_well(object) })
                .await?;
        }
        if deleted {
            // The developers' own.
            let namespaces: Api<Namespace> = Api::all(self.engine.client.clone());
            namespaces.delete(&team, &DeleteParams::default()).await?;
            let gone = || async { Ok(namespaces.get_opt(&team).await?.is_none().then_some(())) };
            eventually("the team's namespace is gone", gone).await?;
        }
        Ok(())
    }
}
