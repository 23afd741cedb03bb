//! How much a tenant namespace may use.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, ResourceQuota, ResourceQuotaSpec,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{LIMITS, QUOTA, metadata};
use crate::repo_binding::validate::Valid;

pub(super) fn resource_quota(valid: &Valid) -> ResourceQuota {
    let quota = valid.profile.quota();
    let hard = quantities(&[
        ("requests.cpu", quota.requests_cpu),
        ("requests.memory", quota.requests_memory),
        ("limits.cpu", quota.limits_cpu),
        ("limits.memory", quota.limits_memory),
        ("requests.storage", quota.requests_storage),
        ("persistentvolumeclaims", quota.persistent_volume_claims),
        ("pods", quota.pods),
    ]);
    ResourceQuota {
        metadata: metadata(valid, QUOTA),
        spec: Some(ResourceQuotaSpec { hard: Some(hard), ..ResourceQuotaSpec::default() }),
        status: None,
    }
}

pub(super) fn limit_range(valid: &Valid) -> LimitRange {
    let containers = LimitRangeItem {
        type_: "Container".to_owned(),
        default: Some(quantities(&[("cpu", "500m"), ("memory", "512Mi")])),
        default_request: Some(quantities(&[("cpu", "100m"), ("memory", "128Mi")])),
        ..LimitRangeItem::default()
    };
    LimitRange { metadata: metadata(valid, LIMITS), spec: Some(LimitRangeSpec { limits: vec![containers] }) }
}

fn quantities(values: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    values.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect()
}
