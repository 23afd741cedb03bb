//! The committed admission policies: who is refused what, with which words, and that the platform and the cluster's own
//! controllers still do their work. Every attempt is a dry run by somebody whose rights would do.

#[path = "policies/manifests.rs"]
mod manifests;

use aphex_api::names::TenantName;
use aphex_testkit::eventually;
use http::Method;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::engine::{Engine, PLATFORM, binding_spec};

/// Tenant and team of the organization `shield`.
const TENANT: &str = "shield-app";
const TEAM: &str = "shield-team";
/// The label that the controllers put on what they make.
const MANAGED: &str = "platform.aphex/managed-by";

/// Who asks.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// The tenant's pipelines.
    Runner,
    /// An administrator of the organization.
    Admin,
    /// Holds every right in the team's namespace.
    Developer,
    /// Argo CD, which holds every right everywhere and acts for tenants.
    Deployer,
    /// A member of `platform-admins`.
    Operator,
    /// The controllers' account.
    Controllers,
}

/// What comes of it: nothing said, or a policy and words of its message.
type Answer = Option<(&'static str, &'static str)>;

/// One attempt: method, path, body, answer.
type Attempt = (Who, Method, String, Value, Answer);

/// An organization with a tenant, a team's namespace, and people with rights.
struct World {
    engine: Engine,
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let engine = Engine::start().await?;
        let labels = json!({ "aphex.dev/org": "shield" });
        let team = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": TEAM, "labels": labels } });
        engine.apply(&team).await?;
        let deployer = json!({ "kind": "ServiceAccount", "namespace": "argocd", "name": "argocd-application-controller" });
        let person = |kind: &str, name: &str| json!({ "kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io" });
        for (kind, name, subject) in [
            ("ClusterRoleBinding", "test-deployer", deployer),
            ("ClusterRoleBinding", "test-operators", person("Group", "platform-admins")),
            ("RoleBinding", "test-developers", person("User", "dev@acme.com")),
        ] {
            let mut binding = rights(kind, name, &[subject]);
            if kind == "RoleBinding" {
                binding["metadata"]["namespace"] = json!(TEAM);
            }
            engine.apply(&binding).await?;
        }
        engine.organization("shield").await?;
        engine.binding(TENANT, "shield").await?;
        engine.phase(TENANT, "Ready").await?;
        Ok(Self { engine })
    }

    async fn client(&self, who: Who) -> anyhow::Result<Client> {
        match who {
            Who::Runner => self.engine.acting_as_account(TENANT, "pipeline-runner").await,
            Who::Admin => self.engine.acting_as("ann@acme.com", &[]).await,
            Who::Developer => self.engine.acting_as("dev@acme.com", &[]).await,
            Who::Deployer => self.engine.acting_as_account("argocd", "argocd-application-controller").await,
            Who::Operator => self.engine.acting_as("op@acme.com", &["platform-admins"]).await,
            Who::Controllers => Ok(self.engine.account.clone()),
        }
    }

    /// Makes every attempt, and tells which answers differ.
    async fn check(self, attempts: &[Attempt]) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        for (who, method, path, body, expected) in attempts {
            let answer = dry_run(&self.client(*who).await?, method, path, body).await;
            let right = match (&answer, expected) {
                (Ok(()), None) => true,
                (Err(message), Some((policy, words))) => {
                    message.contains(&format!("'{policy}' with binding '{policy}' denied"))
                        && message.contains(words)
                }
                _ => false,
            };
            if !right {
                wrong.push(format!("{who:?} {method} {path}: {answer:?}, expected {expected:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        self.engine.finish().await
    }
}

/// A write that is decided and not stored.
pub(crate) async fn dry_run(
    client: &Client,
    method: &Method,
    path: &str,
    body: &Value,
) -> Result<(), String> {
    let kind = if *method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{path}?dryRun=All"))
        .header("content-type", kind)
        .body(if body.is_null() { Vec::new() } else { body.to_string().into_bytes() });
    let request = request.map_err(|error| error.to_string())?;
    client.request::<Value>(request).await.map(drop).map_err(|error| match error {
        kube::Error::Api(status) => format!("{} {}", status.code, status.message),
        other => other.to_string(),
    })
}

pub(crate) fn rights(kind: &str, name: &str, subjects: &[Value]) -> Value {
    let role =
        json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" });
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": { "name": name },
        "roleRef": role,
        "subjects": subjects,
    })
}

/// A merge patch of labels.
pub(crate) fn labels(labels: &Value) -> Value {
    json!({ "metadata": { "labels": labels } })
}

pub(crate) fn object(version: &str, kind: &str, name: &str, labels: &Value) -> Value {
    json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name, "labels": labels } })
}

pub(crate) fn core(namespace: &str, rest: &str) -> String {
    format!("/api/v1/namespaces/{namespace}{rest}")
}

pub(crate) fn group(group: &str, namespace: &str, rest: &str) -> String {
    format!("/apis/{group}/namespaces/{namespace}/{rest}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_that_say_whose_a_namespace_is_are_written_by_the_platform_alone() -> anyhow::Result<()> {
    let refused = |words| Some(("aphex-namespace-labels", words));
    let organization =
        "label aphex.dev/org of a namespace is written by the platform alone: leave it as it is";
    let stolen = labels(&json!({ "aphex.dev/org": "victim" }));
    let tenant = json!({ "platform.aphex/tenant": "made-up" });
    let lax = labels(&json!({ "pod-security.kubernetes.io/enforce": "privileged" }));
    let team = core(TEAM, "");
    World::start()
        .await?
        .check(&[
            (Who::Developer, Method::PATCH, team.clone(), stolen.clone(), refused(organization)),
            (Who::Developer, Method::PATCH, core(TEAM, "/status"), stolen.clone(), refused(organization)),
            (
                Who::Developer,
                Method::PATCH,
                team.clone(),
                labels(&json!({ "aphex.dev/org": null })),
                refused(organization),
            ),
            (Who::Developer, Method::PATCH, team.clone(), labels(&json!({ "colour": "blue" })), None),
            (
                Who::Developer,
                Method::PATCH,
                team.clone(),
                labels(&json!({ "aphex.dev/org": "shield" })),
                None,
            ),
            (
                Who::Deployer,
                Method::POST,
                "/api/v1/namespaces".to_owned(),
                object("v1", "Namespace", "made-up", &tenant),
                refused("label platform.aphex/tenant of a namespace"),
            ),
            (
                Who::Deployer,
                Method::POST,
                "/api/v1/namespaces".to_owned(),
                object("v1", "Namespace", "made-up", &json!({ "colour": "blue" })),
                None,
            ),
            (Who::Deployer, Method::PATCH, core(TENANT, ""), lax.clone(), refused("that the platform made")),
            (Who::Deployer, Method::PATCH, team.clone(), lax.clone(), None),
            (Who::Operator, Method::PATCH, team.clone(), stolen.clone(), None),
            (Who::Operator, Method::PATCH, core(TENANT, ""), lax, None),
            (Who::Controllers, Method::PATCH, team, stolen, None),
        ])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_closes_a_tenant_in_is_written_by_the_platform_alone() -> anyhow::Result<()> {
    let refused = |words| Some(("aphex-tenant-boundary", words));
    let policies = |namespace: &str| group("networking.k8s.io/v1", namespace, "networkpolicies");
    let mut open = object("networking.k8s.io/v1", "NetworkPolicy", "open", &json!({}));
    open["spec"] = json!({ "podSelector": {}, "ingress": [{}], "egress": [{}] });
    let mut limits = object("v1", "LimitRange", "more", &json!({}));
    limits["spec"] = json!({ "limits": [{ "type": "Pod", "max": { "cpu": "64" } }] });
    let instead = "set permissionProfile in the RepoBinding of the tenant";
    let quota = core(TENANT, "/resourcequotas/tenant-quota");
    let used = json!({ "metadata": { "labels": { "colour": "blue" } } });
    World::start()
        .await?
        .check(&[
            (
                Who::Deployer,
                Method::POST,
                policies(TENANT),
                open.clone(),
                refused("networkpolicies in namespace shield-app"),
            ),
            (Who::Deployer, Method::POST, policies("org-shield"), open.clone(), refused(instead)),
            (Who::Deployer, Method::POST, policies(TEAM), open.clone(), None),
            (Who::Developer, Method::POST, policies(TEAM), open.clone(), None),
            (Who::Operator, Method::POST, policies(TENANT), open.clone(), None),
            (Who::Controllers, Method::POST, policies(TENANT), open, None),
            (
                Who::Deployer,
                Method::POST,
                core(TENANT, "/limitranges"),
                limits.clone(),
                refused("limitranges in namespace"),
            ),
            (Who::Deployer, Method::POST, core(TEAM, "/limitranges"), limits, None),
            (
                Who::Deployer,
                Method::PATCH,
                format!("{quota}/status"),
                used,
                refused("resourcequotas in namespace"),
            ),
            (Who::Operator, Method::DELETE, quota, Value::Null, None),
        ])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runner_gets_no_rights_but_those_of_its_profile() -> anyhow::Result<()> {
    let refused = Some(("aphex-runner-rights", "bind another ServiceAccount"));
    let bindings = |namespace: &str| group("rbac.authorization.k8s.io/v1", namespace, "rolebindings");
    let account = |name: &str| json!({ "kind": "ServiceAccount", "namespace": TENANT, "name": name });
    let named = |kind: &str, name: &str| json!({ "kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io" });
    let bind = |subject: Value| rights("RoleBinding", "more", &[named("User", "ann@acme.com"), subject]);
    let user = format!("system:serviceaccount:{TENANT}:pipeline-runner");
    let accounts = format!("system:serviceaccounts:{TENANT}");
    let runner = account("pipeline-runner");
    World::start()
        .await?
        .check(&[
            (Who::Deployer, Method::POST, bindings(TENANT), bind(runner.clone()), refused),
            (Who::Deployer, Method::POST, bindings(TENANT), bind(named("User", &user)), refused),
            (Who::Deployer, Method::POST, bindings(TENANT), bind(named("Group", &accounts)), refused),
            (
                Who::Deployer,
                Method::POST,
                bindings(TENANT),
                bind(named("Group", "system:authenticated")),
                refused,
            ),
            // Who sends no token is these, and the runner may send none.
            (
                Who::Deployer,
                Method::POST,
                bindings(TENANT),
                bind(named("Group", "system:unauthenticated")),
                refused,
            ),
            (Who::Deployer, Method::POST, bindings(TENANT), bind(named("User", "system:anonymous")), refused),
            (Who::Deployer, Method::POST, bindings(TENANT), bind(account("web")), None),
            // Into its own namespace a team lets whom it likes.
            (Who::Developer, Method::POST, bindings(TEAM), bind(runner.clone()), None),
            (Who::Operator, Method::POST, bindings(TENANT), bind(runner), None),
        ])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_controllers_made_is_theirs() -> anyhow::Result<()> {
    let refused = |words| Some(("aphex-managed-objects", words));
    let instead = "change the RepoBinding or the Organization that it belongs to";
    let ours = json!({ MANAGED: "platform-controller" });
    let secrets = |namespace: &str, name: &str| core(namespace, &format!("/secrets{name}"));
    let terraform = secrets(TENANT, "/terraform-backend-config");
    let runs = group("tekton.dev/v1", TENANT, "pipelineruns");
    let mut run = object("tekton.dev/v1", "PipelineRun", "one", &ours);
    run["spec"] = json!({ "pipelineRef": { "name": TENANT } });
    let pipeline = group("tekton.dev/v1", TENANT, "pipelines/shield-app");
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let patch = labels(&json!({ "colour": "blue" }));
    let secret = |name: &str, labels: &Value| object("v1", "Secret", name, labels);
    World::start()
        .await?
        .check(&[
            // Without the label in what is written, too.
            (
                Who::Runner,
                Method::PUT,
                terraform.clone(),
                secret("terraform-backend-config", &json!({})),
                refused(instead),
            ),
            (
                Who::Runner,
                Method::DELETE,
                terraform.clone(),
                Value::Null,
                refused("secrets terraform-backend-config carries"),
            ),
            (
                Who::Runner,
                Method::POST,
                secrets(TENANT, ""),
                secret("own", &ours),
                refused("secrets own carries"),
            ),
            (Who::Runner, Method::POST, secrets(TENANT, ""), secret("own", &json!({})), None),
            // Tekton copies a pipeline's labels to its runs.
            (Who::Runner, Method::POST, runs, run, None),
            (
                Who::Admin,
                Method::POST,
                secrets("org-shield", ""),
                secret("org-secrets", &ours),
                refused(instead),
            ),
            (Who::Admin, Method::POST, secrets("org-shield", ""), secret("org-secrets", &json!({})), None),
            (Who::Developer, Method::POST, secrets(TEAM, ""), secret("own", &ours), None),
            (
                Who::Deployer,
                Method::PATCH,
                pipeline.clone(),
                patch.clone(),
                refused("pipelines shield-app carries"),
            ),
            (
                Who::Deployer,
                Method::DELETE,
                core(TENANT, ""),
                Value::Null,
                refused("namespaces shield-app carries"),
            ),
            (Who::Deployer, Method::DELETE, core(TEAM, ""), Value::Null, None),
            (
                Who::Deployer,
                Method::PATCH,
                format!("{roles}/pipeline-runner-shield-app"),
                patch.clone(),
                refused("clusterroles pipeline-runner-shield-app carries"),
            ),
            (Who::Operator, Method::PATCH, pipeline.clone(), patch.clone(), None),
            (Who::Controllers, Method::PATCH, pipeline, patch, None),
            (Who::Controllers, Method::DELETE, terraform, Value::Null, None),
        ])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_privileged_name_becomes_a_tenant_and_no_namespace_makes_tenants_but_the_platforms()
-> anyhow::Result<()> {
    let elsewhere = Some(("aphex-platform-kinds", "set metadata.namespace to platform-system"));
    let privileged = Some(("aphex-tenant-names", "has a privileged name and cannot be a tenant"));
    let ours = |namespace: &str, plural: &str| group("aphex.io/v1alpha1", namespace, plural);
    let mut organization = object("aphex.io/v1alpha1", "Organization", "made-up", &json!({}));
    organization["spec"] = json!({ "displayName": "made up", "adminUsers": ["dev@acme.com"] });
    let mut binding = object("aphex.io/v1alpha1", "RepoBinding", "made-up", &json!({}));
    binding["spec"] = binding_spec("made-up", "shield");
    let outside = Some(("aphex-pipeline-namespaces", "alone, not in shield-team: set metadata.namespace"));
    let pipelines = |namespace: &str| group("platform.dev/v1alpha1", namespace, "pipelines");
    let mut pipeline = object("platform.dev/v1alpha1", "Pipeline", "made-up", &json!({}));
    pipeline["spec"] = json!({
        "organization": "shield",
        "repository": { "org": "acme", "name": "shop" },
        "pipeline": { "spec": { "tasks": [{ "name": "build", "taskRef": { "name": "build" } }] } },
    });
    let tenant = |name: &str| object("v1", "Namespace", name, &json!({ "platform.aphex/tenant": name }));
    let namespaces = || "/api/v1/namespaces".to_owned();
    World::start()
        .await?
        .check(&[
            (Who::Developer, Method::POST, ours(TEAM, "organizations"), organization.clone(), elsewhere),
            (Who::Developer, Method::POST, ours(TEAM, "repobindings"), binding.clone(), elsewhere),
            (Who::Operator, Method::POST, ours(TEAM, "organizations"), organization.clone(), elsewhere),
            (Who::Operator, Method::POST, ours(PLATFORM, "organizations"), organization, None),
            (Who::Operator, Method::POST, ours(PLATFORM, "repobindings"), binding, None),
            (Who::Developer, Method::POST, pipelines(TEAM), pipeline.clone(), outside),
            (Who::Operator, Method::POST, pipelines(TEAM), pipeline, outside),
            (Who::Controllers, Method::POST, namespaces(), tenant("kube-evil"), privileged),
            (Who::Controllers, Method::POST, namespaces(), tenant("cert"), privileged),
            (Who::Controllers, Method::POST, namespaces(), tenant("certified"), None),
            (
                Who::Operator,
                Method::PATCH,
                core("kube-system", ""),
                labels(&json!({ "platform.aphex/tenant": "kube-system" })),
                privileged,
            ),
        ])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_made_by_the_gateway_and_stays_as_it_is() -> anyhow::Result<()> {
    let refused = Some(("aphex-deliveries", "made by the gateway alone"));
    let deliveries =
        |namespace: &str, rest: &str| group("aphex.io/v1alpha1", namespace, &format!("deliveries{rest}"));
    let delivery = |name: &str| {
        let mut delivery = object("aphex.io/v1alpha1", "Delivery", name, &json!({}));
        let time = "2026-11-24T00:00:00.000000Z";
        delivery["spec"] = json!({
            "listener": "github-listener", "listenerNamespace": "org-shield", "deliveryID": name, "payload": "",
            "verifiedBy": [], "receivedTime": time,
        });
        delivery
    };
    let world = World::start().await?;
    for namespace in [TENANT, TEAM] {
        let mut there = delivery("there");
        there["metadata"]["namespace"] = json!(namespace);
        world.engine.apply(&there).await?;
    }
    let forged = json!({ "spec": { "listener": "another" } });
    let verdict = json!({ "status": { "verdict": "Created" } });
    let replay = json!({ "metadata": { "annotations": { "platform.aphex/replay": "1" } } });
    world
        .check(&[
            (Who::Deployer, Method::POST, deliveries(TENANT, ""), delivery("new"), refused),
            (Who::Developer, Method::POST, deliveries(TEAM, ""), delivery("new"), refused),
            (Who::Operator, Method::POST, deliveries(TENANT, ""), delivery("new"), None),
            (Who::Deployer, Method::PATCH, deliveries(TENANT, "/there"), forged.clone(), refused),
            (Who::Developer, Method::PATCH, deliveries(TEAM, "/there"), forged, refused),
            (Who::Deployer, Method::PATCH, deliveries(TENANT, "/there"), verdict.clone(), refused),
            (Who::Developer, Method::PATCH, deliveries(TEAM, "/there"), verdict, refused),
            (Who::Deployer, Method::PATCH, deliveries(TENANT, "/there"), replay, None),
        ])
        .await
}

/// Whether the policy and the controller's own check agree is asked of the engine, name by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_and_the_controllers_refuse_the_same_names() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let names = [
        "argocd",
        "auth",
        "auth-system",
        "cert",
        "cert-manager",
        "certmanager",
        "default",
        "defaults",
        "external",
        "external-secrets",
        "ingress",
        "ingress-nginx",
        "kube",
        "kube-x",
        "kubernetes",
        "org",
        "org-x",
        "organ",
        "pipeline",
        "pipeline-x",
        "pipelines",
        "platform",
        "platform-system",
        "shop",
        "team",
        "team-x",
        "teams",
        "tekton",
        "tekton-x",
        "user",
        "user-x",
        "users",
    ];
    for name in names {
        let body = object("v1", "Namespace", name, &json!({ "platform.aphex/tenant": name }));
        let answer = dry_run(&engine.client, &Method::POST, "/api/v1/namespaces", &body).await;
        let refused = answer.as_ref().is_err_and(|message| message.contains("aphex-tenant-names"));
        assert_eq!(refused, name.parse::<TenantName>().is_err(), "{name}: {answer:?}");
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cluster_collects_and_takes_down_it_still_can() -> anyhow::Result<()> {
    let world = World::start().await?;
    let engine = &world.engine;
    let maps = engine.api::<ConfigMap>(TENANT);
    let mut owner = object("v1", "ConfigMap", "owner", &json!({}));
    owner["metadata"]["namespace"] = json!(TENANT);
    engine.apply(&owner).await?;
    let owner = maps.get("owner").await?;
    let mut owned = object("v1", "Secret", "owned", &json!({ MANAGED: "platform-controller" }));
    owned["metadata"]["namespace"] = json!(TENANT);
    owned["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid }]);
    engine.apply(&owned).await?;
    maps.delete("owner", &DeleteParams::default()).await?;
    let secrets = engine.api::<Secret>(TENANT);
    eventually("a managed object goes with its owner", || async {
        Ok(secrets.get_opt("owned").await?.is_none().then_some(()))
    })
    .await?;

    // The namespace controller deletes quota, policies, roles: everything that nobody else may.
    let operator = world.client(Who::Operator).await?;
    let api: Api<Namespace> = Api::all(operator);
    let uid = api.get(TENANT).await?.metadata.uid;
    api.delete(TENANT, &DeleteParams::default()).await?;
    eventually("the namespace is gone, or made again", || async {
        Ok(api.get_opt(TENANT).await?.is_none_or(|now| now.metadata.uid != uid).then_some(()))
    })
    .await?;
    world.engine.finish().await
}
