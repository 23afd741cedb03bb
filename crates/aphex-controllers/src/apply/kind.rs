//! A kind of object as the engine addresses it.

use std::any::TypeId;
use std::fmt;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ApiResource, DynamicObject};
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource};

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// In namespaces.
    Namespaced,
    /// Beside them.
    Cluster,
}

/// A kind of object as the engine addresses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Group, version, kind, plural.
    pub resource: ApiResource,
    /// Where its objects live.
    pub scope: Scope,
}

impl Kind {
    /// The kind of a type.
    #[must_use]
    pub fn of<K: Resource<DynamicType = ()>>() -> Self
    where
        K::Scope: 'static,
    {
        let cluster = TypeId::of::<K::Scope>() == TypeId::of::<ClusterResourceScope>();
        let scope = if cluster { Scope::Cluster } else { Scope::Namespaced };
        Self { resource: ApiResource::erase::<K>(&()), scope }
    }

    /// Requests for objects of the kind, in one namespace or in all.
    #[must_use]
    pub fn api(&self, client: Client, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) if self.scope == Scope::Namespaced => {
                Api::namespaced_with(client, namespace, &self.resource)
            }
            _ => Api::all_with(client, &self.resource),
        }
    }

    /// Whether it is the kind of namespaces.
    #[must_use]
    pub fn is_namespace(&self) -> bool {
        *self == Self::of::<Namespace>()
    }

    /// Whether it is the kind of Secrets.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        *self == Self::of::<Secret>()
    }

    fn order(&self) -> (&str, &str) {
        (&self.resource.group, &self.resource.kind)
    }
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource.kind)?;
        if self.resource.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.resource.group) }
    }
}

#[cfg(test)]
mod tests {
    use aphex_api::foreign::external_secrets::ClusterSecretStore;
    use aphex_api::foreign::triggers::Trigger;
    use k8s_openapi::api::rbac::v1::{ClusterRole, Role};

    use super::*;

    #[test]
    fn the_scope_of_a_kind_is_the_types() {
        assert_eq!(Kind::of::<Role>().scope, Scope::Namespaced);
        assert_eq!(Kind::of::<ClusterRole>().scope, Scope::Cluster);
        assert_eq!(Kind::of::<Trigger>().scope, Scope::Namespaced);
        assert_eq!(Kind::of::<ClusterSecretStore>().scope, Scope::Cluster);
        assert!(Kind::of::<Namespace>().is_namespace() && Kind::of::<Namespace>().scope == Scope::Cluster);
    }

    #[test]
    fn kinds_are_shown_with_their_group() {
        assert_eq!(Kind::of::<Trigger>().to_string(), "Trigger.triggers.tekton.dev");
        assert_eq!(Kind::of::<Namespace>().to_string(), "Namespace");
    }
}
