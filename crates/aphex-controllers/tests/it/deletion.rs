//! Taking everything back.

use aphex_api::foreign::argocd::{AppProject, Application};
use aphex_api::foreign::triggers::EventListener;
use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use aphex_testkit::eventually;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::engine::{Engine, PLATFORM};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_stays_until_its_bindings_are_gone_and_then_nothing_is_left() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("going").await?;
    engine.binding("going-app", "going").await?;
    engine.phase("going-app", "Ready").await?;
    let organizations = engine.api::<Organization>(PLATFORM);
    organizations.delete("going", &DeleteParams::default()).await?;
    let blocked = |organization: &Organization| {
        let message = organization.status.as_ref().map(|status| status.message.as_str());
        message == Some("Waiting for these RepoBindings to be deleted: going-app")
    };
    engine.until(PLATFORM, "going", "it says what it waits for", blocked).await?;
    assert!(engine.has_namespace("org-going").await?);

    engine.api::<RepoBinding>(PLATFORM).delete("going-app", &DeleteParams::default()).await?;
    eventually("the organization is gone", || async {
        Ok(organizations.get_opt("going").await?.is_none().then_some(()))
    })
    .await?;
    for name in ["going", "going-app"] {
        assert_eq!(
            engine.labelled(&format!("platform.aphex/owner-name={name}")).await?,
            Vec::<String>::new()
        );
    }
    assert!(!engine.has_namespace("org-going").await? && !engine.has_namespace("going-app").await?);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_go_before_their_project_and_the_listener_forgets_the_tenant() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("apps").await?;
    engine.binding("apps-web", "apps").await?;
    engine.phase("apps-web", "Ready").await?;
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": "web",
            "namespace": "argocd",
            "labels": { "platform.aphex/pipeline": "apps-web" },
            "finalizers": ["resources-finalizer.argocd.argoproj.io"],
        },
        "spec": {
            "project": "apps-web",
            "source": { "repoURL": "https://github.com/Acme-GitHub/apps-web.repo", "path": "." },
            "destination": { "server": "https://kubernetes.default.svc", "namespace": "apps-web" },
        },
    });
    engine.apply(&application).await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    bindings.delete("apps-web", &DeleteParams::default()).await?;
    let waits = |binding: &RepoBinding| {
        let message = binding.status.as_ref().map(|status| status.message.as_str());
        message == Some("Waiting for Application argocd/web to be deleted")
    };
    engine.until(PLATFORM, "apps-web", "it waits for the Application", waits).await?;
    assert!(
        engine.api::<AppProject>("argocd").get_opt("apps-web").await?.is_some(),
        "Argo CD needs the project"
    );
    let listener = engine.api::<EventListener>("org-apps").get("github-listener").await?;
    assert_eq!(listener.spec.namespace_selector.match_names, ["org-apps"]);

    let finished = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    engine.api::<Application>("argocd").patch("web", &PatchParams::default(), &finished).await?;
    eventually("the binding is gone", || async {
        Ok(bindings.get_opt("apps-web").await?.is_none().then_some(()))
    })
    .await?;
    assert!(engine.api::<AppProject>("argocd").get_opt("apps-web").await?.is_none());
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_provisioned_is_deleted_at_once() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.binding("hopeful", "nowhere").await?;
    engine.phase("hopeful", "Pending").await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    bindings.delete("hopeful", &DeleteParams::default()).await?;
    assert!(bindings.get_opt("hopeful").await?.is_none(), "no finalizer holds it");
    engine.finish().await
}
