//! Roles and bindings by namespace and by subject, so that a decision looks only at its own.
//!
//! Fed with objects as they are stored; a decision costs a lookup for the user's name and one
//! for each of its groups, however many tenants there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::Deserialize;
use serde_json::Value;

use super::RoleSource;
use super::objects::{Binding, PolicyRule, Role, RoleRef, Subject, nullable};
use crate::user::User;

/// Why an object was not taken into the index.
#[derive(Debug, thiserror::Error)]
pub enum NotRbac {
    /// The kind is none of the four.
    #[error("{kind} is not a Role, ClusterRole, RoleBinding or ClusterRoleBinding")]
    Kind {
        /// The kind found.
        kind: String,
    },
    /// The object has another shape than its kind.
    #[error("the {kind} cannot be read")]
    Shape {
        /// The kind found.
        kind: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Roles and bindings in memory; readers run side by side.
#[derive(Debug, Default)]
pub struct Index {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By namespace; the empty namespace holds the cluster's.
    namespaces: HashMap<String, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    roles: HashMap<String, Arc<Role>>,
    bindings: HashMap<String, Arc<Binding>>,
    by_user: HashMap<String, BTreeSet<String>>,
    by_group: HashMap<String, BTreeSet<String>>,
}

/// What the four kinds have in common on the wire.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Object {
    metadata: Metadata,
    #[serde(deserialize_with = "nullable")]
    rules: Vec<PolicyRule>,
    role_ref: RoleRef,
    #[serde(deserialize_with = "nullable")]
    subjects: Vec<Subject>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: String,
}

enum Parsed {
    Role(Role),
    Binding(Binding),
}

impl Index {
    /// An index of these objects; others than the four kinds are refused.
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Result<Self, NotRbac> {
        let index = Self::default();
        for object in objects {
            index.upsert(object)?;
        }
        Ok(index)
    }

    /// Takes an object in, in place of an earlier one of the same kind and name.
    pub fn upsert(&self, object: &Value) -> Result<(), NotRbac> {
        match parse(object)? {
            Parsed::Role(role) => self.write().put_role(role),
            Parsed::Binding(binding) => self.write().put_binding(binding),
        }
        Ok(())
    }

    /// Takes an object out; only its kind, namespace and name matter.
    pub fn remove(&self, object: &Value) -> Result<(), NotRbac> {
        match parse(object)? {
            Parsed::Role(role) => self.write().remove_role(&role.namespace, &role.name),
            Parsed::Binding(binding) => {
                self.write().remove_binding(&binding.namespace, &binding.name);
            }
        }
        Ok(())
    }

    // A writer that panicked left the maps whole: each change is finished before the next begins.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(object: &Value) -> Result<Parsed, NotRbac> {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let (role, clustered) = match kind {
        "Role" => (true, false),
        "ClusterRole" => (true, true),
        "RoleBinding" => (false, false),
        "ClusterRoleBinding" => (false, true),
        _ => return Err(NotRbac::Kind { kind: kind.to_owned() }),
    };
    let Object { metadata, rules, role_ref, subjects } =
        Object::deserialize(object).map_err(|source| NotRbac::Shape { kind: kind.to_owned(), source })?;
    let Metadata { name, mut namespace } = metadata;
    if clustered {
        namespace.clear();
    }
    Ok(if role {
        Parsed::Role(Role { namespace, name, rules: rules.into() })
    } else {
        Parsed::Binding(Binding { namespace, name, role_ref, subjects })
    })
}

impl State {
    fn put_role(&mut self, role: Role) {
        let namespace = self.namespaces.entry(role.namespace.clone()).or_default();
        namespace.roles.insert(role.name.clone(), Arc::new(role));
    }

    fn remove_role(&mut self, namespace: &str, name: &str) {
        if let Some(found) = self.namespaces.get_mut(namespace) {
            found.roles.remove(name);
        }
        self.forget_if_empty(namespace);
    }

    fn put_binding(&mut self, binding: Binding) {
        let namespace = self.namespaces.entry(binding.namespace.clone()).or_default();
        namespace.remove_binding(&binding.name);
        namespace.put_binding(binding);
    }

    fn remove_binding(&mut self, namespace: &str, name: &str) {
        if let Some(found) = self.namespaces.get_mut(namespace) {
            found.remove_binding(name);
        }
        self.forget_if_empty(namespace);
    }

    fn forget_if_empty(&mut self, namespace: &str) {
        let empty = self
            .namespaces
            .get(namespace)
            .is_some_and(|found| found.roles.is_empty() && found.bindings.is_empty());
        if empty {
            self.namespaces.remove(namespace);
        }
    }
}

impl Namespace {
    fn put_binding(&mut self, binding: Binding) {
        for subject in &binding.subjects {
            let names = if let Some(user) = subject.user_name(&binding.namespace) {
                self.by_user.entry(user)
            } else if subject.kind == "Group" {
                self.by_group.entry(subject.name.clone())
            } else {
                continue;
            };
            names.or_default().insert(binding.name.clone());
        }
        self.bindings.insert(binding.name.clone(), Arc::new(binding));
    }

    fn remove_binding(&mut self, name: &str) {
        let Some(binding) = self.bindings.remove(name) else {
            return;
        };
        for subject in &binding.subjects {
            if let Some(user) = subject.user_name(&binding.namespace) {
                take_name(&mut self.by_user, &user, name);
            } else {
                take_name(&mut self.by_group, &subject.name, name);
            }
        }
    }

    fn bindings_for(&self, user: &User) -> Vec<Arc<Binding>> {
        let by_group = user.groups.iter().filter_map(|group| self.by_group.get(group));
        // Sorted and without repetition, so that the reason given is always the same.
        let found: BTreeMap<&str, &Arc<Binding>> = self
            .by_user
            .get(&user.name)
            .into_iter()
            .chain(by_group)
            .flatten()
            .filter_map(|name| Some((name.as_str(), self.bindings.get(name)?)))
            .collect();
        found.into_values().cloned().collect()
    }
}

fn take_name(index: &mut HashMap<String, BTreeSet<String>>, subject: &str, name: &str) {
    if let Some(names) = index.get_mut(subject) {
        names.remove(name);
        if names.is_empty() {
            index.remove(subject);
        }
    }
}

impl RoleSource for Index {
    fn cluster_role(&self, name: &str) -> Option<Arc<Role>> {
        self.role("", name)
    }

    fn role(&self, namespace: &str, name: &str) -> Option<Arc<Role>> {
        self.read().namespaces.get(namespace)?.roles.get(name).cloned()
    }

    fn cluster_role_bindings(&self, user: &User) -> Vec<Arc<Binding>> {
        self.role_bindings("", user)
    }

    fn role_bindings(&self, namespace: &str, user: &User) -> Vec<Arc<Binding>> {
        let state = self.read();
        let found = state.namespaces.get(namespace);
        found.map(|found| found.bindings_for(user)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
