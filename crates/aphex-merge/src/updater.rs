//! Changing the owners of an object's fields: the core of apply and update.
//!
//! Follows structured-merge-diff's `merge.Updater`: compare old and new object, take what changed away from its
//! other owners (or report conflicts), and give it to the writer.

use std::sync::LazyLock;

use serde_json::Value;

use crate::OtherVersion;
use crate::conflict::{Conflict, Conflicts};
use crate::field_set::FieldSet;
use crate::managed::{Managed, ManagerId, Owned};
use crate::node::Node;
use crate::path::PathElement;
use crate::typed::{
    Comparison, Mismatches, check, compare, ensure_named, field_set, merge, reconcile, remove, remove_tidily,
};

/// Fields that no manager ever owns.
static NEVER_OWNED: LazyLock<FieldSet> = LazyLock::new(|| {
    let mut paths: Vec<Vec<&str>> = vec![vec!["apiVersion"], vec!["kind"], vec!["metadata"]];
    let in_metadata = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    paths.extend(in_metadata.map(|name| vec!["metadata", name]));
    let mut set = FieldSet::new();
    for path in paths {
        let path: Vec<_> = path.into_iter().map(|name| PathElement::Field(name.to_owned())).collect();
        set.insert(&path);
    }
    set
});

/// Why an apply stopped.
#[derive(Debug)]
pub(crate) enum Refused {
    Conflicts(Vec<(ManagerId, FieldSet)>),
    Mismatch(String),
}

impl Refused {
    fn mismatch(what: &str) -> impl FnOnce(Mismatches) -> Self {
        move |mismatches| Self::Mismatch(format!("{what}: {mismatches}"))
    }
}

/// The conflicts as they are reported.
pub(crate) fn report(conflicts: &[(ManagerId, FieldSet)]) -> Conflicts {
    let each = |(manager, set): &(ManagerId, FieldSet)| {
        let manager = manager.described();
        set.paths()
            .into_iter()
            .map(move |path| Conflict { manager: manager.clone(), path })
            .collect::<Vec<_>>()
    };
    Conflicts(conflicts.iter().flat_map(each).collect())
}

/// What all steps of one write share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Updater<'a> {
    pub(crate) node: Node<'a>,
    pub(crate) api_version: &'a str,
    pub(crate) others: &'a [OtherVersion<'a>],
    /// Fields this endpoint never writes (`status` on the main one), owned by nobody through it.
    pub(crate) reset: &'a FieldSet,
}

impl<'a> Updater<'a> {
    /// The schema in an apiVersion; none when the kind does not exist there.
    fn node_in(&self, api_version: &str) -> Option<Node<'a>> {
        if api_version == self.api_version {
            return Some(self.node);
        }
        self.others
            .iter()
            .find(|other| other.api_version == api_version)
            .map(|other| Node::root(other.schema))
    }

    fn compare_in(&self, old: &Value, new: &Value, node: Node<'_>) -> Result<Comparison, Mismatches> {
        if !node.has_zeros() {
            return Ok(compare(old, new, node)?.without(self.reset));
        }
        let (mut old, mut new) = (old.clone(), new.clone());
        node.fill(&mut old);
        node.fill(&mut new);
        Ok(compare(&old, &new, node)?.without(self.reset))
    }

    /// Drops entries of unknown apiVersions and follows schema changes in the others.
    fn reconcile(&self, managed: &mut Managed) {
        managed.owners.retain(|_, owned| {
            let Some(node) = self.node_in(&owned.api_version) else { return false };
            if let Some(reconciled) = reconcile(&owned.set, node) {
                owned.set = reconciled;
            }
            true
        });
    }

    /// Takes what changed away from everyone but the writer.
    fn disown(
        &self,
        old: &Value,
        new: &Value,
        managed: &mut Managed,
        writer: Option<&ManagerId>,
        force: bool,
    ) -> Result<Comparison, Refused> {
        let failed = || Refused::mismatch("failed to compare objects");
        let here = self.compare_in(old, new, self.node).map_err(failed())?;
        let mut conflicts = Vec::new();
        let mut lost: Vec<(ManagerId, FieldSet)> = Vec::new();
        for (id, owned) in managed.owners.iter().filter(|(id, _)| Some(*id) != writer) {
            let elsewhere;
            let change = if owned.api_version == self.api_version {
                &here
            } else {
                let Some(node) = self.node_in(&owned.api_version) else { continue };
                elsewhere = self.compare_in(old, new, node).map_err(failed())?;
                &elsewhere
            };
            let changed = owned.set.intersection(&change.modified.union(&change.added));
            let removed = owned.set.intersection(&change.removed);
            lost.push((id.clone(), changed.union(&removed)));
            if !changed.is_empty() {
                conflicts.push((id.clone(), changed));
            }
        }
        if !force && !conflicts.is_empty() {
            return Err(Refused::Conflicts(conflicts));
        }
        for (id, lost) in lost {
            if let Some(owned) = managed.owners.get_mut(&id) {
                owned.set.take(&lost);
            }
        }
        managed.owners.retain(|_, owned| !owned.set.is_empty());
        Ok(here)
    }

    /// Records a write that already happened; the writer's entry is united with what it owned before.
    pub(crate) fn update(
        &self,
        old: &Value,
        new: &Value,
        managed: &mut Managed,
        writer: &ManagerId,
        now: &str,
    ) -> Result<(), Refused> {
        check(new, self.node, true)
            .map_err(Refused::mismatch("failed to convert new object to smd typed"))?;
        check(old, self.node, true)
            .map_err(Refused::mismatch("failed to convert live object to smd typed"))?;
        self.reconcile(managed);
        let change = self.disown(old, new, managed, None, true)?;
        // The comparison is already without what this endpoint does not write.
        let mut set = change.added;
        set.extend(&change.modified);
        set.take(&NEVER_OWNED);
        if !set.is_empty() {
            if let Some(before) = managed.owners.get(writer) {
                set.extend(&before.set);
            }
            let owned = Owned { set, api_version: self.api_version.to_owned(), applied: false };
            managed.owners.insert(writer.clone(), owned);
            managed.touch(writer.clone(), now);
        }
        managed.cap();
        Ok(())
    }

    /// Merges an applied configuration into the object and records its owner.
    ///
    /// The schema of both has been checked. Nothing comes back when the object stays as it is.
    pub(crate) fn apply(
        &self,
        live: &Value,
        config: &Value,
        managed: &mut Managed,
        writer: &ManagerId,
        force: bool,
    ) -> Result<Option<Value>, Refused> {
        self.reconcile(managed);
        let merged = merge(live, config, self.node).map_err(Refused::mismatch("failed to merge config"))?;
        let mut set = field_set(config, self.node);
        set.take_trees(self.reset);
        let owned = Owned { set, api_version: self.api_version.to_owned(), applied: true };
        let last = managed.owners.insert(writer.clone(), owned);
        let new = self.prune(merged, managed, last.as_ref());
        self.disown(live, &new, managed, Some(writer), force)?;
        if let Some(owned) = managed.owners.get_mut(writer) {
            owned.set.take(&NEVER_OWNED);
            if owned.set.is_empty() {
                managed.owners.remove(writer);
            }
        }
        Ok((!crate::path::equal(live, &new)).then_some(new))
    }

    /// Removes what the writer applied last time, does not now, and nobody else owns.
    fn prune(&self, merged: Value, managed: &Managed, last: Option<&Owned>) -> Value {
        let Some(last) = last.filter(|last| !last.set.is_empty()) else { return merged };
        let Some(node) = self.node_in(&last.api_version) else { return merged };
        let named = |set: &FieldSet, node| ensure_named(set, Some(node));
        let mut pruned = remove(&merged, &named(&last.set, node), node);
        // Own version first, as upstream; the others then restore what they own.
        let mut versions: Vec<&str> = vec![&last.api_version];
        for owned in managed.owners.values() {
            if !versions.contains(&owned.api_version.as_str()) {
                versions.push(&owned.api_version);
            }
        }
        for version in versions {
            let Some(node) = self.node_in(version) else { continue };
            let owned = managed
                .owners
                .values()
                .filter(|owned| owned.api_version == version)
                .fold(FieldSet::new(), |all, owned| all.union(&owned.set));
            if version == last.api_version && owned.is_empty() {
                continue;
            }
            let in_merged = named(&field_set(&merged, node), node);
            let in_pruned = named(&field_set(&pruned, node), node);
            let keep = in_pruned.union(&named(&owned, node));
            pruned = remove(&merged, &in_merged.difference(&keep), node);
        }
        let in_merged = named(&field_set(&merged, node), node);
        let in_pruned = named(&field_set(&pruned, node), node);
        let gone = in_merged.difference(&in_pruned).intersection(&named(&last.set, node));
        let owned = managed.owners.values().fold(FieldSet::new(), |all, owned| all.union(&owned.set));
        remove_tidily(&merged, &gone, node, &owned)
    }
}
