//! The RBAC index, kept level with the store: every decision sees every acknowledged write.
//!
//! There is no task behind it. Whoever wants to decide takes what the store's watch holds first, which costs
//! a comparison when nothing was written since.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aphex_auth::Index;
use aphex_store::{Event, EventKind, List, Store, Watch};
use futures::{FutureExt, StreamExt};
use serde_json::Value;

/// Keys of roles, cluster roles and their bindings.
const PREFIX: &str = "/registry/rbac.authorization.k8s.io/";

/// Roles and bindings as they are in the store.
pub(crate) struct Roles {
    store: Store,
    index: RwLock<Arc<Index>>,
    feed: Mutex<Option<Watch>>,
    /// The store's revision that the index is known to reflect; 0 until it is first read.
    seen: AtomicU64,
}

impl Roles {
    /// The roles in a store; nothing is read before the first decision.
    pub(crate) fn new(store: Store) -> Self {
        Self { store, index: RwLock::default(), feed: Mutex::new(None), seen: AtomicU64::new(0) }
    }

    /// The index with every write that was acknowledged before this call.
    pub(crate) fn current(&self) -> Arc<Index> {
        if self.seen.load(Ordering::Acquire) != self.store.revision() {
            self.catch_up();
        }
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn catch_up(&self) {
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = match feed.as_mut() {
            Some(watch) => self.drain(watch),
            None => false,
        };
        if !alive {
            *feed = self.rebuild();
        }
        if let Some(watch) = feed.as_ref() {
            self.seen.store(watch.progress(), Ordering::Release);
        }
    }

    /// Takes what waits; false when the watch fell behind and was dropped.
    fn drain(&self, watch: &mut Watch) -> bool {
        let index = Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner));
        // Unconstrained: a task that used up its share of time must not take an outdated decision for that.
        while let Some(next) = tokio::task::unconstrained(Pin::new(&mut *watch).next()).now_or_never() {
            match next {
                Some(Ok(event)) => apply(&index, &event),
                Some(Err(lost)) => {
                    tracing::warn!(error = %lost, "reading all roles and bindings again");
                    return false;
                }
                // The store is closed; what is known stays.
                None => return true,
            }
        }
        true
    }

    /// Reads everything and watches from there.
    fn rebuild(&self) -> Option<Watch> {
        let list = List { prefix: PREFIX.to_owned(), after: None, limit: None, at: None };
        let page = match self.store.list(&list) {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "roles and bindings cannot be read");
                return None;
            }
        };
        let index = Index::default();
        for entry in &page.entries {
            put(&index, &entry.value);
        }
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
        match self.store.watch(PREFIX, page.revision) {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::error!(%error, "roles and bindings cannot be watched");
                None
            }
        }
    }
}

impl std::fmt::Debug for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roles").field("seen", &self.seen).finish_non_exhaustive()
    }
}

fn apply(index: &Index, event: &Event) {
    match event.kind {
        EventKind::Put => put(index, &event.entry.value),
        EventKind::Delete => {
            if let Ok(object) = serde_json::from_slice::<Value>(&event.entry.value)
                && let Err(error) = index.remove(&object)
            {
                tracing::error!(%error, key = %event.entry.key, "a stored role or binding cannot be read");
            }
        }
    }
}

fn put(index: &Index, bytes: &[u8]) {
    let taken = serde_json::from_slice::<Value>(bytes).map(|object| index.upsert(&object));
    match taken {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "a stored role or binding cannot be read"),
        Err(error) => tracing::error!(%error, "a stored role or binding is no JSON"),
    }
}

#[cfg(test)]
mod tests {
    use aphex_auth::{Attributes, User, authorize};
    use aphex_store::{Change, Expect, Options, Payload};
    use serde_json::json;

    use super::*;

    async fn put_object(store: &Store, plural: &str, name: &str, object: &Value) {
        let payload = Payload { bytes: object.to_string().into(), stamp: None };
        let key = format!("{PREFIX}{plural}/{name}");
        store.commit(vec![Change::Put { key, payload, expect: Expect::Anything }]).await.unwrap();
    }

    fn may_list_pods(roles: &Roles, user: &User) -> bool {
        authorize(&*roles.current(), &Attributes::resource(user, "list", "", "pods")).allowed
    }

    #[tokio::test]
    async fn a_decision_sees_every_acknowledged_write_and_survives_a_lost_watch() {
        let store = Store::memory(Options { watch_queue: 4, ..Options::default() });
        let roles = Roles::new(store.clone());
        let user = User::new("ann", ["dev"]);
        assert!(!may_list_pods(&roles, &user));
        let role = json!({"kind": "ClusterRole", "metadata": {"name": "r"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]});
        let binding = json!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "User", "name": "ann"}]});
        put_object(&store, "clusterroles", "r", &role).await;
        put_object(&store, "clusterrolebindings", "b", &binding).await;
        assert!(may_list_pods(&roles, &user));
        // More writes than the watch holds: it is lost, and all is read again.
        for number in 0..20 {
            let mut other = binding.clone();
            other["metadata"]["name"] = json!(format!("other-{number}"));
            put_object(&store, "clusterrolebindings", &format!("other-{number}"), &other).await;
        }
        let key = format!("{PREFIX}clusterroles/r");
        store.commit(vec![Change::Delete { key, expect: Expect::Anything }]).await.unwrap();
        assert!(!may_list_pods(&roles, &user));
        put_object(&store, "clusterroles", "r", &role).await;
        assert!(may_list_pods(&roles, &user));
    }
}
