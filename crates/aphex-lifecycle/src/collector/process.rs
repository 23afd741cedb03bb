//! What happens to one object: kept, unowned, orphaned, finalised or deleted.

use std::sync::{Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Client;
use kube::api::{DeleteParams, Patch, Preconditions, PropagationPolicy};
use serde_json::{Value, json};

use super::graph::{FOREGROUND, Graph, Node, ORPHAN, Uid};
use crate::catalog::{Catalog, Kind};

/// What one owner reference points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// It exists and stays.
    Solid,
    /// It is gone, or another object has its name now.
    Dangling,
    /// It is in foreground deletion and waits for us.
    Waiting,
}

/// Looks at objects and does what must be done; cheap to clone.
#[derive(Clone)]
pub(crate) struct Processor {
    client: Client,
    catalog: Catalog,
}

impl Processor {
    pub(crate) fn new(client: Client, catalog: Catalog) -> Self {
        Self { client, catalog }
    }

    /// Handles one object; gives further uids to look at.
    pub(crate) async fn look(&self, graph: &Mutex<Graph>, uid: &str) -> Result<Vec<Uid>, kube::Error> {
        let (node, dependents) = {
            let graph = graph.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(node) = graph.get(uid).cloned() else { return Ok(Vec::new()) };
            (node, graph.dependents(uid))
        };
        if node.waits_for(ORPHAN) {
            self.orphan(&node, &dependents).await?;
            return Ok(Vec::new());
        }
        if node.waits_for(FOREGROUND) {
            return self.foreground(&node, &dependents).await;
        }
        if node.deleting || node.owners.is_empty() {
            return Ok(Vec::new());
        }
        self.judge(&node, &dependents).await?;
        Ok(Vec::new())
    }

    /// Deletes the object when it has lost all owners; drops references to owners that went.
    async fn judge(&self, node: &Node, dependents: &[Node]) -> Result<(), kube::Error> {
        let Some(live) = self.live(node).await? else { return Ok(()) };
        if live.deletion_timestamp.is_some() {
            return Ok(());
        }
        let references = live.owner_references.clone().unwrap_or_default();
        if references.is_empty() {
            return Ok(());
        }
        let mut judged = Vec::with_capacity(references.len());
        for reference in &references {
            judged.push(self.owner(node, reference).await?);
        }
        let any = |what: Owner| judged.contains(&what);
        if any(Owner::Solid) {
            if !any(Owner::Dangling) && !any(Owner::Waiting) {
                return Ok(());
            }
            let kept: Vec<_> =
                references.iter().zip(&judged).filter(|(_, o)| **o == Owner::Solid).map(|(r, _)| r).collect();
            return self.patch(node, &live, json!({ "ownerReferences": kept })).await;
        }
        let finalizers = live.finalizers.clone().unwrap_or_default();
        let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
        let policy = if any(Owner::Waiting) && !dependents.is_empty() {
            // The owner waits for us, and we for ours: the whole tree goes from its leaves. A circle is cut
            // here: dependents that wait for us in turn must not block.
            if dependents.iter().any(|dependent| dependent.waits_for(FOREGROUND)) {
                self.unblock(node).await?;
            }
            PropagationPolicy::Foreground
        } else if has(ORPHAN) {
            PropagationPolicy::Orphan
        } else if has(FOREGROUND) {
            PropagationPolicy::Foreground
        } else {
            PropagationPolicy::Background
        };
        self.delete(node, live.resource_version.clone(), policy).await
    }

    /// Makes the object's references no longer block the deletion of its owners.
    async fn unblock(&self, node: &Node) -> Result<(), kube::Error> {
        let Some(live) = self.live(node).await? else { return Ok(()) };
        let mut references = live.owner_references.clone().unwrap_or_default();
        if references.iter().all(|r| r.block_owner_deletion != Some(true)) {
            return Ok(());
        }
        for reference in &mut references {
            reference.block_owner_deletion = Some(false);
        }
        self.patch(node, &live, json!({ "ownerReferences": references })).await
    }

    /// Foreground deletion: dependents that block are deleted first, then the finalizer goes.
    async fn foreground(&self, node: &Node, dependents: &[Node]) -> Result<Vec<Uid>, kube::Error> {
        let blocks = |dependent: &&Node| {
            dependent.owners.iter().any(|o| o.uid == node.uid && o.block_owner_deletion == Some(true))
        };
        if !dependents.iter().any(|dependent| blocks(&dependent)) {
            self.remove_finalizer(node, FOREGROUND).await?;
            // Dependents that did not block are looked at when the owner is seen gone.
            return Ok(Vec::new());
        }
        Ok(dependents.iter().filter(|dependent| !dependent.deleting).map(|d| d.uid.clone()).collect())
    }

    /// Orphaning deletion: dependents forget the owner, then the finalizer goes.
    async fn orphan(&self, node: &Node, dependents: &[Node]) -> Result<(), kube::Error> {
        for dependent in dependents {
            let Some(live) = self.live(dependent).await? else { continue };
            let kept: Vec<OwnerReference> =
                live.owner_references.iter().flatten().filter(|o| o.uid != node.uid).cloned().collect();
            self.patch(dependent, &live, json!({ "ownerReferences": kept })).await?;
        }
        self.remove_finalizer(node, ORPHAN).await
    }

    async fn remove_finalizer(&self, node: &Node, finalizer: &str) -> Result<(), kube::Error> {
        let Some(live) = self.live(node).await? else { return Ok(()) };
        let finalizers = live.finalizers.clone().unwrap_or_default();
        if live.deletion_timestamp.is_none() || !finalizers.iter().any(|f| f == finalizer) {
            return Ok(());
        }
        let kept: Vec<_> = finalizers.iter().filter(|f| *f != finalizer).collect();
        self.patch(node, &live, json!({ "finalizers": kept })).await
    }

    /// What a reference points at, read from the server.
    async fn owner(&self, node: &Node, reference: &OwnerReference) -> Result<Owner, kube::Error> {
        let Some(kind) = self.catalog.find(&reference.api_version, &reference.kind) else {
            // A kind we do not know may come back (a CRD being replaced): never delete for it.
            return Ok(Owner::Solid);
        };
        if kind.namespaced && node.namespace.is_none() {
            // A cluster-scoped object cannot have a namespaced owner; upstream reports it and leaves it.
            return Ok(Owner::Solid);
        }
        let meta = self.read(&kind, node.namespace.as_deref(), &reference.name).await?;
        Ok(match meta {
            Some(meta) if meta.uid.as_deref() == Some(&reference.uid) => {
                let waiting = meta.deletion_timestamp.is_some()
                    && meta.finalizers.iter().flatten().any(|finalizer| finalizer == FOREGROUND);
                if waiting { Owner::Waiting } else { Owner::Solid }
            }
            _ => Owner::Dangling,
        })
    }

    /// The object's metadata now, unless it is gone or its name belongs to another.
    async fn live(&self, node: &Node) -> Result<Option<ObjectMeta>, kube::Error> {
        let meta = self.read(&node.kind, node.namespace.as_deref(), &node.name).await?;
        Ok(meta.filter(|meta| meta.uid.as_deref() == Some(&node.uid)))
    }

    async fn read(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<ObjectMeta>, kube::Error> {
        match kind.metadata(&self.client, namespace).get_opt(name).await {
            Ok(found) => Ok(found.map(|object| object.metadata)),
            Err(error) => Err(error),
        }
    }

    async fn patch(&self, node: &Node, live: &ObjectMeta, mut metadata: Value) -> Result<(), kube::Error> {
        metadata["uid"] = json!(live.uid);
        metadata["resourceVersion"] = json!(live.resource_version);
        let objects = node.kind.metadata(&self.client, node.namespace.as_deref());
        let patch = json!({ "metadata": metadata });
        absent_is_fine(objects.patch(&node.name, &crate::patching(), &Patch::Merge(&patch)).await)
    }

    async fn delete(
        &self,
        node: &Node,
        version: Option<String>,
        policy: PropagationPolicy,
    ) -> Result<(), kube::Error> {
        let options = DeleteParams {
            propagation_policy: Some(policy),
            // The version too: an owner reference added meanwhile must save the object.
            preconditions: Some(Preconditions { uid: Some(node.uid.clone()), resource_version: version }),
            ..DeleteParams::default()
        };
        let objects = node.kind.metadata(&self.client, node.namespace.as_deref());
        absent_is_fine(objects.delete(&node.name, &options).await)
    }
}

fn absent_is_fine<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}
