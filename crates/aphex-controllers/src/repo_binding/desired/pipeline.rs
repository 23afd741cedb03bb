//! The tenant's Tekton Pipeline.

use aphex_api::foreign::tekton::Pipeline;
use kube::core::ObjectMeta;

use super::metadata;
use crate::repo_binding::shape::Shape;
use crate::repo_binding::validate::Valid;

/// The pipeline as its author wrote it, with the author's labels and annotations beneath ours.
pub(super) fn pipeline(valid: &Valid) -> Option<Pipeline> {
    let Shape::Organization { pipeline, .. } = &valid.shape else { return None };
    let ours = metadata(valid, valid.tenant.as_str());
    let written = &pipeline.metadata;
    let mut labels = written.labels.clone().unwrap_or_default();
    // Keys of the platform are not for authors: they name owners.
    labels.retain(|key, _| !key.starts_with("platform.aphex/") && !key.starts_with("aphex.dev/"));
    labels.extend(ours.labels.unwrap_or_default());
    Some(Pipeline {
        metadata: ObjectMeta {
            name: ours.name,
            namespace: ours.namespace,
            labels: Some(labels),
            annotations: written.annotations.clone(),
            ..ObjectMeta::default()
        },
        spec: pipeline.spec.clone(),
    })
}
