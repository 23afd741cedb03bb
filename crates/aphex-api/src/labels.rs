//! Every label, annotation, finalizer and field-manager key that the platform writes.

/// Label: the organization an object belongs to.
pub const ORGANIZATION: &str = "platform.aphex/organization";
/// Label: the controller that keeps the object; see [`ORGANIZATION_CONTROLLER`], [`PLATFORM_CONTROLLER`].
pub const MANAGED_BY: &str = "platform.aphex/managed-by";
/// Label: the tenant whose namespace the object is, or is in, or is for.
pub const TENANT: &str = "platform.aphex/tenant";
/// Label: the pipeline the object serves; Applications carry it too, and go with the binding.
pub const PIPELINE: &str = "platform.aphex/pipeline";
/// Label (`<org>.<name>`) and annotation (`<org>/<name>`): the repository of a tenant.
pub const REPO: &str = "platform.aphex/repo";
/// Label on namespaces: the organization whose secret store may be used there.
pub const SECRET_STORE_ORGANIZATION: &str = "aphex.dev/org";
/// Label: the permission profile of a tenant namespace.
pub const PERMISSION_PROFILE: &str = "platform.aphex/permission-profile";

/// What the labels that name an owner begin with.
pub const OWNER_PREFIX: &str = "platform.aphex/owner-";
/// Label: kind of the owner, for owners that an owner reference cannot name (other namespace, cluster scope).
pub const OWNER_KIND: &str = "platform.aphex/owner-kind";
/// Label: namespace of the owner, when it is not the platform's own.
pub const OWNER_NAMESPACE: &str = "platform.aphex/owner-namespace";
/// Label: name of the owner.
pub const OWNER_NAME: &str = "platform.aphex/owner-name";
/// Label: uid of the owner; pruning and deletion go by it.
pub const OWNER_UID: &str = "platform.aphex/owner-uid";

/// Label on TriggerTemplates: version of the dispatcher template.
pub const TEMPLATE_VERSION: &str = "platform.aphex/template-version";
/// Annotation on TriggerTemplates: the catalog template it was made from.
pub const TEMPLATE: &str = "platform.aphex/template";
/// Annotation on TriggerTemplates whose runs are compared with each other: the binding's concurrency policy.
pub const CONCURRENCY: &str = "platform.aphex/concurrency";

/// Label on runs: made by a webhook event.
pub const TRIGGERED: &str = "platform.aphex/triggered";
/// Label on runs: type of the event.
pub const EVENT_TYPE: &str = "platform.aphex/event-type";
/// Label on runs: id of the event.
pub const EVENT_ID: &str = "platform.aphex/event-id";

/// Annotation on runs: the git ref they are of, `refs/heads/<branch>` or `refs/pull/<number>/head`.
pub const REF: &str = "platform.aphex/ref";
/// Annotation on runs: when their event was received, RFC 3339; empty where the sink does not tell.
pub const TRIGGERED_AT: &str = "platform.aphex/triggered-at";
/// Annotation on runs: made pending, to be released by the controllers.
pub const QUEUED: &str = "platform.aphex/queued";

/// Annotation on runs that were cancelled for a newer one: the newer one's name.
pub const SUPERSEDED_BY: &str = "platform.aphex/superseded-by";

/// Annotation on runs that somebody started again: the run that they repeat.
pub const RERUN_OF: &str = "platform.aphex/rerun-of";

/// Annotation on a RepoBinding or Organization: any new value asks for a new webhook secret.
pub const ROTATE_WEBHOOK_SECRET: &str = "platform.aphex/rotate-webhook-secret";
/// Annotation beside it: how long the old secret still verifies, such as `24h`.
pub const ROTATION_GRACE: &str = "platform.aphex/rotate-webhook-secret-grace";

/// Annotation on a Trigger beside its listener: the tenant namespace in which Deliveries of its events are kept.
pub const DELIVERIES_NAMESPACE: &str = "platform.aphex/deliveries-namespace";

/// Annotation on a tunnel's credentials: the host name that leads to it.
pub const TUNNEL_HOST: &str = "platform.aphex/tunnel-host";

/// Kubernetes' own label that carries a namespace's name.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Kubernetes' recommended label for an application's name.
pub const APP_NAME: &str = "app.kubernetes.io/name";

/// Kubernetes' recommended label for the part an object plays in its application.
pub const APP_COMPONENT: &str = "app.kubernetes.io/component";
/// Kubernetes' label for the Pod Security Standard that a namespace enforces.
pub const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// Finalizer of Organizations.
pub const ORGANIZATION_FINALIZER: &str = "platform.aphex/organization-finalizer";
/// Finalizer of RepoBindings.
pub const REPO_BINDING_FINALIZER: &str = "platform.aphex/finalizer";
/// Finalizer of Pipelines.
pub const PIPELINE_FINALIZER: &str = "platform.aphex/pipeline-finalizer";

/// Value of [`MANAGED_BY`] on what the Organization controller keeps.
pub const ORGANIZATION_CONTROLLER: &str = "organization-controller";
/// Value of [`MANAGED_BY`] on what the RepoBinding controller keeps, as the published API names it.
pub const PLATFORM_CONTROLLER: &str = "platform-controller";
/// Value of [`MANAGED_BY`] on what the Pipeline controller keeps.
pub const PIPELINE_CONTROLLER: &str = "pipeline-controller";

/// Annotation on what the controllers apply: a checksum of it, which tells them whether they want something else by now.
pub const APPLIED: &str = "platform.aphex/applied";

/// The field manager of every server-side apply by a controller.
pub const FIELD_MANAGER: &str = "aphex-controller";

/// Longest value a label may have (validation.LabelValueMaxLength in k8s.io/apimachinery).
pub const VALUE_MAX: usize = 63;

/// Whether a text can be the value of a label (validation.IsValidLabelValue in k8s.io/apimachinery).
#[must_use]
pub fn is_value(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= VALUE_MAX
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The text as a label value: itself when it is one, else a readable part of it and a checksum.
#[must_use]
pub fn value_of(text: &str) -> String {
    if is_value(text) {
        return text.to_owned();
    }
    let digest = format!("{:016x}", checksum(text.as_bytes()));
    let kept: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .take(VALUE_MAX - digest.len() - 1)
        .collect();
    let kept = kept.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if kept.is_empty() { digest } else { format!("{kept}-{digest}") }
}

/// FNV-1a, 64 bit: stable over releases, which `std`'s hashers do not promise.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_label_value_stays_as_it_is() {
        for text in ["", "a", "acme-corp.my_app", "A.1", &"x".repeat(63)] {
            assert!(is_value(text), "{text}");
            assert_eq!(value_of(text), text);
        }
    }

    #[test]
    fn what_cannot_becomes_a_readable_value_that_is_its_own() {
        for text in ["acme/app", "-edge", "edge-", ".github", &"y".repeat(64), "ü", "///"] {
            assert!(!is_value(text), "{text}");
            assert!(is_value(&value_of(text)), "{text} became {}", value_of(text));
        }
        assert_ne!(value_of("acme/app"), value_of("acme.app/"));
        assert!(value_of("acme/app").starts_with("acme-app-"));
    }
}
