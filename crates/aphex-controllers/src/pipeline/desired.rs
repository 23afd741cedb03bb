//! What a Pipeline wants on the engine: one RepoBinding.

use aphex_api::labels;
use aphex_api::repo_binding::{RepoBinding, RepoBindingSpec};

use super::validate::Valid;
use crate::apply::{Owned, desired_set};
use crate::context::Settings;

desired_set! {
    /// Everything a Pipeline wants.
    pub struct Desired {
        /// Does all the rest.
        pub binding: RepoBinding,
    }
}

pub(super) fn desired(valid: &Valid, settings: &Settings) -> Desired {
    let spec = RepoBindingSpec {
        aphex_org: Some(valid.organization.to_string()),
        repo_org: valid.repository.org.clone(),
        repo_name: valid.repository.name.clone(),
        pipeline_name: Some(valid.tenant.to_string()),
        template_ref: Some(valid.template.clone()),
        pipeline_spec: Some(valid.pipeline.clone()),
        permission_profile: valid.profile,
        branch: valid.branch.to_string(),
        options: valid.options.clone(),
        ..RepoBindingSpec::default()
    };
    let mut binding = RepoBinding::new(&valid.binding, spec);
    binding.metadata.namespace = Some(settings.platform_namespace.clone());
    let labels = [
        (labels::ORGANIZATION.to_owned(), valid.organization.to_string()),
        (labels::MANAGED_BY.to_owned(), labels::PIPELINE_CONTROLLER.to_owned()),
    ];
    binding.metadata.labels = Some(labels.into());
    Desired { binding: Owned::one(binding) }
}
