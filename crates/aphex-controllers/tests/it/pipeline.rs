//! Pipelines: what a developer asks for from a namespace of their own, and what becomes of it.

use std::collections::BTreeSet;

use aphex_api::conditions;
use aphex_api::pipeline::{Pipeline, PipelineSpec, PipelineStatus};
use aphex_api::repo_binding::{BindingEvent, BindingOptions, RepoBinding, RepoBindingPhase};
use aphex_testkit::eventually;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::engine::{Engine, GATEWAY, PLATFORM, binding_spec};

fn pipeline(namespace: &str, name: &str, organization: &str) -> Pipeline {
    let object = json!({
        "apiVersion": "platform.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "organization": organization,
            "repository": { "org": "Acme-GitHub", "name": format!("{name}.repo") },
            "pipeline": { "spec": {
                "params": [{ "name": "git-url" }],
                "tasks": [{ "name": "build", "taskRef": { "name": "build" } }],
            } },
        },
    });
    serde_json::from_value(object).unwrap()
}

impl Engine {
    /// A namespace of developers, given to an organization or to none.
    async fn team(&self, name: &str, organization: Option<&str>) -> anyhow::Result<()> {
        let labels = organization.map_or_else(|| json!({}), |name| json!({ "aphex.dev/org": name }));
        let metadata = json!({ "name": name, "labels": labels });
        self.apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })).await?;
        Ok(())
    }

    /// A Pipeline of a spec in a namespace of developers.
    pub(crate) async fn team_pipeline(
        &self,
        namespace: &str,
        name: &str,
        organization: &str,
        spec: PipelineSpec,
    ) -> anyhow::Result<()> {
        self.team(namespace, Some(organization)).await?;
        let mut object = Pipeline::new(name, spec);
        object.metadata.namespace = Some(namespace.to_owned());
        self.api::<Pipeline>(namespace).create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Creates a Pipeline as an administrator.
    pub(crate) async fn pipeline(
        &self,
        namespace: &str,
        name: &str,
        organization: &str,
    ) -> anyhow::Result<Pipeline> {
        let object = pipeline(namespace, name, organization);
        Ok(self.api::<Pipeline>(namespace).create(&PostParams::default(), &object).await?)
    }

    /// A namespace of developers with a Pipeline in it that is Ready.
    pub(crate) async fn ready_pipeline(
        &self,
        namespace: &str,
        name: &str,
        organization: &str,
    ) -> anyhow::Result<()> {
        self.team(namespace, Some(organization)).await?;
        self.pipeline(namespace, name, organization).await?;
        self.pipeline_phase(namespace, name, "Ready").await?;
        Ok(())
    }

    pub(crate) async fn pipeline_phase(
        &self,
        namespace: &str,
        name: &str,
        phase: &str,
    ) -> anyhow::Result<PipelineStatus> {
        let is = |object: &Pipeline| {
            let status = object.status.as_ref();
            status.is_some_and(|s| {
                format!("{:?}", s.phase) == phase && s.observed_generation == object.metadata.generation
            })
        };
        let found = self.until::<Pipeline>(namespace, name, &format!("{name} is {phase}"), is).await?;
        Ok(found.status.unwrap_or_default())
    }

    async fn says(&self, namespace: &str, name: &str, message: &str) -> anyhow::Result<PipelineStatus> {
        let said = |object: &Pipeline| object.status.as_ref().is_some_and(|status| status.message == message);
        let found = self.until(namespace, name, &format!("{name} says {message:?}"), said).await?;
        Ok(found.status.unwrap_or_default())
    }

    async fn change(&self, namespace: &str, name: &str, patch: Value) -> kube::Result<Pipeline> {
        self.api::<Pipeline>(namespace).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    async fn is_gone(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        let api = self.api::<Pipeline>(namespace);
        eventually(&format!("{name} is gone"), || async {
            Ok(api.get_opt(name).await?.is_none().then_some(()))
        })
        .await
    }
}

fn ready_reason(status: &PipelineStatus) -> &str {
    conditions::find(&status.conditions, "Ready").map(|ready| ready.reason.as_str()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_binds_a_repository_with_no_right_where_bindings_are() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("pay").await?;
    engine.team("team-pay", Some("pay")).await?;
    let group = "rbac.authorization.k8s.io";
    let metadata = json!({ "name": "developer", "namespace": "team-pay" });
    for object in [
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata,
            "rules": [{
                "apiGroups": ["platform.dev"], "resources": ["pipelines"],
                "verbs": ["create", "get", "list", "patch", "delete"],
            }],
        }),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": group, "kind": "Role", "name": "developer" },
            "subjects": [{ "kind": "ServiceAccount", "name": "developer", "namespace": "team-pay" }],
        }),
    ] {
        engine.apply(&object).await?;
    }
    let (developer, _) = engine.cluster.account("team-pay", "developer").await?;
    let pipelines: Api<Pipeline> = Api::namespaced(developer.clone(), "team-pay");
    let made = pipelines.create(&PostParams::default(), &pipeline("team-pay", "pay-app", "pay")).await?;
    engine.pipeline_phase("team-pay", "pay-app", "Ready").await?;

    let seen = pipelines.get("pay-app").await?;
    let status = seen.status.clone().unwrap_or_default();
    assert_eq!(status.message, "All resources provisioned successfully");
    assert_eq!(status.webhook_url, Some(format!("{GATEWAY}/pay")));
    assert_eq!(status.conditions.len(), 6);
    assert!(status.conditions.iter().all(|c| c.status == "True"), "{:?}", status.conditions);
    assert_eq!(seen.finalizers(), ["platform.aphex/pipeline-finalizer"]);

    let binding = engine.api::<RepoBinding>(PLATFORM).get("team-pay.pay-app").await?;
    let secret = binding.status.as_ref().and_then(|status| status.webhook_secret.clone()).unwrap();
    assert!(!serde_json::to_string(&seen)?.contains(&secret), "the developer reads no secret");
    let owner = ["owner-kind", "owner-namespace", "owner-name", "owner-uid"]
        .map(|key| binding.labels()[&format!("platform.aphex/{key}")].clone());
    assert_eq!(owner, ["Pipeline", "team-pay", "pay-app", &made.uid().unwrap()]);
    let bindings: Api<RepoBinding> = Api::namespaced(developer.clone(), PLATFORM);
    let refused = bindings.get("team-pay.pay-app").await.expect_err("bindings are out of reach");
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 403));

    let events = engine.api::<Event>("team-pay");
    eventually("an Event tells of it", || async {
        let list = events.list(&ListParams::default()).await?;
        let about = |e: &&Event| e.regarding.as_ref().is_some_and(|r| r.uid == made.uid());
        Ok(list.iter().filter(about).any(|e| e.reason.as_deref() == Some("Provisioned")).then_some(()))
    })
    .await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_binds_only_for_the_organization_it_was_given_to() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("mine").await?;
    engine.organization_phase("mine", "Active").await?;
    engine.team("team-new", None).await?;
    engine.pipeline("team-new", "new-app", "mine").await?;
    let status = engine.pipeline_phase("team-new", "new-app", "Failed").await?;
    assert_eq!(ready_reason(&status), "NotAllowed");
    assert!(status.message.contains("kubectl label namespace team-new aphex.dev/org=mine"), "{status:?}");
    engine.team("team-new", Some("other")).await?;
    let other = status.message.replace("does not have it", "has aphex.dev/org=other");
    let other = other.replace("kubectl label namespace", "kubectl label --overwrite namespace");
    engine.says("team-new", "new-app", &other).await?;
    // No policy keeps it out any more, so the controller has to.
    let bindings =
        engine.dynamic("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", None);
    bindings.delete("aphex-pipeline-namespaces", &DeleteParams::default()).await?;
    eventually("the policy is not enforced any more", || async {
        Ok(engine.pipeline("default", "new-app", "mine").await.ok())
    })
    .await?;
    let status = engine.pipeline_phase("default", "new-app", "Failed").await?;
    assert_eq!(status.message, "A Pipeline must be created in a namespace team-* or user-*, not in default");
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    assert!(bindings.list(&ListParams::default()).await?.items.is_empty(), "nothing was asked for");
    let refused = engine.api::<Pipeline>("team-new").get("new-app").await?;
    assert!(refused.finalizers().is_empty(), "there is nothing to take back");

    engine.team("team-new", Some("mine")).await?;
    engine.pipeline_phase("team-new", "new-app", "Ready").await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_given_to_another_organization_takes_no_pipeline() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.team("team-theirs", Some("theirs")).await?;
    // A policy that was just written is enforced in a moment.
    let (api, stray) = (engine.api::<Pipeline>("team-theirs"), pipeline("team-theirs", "stray", "ours"));
    let trial = PostParams { dry_run: true, ..PostParams::default() };
    let message = eventually("it is refused, being another's", || async {
        Ok(api.create(&trial, &stray).await.err().map(|refused| refused.to_string()))
    })
    .await?;
    let words = "A Pipeline of organization ours needs label aphex.dev/org=ours on its namespace, and team-theirs has \
                 aphex.dev/org=theirs: a platform administrator can set it";
    assert!(message.contains("aphex-pipeline-namespaces") && message.contains(words), "{message}");
    engine.pipeline("team-theirs", "stray", "theirs").await?;
    engine.pipeline_phase("team-theirs", "stray", "Pending").await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_bound_goes_on_when_the_namespace_is_given_to_another_organization() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("former").await?;
    engine.ready_pipeline("team-moved", "moved-app", "former").await?;
    engine.team("team-moved", Some("latter")).await?;
    let status = engine.pipeline_phase("team-moved", "moved-app", "Failed").await?;
    assert_eq!(ready_reason(&status), "NotAllowed");
    let goes_on = "; RepoBinding platform-system/team-moved.moved-app and its tenant go on as they are until this \
                   Pipeline is deleted";
    assert!(status.message.ends_with(goes_on), "{}", status.message);
    engine.phase("team-moved.moved-app", "Ready").await?;
    assert!(engine.has_namespace("moved-app").await?);

    engine.api::<Pipeline>("team-moved").delete("moved-app", &DeleteParams::default()).await?;
    engine.is_gone("team-moved", "moved-app").await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    assert!(bindings.get_opt("team-moved.moved-app").await?.is_none());
    assert!(!engine.has_namespace("moved-app").await?);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn teams_of_one_organization_reach_no_namespace_of_each_other() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("guild").await?;
    engine.ready_pipeline("team-payments", "pay-core", "guild").await?;
    engine.team("team-pay2", Some("guild")).await?;
    for name in ["pay", "pay-core-eu"] {
        engine.pipeline("team-pay2", name, "guild").await?;
        let status = engine.pipeline_phase("team-pay2", name, "Failed").await?;
        assert_eq!(ready_reason(&status), "NameTaken");
        let words =
            format!("{name} overlaps pay-core, the tenant of RepoBinding team-payments.pay-core of another");
        assert!(status.message.starts_with(&words), "{}", status.message);
        let project = engine.dynamic("argoproj.io", "v1alpha1", "AppProject", Some("argocd"));
        assert!(project.get_opt(name).await?.is_none());
    }
    engine.pipeline("team-payments", "pay-core-us", "guild").await?;
    engine.pipeline_phase("team-payments", "pay-core-us", "Ready").await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_waits_for_its_organization_as_its_binding_does() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.team("user-ann", Some("later")).await?;
    engine.pipeline("user-ann", "early", "later").await?;
    let status = engine.says("user-ann", "early", "Waiting for Organization later to be created").await?;
    assert_eq!((status.phase, ready_reason(&status)), (RepoBindingPhase::Pending, "WaitingFor"));
    engine.organization("later").await?;
    engine.pipeline_phase("user-ann", "early", "Ready").await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_of_an_administrator_is_never_taken_over() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("firm").await?;
    // One has the name that the Pipeline's binding would have, the other the tenant's.
    let spec = |name: &str| binding_spec(name, "firm");
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "team-firm.web", spec("elsewhere")).await?;
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "by-hand", spec("api")).await?;
    engine.phase("team-firm.web", "Ready").await?;
    engine.phase("by-hand", "Ready").await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    let before = bindings.get("team-firm.web").await?;
    engine.team("team-firm", Some("firm")).await?;
    engine.pipeline("team-firm", "web", "firm").await?;
    engine.pipeline("team-firm", "api", "firm").await?;
    let status = engine.pipeline_phase("team-firm", "web", "Failed").await?;
    assert_eq!(ready_reason(&status), "NameTaken");
    assert!(
        status.message.starts_with("RepoBinding platform-system/team-firm.web exists already"),
        "{status:?}"
    );
    let status = engine.pipeline_phase("team-firm", "api", "Failed").await?;
    assert_eq!(ready_reason(&status), "NameTaken");
    assert_eq!(status.message, "RepoBinding by-hand already has the name api");
    let after = bindings.get("team-firm.web").await?;
    assert_eq!((&after.spec, after.labels()), (&before.spec, before.labels()));

    // The Pipeline goes without it.
    engine.api::<Pipeline>("team-firm").delete("web", &DeleteParams::default()).await?;
    engine.is_gone("team-firm", "web").await?;
    assert_eq!(bindings.get("team-firm.web").await?.metadata.deletion_timestamp, None);
    bindings.delete("by-hand", &DeleteParams::default()).await?;
    engine.pipeline_phase("team-firm", "api", "Ready").await?;
    engine.finish().await
}

/// Waits until exactly one of two namesakes is Ready and the other failed; tells the namespaces in that order.
async fn decided(engine: &Engine, teams: [&'static str; 2], name: &str) -> anyhow::Result<[&'static str; 2]> {
    let apis = teams.map(|team| engine.api::<Pipeline>(team));
    eventually(&format!("{name} is decided"), || async {
        let mut phases = Vec::new();
        for api in &apis {
            phases.push(api.get(name).await?.status.unwrap_or_default().phase);
        }
        Ok(match phases[..] {
            [RepoBindingPhase::Ready, RepoBindingPhase::Failed] => Some(teams),
            [RepoBindingPhase::Failed, RepoBindingPhase::Ready] => Some([teams[1], teams[0]]),
            _ => None,
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_want_a_name_at_once_one_has_it_and_the_other_gets_it_later() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("race").await?;
    engine.organization_phase("race", "Active").await?;
    let teams = ["team-red", "team-blue"];
    for team in teams {
        engine.team(team, Some("race")).await?;
    }
    let names = ["ant", "bee", "cat", "dog"];
    let both = |name| {
        let [red, blue] = teams.map(|team| engine.pipeline(team, name, "race"));
        futures::future::try_join(red, blue)
    };
    futures::future::try_join_all(names.map(both)).await?;
    for name in names {
        let [winner, loser] = decided(&engine, teams, name).await?;
        let status = engine.pipeline_phase(loser, name, "Failed").await?;
        assert_eq!(ready_reason(&status), "NameTaken", "{status:?}");
        engine.says(loser, name, &format!("RepoBinding {winner}.{name} already has the name {name}")).await?;
        engine.api::<Pipeline>(winner).delete(name, &DeleteParams::default()).await?;
        engine.pipeline_phase(loser, name, "Ready").await?;
        engine.is_gone(winner, name).await?;
        let tenant = Api::<Namespace>::all(engine.client.clone()).get(name).await?;
        let owner = tenant.labels().get("platform.aphex/owner-name").cloned();
        assert_eq!(owner, Some(format!("{loser}.{name}")));
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_goes_after_its_binding_and_tells_what_that_waits_for() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("end").await?;
    engine.ready_pipeline("team-end", "end-app", "end").await?;
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {
            "name": "web", "namespace": "argocd", "labels": { "platform.aphex/pipeline": "end-app" },
            "finalizers": ["resources-finalizer.argocd.argoproj.io"],
        },
        "spec": {
            "project": "end-app",
            "source": { "repoURL": "https://github.com/Acme-GitHub/end-app.repo", "path": "." },
            "destination": { "server": "https://kubernetes.default.svc", "namespace": "end-app" },
        },
    });
    engine.apply(&application).await?;
    engine.api::<Pipeline>("team-end").delete("end-app", &DeleteParams::default()).await?;
    let waits = "Waiting for Application argocd/web to be deleted";
    let status = engine.says("team-end", "end-app", waits).await?;
    assert_eq!((status.phase, ready_reason(&status)), (RepoBindingPhase::Pending, "Deleting"));
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    assert!(bindings.get_opt("team-end.end-app").await?.is_some());

    let api = engine.dynamic("argoproj.io", "v1alpha1", "Application", Some("argocd"));
    let finished = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    api.patch("web", &PatchParams::default(), &finished).await?;
    engine.is_gone("team-end", "end-app").await?;
    assert!(bindings.get_opt("team-end.end-app").await?.is_none(), "the binding went first");
    assert!(!engine.has_namespace("end-app").await?);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_binding_follows_the_spec_and_nobody_else() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("edit").await?;
    engine.ready_pipeline("team-edit", "edit-app", "edit").await?;
    let patch = json!({ "spec": {
        "branch": "release", "permissionProfile": "elevated", "repository": { "name": "renamed" },
    } });
    engine.change("team-edit", "edit-app", patch).await?;
    engine.pipeline_phase("team-edit", "edit-app", "Ready").await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    let name = "team-edit.edit-app";
    let binding = bindings.get(name).await?;
    assert_eq!(
        (
            binding.spec.branch.as_str(),
            binding.spec.repo_name.as_str(),
            binding.spec.permission_profile.as_str()
        ),
        ("release", "renamed", "elevated"),
        "Ready speaks of the new spec"
    );

    let broken = json!({ "spec": { "template": "none" } });
    engine.change("team-edit", "edit-app", broken).await?;
    let status = engine.pipeline_phase("team-edit", "edit-app", "Failed").await?;
    assert_eq!(ready_reason(&status), "InvalidSpec");
    assert_eq!(bindings.get(name).await?.spec, binding.spec, "what exists stays as it is");
    assert!(status.webhook_url.is_some(), "and is still told of");
    engine.change("team-edit", "edit-app", json!({ "spec": { "template": "run-pipeline-v1" } })).await?;
    engine.pipeline_phase("team-edit", "edit-app", "Ready").await?;
    let refused =
        engine.change("team-edit", "edit-app", json!({ "spec": { "organization": "other" } })).await;
    let message = refused.expect_err("it cannot change").to_string();
    assert!(message.contains("organization is immutable"), "{message}");

    let meddled = Patch::Merge(json!({ "spec": { "branch": "mine" } }));
    bindings.patch(name, &PatchParams::default(), &meddled).await?;
    let back = |binding: &RepoBinding| binding.spec.branch == "release";
    engine.until(PLATFORM, name, "the branch is back", back).await?;
    bindings.delete(name, &DeleteParams::default()).await?;
    let anew = |now: &RepoBinding| now.uid() != binding.uid();
    engine.until(PLATFORM, name, "the binding is back", anew).await?;
    engine.pipeline_phase("team-edit", "edit-app", "Ready").await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_in_place_is_read_and_never_written() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("calm").await?;
    engine.ready_pipeline("team-calm", "calm-app", "calm").await?;
    // The last status and its event may still be on their way; after whole passes they are not.
    passes(&engine).await?;
    let before = engine.requests.writes();
    passes(&engine).await?;
    assert_eq!(engine.requests.writes(), before, "passes over objects that want nothing wrote something");
    let asked: BTreeSet<String> = engine.requests.asked().iter().map(ToString::to_string).collect();
    assert!(asked.contains("get pipelines.platform.dev team-calm/calm-app"), "{asked:?}");
    engine.finish().await
}

/// Wakes the Pipeline and its binding until both were passed over several times.
async fn passes(engine: &Engine) -> anyhow::Result<()> {
    let target = engine.requests.reads() + 200;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    eventually("several passes", || async {
        let poke =
            json!({ "metadata": { "annotations": { "test/poke": jiff::Timestamp::now().to_string() } } });
        engine.change("team-calm", "calm-app", poke.clone()).await?;
        bindings.patch("team-calm.calm-app", &PatchParams::default(), &Patch::Merge(poke)).await?;
        Ok((engine.requests.reads() >= target).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_that_an_administrator_sets_on_its_binding_stay() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("tuned").await?;
    engine.ready_pipeline("team-tuned", "tuned-app", "tuned").await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    let options = json!({ "spec": { "retention": { "keepFailed": 3 }, "events": ["push", "pull_request"] } });
    bindings.patch("team-tuned.tuned-app", &PatchParams::default(), &Patch::Merge(options)).await?;
    engine.change("team-tuned", "tuned-app", json!({ "spec": { "branch": "release" } })).await?;
    let changed = engine
        .until::<RepoBinding>(PLATFORM, "team-tuned.tuned-app", "the binding follows", |binding| {
            binding.spec.branch == "release"
        })
        .await?;
    assert_eq!(changed.spec.options.retention.map(|retention| retention.keep_failed), Some(3));
    assert_eq!(changed.spec.options.events.len(), 2);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_that_a_developer_sets_are_the_bindings_until_they_are_taken_away() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("opts").await?;
    engine.ready_pipeline("team-opts", "opts-app", "opts").await?;
    let options = json!({
        "events": ["push", "pull_request"], "branches": ["main", "release/*"], "paths": ["src/**"],
        "pathsIgnore": ["**/*.md"], "allowForks": true, "concurrency": { "policy": "Queue", "max": 2 },
        "retention": { "keepSucceeded": 4, "keepFailed": 2 },
    });
    engine.change("team-opts", "opts-app", json!({ "spec": options })).await?;
    let has = |binding: &RepoBinding| {
        let spec = serde_json::to_value(&binding.spec).unwrap();
        options.as_object().unwrap().iter().all(|(field, value)| spec[field] == *value)
    };
    engine.until::<RepoBinding>(PLATFORM, "team-opts.opts-app", "the binding has the options", has).await?;
    engine.pipeline_phase("team-opts", "opts-app", "Ready").await?;

    let forks = engine.change("team-opts", "opts-app", json!({ "spec": { "events": ["push"] } })).await;
    let message = forks.expect_err("forks send pull requests").to_string();
    assert!(message.contains("allowForks goes with the event pull_request"), "{message}");
    let none: Value = options.as_object().unwrap().keys().map(|field| (field.clone(), Value::Null)).collect();
    engine.change("team-opts", "opts-app", json!({ "spec": none })).await?;
    let bare = |binding: &RepoBinding| {
        let options = &binding.spec.options;
        *options == BindingOptions { events: vec![BindingEvent::Push], ..BindingOptions::default() }
    };
    engine.until::<RepoBinding>(PLATFORM, "team-opts.opts-app", "the binding has none", bare).await?;
    engine.finish().await
}
