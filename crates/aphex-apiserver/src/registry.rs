//! Every resource the server serves: built-ins from published data, custom ones added at run time.
//!
//! Readers take a snapshot, an `Arc` that never changes; writers replace it. A request therefore sees one
//! consistent set of resources from its first line to its last.

use std::collections::HashMap;
use std::sync::Arc;

use aphex_schema::builtin;
use tokio::sync::watch;

use crate::resource::{Origin, Resource, Selectable, Storage, Subresource, api_version, storage_prefix};
use crate::strategy;

/// The current set of resources.
#[derive(Debug)]
pub struct Registry {
    built_in: Vec<Group>,
    current: watch::Sender<Arc<Snapshot>>,
}

/// One unchanging set of resources.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Groups in the order of discovery.
    pub groups: Vec<Group>,
    index: HashMap<String, HashMap<String, HashMap<String, Arc<Resource>>>>,
    /// Grows with every change; part of the ETag of discovery and OpenAPI.
    pub generation: u64,
}

/// A group of the API.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name; the core group is "".
    pub name: String,
    /// Its versions, the preferred one first.
    pub versions: Vec<Version>,
}

/// A version of a group.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// Its resources.
    pub resources: Vec<Arc<Resource>>,
}

impl Registry {
    /// A registry of the built-in resources.
    pub fn new() -> Self {
        let built_in = built_in();
        let snapshot = Snapshot::new(built_in.clone(), 1);
        Self { built_in, current: watch::Sender::new(Arc::new(snapshot)) }
    }

    /// The resources as they are now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.borrow())
    }

    /// Replaces all custom resources.
    pub fn set_custom(&self, custom: Vec<Resource>) {
        let mut groups = self.built_in.clone();
        for resource in custom {
            add(&mut groups, resource);
        }
        for group in groups.iter_mut().skip(self.built_in.len()) {
            group.versions.sort_by_key(|version| std::cmp::Reverse(version_order(&version.name)));
        }
        self.current.send_modify(|current| {
            *current = Arc::new(Snapshot::new(groups, current.generation + 1));
        });
    }

    /// Tells of every new snapshot.
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.current.subscribe()
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Snapshot {
    fn new(groups: Vec<Group>, generation: u64) -> Self {
        let mut index: HashMap<String, HashMap<String, HashMap<String, Arc<Resource>>>> = HashMap::new();
        for group in &groups {
            let versions = index.entry(group.name.clone()).or_default();
            for version in &group.versions {
                let resources = versions.entry(version.name.clone()).or_default();
                for resource in &version.resources {
                    resources.insert(resource.plural.clone(), Arc::clone(resource));
                }
            }
        }
        Self { groups, index, generation }
    }

    /// The resource with that plural name.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.index.get(group)?.get(version)?.get(plural)
    }

    /// The resource of a kind.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.index.get(group)?.get(version)?.values().find(|resource| resource.kind == kind)
    }

    /// The group with that name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// Every resource in its group's preferred version.
    pub fn preferred(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.groups.iter().flat_map(|group| {
            group.versions.iter().enumerate().flat_map(move |(rank, version)| {
                let earlier = &group.versions[..rank];
                version.resources.iter().filter(move |resource| {
                    !earlier.iter().any(|v| v.resources.iter().any(|r| r.plural == resource.plural))
                })
            })
        })
    }

    /// Other served versions of a resource.
    pub fn siblings(&self, resource: &Resource) -> Vec<Arc<Resource>> {
        let Some(group) = self.group(&resource.group) else { return Vec::new() };
        let all = group.versions.iter().flat_map(|version| &version.resources);
        all.filter(|r| r.plural == resource.plural && r.version != resource.version).cloned().collect()
    }
}

fn add(groups: &mut Vec<Group>, resource: Resource) {
    let place = groups.iter().position(|group| group.name == resource.group).unwrap_or_else(|| {
        groups.push(Group { name: resource.group.clone(), versions: Vec::new() });
        groups.len() - 1
    });
    let versions = &mut groups[place].versions;
    let place = versions.iter().position(|version| version.name == resource.version).unwrap_or_else(|| {
        versions.push(Version { name: resource.version.clone(), resources: Vec::new() });
        versions.len() - 1
    });
    versions[place].resources.push(Arc::new(resource));
}

/// Sort key of a version name: GA before beta before alpha, newer first, other names last.
///
/// `k8s.io/apimachinery/pkg/version.CompareKubeAwareVersionStrings`.
pub fn version_order(name: &str) -> (u8, u64, u64, std::cmp::Reverse<String>) {
    let other = (0, 0, 0, std::cmp::Reverse(name.to_owned()));
    let Some(rest) = name.strip_prefix('v') else { return other };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let Ok(major) = rest[..digits].parse::<u64>() else { return other };
    let (stage, minor) = match &rest[digits..] {
        "" => (3, "0"),
        tail => match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
            (Some(minor), _) => (2, minor),
            (_, Some(minor)) => (1, minor),
            _ => return other,
        },
    };
    match minor.parse::<u64>() {
        Ok(minor) => (stage, major, minor, std::cmp::Reverse(String::new())),
        Err(_) => other,
    }
}

fn built_in() -> Vec<Group> {
    let mut groups = Vec::new();
    for group in builtin::resources() {
        // Where a group serves several versions, all are stored in the preferred one.
        let preferred = group.versions.first().map(|version| version.version.as_str()).unwrap_or_default();
        let versions = group.versions.iter().map(|version| Version {
            name: version.version.clone(),
            resources: descriptors(&group.name, preferred, version).into_iter().map(Arc::new).collect(),
        });
        groups.push(Group { name: group.name.clone(), versions: versions.collect() });
    }
    groups
}

fn descriptors(group: &str, preferred: &str, version: &builtin::Version) -> Vec<Resource> {
    let mut found: Vec<Resource> = Vec::new();
    for published in &version.resources {
        let Some((parent, name)) = published.name.split_once('/') else {
            found.push(descriptor(group, preferred, &version.version, published));
            continue;
        };
        let subresource = Subresource {
            kind: published.kind.clone(),
            group: published.group.clone(),
            version: published.version.clone(),
            verbs: published.verbs.clone(),
            scale: (name == "scale").then(|| strategy::built_in_scale(parent)),
        };
        if let Some(parent) = found.iter_mut().find(|resource| resource.plural == parent) {
            parent.subresources.insert(name.to_owned(), subresource);
        }
    }
    found
}

fn descriptor(group: &str, preferred: &str, version: &str, published: &builtin::Resource) -> Resource {
    let plural = published.name.as_str();
    let (store_group, store_version) = strategy::stored_as(group, preferred, plural);
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: plural.to_owned(),
        singular: published.singular_name.clone(),
        kind: published.kind.clone(),
        list_kind: format!("{}List", published.kind),
        short_names: published.short_names.clone(),
        categories: published.categories.clone(),
        namespaced: published.namespaced,
        verbs: published.verbs.clone(),
        subresources: std::collections::BTreeMap::new(),
        storage_version_hash: published.storage_version_hash.clone(),
        storage: Storage {
            prefix: storage_prefix(store_group, plural),
            api_version: api_version(store_group, store_version),
        },
        strategy: strategy::built_in(group, plural),
        selectable: strategy::selectable(group, plural).iter().map(|name| selectable(name)).collect(),
        origin: Origin::BuiltIn(builtin::typed(group, version, &published.kind)),
    }
}

fn selectable(name: &str) -> Selectable {
    let (path, absent) = strategy::selectable_place(name);
    Selectable { name: name.to_owned(), path: path.to_owned(), absent: absent.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_resources_are_found_by_name_and_by_kind() {
        let snapshot = Registry::new().snapshot();
        let deployments = snapshot.resource("apps", "v1", "deployments").unwrap();
        assert!(deployments.has_status());
        assert_eq!(deployments.key("ns", "web"), "/registry/apps/deployments/ns/web");
        assert_eq!(snapshot.by_kind("", "v1", "ConfigMap").unwrap().plural, "configmaps");
        assert!(snapshot.resource("apps", "v2", "deployments").is_none());
    }

    #[test]
    fn versions_sort_as_kubernetes_sorts_them() {
        let mut names = ["foo1", "v1alpha1", "v2", "v10", "v1beta2", "v11beta2", "foo10", "v1"];
        names.sort_by_key(|name| std::cmp::Reverse(version_order(name)));
        assert_eq!(names, ["v10", "v2", "v1", "v11beta2", "v1beta2", "v1alpha1", "foo1", "foo10"]);
    }
}
