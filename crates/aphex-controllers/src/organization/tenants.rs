//! Which tenants organizations have, as the watches that wake their controller tell.
//!
//! A tenant counts once its namespace is there and its binding stays. Both come from the very watches by whose news a
//! pass begins, so that a pass knows at least what woke it; and none looks at the tenants of others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aphex_api::labels;
use aphex_api::repo_binding::RepoBinding;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::PartialObjectMeta;
use kube::runtime::watcher;

/// The tenants of all organizations.
#[derive(Debug, Default)]
pub struct Tenants(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bindings: Side,
    namespaces: Side,
    /// Bindings of which something was told that matters.
    news: HashSet<String>,
}

/// One of the two: which organization an object belongs to, the uid of the binding, and whether it stays.
#[derive(Debug, Default)]
struct Side {
    complete: bool,
    listed: HashSet<String>,
    organizations: HashMap<String, BTreeMap<String, Tenant>>,
    of: HashMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tenant {
    binding: String,
    stays: bool,
}

impl Side {
    /// Takes an object in; false when it was known as it is.
    fn put(&mut self, name: &str, organization: &str, tenant: Tenant) -> bool {
        let known = self.of.get(name).and_then(|of| self.organizations.get(of)?.get(name));
        if self.of.get(name).is_some_and(|of| of == organization) && known == Some(&tenant) {
            return false;
        }
        self.remove(name);
        self.of.insert(name.to_owned(), organization.to_owned());
        self.organizations.entry(organization.to_owned()).or_default().insert(name.to_owned(), tenant);
        true
    }

    fn remove(&mut self, name: &str) {
        let Some(organization) = self.of.remove(name) else { return };
        if let Some(tenants) = self.organizations.get_mut(&organization) {
            tenants.remove(name);
            if tenants.is_empty() {
                self.organizations.remove(&organization);
            }
        }
    }

    fn end(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        let gone: Vec<String> = self.of.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        for name in &gone {
            self.remove(name);
        }
        self.complete = true;
    }

    fn of(&self, organization: &str) -> impl Iterator<Item = (&String, &Tenant)> {
        self.organizations.get(organization).into_iter().flatten()
    }
}

impl Tenants {
    /// Takes in what the watch of bindings tells. One elsewhere than in the platform's namespace binds nothing, and must
    /// not stand for one of its name there.
    pub(super) fn see_binding(&self, platform: &str, event: &watcher::Event<RepoBinding>) {
        let of_platform = |binding: &RepoBinding| binding.metadata.namespace.as_deref() == Some(platform);
        let mut state = self.lock();
        let state = &mut *state;
        match event {
            watcher::Event::Init => state.bindings.listed.clear(),
            watcher::Event::InitDone => state.bindings.end(),
            watcher::Event::InitApply(binding)
            | watcher::Event::Apply(binding)
            | watcher::Event::Delete(binding)
                if !of_platform(binding) => {}
            watcher::Event::InitApply(binding) | watcher::Event::Apply(binding) => {
                let name = binding.name_any();
                if matches!(event, watcher::Event::InitApply(_)) {
                    state.bindings.listed.insert(name.clone());
                }
                let Some(organization) = &binding.spec.aphex_org else { return };
                let stays = binding.metadata.deletion_timestamp.is_none();
                let tenant = Tenant { binding: binding.uid().unwrap_or_default(), stays };
                if state.bindings.put(&name, organization, tenant) {
                    state.news.insert(name);
                }
            }
            watcher::Event::Delete(binding) => {
                state.bindings.remove(&binding.name_any());
                state.news.insert(binding.name_any());
            }
        }
    }

    /// Takes in what the watch of tenants' namespaces tells.
    pub(super) fn see_namespace(&self, event: &watcher::Event<PartialObjectMeta<Namespace>>) {
        let side = &mut self.lock().namespaces;
        match event {
            watcher::Event::Init => side.listed.clear(),
            watcher::Event::InitDone => side.end(),
            watcher::Event::InitApply(namespace) | watcher::Event::Apply(namespace) => {
                let name = namespace.name_any();
                if matches!(event, watcher::Event::InitApply(_)) {
                    side.listed.insert(name.clone());
                }
                let label = |key: &str| namespace.labels().get(key).cloned();
                match label(labels::ORGANIZATION).zip(label(labels::OWNER_UID)) {
                    Some((organization, binding)) => {
                        let stays = namespace.metadata.deletion_timestamp.is_none();
                        side.put(&name, &organization, Tenant { binding, stays });
                    }
                    None => side.remove(&name),
                }
            }
            watcher::Event::Delete(namespace) => side.remove(&namespace.name_any()),
        }
    }

    /// Whether something was told of a binding that matters to its organization; it is news once.
    pub(super) fn is_news(&self, binding: &str) -> bool {
        self.lock().news.remove(binding)
    }

    /// The namespaces of an organization's tenants; nothing is known before both watches have told of all.
    pub(super) fn of(&self, organization: &str) -> Option<Vec<String>> {
        let state = self.lock();
        if !(state.bindings.complete && state.namespaces.complete) {
            return None;
        }
        let staying: HashSet<&str> = state
            .bindings
            .of(organization)
            .filter(|(_, tenant)| tenant.stays)
            .map(|(_, tenant)| tenant.binding.as_str())
            .collect();
        let kept = |tenant: &Tenant| tenant.stays && staying.contains(tenant.binding.as_str());
        let namespaces = state.namespaces.of(organization).filter(|(_, tenant)| kept(tenant));
        Some(namespaces.map(|(name, _)| name.clone()).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const HERE: &str = "platform-system";

    fn binding(name: &str, uid: &str, going: bool) -> RepoBinding {
        let mut metadata = json!({ "name": name, "namespace": HERE, "uid": uid });
        if going {
            metadata["deletionTimestamp"] = json!("2026-11-24T10:00:00Z");
        }
        let spec = json!({ "aphexOrg": "acme", "repoOrg": "Acme", "repoName": "web", "branch": "main" });
        serde_json::from_value(json!({ "apiVersion": "aphex.io/v1alpha1", "kind": "RepoBinding", "metadata": metadata, "spec": spec }))
            .unwrap()
    }

    fn namespace(name: &str, uid: &str) -> PartialObjectMeta<Namespace> {
        let labels: Value = json!({ (labels::ORGANIZATION): "acme", (labels::OWNER_UID): uid });
        serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } })).unwrap()
    }

    #[test]
    fn a_tenant_counts_while_its_namespace_is_there_and_its_binding_stays() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let tenants = Tenants::default();
        tenants.see_binding(HERE, &Init);
        tenants.see_binding(HERE, &InitApply(binding("b-web", "1", false)));
        tenants.see_binding(HERE, &InitDone);
        assert_eq!(tenants.of("acme"), None, "namespaces are not known yet");
        tenants.see_namespace(&Init);
        tenants.see_namespace(&InitDone);
        assert_eq!(tenants.of("acme"), Some(Vec::new()));
        tenants.see_namespace(&Apply(namespace("web", "1")));
        tenants.see_namespace(&Apply(namespace("strange", "2")));
        assert_eq!(tenants.of("acme"), Some(vec!["web".to_owned()]));
        assert!(tenants.is_news("b-web") && !tenants.is_news("b-web"));
        tenants.see_binding(HERE, &Apply(binding("b-web", "1", false)));
        assert!(!tenants.is_news("b-web"), "a status is no news");
        let mut elsewhere = binding("b-web", "9", false);
        elsewhere.metadata.namespace = Some("team-red".to_owned());
        tenants.see_binding(HERE, &Apply(elsewhere));
        assert!(!tenants.is_news("b-web"));
        assert_eq!(tenants.of("acme"), Some(vec!["web".to_owned()]));
        tenants.see_binding(HERE, &Apply(binding("b-web", "1", true)));
        assert!(tenants.is_news("b-web"));
        assert_eq!(tenants.of("acme"), Some(Vec::new()));
        tenants.see_binding(HERE, &Delete(binding("b-web", "1", true)));
        assert!(tenants.is_news("b-web"));
        tenants.see_binding(HERE, &Init);
        tenants.see_binding(HERE, &InitApply(binding("b-new", "2", false)));
        tenants.see_binding(HERE, &InitDone);
        assert_eq!(tenants.of("acme"), Some(vec!["strange".to_owned()]));
        tenants.see_namespace(&Delete(namespace("strange", "2")));
        assert_eq!(tenants.of("acme"), Some(Vec::new()));
    }
}
