//! Admission: what the rest of the cluster has to say about a write, beyond the object itself.
//!
//! ```text
//! mutate ─► (validation of the object) ─► validate ─► quota::commit ─► store
//! ```
//!
//! Plugins run in kube-apiserver's order: [`mutate`] has those that change the object, [`validate`] those that only
//! check it. A quota is charged in the transaction that stores the object, so nothing leaks and nothing exceeds.
//! What plugins know of kinds is in `aphex_kinds`; here they find the objects that they depend on.

mod classes;
mod lookup;
mod pods;
pub mod policy;
pub mod priorities;
pub mod quota;
mod security;

use serde_json::Value;

use crate::access;
use crate::call::Call;
use crate::namespaces;
use crate::object;
use crate::status::Status;

pub use pods::await_account;

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
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The request.
    pub call: &'a Call,
    /// What it does.
    pub operation: Operation,
    /// The object before, unless it is new.
    pub old: Option<&'a Value>,
    /// Nothing will be stored.
    pub dry_run: bool,
    /// The prefix of a name that, as far as callers are told, is not made yet.
    pub prefix: Option<&'a str>,
}

impl Write<'_> {
    /// Whether the write is to this built-in resource, subresources included.
    fn is_of(&self, group: &str, plural: &str) -> bool {
        let resource = &self.call.resource;
        resource.custom().is_none() && resource.group == group && resource.plural == plural
    }

    /// Whether the write is to the object itself.
    fn is_whole(&self) -> bool {
        self.call.path.subresource.is_none()
    }

    fn is_create(&self) -> bool {
        self.operation == Operation::Create
    }

    /// The object's name, or what there is of it.
    fn name<'b>(&'b self, object: &'b Value) -> &'b str {
        let named = Some(self.call.name()).filter(|name| !name.is_empty());
        self.prefix.or(named).unwrap_or_else(|| object::name(object))
    }

    /// 403 for the object.
    fn forbid(&self, object: &Value, why: &str) -> Status {
        let resource = &self.call.resource;
        Status::forbidden(&resource.group, &resource.plural, self.name(object), why)
    }
}

/// Lets plugins change the object.
pub fn mutate(write: &Write<'_>, object: &mut Value) -> Result<(), Status> {
    lifecycle(write, write.name(object))?;
    if write.is_of("", "pods") {
        pods::mutate(write, object)?;
    } else {
        classes::mutate(write, object)?;
    }
    // Before validation, as kube-apiserver does it: who may not grant is not told what else is wrong.
    access::grants::check(write, object)
}

/// Lets plugins refuse the object. For a delete it is the object as it is.
pub fn validate(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    if write.operation == Operation::Delete {
        lifecycle(write, object::name(object))?;
    } else {
        pods::check(write, object)?;
        security::check(write, object)?;
        classes::check(write, object)?;
        policy::check_grants(write, object)?;
    }
    policy::check(write, object)
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
