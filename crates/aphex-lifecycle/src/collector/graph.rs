//! The graph of owners and dependents, by uid; pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::catalog::Kind;

/// An object's identity; unique over its life.
pub(crate) type Uid = String;

/// The finalizer of a foreground deletion: dependents first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an orphaning deletion: dependents are let go first.
pub(crate) const ORPHAN: &str = "orphan";

/// One object as the collector knows it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// One for all objects of a kind, of which there are many.
    pub(crate) kind: Arc<Kind>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) owners: Vec<OwnerReference>,
    pub(crate) finalizers: Vec<String>,
    pub(crate) deleting: bool,
}

impl Node {
    /// From an object's metadata; nothing when it lacks a uid or a name.
    pub(crate) fn of(kind: &Arc<Kind>, meta: &ObjectMeta) -> Option<Self> {
        Some(Self {
            kind: Arc::clone(kind),
            namespace: meta.namespace.clone(),
            name: meta.name.clone()?,
            uid: meta.uid.clone()?,
            owners: meta.owner_references.clone().unwrap_or_default(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
        })
    }

    /// Whether the object is going and waits for that finalizer.
    pub(crate) fn waits_for(&self, finalizer: &str) -> bool {
        self.deleting && self.finalizers.iter().any(|f| f == finalizer)
    }
}

/// All known objects and who depends on whom.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: HashMap<Uid, Node>,
    dependents: HashMap<Uid, HashSet<Uid>>,
}

impl Graph {
    /// Takes in an object; gives the uids that need a look now.
    pub(crate) fn upsert(&mut self, node: Node) -> Vec<Uid> {
        let mut look = Vec::new();
        let old = self.nodes.remove(&node.uid);
        if let Some(old) = &old {
            for owner in &old.owners {
                if !node.owners.iter().any(|o| o.uid == owner.uid) {
                    self.forget_dependent(&owner.uid, &node.uid);
                    // An owner in foreground deletion may have waited for this very dependent.
                    look.push(owner.uid.clone());
                }
            }
        }
        for owner in &node.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(node.uid.clone());
            let blocked =
                old.as_ref().is_some_and(|o| o.owners.iter().any(|x| x.uid == owner.uid && x != owner));
            if blocked {
                look.push(owner.uid.clone());
            }
        }
        let owners_changed = old.as_ref().is_none_or(|old| old.owners != node.owners);
        if node.deleting || (owners_changed && !node.owners.is_empty()) {
            look.push(node.uid.clone());
        }
        self.nodes.insert(node.uid.clone(), node);
        look
    }

    /// An object is gone; gives the uids that need a look now: its dependents and its owners.
    pub(crate) fn remove(&mut self, uid: &str) -> Vec<Uid> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        for owner in &node.owners {
            self.forget_dependent(&owner.uid, uid);
        }
        let dependents = self.dependents.get(uid).into_iter().flatten().cloned();
        dependents.chain(node.owners.iter().map(|owner| owner.uid.clone())).collect()
    }

    /// The objects of a kind that are known but not in `seen`: they went while nobody watched.
    pub(crate) fn absent(&self, kind: &Kind, seen: &HashSet<Uid>) -> Vec<Uid> {
        let stale = |node: &&Node| {
            node.kind.resource.group == kind.resource.group
                && node.kind.resource.kind == kind.resource.kind
                && !seen.contains(&node.uid)
        };
        self.nodes.values().filter(stale).map(|node| node.uid.clone()).collect()
    }

    /// The object of that uid.
    pub(crate) fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The objects that name that uid as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<Node> {
        let uids = self.dependents.get(uid).into_iter().flatten();
        uids.filter_map(|uid| self.nodes.get(uid)).cloned().collect()
    }

    fn forget_dependent(&mut self, owner: &str, dependent: &str) {
        if let Some(all) = self.dependents.get_mut(owner) {
            all.remove(dependent);
            if all.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(uid: &str, owners: &[&str]) -> Node {
        let resource = kube::core::ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            plural: "configmaps".to_owned(),
        };
        let kind = Arc::new(Kind { resource, namespaced: true, delete_collection: true });
        let owner = |uid: &&str| OwnerReference { uid: (*uid).to_owned(), ..OwnerReference::default() };
        Node {
            kind,
            namespace: Some("a".to_owned()),
            name: uid.to_owned(),
            uid: uid.to_owned(),
            owners: owners.iter().map(owner).collect(),
            finalizers: Vec::new(),
            deleting: false,
        }
    }

    #[test]
    fn an_owner_that_goes_puts_its_dependents_up_for_a_look() {
        let mut graph = Graph::default();
        graph.upsert(node("owner", &[]));
        assert_eq!(graph.upsert(node("child", &["owner"])), ["child"]);
        assert_eq!(graph.remove("owner"), ["child"]);
        assert_eq!(graph.dependents("owner").len(), 1);
    }

    #[test]
    fn a_dependent_that_lets_go_puts_its_owner_up_for_a_look() {
        let mut graph = Graph::default();
        graph.upsert(node("owner", &[]));
        graph.upsert(node("child", &["owner"]));
        assert_eq!(graph.upsert(node("child", &[])), ["owner"]);
        assert!(graph.dependents("owner").is_empty());
    }

    #[test]
    fn objects_that_a_new_list_no_longer_has_are_absent() {
        let mut graph = Graph::default();
        let kind = node("x", &[]).kind;
        graph.upsert(node("kept", &[]));
        graph.upsert(node("lost", &[]));
        assert_eq!(graph.absent(&kind, &HashSet::from(["kept".to_owned()])), ["lost"]);
    }
}
