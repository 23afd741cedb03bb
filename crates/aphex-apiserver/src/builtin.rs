//! What single built-in kinds need beyond the generic rules: defaulting, derived fields, validation.
//!
//! Handlers call these functions for every write of a built-in kind and know nothing of any kind themselves.

use aphex_schema::error::FieldError;
use serde_json::Value;

use crate::access::rbac_objects;
use crate::admission::policy;
use crate::crds;
use crate::names;
use crate::namespaces;
use crate::object;
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
    } else if is_rbac(resource) {
        rbac_objects::settle(&resource.kind, object);
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

/// Carries over what was allocated, and drops what follows from something else; nobody owns either change.
pub fn settle_update(resource: &Resource, object: &mut Value, old: &Value) {
    if resource.custom().is_none() {
        aphex_kinds::settle_update(&resource.group, &resource.kind, object, old);
    }
    if is_rbac(resource) {
        rbac_objects::settle(&resource.kind, object);
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

/// What the maker of a new object should know of it.
pub fn warnings(resource: &Resource, object: &Value) -> Vec<String> {
    let name = object::name(object);
    let faults = if is(resource, "", "Pod") { names::label(name) } else { Vec::new() };
    if faults.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label \
         is recommended: [{}]",
        faults.join(" ")
    )]
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
