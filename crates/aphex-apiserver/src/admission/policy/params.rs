//! The parameters that a binding gives a policy.

use std::sync::Arc;

use serde_json::Value;

use super::attributes::Attributes;
use super::index::{Binding, Policy};
use crate::admission::lookup;
use crate::codec;
use crate::object;
use crate::resource::Resource;

/// The resource of a policy's parameters; none if it has none. The error is what the policy fails with.
pub(super) fn kind(attributes: &Attributes<'_>, policy: &Policy) -> Result<Option<Arc<Resource>>, String> {
    let Some(kind) = &policy.params else { return Ok(None) };
    let snapshot = attributes.write.call.server.registry.snapshot();
    let found = snapshot.by_kind(&kind.group, &kind.version, &kind.name).cloned();
    found.map(Some).ok_or_else(|| {
        let group_version = crate::resource::api_version(&kind.group, &kind.version);
        let group_version = if kind.group.is_empty() { format!("/{group_version}") } else { group_version };
        format!("failed to find resource referenced by paramKind: '{group_version}, Kind={}'", kind.name)
    })
}

/// The parameters to evaluate with, one after another; a policy without any is evaluated once with none.
pub(super) fn collect(
    attributes: &Attributes<'_>,
    kind: Option<&Resource>,
    binding: &Binding,
) -> Result<Vec<Option<Value>>, String> {
    let (Some(resource), Some(reference)) = (kind, &binding.params) else { return Ok(vec![None]) };
    let namespace = if resource.namespaced {
        let namespace =
            if reference.namespace.is_empty() { attributes.namespace } else { &reference.namespace };
        if namespace.is_empty() {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                    .to_owned(),
            );
        }
        namespace
    } else if reference.namespace.is_empty() {
        ""
    } else {
        return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
    };
    let server = &attributes.write.call.server;
    let found: Vec<Option<Value>> = if reference.name.is_empty() {
        let all = lookup::list_of(server, resource, namespace).map_err(|status| status.message)?;
        let labels = |object: &Value| object::meta(object, "labels").cloned().unwrap_or(Value::Null);
        all.into_iter()
            .filter(|object| aphex_kinds::selects(&reference.selector, &labels(object)))
            .map(Some)
            .collect()
    } else {
        let entry = server.store.get(&resource.key(namespace, &reference.name));
        let object = entry.map(|entry| codec::read(resource, &entry)).transpose();
        object.map_err(|status| status.message)?.map(Some).into_iter().collect()
    };
    if found.is_empty() && reference.required {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    Ok(found)
}
