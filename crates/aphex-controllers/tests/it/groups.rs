//! The groups of people: every cell of the table in `docs/identity.md`, tried by somebody who is in that group alone.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use anyhow::Context as _;
use aphex_api::pipeline::Pipeline;
use aphex_testkit::{eventually, platform};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::engine::{Engine, may};

/// In no group, and in each.
const WHO: [&str; 6] =
    ["", "engineering", "admins", "platform-engineering", "platform-operators", "platform-admins"];

/// What is done with Pipelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create,
    List,
    Get,
    Patch,
    Delete,
}

const VERBS: [Verb; 5] = [Verb::Create, Verb::List, Verb::Get, Verb::Patch, Verb::Delete];

/// The capability matrix: `platform-engineering` creates, lists and gets, `platform-operators` deletes as well. Whoever may
/// create may change, and who looks after pages and runs sees the Pipelines that they come from.
fn allowed(group: &str, verb: Verb) -> bool {
    match verb {
        Verb::List | Verb::Get => !group.is_empty(),
        Verb::Create | Verb::Patch => {
            ["platform-engineering", "platform-operators", "platform-admins"].contains(&group)
        }
        Verb::Delete => ["platform-operators", "platform-admins"].contains(&group),
    }
}

impl Engine {
    /// Somebody who is in one group, or in none.
    async fn member(&self, group: &str) -> anyhow::Result<Client> {
        let groups = if group.is_empty() { Vec::new() } else { vec![group] };
        self.acting_as("somebody@acme.com", &groups).await
    }

    /// An engine where the groups have their rights.
    async fn with_groups() -> anyhow::Result<Self> {
        let engine = Self::without_controllers().await?;
        platform::apply_rights(&engine.client, "rbac").await?;
        // A real API server begins to know of roles a moment later.
        let last = engine.member("platform-admins").await?;
        eventually("the rights of groups hold", || async {
            Ok(may(&last, "*", "*", "").await?.then_some(()))
        })
        .await?;
        let operators = engine.member("platform-operators").await?;
        eventually("the rights of operators hold", || async {
            Ok(may(&operators, "delete", "pipelines.platform.dev", "default").await?.then_some(()))
        })
        .await?;
        Ok(engine)
    }
}

fn random() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

fn pipeline(name: &str) -> anyhow::Result<Pipeline> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "platform.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": { "name": name },
        "spec": {
            "organization": "groups",
            "repository": { "org": "acme", "name": "shop" },
            "pipeline": { "spec": { "tasks": [{ "name": "build", "taskRef": { "name": "build" } }] } },
        },
    }))?)
}

/// Does it; `there` exists. Gives what the server says against it.
async fn attempt(client: &Client, namespace: &str, verb: Verb) -> anyhow::Result<Result<(), String>> {
    let api: Api<Pipeline> = Api::namespaced(client.clone(), namespace);
    let label = json!({ "metadata": { "labels": { "tried": "yes" } } });
    let answer = match verb {
        Verb::Create => api.create(&PostParams::default(), &pipeline("new")?).await.map(drop),
        Verb::List => api.list(&ListParams::default()).await.map(drop),
        Verb::Get => api.get("there").await.map(drop),
        Verb::Patch => api.patch("there", &PatchParams::default(), &Patch::Merge(&label)).await.map(drop),
        Verb::Delete => api.delete("there", &DeleteParams::default()).await.map(drop),
    };
    match answer {
        Ok(()) => Ok(Ok(())),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Err(status.message)),
        Err(other) => Err(other).context("neither allowed nor forbidden"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_group_does_with_pipelines_what_the_matrix_says_and_nothing_else() -> anyhow::Result<()> {
    let engine = Engine::with_groups().await?;
    let suffix = random();
    let namespaces = [format!("team-{suffix}"), format!("user-{suffix}")];
    for name in &namespaces {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        engine.apply(&namespace).await?;
    }
    let mut wrong = Vec::new();
    for group in WHO {
        let client = engine.member(group).await?;
        for namespace in &namespaces {
            let all = engine.api::<Pipeline>(namespace);
            for verb in VERBS {
                if all.get_opt("there").await?.is_none() {
                    all.create(&PostParams::default(), &pipeline("there")?).await?;
                }
                let answer = attempt(&client, namespace, verb).await?;
                let word = format!("{verb:?}").to_lowercase();
                let right = match &answer {
                    Ok(()) => allowed(group, verb),
                    Err(message) => {
                        let words =
                            format!("cannot {word} resource \"pipelines\" in API group \"platform.dev\"");
                        !allowed(group, verb) && message.contains(&words) && message.contains(namespace)
                    }
                };
                if !right {
                    wrong.push(format!("{group:?} {verb:?} in {namespace}: {answer:?}"));
                }
                // What was allowed happened.
                let made = all.get_opt("new").await?.is_some();
                assert_eq!(made, verb == Verb::Create && answer.is_ok(), "{group:?} {verb:?}");
                let left = all.get_opt("there").await?;
                assert_eq!(left.is_none(), verb == Verb::Delete && answer.is_ok(), "{group:?} {verb:?}");
                if made {
                    all.delete("new", &DeleteParams::default()).await?;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_creates_a_pipeline_in_another_kind_of_namespace() -> anyhow::Result<()> {
    let engine = Engine::with_groups().await?;
    for group in ["platform-engineering", "platform-operators", "platform-admins"] {
        let client = engine.member(group).await?;
        for namespace in ["default", "platform-system", "kube-system"] {
            let answer = attempt(&client, namespace, Verb::Create).await?;
            let refused = format!("namespaces team-* and user-* alone, not in {namespace}");
            assert!(answer.as_ref().is_err_and(|message| message.contains(&refused)), "{group}: {answer:?}");
        }
    }
    engine.finish().await
}

/// Beside the matrix: group, verbs, resource; everything that is not here is refused by the last part of the test.
const MORE: &[(&[&str], &[&str], &[&str])] = &[
    (
        &["engineering", "admins", "platform-engineering", "platform-operators"],
        &["get", "list", "watch"],
        &[
            "customruns.tekton.dev",
            "events",
            "events.events.k8s.io",
            "eventlisteners.triggers.tekton.dev",
            "extensions.dashboard.tekton.dev",
            "knowledgebases.aphex.io",
            "namespaces",
            "persistentvolumeclaims",
            "pipelineruns.tekton.dev",
            "pipelines.platform.dev",
            "pipelines.tekton.dev",
            "pods",
            "pods/log",
            "resourcequotas",
            "serviceaccounts",
            "taskruns.tekton.dev",
            "tasks.tekton.dev",
            "triggers.triggers.tekton.dev",
            "triggertemplates.triggers.tekton.dev",
        ],
    ),
    (
        &["platform-engineering", "platform-operators"],
        &["create", "update", "patch"],
        &["pipelines.platform.dev"],
    ),
    (&["platform-operators"], &["get", "list", "watch", "patch"], &["deliveries.aphex.io"]),
    (&["platform-operators"], &["delete"], &["pipelines.platform.dev"]),
    (&["platform-operators"], &["patch", "delete"], &["pipelineruns.tekton.dev"]),
    (&["platform-operators"], &["create", "update", "patch", "delete"], &["knowledgebases.aphex.io"]),
    (
        &["admins"],
        &["create", "update", "patch", "delete", "deletecollection"],
        &[
            "customruns.tekton.dev",
            "eventlisteners.triggers.tekton.dev",
            "extensions.dashboard.tekton.dev",
            "pipelineruns.tekton.dev",
            "pipelines.tekton.dev",
            "taskruns.tekton.dev",
            "tasks.tekton.dev",
            "triggers.triggers.tekton.dev",
            "triggertemplates.triggers.tekton.dev",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_view_a_tenants_namespace_sees_its_deliveries_and_no_others() -> anyhow::Result<()> {
    let engine = Engine::with_groups().await?;
    let (own, other) = (format!("tenant-{}", random()), format!("tenant-{}", random()));
    for name in [&own, &other] {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        engine.apply(&namespace).await?;
    }
    let group = format!("developers-{}", random());
    engine
        .apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "developers", "namespace": own },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group }],
        }))
        .await?;
    let developer = engine.acting_as("somebody@acme.com", &[&group, "platform-engineering"]).await?;
    eventually("the role view has come to hold deliveries", || async {
        Ok(may(&developer, "list", "deliveries.aphex.io", &own).await?.then_some(()))
    })
    .await?;
    for (verb, place) in
        [("list", other.as_str()), ("get", &other), ("list", ""), ("patch", &own), ("create", &own)]
    {
        assert!(!may(&developer, verb, "deliveries.aphex.io", place).await?, "{verb} in {place:?}");
    }
    engine.finish().await
}

/// What only `platform-admins` may touch.
const KEPT: &[&str] = &[
    "configmaps",
    "secrets",
    "pods/exec",
    "serviceaccounts/token",
    "organizations.aphex.io",
    "repobindings.aphex.io",
    "repobindings/status.aphex.io",
    "pipelines/status.platform.dev",
    "rolebindings.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "users",
    "groups",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_pipelines_groups_see_what_they_work_with_and_secrets_stay_closed() -> anyhow::Result<()> {
    let engine = Engine::with_groups().await?;
    let verbs = [
        "get",
        "list",
        "watch",
        "create",
        "update",
        "patch",
        "delete",
        "deletecollection",
        "impersonate",
        "escalate",
        "bind",
    ];
    let listed = MORE.iter().flat_map(|(_, _, resources)| resources.iter().copied());
    let resources: std::collections::BTreeSet<&str> = listed.chain(KEPT.iter().copied()).collect();
    let mut wrong = Vec::new();
    for group in WHO {
        let client = engine.member(group).await?;
        for resource in &resources {
            for verb in verbs {
                let expected = group == "platform-admins"
                    || MORE.iter().any(|(groups, verbs, resources)| {
                        groups.contains(&group) && verbs.contains(&verb) && resources.contains(resource)
                    });
                if may(&client, verb, resource, "team-somewhere").await? != expected {
                    wrong.push(format!("{group:?} {verb} {resource}: expected {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    engine.finish().await
}
