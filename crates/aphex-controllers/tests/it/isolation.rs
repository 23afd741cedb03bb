//! Who reaches what: a tenant's pipelines, in every place of the platform, for every kind and every verb.
//!
//! What is allowed is written here once more, from the published permission profiles; everything else is refused.

use std::collections::BTreeSet;

use aphex_api::repo_binding::RepoBinding;
use futures::future::try_join_all;
use kube::Client;
use serde_json::{Value, json};

use crate::engine::{Engine, PLATFORM, binding_spec, standalone_spec};

const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const EDIT: &[&str] = &["get", "list", "create", "update", "delete"];
const READ: &[&str] = &["get", "list", "watch"];
const START: &[&str] = &["get", "list", "create"];

/// Kinds in namespaces: what the platform writes, what profiles speak of, what would be worth having.
const NAMESPACED: [&str; 33] = [
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
    "organizations.aphex.io",
    "repobindings.aphex.io",
    "repobindings/status.aphex.io",
    "leases.coordination.k8s.io",
];

/// Kinds of the cluster.
const CLUSTER: [&str; 13] = [
    "namespaces",
    "nodes",
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

/// A cell: place (empty for the cluster), kind, verb.
type Cell = (String, &'static str, &'static str);

/// Every cell that is allowed to a tenant.
fn allowed(profile: &Profile, own: &str) -> BTreeSet<Cell> {
    let here = profile.own.iter().flat_map(|(kinds, verbs)| {
        kinds.iter().flat_map(|kind| verbs.iter().map(|verb| (own.to_owned(), *kind, *verb)))
    });
    let everywhere =
        profile.cluster.iter().flat_map(|kind| READ.iter().map(|verb| (String::new(), *kind, *verb)));
    here.chain(everywhere).collect()
}

/// Asks the engine, as the tenant, about every cell.
async fn answers(client: &Client, places: &[&str]) -> anyhow::Result<BTreeSet<Cell>> {
    let mut allowed = BTreeSet::new();
    let namespaced = places.iter().flat_map(|place| NAMESPACED.iter().map(move |kind| (*place, *kind)));
    // With no namespace: in all of them.
    let everywhere = NAMESPACED.iter().chain(&CLUSTER).map(|kind| ("", *kind));
    for (place, kind) in namespaced.chain(everywhere) {
        let asked = VERBS.iter().map(|verb| may(client, place, kind, verb));
        let given = try_join_all(asked).await?;
        let verbs = VERBS.iter().zip(given).filter_map(|(verb, given)| given.then_some(*verb));
        allowed.extend(verbs.map(|verb| (place.to_owned(), kind, verb)));
    }
    Ok(allowed)
}

async fn may(client: &Client, place: &str, kind: &str, verb: &str) -> anyhow::Result<bool> {
    let (path, group) = kind.split_once('.').unwrap_or((kind, ""));
    let (resource, subresource) = path.split_once('/').unwrap_or((path, ""));
    let attributes = json!({
        "namespace": place, "verb": verb, "group": group, "resource": resource, "subresource": subresource,
    });
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes },
    });
    let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header("content-type", "application/json")
        .body(review.to_string().into_bytes())?;
    Ok(client.request::<Value>(request).await?["status"]["allowed"] == true)
}

/// Reads for real what the platform keeps in places that are not the tenant's: 403 each time, not 404.
async fn is_kept_out(client: &Client, places: &[&str]) -> anyhow::Result<()> {
    let kinds = [
        "api/v1 secrets",
        "api/v1 configmaps",
        "api/v1 resourcequotas",
        "apis/rbac.authorization.k8s.io/v1 rolebindings",
        "apis/tekton.dev/v1 pipelines",
        "apis/tekton.dev/v1 pipelineruns",
        "apis/triggers.tekton.dev/v1beta1 triggers",
        "apis/aphex.io/v1alpha1 repobindings",
        "apis/aphex.io/v1alpha1 deliveries",
    ];
    for place in places {
        for (version, plural) in kinds.iter().filter_map(|kind| kind.split_once(' ')) {
            let path = format!("/{version}/namespaces/{place}/{plural}");
            let request = http::Request::get(&path).body(Vec::new())?;
            let answer = client.request::<Value>(request).await;
            let forbidden = matches!(&answer, Err(kube::Error::Api(status)) if status.code == 403);
            assert!(forbidden, "GET {path}: {answer:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_pipelines_reach_what_their_profile_says_and_nothing_else() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("matrix").await?;
    engine.organization("stranger").await?;
    engine.binding("matrix-app", "matrix").await?;
    let mut elevated = binding_spec("matrix-infra", "matrix");
    elevated["permissionProfile"] = json!("elevated");
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "matrix-infra", elevated).await?;
    engine.binding("stranger-app", "stranger").await?;
    let hermit = standalone_spec("hermit", Some("hooks.example.com"));
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "hermit", hermit).await?;
    for name in ["matrix-app", "matrix-infra", "stranger-app", "hermit"] {
        engine.phase(name, "Ready").await?;
    }
    for (own, neighbour, profile) in [
        ("matrix-app", "matrix-infra", STANDARD),
        ("matrix-infra", "matrix-app", ELEVATED),
        ("hermit", "matrix-app", STANDARD),
    ] {
        let runner = engine.acting_as_account(own, "pipeline-runner").await?;
        let foreign = [
            neighbour,
            "stranger-app",
            if own == "hermit" { "matrix-infra" } else { "hermit" },
            "org-matrix",
            "org-stranger",
            PLATFORM,
            "argocd",
            "kube-system",
            "default",
        ];
        let places: Vec<&str> = std::iter::once(own).chain(foreign).collect();
        let (found, mut expected) = (answers(&runner, &places).await?, allowed(&profile, own));
        if own == "hermit" {
            let (kinds, verbs) = LISTENER;
            let cells = kinds.iter().flat_map(|kind| verbs.iter().map(|verb| (own.to_owned(), *kind, *verb)));
            expected.extend(cells);
        }
        assert_eq!(
            found.difference(&expected).collect::<Vec<_>>(),
            Vec::<&Cell>::new(),
            "{own}: allowed too much"
        );
        assert_eq!(expected.difference(&found).collect::<Vec<_>>(), Vec::<&Cell>::new(), "{own}: refused");
        is_kept_out(&runner, &foreign).await?;
    }
    engine.finish().await
}
