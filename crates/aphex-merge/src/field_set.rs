//! Sets of field paths and their algebra.
//!
//! A path can be a member while paths below it are not, and the other way round: owning `.spec` says nothing
//! about `.spec.replicas`. The operations are those of structured-merge-diff's `fieldpath.Set`.

mod codec;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

pub use codec::FieldSetError;

use crate::path::{Path, PathElement};

/// A set of field paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    pub(crate) members: BTreeSet<PathElement>,
    pub(crate) children: BTreeMap<PathElement, FieldSet>,
}

impl FieldSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { members: BTreeSet::new(), children: BTreeMap::new() }
    }

    /// The set of paths of named fields.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::new();
        for path in paths {
            set.insert(&Path::fields(path).0);
        }
        set
    }

    /// Adds a path; its parents are not added. The root is never a member.
    pub fn insert(&mut self, path: &[PathElement]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            // Nearly all paths of an object share their first elements with others.
            [first, rest @ ..] => match self.children.get_mut(first) {
                Some(child) => child.insert(rest),
                None => self.children.entry(first.clone()).or_default().insert(rest),
            },
        }
    }

    /// Whether nothing is a member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Self::is_empty)
    }

    /// Whether the path is a member.
    pub fn contains(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self.children.get(first).is_some_and(|child| child.contains(rest)),
        }
    }

    /// The members below an element, relative to it.
    pub(crate) fn below(&self, element: &PathElement) -> Option<&Self> {
        self.children.get(element)
    }

    /// What either set has.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.extend(other);
        out
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            self.children.entry(element.clone()).or_default().extend(child);
        }
    }

    /// Takes in a set of paths below an element.
    pub(crate) fn adopt(&mut self, element: &PathElement, below: Self) {
        if below.members.is_empty() && below.children.is_empty() {
            return;
        }
        match self.children.get_mut(element) {
            Some(child) => child.extend(&below),
            None => drop(self.children.insert(element.clone(), below)),
        }
    }

    /// What both sets have.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let members = self.members.intersection(&other.members).cloned().collect();
        let children = self
            .children
            .iter()
            .filter_map(|(element, child)| {
                let both = child.intersection(other.children.get(element)?);
                (!both.is_empty()).then(|| (element.clone(), both))
            })
            .collect();
        Self { members, children }
    }

    /// What this set has and the other does not; taking away a parent leaves its children.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.take(other);
        rest
    }

    /// As [`difference`](Self::difference), and taking away a parent takes its children too.
    #[must_use]
    pub fn recursive_difference(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.take_trees(other);
        rest
    }

    /// Takes away what the other has: [`difference`](Self::difference) in place.
    pub(crate) fn take(&mut self, other: &Self) {
        for member in &other.members {
            self.members.remove(member);
        }
        self.take_below(other, Self::take);
    }

    /// Takes away what the other has and all that is below it.
    pub(crate) fn take_trees(&mut self, other: &Self) {
        for member in &other.members {
            self.members.remove(member);
            self.children.remove(member);
        }
        self.take_below(other, Self::take_trees);
    }

    fn take_below(&mut self, other: &Self, take: fn(&mut Self, &Self)) {
        for (element, away) in &other.children {
            let Some(child) = self.children.get_mut(element) else { continue };
            take(child, away);
            if child.is_empty() {
                self.children.remove(element);
            }
        }
    }

    /// The members that have no member below them.
    #[must_use]
    pub fn leaves(&self) -> Self {
        Self {
            members: self
                .members
                .iter()
                .filter(|member| !self.children.contains_key(*member))
                .cloned()
                .collect(),
            children: self
                .children
                .iter()
                .map(|(element, child)| (element.clone(), child.leaves()))
                .collect(),
        }
    }

    /// All members, those of a level before those below it.
    pub fn paths(&self) -> Vec<Path> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut Vec<PathElement>, out: &mut Vec<Path>) {
        for member in &self.members {
            let mut path = prefix.clone();
            path.push(member.clone());
            out.push(Path(path));
        }
        for (element, child) in &self.children {
            prefix.push(element.clone());
            child.collect(prefix, out);
            prefix.pop();
        }
    }
}

impl Display for FieldSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, path) in self.paths().iter().enumerate() {
            if position > 0 {
                out.write_str("\n")?;
            }
            write!(out, "{path}")?;
        }
        Ok(())
    }
}
