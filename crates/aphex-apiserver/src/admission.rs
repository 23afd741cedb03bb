//! Admission: what the rest of the cluster has to say about a write, beyond the object itself.
//!
//! Plugins run in a fixed order, the changing ones before validation and the checking ones after it.

use serde_json::Value;

use crate::access;
use crate::call::Call;
use crate::namespaces;
use crate::status::Status;

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed object.
    Update,
    /// An object on its way out.
    Delete,
}

/// One write under admission.
#[derive(Debug)]
pub struct Write<'a> {
    /// The request.
    pub call: &'a Call,
    /// What it does.
    pub operation: Operation,
    /// The object before, unless it is new.
    pub old: Option<&'a Value>,
    /// Nothing will be stored.
    pub dry_run: bool,
}

/// Lets plugins change the object.
pub fn mutate(write: &Write<'_>, object: &mut Value) -> Result<(), Status> {
    lifecycle(write, crate::object::name(object))?;
    // Before validation, as kube-apiserver does it: who may not grant is not told what else is wrong.
    access::grants::check(write, object)
}

/// Lets plugins refuse the object. For a delete it is the object as it is.
pub fn validate(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    if write.operation == Operation::Delete {
        lifecycle(write, crate::object::name(object))?;
    }
    Ok(())
}

/// `NamespaceLifecycle`.
fn lifecycle(write: &Write<'_>, name: &str) -> Result<(), Status> {
    let resource = &write.call.resource;
    match write.operation {
        Operation::Create if resource.namespaced => {
            let server = &write.call.server;
            namespaces::check_create(server, &resource.group, &resource.plural, name, write.call.namespace())
        }
        Operation::Delete if resource.group.is_empty() && resource.plural == "namespaces" => {
            namespaces::check_delete(name)
        }
        _ => Ok(()),
    }
}
