//! A desired set as manifests, and who owns them.

use aphex_api::labels;
use kube::Resource;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Key, Kind, Scope};

/// Who owns a set of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Kind.
    pub kind: &'static str,
    /// Namespace, when it is not the platform's own.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Unique id.
    pub uid: String,
}

impl Owner {
    /// The labels that name the owner.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let namespace = self.namespace.as_deref().map(|namespace| (labels::OWNER_NAMESPACE, namespace));
        [(labels::OWNER_KIND, self.kind), (labels::OWNER_NAME, &self.name), (labels::OWNER_UID, &self.uid)]
            .into_iter()
            .chain(namespace)
    }

    /// Selects everything it owns.
    #[must_use]
    pub fn selector(&self) -> String {
        format!("{}={}", labels::OWNER_UID, self.uid)
    }

    /// Selects everything that carries its name: what it owns, and what owners of its name in other namespaces, earlier
    /// ones and strangers have labelled so.
    #[must_use]
    pub fn namesake_selector(&self) -> String {
        format!("{}={},{}={}", labels::OWNER_KIND, self.kind, labels::OWNER_NAME, self.name)
    }

    /// Whether an object's labels name an owner of this kind, namespace and name.
    #[must_use]
    pub fn is_namesake(&self, object: &impl kube::ResourceExt) -> bool {
        let label = |key: &str| object.labels().get(key).map(String::as_str);
        label(labels::OWNER_KIND) == Some(self.kind)
            && label(labels::OWNER_NAME) == Some(&self.name)
            && label(labels::OWNER_NAMESPACE) == self.namespace.as_deref()
    }

    /// Whether an object's labels name this owner.
    #[must_use]
    pub fn owns(&self, object: &impl kube::ResourceExt) -> bool {
        object.labels().get(labels::OWNER_UID) == Some(&self.uid)
    }

    /// Whether an existing object is this owner's, or was until somebody removed the label that says so.
    #[must_use]
    pub fn may_take(&self, live: &impl kube::ResourceExt) -> bool {
        match live.labels().get(labels::OWNER_UID) {
            Some(uid) => *uid == self.uid,
            None => is_applied(live),
        }
    }

    /// Whether a namespace is this owner's. One without the label is only if the owner was held by its finalizer before,
    /// so that it provisioned: the other mark, the name of a field manager, is whatever somebody calls himself, and whoever
    /// may write to a namespace could offer it so.
    #[must_use]
    pub fn keeps(&self, namespace: &impl kube::ResourceExt, held: bool) -> bool {
        self.owns(namespace) || (held && self.may_take(namespace))
    }
}

/// Whether an object was applied by a controller of ours. Its status does not count: whoever keeps it applies that.
pub(super) fn is_applied(live: &impl kube::ResourceExt) -> bool {
    live.managed_fields().iter().any(|entry| {
        entry.manager.as_deref() == Some(labels::FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    })
}

/// One object to apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its kind and name.
    pub key: Key,
    /// The whole object.
    pub body: Value,
    /// When it is applied: with what has the same number, after what has lower ones.
    pub stage: usize,
}

impl Manifest {
    /// The manifest with a mark of what it says, which tells a later pass whether something else is wanted by now.
    ///
    /// Secrets have none: their data is owned key by key, and a checksum would tell of it.
    #[must_use]
    pub fn marked(mut self) -> Self {
        if self.key.kind.is_secret() {
            return self;
        }
        let sum = labels::checksum(self.body.to_string().as_bytes());
        self.body["metadata"]["annotations"][labels::APPLIED] = json!(format!("{sum:016x}"));
        self
    }
}

/// A resource that cannot be made a manifest of.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be written as JSON.
    #[error("cannot write {field} as JSON")]
    Serialize {
        /// The field of the desired set.
        field: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It has no name, or no namespace where its kind needs one.
    #[error("{field} has no name or no namespace")]
    Nameless {
        /// The field of the desired set.
        field: &'static str,
    },
}

/// What an owner wants of one kind: nothing, one object, or several.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned<K>(pub Vec<K>);

impl<K> Owned<K> {
    /// One object.
    #[must_use]
    pub fn one(resource: K) -> Self {
        Self(vec![resource])
    }

    /// At most one object.
    #[must_use]
    pub fn optional(resource: Option<K>) -> Self {
        Self(resource.into_iter().collect())
    }
}

impl<K> Owned<K>
where
    K: Resource<DynamicType = ()> + Serialize,
    K::Scope: 'static,
{
    /// The objects as manifests that carry the owner's labels.
    pub fn manifests(
        self,
        field: &'static str,
        owner: &Owner,
        stage: usize,
    ) -> Result<Vec<Manifest>, ManifestError> {
        let kind = Kind::of::<K>();
        let manifests = self.0.iter().map(|resource| manifest(&kind, resource, field, owner));
        manifests.map(|manifest| Ok(Manifest { stage, ..manifest? })).collect()
    }
}

fn manifest<K: Resource<DynamicType = ()> + Serialize>(
    kind: &Kind,
    resource: &K,
    field: &'static str,
    owner: &Owner,
) -> Result<Manifest, ManifestError> {
    let nameless = || ManifestError::Nameless { field };
    let name = resource.meta().name.clone().ok_or_else(nameless)?;
    let namespace = match kind.scope {
        Scope::Cluster => None,
        Scope::Namespaced => Some(resource.meta().namespace.clone().ok_or_else(nameless)?),
    };
    let mut body =
        serde_json::to_value(resource).map_err(|source| ManifestError::Serialize { field, source })?;
    body["apiVersion"] = json!(kind.resource.api_version);
    body["kind"] = json!(kind.resource.kind);
    for (key, value) in owner.labels() {
        body["metadata"]["labels"][key] = json!(value);
    }
    Ok(Manifest { key: Key { kind: kind.clone(), namespace, name }, body, stage: 0 })
}

/// A struct with one typed field for each resource, in the order in which they are applied.
pub trait DesiredSet {
    /// Every kind the set can hold; what is pruned is of these kinds.
    fn kinds() -> Vec<Kind>;

    /// The set as manifests, in order.
    fn into_manifests(self, owner: &Owner) -> Result<Vec<Manifest>, ManifestError>;
}

/// Defines a [`DesiredSet`]: the kinds and the manifests come from the one list of fields.
///
/// What is in one pair of braces does not need each other to be there; it needs what is in the braces before.
macro_rules! desired_set {
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $($(#[$doc:meta])* pub $field:ident: $kind:ty,)+ }
        $(then { $($(#[$then_doc:meta])* pub $then_field:ident: $then_kind:ty,)+ })*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$doc])* pub $field: $crate::apply::Owned<$kind>,)+
            $($($(#[$then_doc])* pub $then_field: $crate::apply::Owned<$then_kind>,)+)*
        }

        impl $crate::apply::DesiredSet for $name {
            fn kinds() -> Vec<$crate::apply::Kind> {
                let mut kinds = vec![
                    $($crate::apply::Kind::of::<$kind>(),)+
                    $($($crate::apply::Kind::of::<$then_kind>(),)+)*
                ];
                kinds.sort();
                kinds.dedup();
                kinds
            }

            fn into_manifests(
                self,
                owner: &$crate::apply::Owner,
            ) -> Result<Vec<$crate::apply::Manifest>, $crate::apply::ManifestError> {
                let Self { $($field,)+ $($($then_field,)+)* } = self;
                let mut manifests = Vec::new();
                let stage = 0;
                $(manifests.extend($field.manifests(stringify!($field), owner, stage)?);)+
                $(
                    let stage = stage + 1;
                    $(manifests.extend($then_field.manifests(stringify!($then_field), owner, stage)?);)+
                )*
                Ok(manifests)
            }
        }
    };
}
pub(crate) use desired_set;
