//! Tells on an object that something is wrong with it, as an Event beside it, as soon as it was written.
//!
//! An Event's name derives from the object and what is wrong, so however many replicas see it, there is one. Where the
//! gateway has no right to write Events (outside of listeners' namespaces) its log has to do.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aphex_api::foreign::triggers::EventListener;
use aphex_runtime::{Clock, Shutdown};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource as _};
use tokio::sync::mpsc;

use crate::problems;
use crate::snapshot::Snapshot;
use crate::templates::hex;

/// Longest note that an Event may have (`events.k8s.io/v1`).
const NOTE_MAX: usize = 1024;
const REASON: &str = "Malformed";
/// Where Kubernetes has the Events of objects that are in no namespace.
const OF_THE_CLUSTER: &str = "default";
/// How many problems are remembered as told.
const REMEMBERED: usize = 4096;
/// For how long API servers keep an Event (`--event-ttl`).
const KEPT: Duration = Duration::from_hours(1);

/// An object, and the work of finding out what is wrong with it.
struct Written {
    object: ObjectReference,
    check: Check,
    /// Under which it waits, where it may wait once.
    waiting: Option<(Waiting, String)>,
}

/// What waits to be looked at because somebody outside brought it up, by uid: however often that is, it waits once.
type Waiting = Arc<Mutex<HashSet<String>>>;

/// Compiling expressions is work for a thread that may be busy.
type Check = Box<dyn FnOnce() -> Vec<String> + Send>;

/// Takes what was written; cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    written: mpsc::UnboundedSender<Written>,
    waiting: Waiting,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reporter")
    }
}

impl Reporter {
    /// Writes Events until shutdown.
    pub fn start(client: Client, identity: String, clock: Clock, shutdown: &Shutdown) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Written>();
        let stop = shutdown.token();
        shutdown.spawn(async move {
            let mut told = Told::default();
            while let Some(Some(next)) = stop.run_until_cancelled(receiver.recv()).await {
                let Written { object, check, waiting } = next;
                if let Some((waiting, uid)) = waiting {
                    lock(&waiting).remove(&uid);
                }
                let problems = tokio::task::spawn_blocking(check).await.unwrap_or_default();
                if !problems.is_empty() && told.is_new(&object, &problems, clock.now()) {
                    publish(&client, &identity, &clock, object, &problems).await;
                }
            }
        });
        Self { written: sender, waiting: Waiting::default() }
    }

    /// Tells which Triggers beside a listener never fire, if there are any.
    pub(crate) fn look_beside(&self, listener: &Arc<EventListener>, snapshot: &Snapshot) {
        let object = listener.object_ref(&());
        let uid = object.uid.clone().unwrap_or_default();
        if !lock(&self.waiting).insert(uid.clone()) {
            return;
        }
        let (beside, known) = (Arc::clone(listener), snapshot.clone());
        let check = Box::new(move || problems::unguarded(&beside, &known));
        self.send(Written { object, check, waiting: Some((Arc::clone(&self.waiting), uid)) });
    }

    pub(crate) fn look(&self, object: ObjectReference, check: impl FnOnce() -> Vec<String> + Send + 'static) {
        self.send(Written { object, check: Box::new(check), waiting: None });
    }

    fn send(&self, written: Written) {
        // A process that stops tells nothing more; the next one looks at everything again.
        let _ = self.written.send(written);
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashSet<String>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was told of late, and when: what brings it up does so again and again.
#[derive(Default)]
struct Told(HashMap<String, Timestamp>);

impl Told {
    fn is_new(&mut self, object: &ObjectReference, problems: &[String], now: Timestamp) -> bool {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        let seed = seed(object, &note(problems));
        let kept = |before: &Timestamp| now.duration_since(*before).unsigned_abs() < KEPT;
        if self.0.get(&seed).is_some_and(kept) {
            return false;
        }
        self.0.insert(seed, now);
        true
    }
}

fn seed(object: &ObjectReference, note: &str) -> String {
    format!("{}/{note}", object.uid.as_deref().unwrap_or_default())
}

async fn publish(
    client: &Client,
    identity: &str,
    clock: &Clock,
    object: ObjectReference,
    problems: &[String],
) {
    let (kind, name) = (object.kind.clone().unwrap_or_default(), object.name.clone().unwrap_or_default());
    let namespace = object.namespace.clone().unwrap_or_default();
    let note = note(problems);
    tracing::warn!(
        object.kind = %kind, object.name = %name, object.namespace = %namespace, problem = %note,
        "Object of Triggers is malformed"
    );
    let event = event(object, note, identity, clock);
    let at = event.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), at);
    match api.create(&PostParams::default(), &event).await {
        Ok(_) => {}
        // Another replica, or this one before it was started again.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => {
            tracing::warn!(
                object.kind = %kind, object.name = %name, object.namespace = %namespace,
                error = %aphex_runtime::errors::chain(&error), "Event cannot be written"
            );
        }
    }
}

fn event(object: ObjectReference, note: String, identity: &str, clock: &Clock) -> Event {
    let seed = seed(&object, &note);
    let mut name = object.name.clone().unwrap_or_default();
    name.truncate(200);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{}", name.trim_end_matches(['.', '-']), &hex(&seed)[..16])),
            namespace: Some(object.namespace.clone().unwrap_or_else(|| OF_THE_CLUSTER.to_owned())),
            ..ObjectMeta::default()
        },
        action: Some("Check".to_owned()),
        event_time: Some(MicroTime(clock.now())),
        note: Some(note),
        reason: Some(REASON.to_owned()),
        regarding: Some(object),
        reporting_controller: Some("aphex.io/gateway".to_owned()),
        reporting_instance: Some(identity.to_owned()),
        type_: Some("Warning".to_owned()),
        ..Event::default()
    }
}

fn note(problems: &[String]) -> String {
    let mut note = problems.join("; ");
    if note.len() > NOTE_MAX {
        let mut end = NOTE_MAX - '…'.len_utf8();
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_told_again_once_its_event_is_gone() {
        let (mut told, problems) = (Told::default(), vec!["x".to_owned()]);
        let object = |uid: &str| ObjectReference { uid: Some(uid.into()), ..ObjectReference::default() };
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(told.is_new(&object("a"), &problems, at(0)) && told.is_new(&object("b"), &problems, at(0)));
        assert!(!told.is_new(&object("a"), &problems, at(3599)));
        assert!(told.is_new(&object("a"), &["y".to_owned()], at(3599)));
        assert!(told.is_new(&object("b"), &problems, at(3600)));
    }

    #[test]
    fn the_same_problem_of_the_same_object_has_one_name() {
        let named = |uid: &str, note: &str| {
            let object = ObjectReference {
                uid: Some(uid.into()),
                name: Some("web".into()),
                ..ObjectReference::default()
            };
            event(object, note.into(), "one", &Clock::system()).metadata.name.unwrap()
        };
        assert_eq!(named("a", "x"), named("a", "x"));
        assert_ne!(named("a", "x"), named("b", "x"));
        assert_ne!(named("a", "x"), named("a", "y"));
        assert!(note(&["烈".repeat(1000)]).len() <= NOTE_MAX);
    }
}
