//! Applying a desired set: stage after stage, only what differs, under one field manager; then pruning what is no longer wanted.
//!
//! An owner here cannot be named by an owner reference (it lives in another namespace than what it owns, or owns things
//! at cluster scope), so ownership is labels: the owner's kind, name and uid, and its namespace unless that is the
//! platform's. [`Inventory`] is everything found
//! under them; it is read once a pass, serves to compare, and in the end tells what is on the engine.

mod compare;
mod holdings;
mod inventory;
mod kind;
mod manifest;
mod remove;

use std::collections::BTreeSet;

use aphex_api::labels;
use futures::{StreamExt as _, stream};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};

pub use holdings::Holdings;
pub use inventory::{Inventory, Key, Place};
pub use kind::{Kind, Scope};
pub(crate) use manifest::desired_set;
pub use manifest::{DesiredSet, Manifest, ManifestError, Owned, Owner};
pub use remove::{remove, remove_selected};

use crate::context::Context;

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

/// How many objects are written at once.
const PARALLEL: usize = 8;

/// Puts a desired set on the engine and takes away what the owner owns besides.
pub async fn apply<D: DesiredSet>(
    context: &Context,
    owner: &Owner,
    desired: D,
    inventory: &mut Inventory,
) -> Result<Applied, ApplyError> {
    let manifests = desired.into_manifests(owner).map_err(ApplyError::Manifest)?;
    let manifests: Vec<Manifest> = manifests.into_iter().map(Manifest::marked).collect();
    let mut applied = Applied::default();
    let mut fresh = Fresh::default();
    for stage in manifests.chunk_by(|one, next| one.stage == next.stage) {
        let writer = Writer { client: &context.client, owner, inventory, fresh: &fresh };
        let (mut keys, mut writes) = (Vec::new(), Vec::new());
        for manifest in stage {
            if !is_in_place(manifest, inventory) {
                keys.push(&manifest.key);
                writes.push(writer.write(manifest));
            }
        }
        let written: Vec<_> = stream::iter(writes).buffered(PARALLEL).collect().await;
        let mut failed = None;
        for (key, written) in keys.into_iter().zip(written) {
            match written {
                Ok(written) => {
                    applied.written += usize::from(written.how != How::Found);
                    if written.how == How::Reserved {
                        fresh.0.insert(key.name.clone());
                    }
                    context.holdings.note(owner, key);
                    inventory.insert(key.clone(), written.object);
                }
                // What goes wrong first in the order of the set is what is told.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
    }
    let wanted: BTreeSet<Key> = manifests.into_iter().map(|manifest| manifest.key).collect();
    applied.pruned = prune(context, owner, &wanted, inventory).await?;
    Ok(applied)
}

fn is_in_place(manifest: &Manifest, inventory: &Inventory) -> bool {
    inventory.get(&manifest.key).is_some_and(|live| compare::is_up_to_date(&manifest.body, live))
}

/// Namespaces that did not exist before this pass: nothing of ours can be in them yet.
#[derive(Debug, Default)]
struct Fresh(BTreeSet<String>);

/// An object as the engine has it now.
struct Written {
    object: DynamicObject,
    how: How,
}

/// How it came to be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It was found as it is wanted; only the inventory did not have it.
    Found,
    /// It was created or changed.
    Applied,
    /// It is a namespace that did not exist before.
    Reserved,
}

/// What writes need to know.
struct Writer<'a> {
    client: &'a Client,
    owner: &'a Owner,
    inventory: &'a Inventory,
    fresh: &'a Fresh,
}

impl Writer<'_> {
    async fn write(&self, manifest: &Manifest) -> Result<Written, ApplyError> {
        let key = &manifest.key;
        let api = key.kind.api(self.client.clone(), key.namespace.as_deref());
        let refused = |source| refusal(key, source);
        let live = match self.inventory.get(key) {
            Some(live) => Some(live.clone()),
            None if key.namespace.as_ref().is_some_and(|name| self.fresh.0.contains(name)) => None,
            None => api.get_opt(&key.name).await.map_err(refused)?,
        };
        let mut how = How::Applied;
        if live.is_none() && key.kind.is_namespace() {
            reserve(&api, self.owner, key).await?;
            how = How::Reserved;
        }
        if key.kind.is_secret() {
            match &live {
                None => introduce(&api, manifest).await?,
                // What it holds was made up for a first time, and so was ours: the first one counts.
                Some(live) if !self.inventory.has_key(key) && self.owner.owns(live) => {
                    return Err(ApplyError::Outdated(key.clone()));
                }
                Some(_) => {}
            }
        }
        // Nothing is there to be taken over, unless somebody was faster.
        let force = live.is_some();
        if let Some(live) = live {
            if live.metadata.deletion_timestamp.is_some() {
                return Err(ApplyError::Terminating(key.clone()));
            }
            if !self.owner.may_take(&live) {
                return Err(ApplyError::Taken(key.clone()));
            }
            if compare::is_up_to_date(&manifest.body, &live) {
                return Ok(Written { object: live, how: How::Found });
            }
            // A binding's role cannot be changed (validation.ValidateRoleBindingUpdate in kubernetes/pkg/apis/rbac).
            if manifest.body.get("roleRef").is_some_and(|wanted| live.data.get("roleRef") != Some(wanted)) {
                api.delete(&key.name, &exactly(&live)).await.map_err(refused)?;
            }
        }
        let parameters = PatchParams { force, ..PatchParams::apply(labels::FIELD_MANAGER) };
        let object =
            api.patch(&key.name, &parameters, &Patch::Apply(&manifest.body)).await.map_err(refused)?;
        Ok(Written { object, how })
    }
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
    context: &Context,
    owner: &Owner,
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
        let api = key.kind.api(context.client.clone(), key.namespace.as_deref());
        match api.delete(&key.name, &exactly(&live)).await {
            Err(source) if !is_gone(&source) => {
                return Err(ApplyError::Prune { key, source: Box::new(source) });
            }
            // A conflict says that it is another object by now, or that it was being written just then.
            Err(kube::Error::Api(status)) if status.code == 409 => return Err(ApplyError::Outdated(key)),
            _ => {
                // Not before: what could not be deleted is looked for again.
                context.holdings.forget(owner, &key);
                pruned += 1;
            }
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
