//! Specs that cannot be carried out: what the status says, and that nothing is touched.

use aphex_api::repo_binding::{ProvisionedResources, RepoBinding};
use aphex_testkit::eventually;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::engine::{Engine, PLATFORM, binding_spec, pipeline};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_privileged_name_fails_with_the_published_sentence_and_provisions_nothing() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("strict").await?;
    engine.organization_phase("strict", "Active").await?;
    for name in ["kube-evil", "argocd", "org-other", "platform"] {
        engine.binding(name, "strict").await?;
        let status = engine.phase(name, "Failed").await?;
        assert_eq!(status.message, "Cannot create namespace with privileged name");
        assert_eq!(status.provisioned_resources, ProvisionedResources::default());
        assert!(!status.namespace_created && !status.rbac_created && !status.terraform_secret_created);
        let binding = engine.api::<RepoBinding>(PLATFORM).get(name).await?;
        assert!(binding.finalizers().is_empty(), "there is nothing to take back");
        assert_eq!(
            engine.labelled(&format!("platform.aphex/owner-name={name}")).await?,
            Vec::<String>::new()
        );
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_that_could_never_run_is_refused_until_it_is_mended() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("mend").await?;
    let mut spec = binding_spec("mend-app", "mend");
    spec["pipelineSpec"] = json!(pipeline("mend-app", "  params: [{ name: repo-full-name, type: string }]"));
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "mend-app", spec).await?;
    let status = engine.phase("mend-app", "Failed").await?;
    assert_eq!(
        status.message,
        "spec.pipelineSpec: parameter \"repo-full-name\" is declared as string, but template run-pipeline-v1 sends array"
    );
    assert!(!engine.has_namespace("mend-app").await?);
    let patch = Patch::Merge(json!({ "spec": { "pipelineSpec": pipeline("mend-app", "") } }));
    engine.api::<RepoBinding>(PLATFORM).patch("mend-app", &PatchParams::default(), &patch).await?;
    engine.phase("mend-app", "Ready").await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_that_breaks_leaves_what_exists_as_it_is() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("broken").await?;
    engine.binding("broken-app", "broken").await?;
    let ready = engine.phase("broken-app", "Ready").await?;
    let patch = Patch::Merge(json!({ "spec": { "templateRef": "no-such-template" } }));
    engine.api::<RepoBinding>(PLATFORM).patch("broken-app", &PatchParams::default(), &patch).await?;
    let status = engine.phase("broken-app", "Failed").await?;
    assert!(status.message.contains("no-such-template is not in the catalog"), "{}", status.message);
    assert_eq!(status.provisioned_resources, ready.provisioned_resources, "what exists is still reported");
    assert!(engine.has_namespace("broken-app").await?);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_glob_that_cannot_match_is_told_and_the_tenant_goes_on_as_it_is() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("globs").await?;
    engine.binding("globs-app", "globs").await?;
    engine.phase("globs-app", "Ready").await?;
    let triggers = engine.dynamic("triggers.tekton.dev", "v1beta1", "Trigger", Some("org-globs"));
    let before = triggers.get("globs-app-trigger").await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    // What the schema lets through.
    for (field, glob, expected) in [
        ("paths", "[z-a]", "spec.paths[1]: '[z-a]' has the range z-a, which goes backwards"),
        (
            "pathsIgnore",
            "src/./*",
            "spec.pathsIgnore[1]: 'src/./*' can match no file: no part of a path is empty, . or ..",
        ),
        (
            "branches",
            "v*..*",
            "spec.branches[1]: 'v*..*' can match no branch: there is no such name (git check-ref-format)",
        ),
    ] {
        let patch = Patch::Merge(json!({ "spec": { field: ["a", glob] } }));
        bindings.patch("globs-app", &PatchParams::default(), &patch).await?;
        let status = engine.phase("globs-app", "Failed").await?;
        assert_eq!(status.message, expected);
        assert!(
            status.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == "InvalidSpec"),
            "{status:?}"
        );
        let now = triggers.get("globs-app-trigger").await?;
        assert_eq!(now.resource_version(), before.resource_version(), "{field}");
        let patch = Patch::Merge(json!({ "spec": { field: null } }));
        bindings.patch("globs-app", &PatchParams::default(), &patch).await?;
        engine.phase("globs-app", "Ready").await?;
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_of_somebody_else_is_never_taken_over() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("polite").await?;
    let legacy = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "legacy", "labels": { "theirs": "yes" } }
    });
    engine.apply(&legacy).await?;
    engine.binding("legacy", "polite").await?;
    let status = engine.phase("legacy", "Failed").await?;
    assert_eq!(status.message, "Namespace legacy exists already and is not this RepoBinding's");
    let namespaces: Api<Namespace> = Api::all(engine.client.clone());
    let labels = namespaces.get("legacy").await?.labels().clone();
    assert!(!labels.keys().any(|key| key.starts_with("platform.aphex/")), "{labels:?}");
    namespaces.delete("legacy", &DeleteParams::default()).await?;
    engine.phase("legacy", "Ready").await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_had_by_one_and_reaches_into_no_others() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("first").await?;
    engine.organization("second").await?;
    engine.binding("shop", "first").await?;
    engine.phase("shop", "Ready").await?;
    engine
        .create::<RepoBinding>(PLATFORM, "RepoBinding", "shop-again", binding_spec("shop", "first"))
        .await?;
    let status = engine.phase("shop-again", "Failed").await?;
    assert!(status.message.contains("shop"), "{}", status.message);
    engine.binding("shop-web", "second").await?;
    let status = engine.phase("shop-web", "Failed").await?;
    assert_eq!(status.message, "shop-web overlaps shop, the tenant of RepoBinding shop of another owner");
    engine.binding("shop-api", "first").await?;
    engine.phase("shop-api", "Ready").await?;
    // Once the name is free the binding that waits for it gets it.
    engine.api::<RepoBinding>(PLATFORM).delete("shop-api", &DeleteParams::default()).await?;
    engine.api::<RepoBinding>(PLATFORM).delete("shop-again", &DeleteParams::default()).await?;
    engine.api::<RepoBinding>(PLATFORM).delete("shop", &DeleteParams::default()).await?;
    engine.phase("shop-web", "Ready").await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_outside_the_platform_namespace_that_no_policy_kept_out_are_refused() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    let kind = "ValidatingAdmissionPolicyBinding";
    let bindings = engine.dynamic("admissionregistration.k8s.io", "v1", kind, None);
    bindings.delete("aphex-platform-kinds", &DeleteParams::default()).await?;
    let spec = || binding_spec("elsewhere", "nobody");
    let created: RepoBinding = eventually("the policy is not enforced any more", || async {
        Ok(engine.create("default", "RepoBinding", "elsewhere", spec()).await.ok())
    })
    .await?;
    assert_eq!(created.spec.branch, "main", "the schema's defaults are filled in");
    let refused = |binding: &RepoBinding| {
        let message = binding.status.as_ref().map(|status| status.message.as_str());
        message == Some("A RepoBinding must be created in namespace platform-system")
    };
    engine.until("default", "elsewhere", "it is refused", refused).await?;
    engine.finish().await
}
