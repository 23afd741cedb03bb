//! Asking the server whether a write is allowed before it is tried, and saying who could allow it.
//!
//! RBAC decides, on the server (`platform/rbac`); this only says in advance what it would say, in words that help.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::core::ApiResource;

use crate::exit;

/// A write that is about to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: Option<&'a str>,
}

impl<'a> Wish<'a> {
    /// A wish about one kind.
    pub(crate) fn new(verb: &'a str, resource: &'a ApiResource, namespace: &'a str) -> Self {
        Self { verb, group: &resource.group, resource: &resource.plural, namespace, name: None }
    }

    /// About one object.
    pub(crate) fn named(self, name: &'a str) -> Self {
        Self { name: Some(name), ..self }
    }
}

/// An error when the server would refuse; it names verb, resource, namespace, and the group that is missing.
pub(crate) async fn ensure(client: &Client, wish: Wish<'_>) -> anyhow::Result<()> {
    let attributes = ResourceAttributes {
        verb: Some(wish.verb.to_owned()),
        group: Some(wish.group.to_owned()),
        resource: Some(wish.resource.to_owned()),
        namespace: Some(wish.namespace.to_owned()),
        name: wish.name.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = match reviews.create(&PostParams::default(), &review).await {
        Ok(answer) => answer.status.unwrap_or_default(),
        // Who may not even ask is told by the write itself.
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => return Ok(()),
        Err(error) => return Err(anyhow::Error::new(error).context("cannot ask what you may do")),
    };
    if answer.allowed {
        return Ok(());
    }
    let message = denial(&wish, who(client).await.as_deref());
    Err(exit::Coded { code: exit::REFUSED, message }.into())
}

fn denial(wish: &Wish<'_>, who: Option<&str>) -> String {
    let Wish { verb, group, resource, namespace, name } = wish;
    let who = who.map(|who| format!(" ({who})")).unwrap_or_default();
    let dot = if group.is_empty() { "" } else { "." };
    let object = name.map(|name| format!(" {name:?}")).unwrap_or_default();
    format!(
        "you{who} may not {verb} {resource}{dot}{group}{object} in namespace {namespace}; {}",
        remedy(verb, group, resource, namespace)
    )
}

/// Who may do it, and how to become one of them.
pub(crate) fn remedy(verb: &str, group: &str, resource: &str, namespace: &str) -> String {
    if resource == "secrets" && namespace.starts_with("org-") {
        return format!(
            "administrators of organization {} may (its spec.adminUsers), and the group platform-admins: ask one of them",
            namespace.trim_start_matches("org-")
        );
    }
    if (group, resource) == ("aphex.io", "deliveries") && matches!(verb, "get" | "list" | "watch") {
        return "whoever may view a tenant's namespace sees its deliveries there (-n NAMESPACE), administrators of an organization \
                those of its tenants, and the group platform-operators all of them"
            .to_owned();
    }
    let group = group_that_may(verb, group, resource);
    format!(
        "members of the group {group} may: ask a platform administrator to add you, then log in anew with `aphex login`"
    )
}

/// The least group of the capability matrix that allows something; see `platform/rbac`.
pub(crate) fn group_that_may(verb: &str, group: &str, resource: &str) -> &'static str {
    let reads = matches!(verb, "get" | "list" | "watch");
    match (group, resource) {
        ("platform.dev", "pipelines") if verb == "delete" => "platform-operators",
        ("platform.dev", "pipelines") => "platform-engineering",
        ("aphex.io", "deliveries") if reads || verb == "patch" => "platform-operators",
        ("tekton.dev" | "triggers.tekton.dev", _)
        | ("aphex.io", "knowledgebases")
        | ("", "pods" | "pods/log" | "events" | "namespaces")
            if reads =>
        {
            "platform-engineering"
        }
        ("aphex.io", "knowledgebases") => "platform-operators",
        ("tekton.dev", "pipelineruns") if matches!(verb, "patch" | "delete") => "platform-operators",
        ("tekton.dev", _) => "admins",
        _ => "platform-admins",
    }
}

/// Who the server takes the caller for.
async fn who(client: &Client) -> Option<String> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok()?;
    let user = review.status?.user_info?;
    let groups: Vec<String> =
        user.groups.unwrap_or_default().into_iter().filter(|group| !group.starts_with("system:")).collect();
    let name = user.username.filter(|name| !name.is_empty())?;
    Some(match groups.as_slice() {
        [] => name,
        groups => format!("{name}, groups {}", groups.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_verb_resource_namespace_and_the_group_that_may() {
        let wish = Wish {
            verb: "delete",
            group: "platform.dev",
            resource: "pipelines",
            namespace: "team-payments",
            name: Some("checkout"),
        };
        assert_eq!(
            denial(&wish, Some("ann@acme-corp.com, groups platform-engineering")),
            "you (ann@acme-corp.com, groups platform-engineering) may not delete pipelines.platform.dev \"checkout\" in \
             namespace team-payments; members of the group platform-operators may: ask a platform administrator to add \
             you, then log in anew with `aphex login`"
        );
    }

    #[test]
    fn the_groups_are_those_of_the_capability_matrix() {
        let may = |verb, group, resource| group_that_may(verb, group, resource);
        for verb in ["create", "list", "get"] {
            assert_eq!(may(verb, "platform.dev", "pipelines"), "platform-engineering");
        }
        assert_eq!(may("delete", "platform.dev", "pipelines"), "platform-operators");
        assert_eq!(may("patch", "tekton.dev", "pipelineruns"), "platform-operators");
        for verb in ["list", "patch"] {
            assert_eq!(may(verb, "aphex.io", "deliveries"), "platform-operators");
        }
        assert_eq!(may("create", "tekton.dev", "pipelineruns"), "admins");
        assert_eq!(may("create", "aphex.io", "organizations"), "platform-admins");
    }

    #[test]
    fn secrets_of_an_organization_are_its_administrators() {
        assert!(
            remedy("patch", "", "secrets", "org-acme-corp")
                .contains("administrators of organization acme-corp")
        );
    }
}
