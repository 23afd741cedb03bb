//! The engine: version, kinds, namespaces, and what the caller may do.

use std::collections::BTreeMap;

use aphex_runtime::errors;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::IngressClass;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};

use crate::cli::Exposure;
use crate::commands::definitions;
use crate::commands::report::{Check, Report};
use crate::commands::settings::NAMESPACE;

/// The oldest minor version of Kubernetes 1 that the platform runs on.
const OLDEST: u32 = 32;
/// What whoever runs the platform does with it: verb, group, resource, and whether it is in the platform's namespace.
const NEEDED: [(&str, &str, &str, bool); 7] = [
    ("create", "aphex.io", "organizations", true),
    ("list", "aphex.io", "organizations", true),
    ("delete", "aphex.io", "organizations", true),
    ("create", "aphex.io", "repobindings", true),
    ("list", "aphex.io", "repobindings", true),
    ("delete", "aphex.io", "repobindings", true),
    ("list", "aphex.io", "deliveries", false),
];

/// Whether the API answers, and is new enough; false when it does not answer.
pub(super) async fn version(client: &Client, report: &mut Report) -> bool {
    const CHECK: &str = "kubernetes";
    let version = match client.apiserver_version().await {
        Ok(version) => version,
        Err(error) => {
            let remedy = "start one with `aphex up`, or give the --kubeconfig and --context of one that runs";
            report.add(Check::fail(CHECK, &format!("no answer: {}", errors::chain(&error)), remedy));
            return false;
        }
    };
    let minor: u32 = version.minor.trim_end_matches('+').parse().unwrap_or_default();
    let found = &version.git_version;
    report.add(if version.major == "1" && minor < OLDEST {
        Check::fail(CHECK, found, &format!("upgrade the cluster to Kubernetes 1.{OLDEST} or later"))
    } else {
        Check::ok(CHECK, found)
    });
    true
}

/// Whether every kind is served that some part of the platform works with, by who brings it.
pub(super) async fn kinds(client: &Client, report: &mut Report) {
    let mut kinds = aphex_controllers::defined_kinds();
    kinds.extend(aphex_gateway::defined_kinds());
    kinds.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural)));
    kinds.dedup();
    let missing = match definitions::missing(client, &kinds).await {
        Ok(missing) => missing,
        Err(error) => {
            let remedy = "whoever runs this must be allowed to read the API's discovery";
            report.add(Check::fail("kinds", &errors::chain(&error), remedy));
            return;
        }
    };
    let mut groups: BTreeMap<&str, (usize, Vec<&str>)> = BTreeMap::new();
    for kind in &kinds {
        let (count, lacking) = groups.entry(&kind.group).or_default();
        *count += 1;
        if missing.contains(&kind) {
            lacking.push(&kind.kind);
        }
    }
    for (group, (count, lacking)) in groups {
        let check = format!("kinds {group}");
        report.add(if lacking.is_empty() {
            Check::ok(&check, &format!("{count} served"))
        } else {
            let found = format!("not served: {}", lacking.join(", "));
            Check::fail(&check, &found, definitions::installed_with(group))
        });
    }
}

/// Whether the platform's namespace is there.
pub(super) async fn namespaces(client: &Client, report: &mut Report) {
    let check = format!("namespace {NAMESPACE}");
    report.add(match Api::<Namespace>::all(client.clone()).get_opt(NAMESPACE).await {
        Ok(Some(_)) => Check::ok(&check, "exists"),
        Ok(None) => Check::fail(
            &check,
            "does not exist",
            "install the platform: `aphex install platform`, or kubectl apply --server-side -k platform/",
        ),
        Err(error) => Check::warn(
            &check,
            &errors::chain(&error),
            "whoever runs this may not look at it: ask for get on namespaces",
        ),
    });
}

/// Whether the caller may do what running the platform takes.
pub(super) async fn permissions(client: &Client, report: &mut Report) {
    const CHECK: &str = "permissions";
    let mut refused = Vec::new();
    for (verb, group, resource, within) in NEEDED {
        match may(client, verb, group, resource, within.then_some(NAMESPACE)).await {
            Ok(true) => {}
            Ok(false) => refused.push(format!("{verb} {resource}")),
            Err(error) => {
                let remedy =
                    "the cluster must let everybody create SelfSubjectAccessReviews, as it does by default";
                report.add(Check::fail(CHECK, &errors::chain(&error), remedy));
                return;
            }
        }
    }
    report.add(if refused.is_empty() {
        Check::ok(CHECK, &format!("all {} of an administrator of the platform", NEEDED.len()))
    } else {
        let remedy = "enough for developers; to administer the platform, ask for the group platform-admins";
        Check::warn(CHECK, &format!("may not: {}", refused.join(", ")), remedy)
    });
}

async fn may(
    client: &Client,
    verb: &str,
    group: &str,
    resource: &str,
    namespace: Option<&str>,
) -> kube::Result<bool> {
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec =
        SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), non_resource_attributes: None };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// Whether the platform's own pods run. Where there are none the platform is not installed, or is `aphex up`.
pub(super) async fn workloads(client: &Client, report: &mut Report) {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let own = ListParams::default().labels("app.kubernetes.io/name=aphex");
    let Ok(found) = api.list(&own).await else {
        let remedy = "whoever runs this may not list Deployments there, so nothing is known of the pods";
        report.add(Check::warn("pods", "cannot be looked at", remedy));
        return;
    };
    for deployment in found.items {
        let name = deployment.name_any();
        let status = deployment.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let found = format!("{} available", status.available_replicas.unwrap_or_default());
        let remedy = format!(
            "kubectl describe pods -n {NAMESPACE} and kubectl logs -n {NAMESPACE} deployment/{name} say why"
        );
        report.add(if conditions.iter().any(|c| c.type_ == "Available" && c.status == "True") {
            Check::ok(&name, &found)
        } else {
            Check::fail(&name, &found, &remedy)
        });
    }
}

/// Whether the class of Ingress objects is there.
pub(super) async fn ingress_class(client: &Client, exposure: &Exposure, report: &mut Report) {
    const CHECK: &str = "ingress class";
    const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
    let classes = match Api::<IngressClass>::all(client.clone()).list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(error) => {
            report.add(Check::warn(
                CHECK,
                &errors::chain(&error),
                "whoever runs this may not list IngressClasses",
            ));
            return;
        }
    };
    let wanted = exposure.ingress_class.as_deref().filter(|name| !name.is_empty());
    let found = classes.iter().find(|class| match wanted {
        Some(name) => class.name_any() == name,
        None => class.annotations().get(DEFAULT).is_some_and(|text| text == "true"),
    });
    report.add(match (found, wanted) {
        (Some(class), _) => Check::ok(CHECK, &class.name_any()),
        (None, Some(name)) => Check::fail(
            CHECK,
            &format!("there is no IngressClass {name}"),
            "install that ingress controller, or set --ingress-class",
        ),
        (None, None) => Check::fail(
            CHECK,
            "no IngressClass is the default",
            "set --ingress-class (APHEX_INGRESS_CLASS) to one that exists",
        ),
    });
}
