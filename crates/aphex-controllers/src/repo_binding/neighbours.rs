//! Namespaces by name, as the watch that wakes bindings tells: what the wildcard of a tenant's AppProject would reach.
//!
//! `<tenant>-*` reaches whatever is named so, and most namespaces are no tenant's. A pass looks at those alone whose names
//! begin so; what it costs does not depend on how many others there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aphex_api::labels;
use aphex_api::names::TenantName;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};

use crate::context::Context;
use crate::outcome::StepError;

/// A namespace whose name begins with a tenant's and a hyphen, and whose its labels say it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// The binding whose tenant it is.
    pub binding: Option<String>,
    /// The organization that it was given to.
    pub organization: Option<String>,
}

impl Neighbour {
    fn of(namespace: &impl ResourceExt) -> Self {
        let label = |key| namespace.labels().get(key).cloned();
        Self {
            name: namespace.name_any(),
            created: namespace.creation_timestamp().map(|time| time.0),
            binding: is_tenant(namespace).then(|| label(labels::OWNER_NAME)).flatten(),
            organization: label(labels::SECRET_STORE_ORGANIZATION),
        }
    }
}

/// Whether the platform made a namespace for a binding, by labels that the platform alone writes.
pub(super) fn is_tenant(namespace: &impl ResourceExt) -> bool {
    namespace.labels().get(labels::OWNER_KIND).is_some_and(|kind| kind == "RepoBinding")
}

/// All namespaces, once the watch told.
#[derive(Debug, Default)]
pub struct Neighbours(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    complete: bool,
    listed: BTreeSet<String>,
    known: BTreeMap<String, Neighbour>,
}

impl Neighbours {
    /// Takes in what the watch tells.
    pub(super) fn see(&self, event: &watcher::Event<impl ResourceExt>) {
        let mut state = self.lock();
        match event {
            watcher::Event::Init => state.listed.clear(),
            watcher::Event::InitApply(namespace) => {
                state.listed.insert(namespace.name_any());
                state.known.insert(namespace.name_any(), Neighbour::of(namespace));
            }
            watcher::Event::Apply(namespace) => {
                state.known.insert(namespace.name_any(), Neighbour::of(namespace));
            }
            watcher::Event::Delete(namespace) => {
                state.known.remove(&namespace.name_any());
            }
            watcher::Event::InitDone => {
                // What went while nobody watched.
                let listed = std::mem::take(&mut state.listed);
                state.known.retain(|name, _| listed.contains(name));
                state.complete = true;
            }
        }
    }

    /// Those that a tenant's wildcard reaches; nothing is known before the watch has told of all.
    fn of(&self, tenant: &TenantName) -> Option<Vec<Neighbour>> {
        let state = self.lock();
        let start = format!("{tenant}-");
        let reached = state.known.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start));
        state.complete.then(|| reached.map(|(_, neighbour)| neighbour.clone()).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The namespaces that a tenant's wildcard reaches. Without a watch, as in a plan, all are asked for.
pub(super) async fn read(context: &Context, tenant: &TenantName) -> Result<Vec<Neighbour>, StepError> {
    if let Some(known) = context.neighbours.of(tenant) {
        return Ok(known);
    }
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let list = namespaces.list_metadata(&ListParams::default()).await;
    let list = list.map_err(|source| StepError::read("namespaces", source))?;
    let start = format!("{tenant}-");
    Ok(list.iter().filter(|found| found.name_any().starts_with(&start)).map(Neighbour::of).collect())
}

#[cfg(test)]
mod tests {
    use kube::core::ObjectMeta;

    use super::*;

    fn namespace(name: &str, marks: &[(&str, &str)]) -> Namespace {
        let labels = marks.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let metadata =
            ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
        Namespace { metadata, ..Namespace::default() }
    }

    fn names(neighbours: &Neighbours, tenant: &str) -> Option<Vec<String>> {
        let found = neighbours.of(&tenant.parse().unwrap())?;
        Some(found.into_iter().map(|neighbour| neighbour.name).collect())
    }

    #[test]
    fn those_alone_are_found_that_the_wildcard_reaches_and_that_are_still_there() {
        let neighbours = Neighbours::default();
        neighbours.see(&watcher::Event::<Namespace>::Init);
        for name in ["shop", "shop-web", "shop.a", "shopping", "shop-api"] {
            neighbours.see(&watcher::Event::InitApply(namespace(name, &[])));
        }
        assert_eq!(names(&neighbours, "shop"), None, "the list is not at its end");
        neighbours.see(&watcher::Event::<Namespace>::InitDone);
        assert_eq!(names(&neighbours, "shop").unwrap(), ["shop-api", "shop-web"]);
        neighbours.see(&watcher::Event::Delete(namespace("shop-web", &[])));
        neighbours.see(&watcher::Event::Apply(namespace("shop-later", &[])));
        assert_eq!(names(&neighbours, "shop").unwrap(), ["shop-api", "shop-later"]);
        // The watch broke, and meanwhile one went.
        neighbours.see(&watcher::Event::<Namespace>::Init);
        neighbours.see(&watcher::Event::InitApply(namespace("shop-api", &[])));
        neighbours.see(&watcher::Event::<Namespace>::InitDone);
        assert_eq!(names(&neighbours, "shop").unwrap(), ["shop-api"]);
    }

    #[test]
    fn whose_a_namespace_is_stands_in_the_labels_of_the_platform() {
        let marks = [
            (labels::OWNER_KIND, "RepoBinding"),
            (labels::OWNER_NAME, "team-a.web"),
            (labels::SECRET_STORE_ORGANIZATION, "acme"),
        ];
        let tenant = Neighbour::of(&namespace("web", &marks));
        assert_eq!(
            (tenant.binding.as_deref(), tenant.organization.as_deref()),
            (Some("team-a.web"), Some("acme"))
        );
        let other = Neighbour::of(&namespace("org-acme", &[(labels::OWNER_KIND, "Organization"), marks[1]]));
        assert_eq!(other.binding, None);
    }
}
