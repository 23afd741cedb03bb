//! What single built-in kinds need beyond the generic rules: defaulting, derived fields, validation.
//!
//! Handlers call these five functions for every write of a built-in kind and know nothing of any kind themselves.

use aphex_schema::error::FieldError;
use serde_json::Value;

use crate::access::rbac_objects;
use crate::admission::policy;
use crate::crds;
use crate::namespaces;
use crate::resource::Resource;

/// Fills in what an object leaves out, as Kubernetes' defaulting functions do.
pub fn default(resource: &Resource, object: &mut Value) {
    if resource.custom().is_none() {
        aphex_kinds::apply_defaults(&resource.group, &resource.version, &resource.kind, object);
    }
    if is(resource, "apiextensions.k8s.io", "CustomResourceDefinition") {
        crds::default(object);
    } else if is(resource, "", "Namespace") {
        namespaces::default(object);
    } else if is_rbac(resource) {
        rbac_objects::default(&resource.kind, object);
    }
}

/// Fills in what the server decides about a new object.
pub fn prepare_create(resource: &Resource, object: &mut Value) {
    if resource.custom().is_none() {
        aphex_kinds::prepare_create(&resource.group, &resource.kind, object);
    }
    if is(resource, "", "Namespace") {
        namespaces::prepare_create(object);
    }
}

/// Carries over what an update of the object itself cannot change.
pub fn prepare_update(resource: &Resource, object: &mut Value, old: &Value) {
    if resource.custom().is_none() {
        aphex_kinds::prepare_update(&resource.group, &resource.kind, object, old);
    }
    if is(resource, "", "Namespace") {
        namespaces::prepare_update(object, old);
    }
}

/// Everything wrong with an object of the kind, metadata aside.
pub fn validate(resource: &Resource, object: &Value) -> Vec<FieldError> {
    if let Some(errors) = policy::validate_object(resource, "", object, None) {
        return errors;
    }
    if is(resource, "apiextensions.k8s.io", "CustomResourceDefinition") {
        return crds::validate(object);
    }
    if is_rbac(resource) {
        return rbac_objects::validate(&resource.kind, object);
    }
    aphex_kinds::validate_create(&resource.group, &resource.kind, object)
}

/// Everything wrong with a change of an object, metadata aside.
pub fn validate_update(
    resource: &Resource,
    subresource: &str,
    object: &Value,
    old: &Value,
) -> Vec<FieldError> {
    if let Some(errors) = policy::validate_object(resource, subresource, object, Some(old)) {
        return errors;
    }
    if is(resource, "apiextensions.k8s.io", "CustomResourceDefinition") {
        return crds::validate_update(object, old);
    }
    if is_rbac(resource) {
        return rbac_objects::validate_update(&resource.kind, object, old);
    }
    aphex_kinds::validate_update(&resource.group, &resource.kind, subresource, object, old)
}

fn is_rbac(resource: &Resource) -> bool {
    resource.custom().is_none() && resource.group == rbac_objects::GROUP
}

fn is(resource: &Resource, group: &str, kind: &str) -> bool {
    resource.custom().is_none() && resource.group == group && resource.kind == kind
}
