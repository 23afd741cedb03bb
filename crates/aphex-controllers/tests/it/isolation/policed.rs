//! The cells that rights allow and a policy decides: a review of access does not see policies, so each is tried as a dry run.
//!
//! The one who tries was given every right in a tenant's namespace, in its organization's and in a team's, as Argo CD has
//! them: what the platform made to close a tenant in stays for him as it is, by whichever verb, and in the team's
//! namespace he does as he likes.

use http::Method;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::DeleteParams;

use super::*;
use crate::policies::{core, dry_run, group, labels, object, rights};

/// The namespaces of one test; a real API server has several tests at once.
struct Places {
    organization: String,
    tenant: String,
    infra: String,
    team: String,
}

impl Places {
    fn of(name: &str) -> Self {
        Self {
            organization: format!("org-{name}"),
            tenant: format!("{name}-app"),
            infra: format!("{name}-infra"),
            team: format!("team-{name}"),
        }
    }

    fn all(&self) -> [&str; 3] {
        [&self.tenant, &self.organization, &self.team]
    }
}

/// What the one who tries finds there, made by somebody else.
const PROBE: &str = "probe";

/// What is tried, and the policy that refuses it; none for what is let through.
type Attempt = (Method, String, Value, Option<&'static str>);

async fn policed(name: &str) -> anyhow::Result<(Engine, Places)> {
    let (engine, at) = (Engine::start().await?, Places::of(name));
    let label = json!({ "aphex.dev/org": name });
    engine.apply(&object("v1", "Namespace", &at.team, &label)).await?;
    engine.organization(name).await?;
    engine.binding(&at.tenant, name).await?;
    let mut elevated = binding_spec(&at.infra, name);
    elevated["permissionProfile"] = json!("elevated");
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", &at.infra, elevated).await?;
    engine.phase(&at.tenant, "Ready").await?;
    engine.phase(&at.infra, "Ready").await?;
    let insider =
        json!({ "kind": "User", "name": "insider@acme.com", "apiGroup": "rbac.authorization.k8s.io" });
    for place in at.all() {
        let mut binding = rights("RoleBinding", "test-insiders", std::slice::from_ref(&insider));
        binding["metadata"]["namespace"] = json!(place);
        engine.apply(&binding).await?;
        for (_, mut probe, _) in boundaries(&at, place, PROBE) {
            probe["metadata"]["namespace"] = json!(place);
            engine.apply(&probe).await?;
        }
    }
    Ok((engine, at))
}

/// What closes a tenant in: path of its kind, an object of it, the policy that guards it.
fn boundaries(at: &Places, place: &str, name: &str) -> [(String, Value, &'static str); 4] {
    let with = |version: &str, kind: &str, spec: Value| {
        let mut object = object(version, kind, name, &json!({}));
        object["spec"] = spec;
        object
    };
    let quota = with("v1", "ResourceQuota", json!({ "hard": { "pods": "500" } }));
    let limits = json!({ "limits": [{ "type": "Pod", "max": { "cpu": "64" } }] });
    let open =
        json!({ "podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"] });
    let runner = json!({ "kind": "ServiceAccount", "namespace": at.tenant, "name": "pipeline-runner" });
    let rbac = "rbac.authorization.k8s.io/v1";
    [
        (core(place, "/resourcequotas"), quota, "aphex-tenant-boundary"),
        (core(place, "/limitranges"), with("v1", "LimitRange", limits), "aphex-tenant-boundary"),
        (
            group("networking.k8s.io/v1", place, "networkpolicies"),
            with("networking.k8s.io/v1", "NetworkPolicy", open),
            "aphex-tenant-boundary",
        ),
        (group(rbac, place, "rolebindings"), rights("RoleBinding", name, &[runner]), "aphex-runner-rights"),
    ]
}

/// Every verb that writes, at every boundary of a place.
fn every_write(at: &Places, place: &str) -> Vec<Attempt> {
    let guarded = place != at.team;
    let mut attempts = Vec::new();
    for ((path, mut probe, policy), (_, fresh, _)) in
        boundaries(at, place, PROBE).into_iter().zip(boundaries(at, place, "fresh"))
    {
        let refused = guarded.then_some(policy);
        let (one, colour) = (format!("{path}/{PROBE}"), labels(&json!({ "colour": "blue" })));
        probe["metadata"]["labels"] = json!({ "colour": "blue" });
        attempts.extend([
            (Method::POST, path, fresh, refused),
            (Method::PUT, one.clone(), probe, refused),
            (Method::PATCH, one.clone(), colour.clone(), refused),
            (Method::DELETE, one, Value::Null, refused),
        ]);
    }
    let used = json!({ "status": { "used": { "pods": "0" } } });
    let quota = core(place, &format!("/resourcequotas/{PROBE}/status"));
    attempts.push((Method::PATCH, quota, used, guarded.then_some("aphex-tenant-boundary")));
    attempts
}

/// What says whose a namespace is, by every way to write it; in no place but by the platform.
fn every_label(at: &Places, place: &str) -> Vec<Attempt> {
    let refused = Some("aphex-namespace-labels");
    let mut attempts = Vec::new();
    for change in [
        json!({ "aphex.dev/org": "stranger" }),
        json!({ "aphex.dev/org": null, "platform.aphex/owner-name": "nobody" }),
        json!({ "platform.aphex/tenant": "stranger-app" }),
        json!({ "platform.aphex/managed-by": if place == at.team { json!("platform-controller") } else { Value::Null } }),
    ] {
        for path in ["", "/status"] {
            attempts.push((Method::PATCH, core(place, path), labels(&change), refused));
        }
    }
    // Without any label: all of them are taken away.
    attempts.push((Method::PUT, core(place, ""), object("v1", "Namespace", place, &json!({})), refused));
    attempts.push((Method::PATCH, core(place, ""), labels(&json!({ "colour": "blue" })), None));
    attempts
}

/// A Secret into which the cluster would write an account's token.
fn token_of(account: &str) -> Value {
    let mut secret = object("v1", "Secret", "stolen", &json!({}));
    secret["type"] = json!("kubernetes.io/service-account-token");
    secret["metadata"]["annotations"] = json!({ "kubernetes.io/service-account.name": account });
    secret
}

/// Tries all of it; tells which answers differ.
async fn tried(name: &str, client: &Client, attempts: &[Attempt]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (method, path, body, expected) in attempts {
        let answer = dry_run(client, method, path, body).await;
        let right = match (&answer, expected) {
            (Ok(()), None) => true,
            (Err(message), Some(policy)) => {
                let refused_by =
                    |policy: &str| message.contains(&format!("'{policy}' with binding '{policy}' denied"));
                // Nor may such a namespace be a tenant's: which of two that refuse is named, Kubernetes leaves open.
                let tenant = body["metadata"]["labels"]["platform.aphex/tenant"].is_string();
                message.starts_with("403 ")
                    && (refused_by(policy) || tenant && refused_by("aphex-tenant-names"))
            }
            _ => false,
        };
        if !right {
            wrong.push(format!("{name}: {method} {path} {body}: {answer:?}, expected {expected:?}"));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_closes_a_tenant_in_stays_by_whichever_verb_somebody_with_every_right_tries()
-> anyhow::Result<()> {
    let (engine, at) = policed("policed").await?;
    let insider = engine.acting_as("insider@acme.com", &[]).await?;
    let mut wrong = Vec::new();
    for place in at.all() {
        // The policies are all that stands in the way.
        for kind in ["resourcequotas", "limitranges", "networkpolicies.networking.k8s.io", "namespaces"] {
            for verb in ["update", "patch", "delete"] {
                assert!(may(&insider, verb, kind, place).await?, "{verb} {kind} in {place}");
            }
        }
        wrong.extend(tried("insider", &insider, &every_write(&at, place)).await);
        wrong.extend(tried("insider", &insider, &every_label(&at, place)).await);
        let expected = (place != at.team).then_some("aphex-account-tokens");
        let token = (Method::POST, core(place, "/secrets"), token_of("default"), expected);
        wrong.extend(tried("insider", &insider, &[token]).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let teams: Api<Namespace> = Api::all(engine.client.clone());
    teams.delete(&at.team, &DeleteParams::default()).await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runners_and_administrators_may_write_is_neither_a_token_nor_the_platforms_own()
-> anyhow::Result<()> {
    let (engine, at) = policed("policed-own").await?;
    let secrets = |place: &str| core(place, "/secrets");
    let own = |name: &str| object("v1", "Secret", name, &json!({}));
    let tokens = Some("aphex-account-tokens");
    let pipelines = |rest: &str| group("tekton.dev/v1", &at.infra, &format!("pipelines{rest}"));
    let mut pipeline = object("tekton.dev/v1", "Pipeline", "own", &json!({}));
    pipeline["spec"] = json!({ "tasks": [{ "name": "build", "taskRef": { "name": "build" } }] });
    let mut instead = pipeline.clone();
    instead["metadata"]["name"] = json!(at.infra);
    let theirs = Some("aphex-managed-objects");
    let there = engine.dynamic("tekton.dev", "v1", "Pipeline", Some(&at.infra)).get(&at.infra).await?;
    instead["metadata"]["resourceVersion"] = json!(there.metadata.resource_version);
    let runner = engine.acting_as_account(&at.tenant, "pipeline-runner").await?;
    let elevated = engine.acting_as_account(&at.infra, "pipeline-runner").await?;
    let administrator = engine.acting_as("ann@acme.com", &[]).await?;
    let mut wrong = tried(
        "runner",
        &runner,
        &[
            (Method::POST, secrets(&at.tenant), token_of("default"), tokens),
            (Method::POST, secrets(&at.tenant), own("plain"), None),
        ],
    )
    .await;
    wrong.extend(
        tried(
            "elevated runner",
            &elevated,
            &[
                (Method::POST, secrets(&at.infra), token_of("pipeline-runner"), tokens),
                (Method::POST, secrets(&at.infra), own("plain"), None),
                (Method::PUT, pipelines(&format!("/{}", at.infra)), instead, theirs),
                (Method::DELETE, pipelines(&format!("/{}", at.infra)), Value::Null, theirs),
                (Method::POST, pipelines(""), pipeline, None),
            ],
        )
        .await,
    );
    wrong.extend(
        tried(
            "administrator",
            &administrator,
            &[
                (Method::POST, secrets(&at.organization), token_of("default"), tokens),
                (Method::POST, secrets(&at.organization), own("org-secrets"), None),
            ],
        )
        .await,
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    let teams: Api<Namespace> = Api::all(engine.client.clone());
    teams.delete(&at.team, &DeleteParams::default()).await?;
    engine.finish().await
}
