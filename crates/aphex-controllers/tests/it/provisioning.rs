//! From an object of ours to everything it wants.

use aphex_api::conditions;
use aphex_api::foreign::triggers::{EventListener, Trigger};
use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use aphex_testkit::eventually;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};

use crate::engine::{Engine, GATEWAY, PLATFORM};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_becomes_active_with_all_it_wants() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("acme").await?;
    let organization = engine.organization_phase("acme", "Active").await?;
    let status = organization.status.clone().unwrap_or_default();
    assert_eq!(status.namespace.as_deref(), Some("org-acme"));
    assert_eq!(status.webhook_url, Some(format!("{GATEWAY}/acme")));
    assert!(status.conditions.iter().all(|c| c.status == "True"), "{:?}", status.conditions);
    assert_eq!(organization.spec.webhook_secret, None, "a generated secret is not written back");
    assert_eq!(organization.finalizers(), ["platform.aphex/organization-finalizer"]);

    let namespace = Api::<Namespace>::all(engine.client.clone()).get("org-acme").await?;
    assert_eq!(namespace.labels().get("aphex.dev/org").map(String::as_str), Some("acme"));
    assert_eq!(
        namespace.labels().get("platform.aphex/managed-by").map(String::as_str),
        Some("organization-controller")
    );
    let secret = engine.api::<Secret>("org-acme").get("github-webhook-secret").await?;
    assert!(aphex_controllers::webhook_secret::read(&secret).is_some_and(|s| s.starts_with("whsec_")));
    let admins: Vec<String> = engine
        .api::<RoleBinding>("org-acme")
        .list(&ListParams::default())
        .await?
        .iter()
        .filter(|binding| binding.role_ref.name == "organization-admin")
        .map(|binding| binding.subjects.clone().unwrap_or_default()[0].name.clone())
        .collect();
    assert_eq!(admins, ["ann@acme.com", "bob@acme.com"]);
    let listener = engine.api::<EventListener>("org-acme").get("github-listener").await?;
    assert_eq!(listener.spec.service_account_name, "eventlistener");
    assert_eq!(listener.spec.namespace_selector.match_names, ["org-acme"]);

    let events = engine.api::<Event>(PLATFORM);
    eventually("an Event tells of it", || async {
        let list = events.list(&ListParams::default()).await?;
        let about = |e: &&Event| e.regarding.as_ref().is_some_and(|r| r.uid == organization.uid());
        Ok(list.iter().filter(about).any(|e| e.reason.as_deref() == Some("Provisioned")).then_some(()))
    })
    .await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_waits_for_its_organization_and_resumes_by_itself() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.binding("early-app", "latecomer").await?;
    let status = engine.phase("early-app", "Pending").await?;
    assert_eq!(status.message, "Waiting for Organization latecomer to be created");
    assert!(!engine.has_namespace("early-app").await?, "nothing is provisioned while waiting");

    engine.organization("latecomer").await?;
    let status = engine.phase("early-app", "Ready").await?;
    assert_eq!(status.message, "All resources provisioned successfully");
    assert!(status.conditions.iter().all(|c| c.status == "True"), "{:?}", status.conditions);
    let webhook = status.webhook_configuration.clone().unwrap();
    assert_eq!(webhook.url, format!("{GATEWAY}/latecomer"));
    assert_eq!(status.webhook_url.as_deref(), Some(webhook.url.as_str()));
    assert_eq!((webhook.secret.len(), webhook.events.as_slice()), (70, ["push".to_owned()].as_slice()));
    let resources = status.provisioned_resources;
    assert!(
        resources.namespace && resources.rbac && resources.event_listener && resources.pipeline_resources
    );
    assert!(status.quotas_created && status.network_policy_created && status.terraform_secret_created);
    assert!(!status.ingress_created);

    let listener = engine.api::<EventListener>("org-latecomer").get("github-listener").await?;
    assert_eq!(listener.spec.namespace_selector.match_names, ["org-latecomer", "early-app"]);
    let trigger = engine.api::<Trigger>("org-latecomer").get("early-app-trigger").await?;
    assert_eq!(trigger.spec.service_account_name, "early-app-trigger");
    let secret = engine.api::<Secret>("org-latecomer").get("webhook-early-app").await?;
    assert_eq!(aphex_controllers::webhook_secret::read(&secret), Some(webhook.secret));
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trigger_may_make_runs_in_its_tenants_namespace_and_nothing_else() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("rights").await?;
    engine.binding("red-app", "rights").await?;
    engine.binding("blue-app", "rights").await?;
    engine.phase("red-app", "Ready").await?;
    engine.phase("blue-app", "Ready").await?;
    let trigger = "system:serviceaccount:org-rights:red-app-trigger";
    for (verb, resource, namespace, expected) in [
        ("create", "pipelineruns", "red-app", true),
        ("create", "pipelineruns", "blue-app", false),
        ("create", "pipelineruns", "org-rights", false),
        ("get", "pipelineruns", "red-app", false),
        ("create", "taskruns", "red-app", false),
    ] {
        let allowed = allowed(&engine, trigger, "tekton.dev", verb, resource, namespace).await?;
        assert_eq!(allowed, expected, "{verb} {resource} in {namespace}");
    }
    let runner = "system:serviceaccount:red-app:pipeline-runner";
    assert!(
        !allowed(&engine, runner, "", "get", "secrets", "org-rights").await?,
        "webhook secrets are out of reach"
    );
    assert!(allowed(&engine, runner, "", "get", "secrets", "red-app").await?);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chosen_webhook_secret_is_kept_and_later_changed() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    let spec = |secret: &str| serde_json::json!({ "displayName": "x", "adminUsers": ["a@b.com"], "webhookSecret": secret });
    engine.create::<Organization>(PLATFORM, "Organization", "chosen", spec("sixteen-letters!")).await?;
    engine.organization_phase("chosen", "Active").await?;
    let is = |expected: &'static str| {
        move |secret: &Secret| aphex_controllers::webhook_secret::read(secret).as_deref() == Some(expected)
    };
    engine.until("org-chosen", "github-webhook-secret", "the chosen one", is("sixteen-letters!")).await?;
    let patch = kube::api::Patch::Merge(serde_json::json!({ "spec": spec("another-long-secret") }));
    engine.api::<Organization>(PLATFORM).patch("chosen", &kube::api::PatchParams::default(), &patch).await?;
    engine.until("org-chosen", "github-webhook-secret", "the new one", is("another-long-secret")).await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_can_be_waited_for_as_kubectl_does() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("waited").await?;
    engine.binding("waited-app", "waited").await?;
    let api = engine.api::<RepoBinding>(PLATFORM);
    let ready = |object: Option<&RepoBinding>| {
        let status = object.and_then(|o| o.status.as_ref());
        status.is_some_and(|s| conditions::find(&s.conditions, "Ready").is_some_and(|c| c.status == "True"))
    };
    let wait = kube::runtime::wait::await_condition(api, "waited-app", ready);
    tokio::time::timeout(std::time::Duration::from_secs(30), wait).await??;
    engine.finish().await
}

async fn allowed(
    engine: &Engine,
    user: &str,
    group: &str,
    verb: &str,
    resource: &str,
    namespace: &str,
) -> anyhow::Result<bool> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(group.to_owned()),
                verb: Some(verb.to_owned()),
                resource: Some(resource.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(engine.client.clone());
    Ok(api.create(&PostParams::default(), &review).await?.status.is_some_and(|status| status.allowed))
}
