//! The tenant namespace.

use aphex_api::labels;
use k8s_openapi::api::core::v1::Namespace;

use super::cluster_metadata;
use crate::repo_binding::validate::Valid;

/// The repository's full name has a slash, which no label value may have: it is an annotation, and the label has a dot.
pub(super) fn namespace(valid: &Valid) -> Namespace {
    let mut metadata = cluster_metadata(valid, valid.tenant.namespace());
    metadata.labels.get_or_insert_default().extend([
        (labels::REPO.to_owned(), valid.repository.label()),
        (labels::PERMISSION_PROFILE.to_owned(), valid.profile.as_str().to_owned()),
        // Builders often run as root, which baseline allows; what reaches out of the container it does not.
        (labels::POD_SECURITY.to_owned(), "baseline".to_owned()),
    ]);
    // A tenant that stands alone may read no organization's secrets.
    let organization = valid.organization().map(ToString::to_string);
    metadata.labels.get_or_insert_default().extend(organization.into_iter().flat_map(|name| {
        [labels::ORGANIZATION, labels::SECRET_STORE_ORGANIZATION].map(|key| (key.to_owned(), name.clone()))
    }));
    metadata.annotations = Some([(labels::REPO.to_owned(), valid.repository.full_name())].into());
    Namespace { metadata, ..Namespace::default() }
}
