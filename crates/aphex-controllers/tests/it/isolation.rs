//! Who reaches what: a tenant's pipelines, a team's developers, an organization's administrators, in every place of the
//! platform, for every kind and every verb.
//!
//! What is allowed is written here once more, as rules made from the published profiles; everything else is refused.

use std::collections::BTreeSet;

use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use aphex_controllers::apply::DesiredSet as _;
use aphex_controllers::{organization, pipeline, repo_binding};
use aphex_testkit::eventually;
use futures::future::try_join_all;
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::engine::{Engine, PLATFORM, binding_spec, may, standalone_spec};

#[path = "isolation/policed.rs"]
mod policed;

const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const EDIT: &[&str] = &["get", "list", "create", "update", "delete"];
const READ: &[&str] = &["get", "list", "watch"];
const START: &[&str] = &["get", "list", "create"];

/// Kinds in namespaces: what the platform writes, what profiles speak of, what would be worth having.
const NAMESPACED: [&str; 38] = [
    "configmaps",
    "limitranges",
    "persistentvolumeclaims",
    "pods",
    "pods/exec",
    "pods/log",
    "resourcequotas",
    "resourcequotas/status",
    "secrets",
    "serviceaccounts",
    "serviceaccounts/token",
    "services",
    "deployments.apps",
    "statefulsets.apps",
    "ingresses.networking.k8s.io",
    "networkpolicies.networking.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "pipelineruns.tekton.dev",
    "pipelines.tekton.dev",
    "taskruns.tekton.dev",
    "tasks.tekton.dev",
    "eventlisteners.triggers.tekton.dev",
    "triggerbindings.triggers.tekton.dev",
    "triggers.triggers.tekton.dev",
    "triggertemplates.triggers.tekton.dev",
    "applications.argoproj.io",
    "appprojects.argoproj.io",
    "deliveries.aphex.io",
    "knowledgebases.aphex.io",
    "knowledgebases/status.aphex.io",
    "organizations.aphex.io",
    "organizations/status.aphex.io",
    "repobindings.aphex.io",
    "repobindings/status.aphex.io",
    "pipelines.platform.dev",
    "pipelines/status.platform.dev",
    "leases.coordination.k8s.io",
];

/// Kinds of the cluster.
const CLUSTER: [&str; 14] = [
    "namespaces",
    "nodes",
    "nodes/proxy",
    "persistentvolumes",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "clustersecretstores.external-secrets.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "ingressclasses.networking.k8s.io",
    "storageclasses.storage.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "clusterinterceptors.triggers.tekton.dev",
    "clustertriggerbindings.triggers.tekton.dev",
];

/// Rights by which somebody becomes somebody else, or gives rights that he lacks: kinds and verbs, in every place.
const POWERS: [(&[&str], &[&str]); 2] = [
    (
        &[
            "users",
            "groups",
            "serviceaccounts",
            "uids.authentication.k8s.io",
            "userextras/scopes.authentication.k8s.io",
        ],
        &["impersonate"],
    ),
    (&["roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io"], &["bind", "escalate"]),
];

/// What a profile allows: kinds and verbs, in the tenant's own namespace, and at cluster scope.
struct Profile {
    own: &'static [(&'static [&'static str], &'static [&'static str])],
    cluster: &'static [&'static str],
}

const STANDARD: Profile = Profile {
    own: &[
        (&["pods", "pods/log", "configmaps", "secrets"], EDIT),
        (&["pipelineruns.tekton.dev", "taskruns.tekton.dev"], START),
    ],
    cluster: &["clusterinterceptors.triggers.tekton.dev", "clustertriggerbindings.triggers.tekton.dev"],
};

const ELEVATED: Profile = Profile {
    own: &[
        (&["pods", "pods/log", "configmaps", "secrets", "services", "persistentvolumeclaims"], EDIT),
        (
            &["pipelineruns.tekton.dev", "taskruns.tekton.dev", "pipelines.tekton.dev", "tasks.tekton.dev"],
            EDIT,
        ),
        (&["deployments.apps", "statefulsets.apps"], EDIT),
    ],
    cluster: &[
        "clusterinterceptors.triggers.tekton.dev",
        "clustertriggerbindings.triggers.tekton.dev",
        "nodes",
        "namespaces",
        "persistentvolumes",
        "storageclasses.storage.k8s.io",
        "ingressclasses.networking.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
    ],
};

/// What the runner of a tenant that stands alone has besides: its listener runs as it, and finds its triggers.
const LISTENER: (&[&str], &[&str]) = (
    &[
        "eventlisteners.triggers.tekton.dev",
        "triggerbindings.triggers.tekton.dev",
        "triggers.triggers.tekton.dev",
        "triggertemplates.triggers.tekton.dev",
    ],
    READ,
);

/// Who asks, and what is theirs.
struct Identity {
    /// For messages.
    name: &'static str,
    client: Client,
    /// Every cell that is allowed.
    allowed: BTreeSet<Cell>,
    /// Where they must not even read.
    foreign: Vec<&'static str>,
}

/// What an administrator may do in the organization's namespace; the Secret `org-secrets` aside, which is asked by name.
const ADMINISTRATOR: &[(&[&str], &[&str])] = &[
    (&["secrets"], &["create"]),
    (&["configmaps", "pods", "pods/log", "serviceaccounts", "services"], READ),
    (
        &[
            "eventlisteners.triggers.tekton.dev",
            "triggerbindings.triggers.tekton.dev",
            "triggers.triggers.tekton.dev",
            "triggertemplates.triggers.tekton.dev",
        ],
        READ,
    ),
    DELIVERIES,
];

/// What an administrator sees in the namespaces of the organization's tenants, and who may view a tenant's.
const DELIVERIES: (&[&str], &[&str]) = (&["deliveries.aphex.io"], READ);

/// Cells of a place, by kinds and verbs.
fn within(place: &str, rules: &[(&[&'static str], &[&'static str])]) -> BTreeSet<Cell> {
    let cells = rules.iter().flat_map(|(kinds, verbs)| {
        kinds.iter().flat_map(|kind| verbs.iter().map(|verb| (place.to_owned(), *kind, *verb)))
    });
    cells.collect()
}

/// A cell: place (empty for the cluster), kind, verb.
type Cell = (String, &'static str, &'static str);

/// Every cell that is allowed to a tenant.
fn allowed(profile: &Profile, own: &str) -> BTreeSet<Cell> {
    let mut cells = within(own, profile.own);
    cells.extend(within("", &[(profile.cluster, READ)]));
    cells
}

/// Asks the engine, as the tenant, about every cell.
async fn answers(client: &Client, places: &[&str]) -> anyhow::Result<BTreeSet<Cell>> {
    let mut allowed = BTreeSet::new();
    let namespaced = places.iter().flat_map(|place| NAMESPACED.iter().map(move |kind| (*place, *kind)));
    // With no namespace: in all of them.
    let everywhere = NAMESPACED.iter().chain(&CLUSTER).map(|kind| ("", *kind));
    for (place, kind) in namespaced.chain(everywhere) {
        let asked = VERBS.iter().map(|verb| may(client, verb, kind, place));
        let given = try_join_all(asked).await?;
        let verbs = VERBS.iter().zip(given).filter_map(|(verb, given)| given.then_some(*verb));
        allowed.extend(verbs.map(|verb| (place.to_owned(), kind, verb)));
    }
    for place in places.iter().copied().chain([""]) {
        for cell in within(place, &POWERS) {
            if may(client, cell.2, cell.1, place).await? {
                allowed.insert(cell);
            }
        }
    }
    Ok(allowed)
}

/// Version and plural of a kind, as a path has them; nothing for subresources.
fn path(kind: &str, place: &str) -> Option<String> {
    let (plural, group) = kind.split_once('.').unwrap_or((kind, ""));
    if plural.contains('/') {
        return None;
    }
    let version = match group {
        "" => return Some(format!("/api/v1/namespaces/{place}/{plural}")),
        "aphex.io" | "argoproj.io" | "platform.dev" => "v1alpha1",
        "triggers.tekton.dev" => "v1beta1",
        _ => "v1",
    };
    Some(format!("/apis/{group}/{version}/namespaces/{place}/{plural}"))
}

/// Tries for real, in places that are not theirs, to read, to write and to delete each kind: 403 each time, not 404.
///
/// Writes are dry runs of what would be refused for another reason if it were let through.
async fn is_kept_out(identity: &Identity) -> anyhow::Result<()> {
    for place in &identity.foreign {
        for (kind, path) in NAMESPACED.iter().filter_map(|kind| Some((*kind, path(kind, place)?))) {
            let reads = identity.allowed.contains(&((*place).to_owned(), kind, "list"));
            let attempts = [
                (http::Method::GET, path.clone()),
                (http::Method::POST, format!("{path}?dryRun=All")),
                (http::Method::DELETE, format!("{path}/no-such-object?dryRun=All")),
            ];
            for (method, path) in attempts.into_iter().skip(usize::from(reads)) {
                let request = http::Request::builder().method(&method).uri(&path);
                let request = request.header("content-type", "application/json");
                let answer = identity.client.request::<Value>(request.body(b"{}".to_vec())?).await;
                let forbidden = matches!(&answer, Err(kube::Error::Api(status)) if status.code == 403);
                assert!(forbidden, "{}: {method} {path}: {answer:?}", identity.name);
            }
        }
    }
    Ok(())
}

const PLACES: [&str; 11] = [
    "matrix-app",
    "matrix-infra",
    "stranger-app",
    "hermit",
    "org-matrix",
    "org-stranger",
    "matrix-team",
    PLATFORM,
    "argocd",
    "kube-system",
    "default",
];

/// Two organizations with their tenants, and a team's namespace in which a developer may do everything.
async fn world() -> anyhow::Result<Engine> {
    let engine = Engine::start().await?;
    engine.organization("matrix").await?;
    let spec = json!({ "displayName": "stranger", "adminUsers": ["eve@stranger.com"] });
    engine.create::<Organization>(PLATFORM, "Organization", "stranger", spec).await?;
    engine.binding("matrix-app", "matrix").await?;
    let mut elevated = binding_spec("matrix-infra", "matrix");
    elevated["permissionProfile"] = json!("elevated");
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "matrix-infra", elevated).await?;
    engine.binding("stranger-app", "stranger").await?;
    let labels = json!({ "aphex.dev/org": "matrix" });
    let team = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "matrix-team", "labels": labels } });
    engine.apply(&team).await?;
    engine
        .apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": "developers", "namespace": "matrix-team" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "dev@acme.com" }],
        }))
        .await?;
    let hermit = standalone_spec("hermit", Some("hooks.example.com"));
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "hermit", hermit).await?;
    for name in ["matrix-app", "matrix-infra", "stranger-app", "hermit"] {
        engine.phase(name, "Ready").await?;
    }
    Ok(engine)
}

/// Everybody who might try, with what the rules give them.
async fn identities(engine: &Engine) -> anyhow::Result<Vec<Identity>> {
    let foreign = |own: &str| PLACES.into_iter().filter(|place| *place != own).collect::<Vec<_>>();
    let runner = |own: &'static str| engine.acting_as_account(own, "pipeline-runner");
    let team = &within("matrix-team", &[(&NAMESPACED, &VERBS)]) | &within("matrix-team", &POWERS);
    Ok(vec![
        Identity {
            name: "runner of the standard profile",
            client: runner("matrix-app").await?,
            allowed: allowed(&STANDARD, "matrix-app"),
            foreign: foreign("matrix-app"),
        },
        Identity {
            name: "runner of the elevated profile",
            client: runner("matrix-infra").await?,
            allowed: allowed(&ELEVATED, "matrix-infra"),
            foreign: foreign("matrix-infra"),
        },
        Identity {
            name: "runner of a tenant that stands alone",
            client: runner("hermit").await?,
            allowed: &allowed(&STANDARD, "hermit") | &within("hermit", &[LISTENER]),
            foreign: foreign("hermit"),
        },
        Identity {
            name: "developer of a team",
            client: engine.acting_as("dev@acme.com", &[]).await?,
            allowed: team,
            foreign: foreign("matrix-team"),
        },
        Identity {
            name: "administrator of the organization",
            client: engine.acting_as("ann@acme.com", &[]).await?,
            allowed: ["matrix-app", "matrix-infra"]
                .iter()
                .fold(within("org-matrix", ADMINISTRATOR), |allowed, tenant| {
                    &allowed | &within(tenant, &[DELIVERIES])
                }),
            foreign: foreign("org-matrix"),
        },
        Identity {
            name: "another account of a tenant's namespace",
            client: engine.acting_as_account("matrix-app", "default").await?,
            allowed: BTreeSet::new(),
            foreign: PLACES.to_vec(),
        },
        Identity {
            name: "somebody of no organization",
            client: engine.acting_as("mallory@example.com", &[]).await?,
            allowed: BTreeSet::new(),
            foreign: PLACES.to_vec(),
        },
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_reaches_what_the_rules_say_and_nothing_else() -> anyhow::Result<()> {
    let engine = world().await?;
    for identity in identities(&engine).await? {
        let (found, name) = (answers(&identity.client, &PLACES).await?, identity.name);
        let much: Vec<&Cell> = found.difference(&identity.allowed).collect();
        assert!(much.is_empty(), "{name}: allowed and in no rule: {much:?}");
        let little: Vec<&Cell> = identity.allowed.difference(&found).collect();
        assert!(little.is_empty(), "{name}: in a rule and refused: {little:?}");
        is_kept_out(&identity).await?;
    }
    let administrator = engine.acting_as("ann@acme.com", &[]).await?;
    for (name, place, expected) in [
        ("org-secrets", "org-matrix", true),
        ("org-secrets", "org-stranger", false),
        ("github-webhook-secret", "org-matrix", false),
        ("webhook-matrix-app", "org-matrix", false),
    ] {
        let request = http::Request::get(format!("/api/v1/namespaces/{place}/secrets/{name}"));
        let answer = administrator.request::<Value>(request.body(Vec::new())?).await;
        let forbidden = matches!(&answer, Err(kube::Error::Api(status)) if status.code == 403);
        assert_eq!(!forbidden, expected, "{place}/{name}: {answer:?}");
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_who_leaves_sees_no_deliveries_any_more() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("leaving").await?;
    engine.binding("leaving-app", "leaving").await?;
    engine.phase("leaving-app", "Ready").await?;
    let administrator = engine.acting_as("ann@acme.com", &[]).await?;
    let sees = || may(&administrator, "list", "deliveries.aphex.io", "leaving-app");
    eventually("an administrator sees them", || async { Ok(sees().await?.then_some(())) }).await?;
    let others = json!({ "spec": { "adminUsers": ["eve@stranger.com"] } });
    let organizations = engine.api::<Organization>(PLATFORM);
    organizations.patch("leaving", &PatchParams::default(), &Patch::Merge(&others)).await?;
    eventually("and no longer", || async { Ok((!sees().await?).then_some(())) }).await?;
    engine.finish().await
}

#[test]
fn every_kind_that_the_platform_writes_is_in_the_matrix() {
    let listed: BTreeSet<&str> = NAMESPACED.into_iter().chain(CLUSTER).collect();
    let kinds = organization::Desired::kinds().into_iter().chain(repo_binding::Desired::kinds());
    for kind in kinds.chain(pipeline::Desired::kinds()) {
        let (plural, group) = (&kind.resource.plural, &kind.resource.group);
        let name = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
        assert!(listed.contains(name.as_str()), "{name} is not in the matrix");
    }
    for definition in aphex_api::crds::all() {
        let (plural, group) = (&definition.spec.names.plural, &definition.spec.group);
        let status = definition.spec.versions.iter().any(|version| {
            version.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some())
        });
        let names = [Some(format!("{plural}.{group}")), status.then(|| format!("{plural}/status.{group}"))];
        for name in names.into_iter().flatten() {
            assert!(listed.contains(name.as_str()), "{name} is not in the matrix");
        }
    }
}
