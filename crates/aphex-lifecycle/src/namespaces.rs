//! A deleted namespace: its objects are deleted, waited for, and then the namespace is let go.
//!
//! While something remains, the conditions of the namespace say what and why, as those of
//! kube-controller-manager's `namespace-controller` do (k8s.io/kubernetes/pkg/controller/namespace).

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, ListParams, Patch, PropagationPolicy};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Kind};

/// The finalizer in `spec.finalizers` that this controller takes away.
const FINALIZER: &str = "kubernetes";
/// First and longest wait before looking again at a namespace that is not yet empty.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// Empties namespaces until the token is cancelled.
pub async fn run(client: Client, catalog: Catalog, stop: CancellationToken) {
    let mut changes = watcher(Api::<Namespace>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    // One future a namespace; the set keeps a second one from starting.
    let mut busy: HashSet<String> = HashSet::new();
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            change = changes.next() => {
                let Some(change) = change else { return };
                let Ok(namespace) = change else { continue };
                let name = namespace.name_any();
                if terminating(&namespace) && busy.insert(name.clone()) {
                    running.push(empty(&client, &catalog, name));
                }
            }
            Some(name) = running.next(), if !running.is_empty() => { busy.remove(&name); }
            () = stop.cancelled() => return,
        }
    }
}

fn terminating(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    namespace.metadata.deletion_timestamp.is_some()
        && finalizers.is_some_and(|all| all.iter().any(|finalizer| finalizer == FINALIZER))
}

/// Works on one namespace until it is finalised or gone; gives its name back.
async fn empty(client: &Client, catalog: &Catalog, name: String) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut wait = FIRST_LOOK;
    loop {
        match attempt(client, catalog, &namespaces, &name).await {
            Ok(true) => return name,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(namespace.name = %name, %error, "cannot empty the namespace; trying again");
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_LOOK);
    }
}

/// One pass; true when there is nothing left to do.
async fn attempt(
    client: &Client,
    catalog: &Catalog,
    namespaces: &Api<Namespace>,
    name: &str,
) -> Result<bool, kube::Error> {
    let Some(mut namespace) = namespaces.get_opt(name).await? else { return Ok(true) };
    if !terminating(&namespace) {
        return Ok(true);
    }
    // A kind that appeared a moment ago must not be left behind.
    let discovery = catalog.refresh().await;
    let kinds = catalog.subscribe().borrow().clone();
    let mut left = Left { discovery: discovery.err().map(|error| error.to_string()), ..Left::default() };
    for kind in kinds.iter().filter(|kind| kind.namespaced) {
        left.note(kind, clear(client, kind, name).await);
    }
    if left.is_empty() {
        if let Some(spec) = namespace.spec.as_mut() {
            spec.finalizers.get_or_insert_default().retain(|finalizer| finalizer != FINALIZER);
        }
        return match namespaces.replace_subresource("finalize", name, &crate::writing(), &namespace).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(true),
            Err(error) => Err(error),
        };
    }
    publish(namespaces, &namespace, &left).await?;
    Ok(false)
}

/// Deletes all objects of a kind in the namespace; gives how many remain and which finalizers hold them.
async fn clear(
    client: &Client,
    kind: &Kind,
    namespace: &str,
) -> Result<(usize, BTreeMap<String, usize>), kube::Error> {
    let objects = kind.metadata(client, Some(namespace));
    let found = match objects.list(&ListParams::default()).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 405) => return Ok(Default::default()),
        other => other?,
    };
    if found.items.is_empty() {
        return Ok(Default::default());
    }
    let background =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    if kind.delete_collection {
        objects.delete_collection(&background, &ListParams::default()).await?;
    } else {
        for object in found.items.iter().filter(|object| object.metadata.deletion_timestamp.is_none()) {
            match objects.delete(&object.name_any(), &background).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => drop(other?),
            }
        }
    }
    let remaining = objects.list(&ListParams::default()).await?;
    let mut finalizers = BTreeMap::new();
    for finalizer in remaining.items.iter().flat_map(ResourceExt::finalizers) {
        *finalizers.entry(finalizer.clone()).or_default() += 1;
    }
    Ok((remaining.items.len(), finalizers))
}

/// What keeps a namespace from going.
#[derive(Default)]
struct Left {
    discovery: Option<String>,
    failures: Vec<String>,
    objects: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
}

impl Left {
    fn note(&mut self, kind: &Kind, outcome: Result<(usize, BTreeMap<String, usize>), kube::Error>) {
        // As upstream writes it: with the dot even where no group follows.
        let plural = format!("{}.{}", kind.resource.plural, kind.resource.group);
        match outcome {
            Ok((0, _)) => {}
            Ok((count, finalizers)) => {
                self.objects.insert(plural, count);
                for (finalizer, count) in finalizers {
                    *self.finalizers.entry(finalizer).or_default() += count;
                }
            }
            Err(error) => self.failures.push(format!("{plural}: {error}")),
        }
    }

    fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.failures.is_empty() && self.discovery.is_none()
    }

    /// The five conditions, in upstream's order and words.
    fn conditions(&self) -> [(&'static str, bool, &'static str, String); 5] {
        let counted = |what: &BTreeMap<String, usize>, form: fn(&str, usize) -> String| {
            what.iter().map(|(name, count)| form(name, *count)).collect::<Vec<_>>().join(", ")
        };
        let objects = counted(&self.objects, |name, count| format!("{name} has {count} resource instances"));
        let finalizers =
            counted(&self.finalizers, |name, count| format!("{name} in {count} resource instances"));
        [
            match &self.discovery {
                None => (
                    "NamespaceDeletionDiscoveryFailure",
                    false,
                    "ResourcesDiscovered",
                    "All resources successfully discovered".to_owned(),
                ),
                Some(error) => (
                    "NamespaceDeletionDiscoveryFailure",
                    true,
                    "DiscoveryFailed",
                    format!("Discovery failed for some groups: {error}"),
                ),
            },
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                false,
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed".to_owned(),
            ),
            if self.failures.is_empty() {
                (
                    "NamespaceDeletionContentFailure",
                    false,
                    "ContentDeleted",
                    "All content successfully deleted, may be waiting on finalization".to_owned(),
                )
            } else {
                (
                    "NamespaceDeletionContentFailure",
                    true,
                    "ContentDeletionFailed",
                    format!(
                        "Failed to delete all resource types, {} remaining: {}",
                        self.failures.len(),
                        self.failures.join(", ")
                    ),
                )
            },
            if self.objects.is_empty() {
                (
                    "NamespaceContentRemaining",
                    false,
                    "ContentRemoved",
                    "All content successfully removed".to_owned(),
                )
            } else {
                (
                    "NamespaceContentRemaining",
                    true,
                    "SomeResourcesRemain",
                    format!("Some resources are remaining: {objects}"),
                )
            },
            if self.finalizers.is_empty() {
                (
                    "NamespaceFinalizersRemaining",
                    false,
                    "ContentHasNoFinalizers",
                    "All content-preserving finalizers finished".to_owned(),
                )
            } else {
                (
                    "NamespaceFinalizersRemaining",
                    true,
                    "SomeFinalizersRemain",
                    format!("Some content in the namespace has finalizers remaining: {finalizers}"),
                )
            },
        ]
    }
}

/// Writes the conditions when they say something new.
async fn publish(namespaces: &Api<Namespace>, namespace: &Namespace, left: &Left) -> Result<(), kube::Error> {
    let known = namespace.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let mut changed = false;
    let mut conditions: Vec<NamespaceCondition> = Vec::new();
    for (kind, holds, reason, message) in left.conditions() {
        let status = if holds { "True" } else { "False" };
        let old = known.iter().find(|condition| condition.type_ == kind);
        let same = old.is_some_and(|c| c.status == status && c.message.as_deref() == Some(&message));
        changed |= !same;
        let since = old.filter(|c| c.status == status).and_then(|c| c.last_transition_time.clone());
        conditions.push(NamespaceCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: since.or_else(|| Some(Time(now()))),
        });
    }
    if !changed {
        return Ok(());
    }
    let patch = json!({ "status": { "conditions": conditions } });
    let name = namespace.name_any();
    match namespaces.patch_status(&name, &crate::patching(), &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now)
}
