//! Applying a desired set: in order, only what differs, under one field manager; then pruning what is no longer wanted.
//!
//! An owner here cannot be named by an owner reference (it lives in another namespace than what it owns, or owns things
//! at cluster scope), so ownership is labels: the owner's kind, name and uid, and its namespace unless that is the
//! platform's. [`Inventory`] is everything found
//! under them; it is read once a pass, serves to compare, and in the end tells what is on the engine.

mod compare;
mod inventory;
mod kind;
mod manifest;
mod remove;

use std::collections::BTreeSet;

use aphex_api::labels;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};

pub use inventory::{Inventory, Key, Place};
pub use kind::{Kind, Scope};
pub(crate) use manifest::desired_set;
pub use manifest::{DesiredSet, Manifest, ManifestError, Owned, Owner};
pub use remove::{remove, remove_selected};

/// What a pass wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Objects created or changed.
    pub written: usize,
    /// Objects deleted because nothing wants them any more.
    pub pruned: usize,
}

/// Why a desired set is not on the engine.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A resource cannot be written as JSON.
    #[error("a wanted object is not complete")]
    Manifest(#[source] ManifestError),
    /// The engine does not know the kind.
    #[error("the engine does not serve {0}; install its definition")]
    KindMissing(String),
    /// The namespace an object belongs in is not there, or is going.
    #[error("namespace {0} does not exist or is being deleted")]
    NamespaceMissing(String),
    /// An object of the name exists and is somebody else's.
    #[error("{0} exists already and is not managed by the platform")]
    Taken(Key),
    /// An object of the name was made since this pass looked.
    #[error("{0} was made by somebody else a moment ago")]
    Outdated(Key),
    /// An object of the name is on its way out.
    #[error("{0} is being deleted")]
    Terminating(Key),
    /// The engine refused an object.
    #[error("cannot apply {key}")]
    Refused {
        /// The object.
        key: Key,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The engine did not delete an object.
    #[error("cannot prune {key}")]
    Prune {
        /// The object.
        key: Key,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Puts a desired set on the engine and takes away what the owner owns besides.
pub async fn apply<D: DesiredSet>(
    client: &Client,
    owner: &Owner,
    desired: D,
    inventory: &mut Inventory,
) -> Result<Applied, ApplyError> {
    let manifests = desired.into_manifests(owner).map_err(ApplyError::Manifest)?;
    let mut applied = Applied::default();
    let mut wanted = BTreeSet::new();
    for manifest in manifests.into_iter().map(Manifest::marked) {
        wanted.insert(manifest.key.clone());
        if inventory.get(&manifest.key).is_some_and(|live| compare::is_up_to_date(&manifest.body, live)) {
            continue;
        }
        let written = write(client, owner, &manifest, inventory).await?;
        inventory.insert(manifest.key, written);
        applied.written += 1;
    }
    applied.pruned = prune(client, &wanted, inventory).await?;
    Ok(applied)
}

async fn write(
    client: &Client,
    owner: &Owner,
    manifest: &Manifest,
    inventory: &Inventory,
) -> Result<DynamicObject, ApplyError> {
    let api = manifest.key.kind.api(client.clone(), manifest.key.namespace.as_deref());
    let refused = |source| refusal(&manifest.key, source);
    let live = match inventory.get(&manifest.key) {
        Some(live) => Some(live.clone()),
        None => api.get_opt(&manifest.key.name).await.map_err(refused)?,
    };
    if live.is_none() && manifest.key.kind.is_namespace() {
        reserve(&api, owner, &manifest.key).await?;
    }
    if manifest.key.kind.is_secret() {
        match &live {
            None => introduce(&api, manifest).await?,
            // What it holds was made up for a first time, and so was ours: the first one counts.
            Some(live) if !inventory.has_key(&manifest.key) && owner.owns(live) => {
                return Err(ApplyError::Outdated(manifest.key.clone()));
            }
            Some(_) => {}
        }
    }
    // Nothing is there to be taken over, unless somebody was faster.
    let force = live.is_some();
    if let Some(live) = live {
        if live.metadata.deletion_timestamp.is_some() {
            return Err(ApplyError::Terminating(manifest.key.clone()));
        }
        if !owner.may_take(&live) {
            return Err(ApplyError::Taken(manifest.key.clone()));
        }
        // A binding's role cannot be changed (validation.ValidateRoleBindingUpdate in kubernetes/pkg/apis/rbac).
        if manifest.body.get("roleRef").is_some_and(|wanted| live.data.get("roleRef") != Some(wanted)) {
            api.delete(&manifest.key.name, &exactly(&live)).await.map_err(refused)?;
        }
    }
    let parameters = PatchParams { force, ..PatchParams::apply(labels::FIELD_MANAGER) };
    api.patch(&manifest.key.name, &parameters, &Patch::Apply(&manifest.body)).await.map_err(refused)
}

/// Creates a namespace with nothing but its owner.
///
/// Who has the namespace has the name. Of two that ask at once creating refuses one; applying would give it to both.
async fn reserve(api: &Api<DynamicObject>, owner: &Owner, key: &Key) -> Result<(), ApplyError> {
    let mut object = DynamicObject::new(&key.name, &key.kind.resource);
    object.metadata.labels = Some(owner.labels().map(|(key, value)| (key.into(), value.into())).collect());
    let parameters =
        PostParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, &object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => match api.get_opt(&key.name).await {
            // Somebody has it, or had it and gave it up again.
            Ok(Some(live)) if owner.owns(&live) => Ok(()),
            Ok(Some(_)) => Err(ApplyError::Taken(key.clone())),
            Ok(None) => Err(ApplyError::Outdated(key.clone())),
            Err(source) => Err(refusal(key, source)),
        },
        Err(source) => Err(refusal(key, source)),
        Ok(_) => Ok(()),
    }
}

/// Creates a Secret as it is wanted.
///
/// Of two controllers that make up a value at once (a lead that was lost while one was paused) one is refused and takes
/// what the other made up; applying would let the second value replace the first, which somebody may have read already.
async fn introduce(api: &Api<DynamicObject>, manifest: &Manifest) -> Result<(), ApplyError> {
    let key = &manifest.key;
    let invalid = |source| ApplyError::Manifest(ManifestError::Serialize { field: "secrets", source });
    let object: DynamicObject = serde_json::from_value(manifest.body.clone()).map_err(invalid)?;
    let parameters =
        PostParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Err(ApplyError::Outdated(key.clone())),
        Err(source) => Err(refusal(key, source)),
    }
}

async fn prune(
    client: &Client,
    wanted: &BTreeSet<Key>,
    inventory: &mut Inventory,
) -> Result<usize, ApplyError> {
    // A namespace is more than an object: it goes only with its owner, in cleanup. What others made of ours has our labels
    // (Tekton copies a listener's to the Service and Deployment it makes, ObjectMeta in tektoncd/triggers,
    // pkg/reconciler/eventlistener/resources/meta.go), but we never applied it.
    let ours = |key: &Key| inventory.get(key).is_some_and(manifest::is_applied);
    let unwanted: Vec<Key> = inventory
        .keys()
        .filter(|key| !wanted.contains(key) && !key.kind.is_namespace() && ours(key))
        .cloned()
        .collect();
    let mut pruned = 0;
    for key in unwanted {
        let Some(live) = inventory.remove(&key) else { continue };
        if live.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let api = key.kind.api(client.clone(), key.namespace.as_deref());
        match api.delete(&key.name, &exactly(&live)).await {
            Err(source) if !is_gone(&source) => {
                return Err(ApplyError::Prune { key, source: Box::new(source) });
            }
            // A conflict says that it is another object by now, or that it was being written just then.
            Err(kube::Error::Api(status)) if status.code == 409 => return Err(ApplyError::Outdated(key)),
            _ => pruned += 1,
        }
    }
    Ok(pruned)
}

/// Deletes this very object and no later one of its name.
pub(crate) fn exactly(live: &DynamicObject) -> DeleteParams {
    let preconditions = Preconditions { uid: live.uid(), resource_version: None };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() }
}

/// Whether a deletion failed because there is nothing to delete: not found, or another object by now.
pub(crate) fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409)
}

/// The meaning of the engine's refusal, where it has one that the user can act on.
fn refusal(key: &Key, source: kube::Error) -> ApplyError {
    if let kube::Error::Api(status) = &source {
        let about = status.details.as_ref().map(|details| details.kind.as_str()).unwrap_or_default();
        let cause = |reason: &str| {
            status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.reason == reason)
        };
        match (status.code, &key.namespace) {
            (404, Some(namespace)) if about == "namespaces" => {
                return ApplyError::NamespaceMissing(namespace.clone());
            }
            (403, Some(namespace)) if cause("NamespaceTerminating") => {
                return ApplyError::NamespaceMissing(namespace.clone());
            }
            (404, _) => return ApplyError::KindMissing(key.kind.to_string()),
            _ => {}
        }
    }
    ApplyError::Refused { key: key.clone(), source: Box::new(source) }
}
