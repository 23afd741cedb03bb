//! Tells a listener's `spec.cloudEventURI` what becomes of its events, as Tekton's sink does.
//!
//! The four events of `pkg/reconciler/events` and `pkg/sink/cloudevent` of Tekton Triggers, in CloudEvents' binary mode
//! over HTTP. They are sent once an event has its verdict, each listener's in their order, and nobody waits for them:
//! what cannot be sent, or would wait behind too many others, is dropped and logged.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aphex_api::foreign::triggers::EventListener;
use aphex_runtime::Shutdown;
use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};

use crate::calls::{Caller, Unsent};
use crate::interceptors::outside::{Question, Whom};
use crate::report::Reporter;

/// The beginning of what is sent first.
const STARTED: &str = "dev.tekton.event.triggers.started.v1";
/// One trigger created what it asks for.
const SUCCESSFUL: &str = "dev.tekton.event.triggers.successful.v1";
/// The event, or a trigger, failed.
const FAILED: &str = "dev.tekton.event.triggers.failed.v1";
/// The end.
const DONE: &str = "dev.tekton.event.triggers.done.v1";
/// Events of one namespace's listeners that may wait to be told of, and of all.
const WAITING: usize = 256;
const ALL_WAITING: usize = 4096;
/// Events of one namespace that are told of at once.
const PARALLEL: usize = 8;
/// How often one message is sent, and the pause before the second time, which then doubles.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// How long a process that stops goes on.
const HURRY: Duration = Duration::from_secs(2);

/// What became of an event at a listener.
#[derive(Debug, Clone, PartialEq)]
pub struct Told<'a> {
    /// Namespace of the listener.
    pub namespace: &'a str,
    /// Name of the listener.
    pub listener: &'a str,
    /// The event's id.
    pub event_id: &'a str,
    /// The headers of the request, without those that carry secrets.
    pub headers: &'a BTreeMap<String, String>,
    /// When it was received.
    pub received: Timestamp,
    /// When it had its verdict.
    pub finished: Timestamp,
    /// How many triggers created what they ask for.
    pub fired: usize,
    /// Whether the verdict is that it failed.
    pub failed: bool,
}

/// A CloudEvent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its attributes, as headers.
    pub headers: BTreeMap<String, String>,
    /// Its data, JSON.
    pub data: Arc<str>,
}

/// The CloudEvents that tell of an event, in order.
pub fn messages(told: &Told<'_>) -> Vec<Message> {
    // Go's headers are lists of values.
    let headers: BTreeMap<&String, [&String; 1]> =
        told.headers.iter().map(|(name, value)| (name, [value])).collect();
    let headers: Arc<str> = serde_json::json!(headers).to_string().into();
    // The sink says the second of a listener that it has read from its cache, which knows no kinds.
    let (first, later) = (
        format!("/apis//v1beta1/namespaces/{}/EventListener/{}", told.namespace, told.listener),
        format!("/apis///namespaces/{}//{}", told.namespace, told.listener),
    );
    let message = |kind: &str, source: &str, time: Timestamp, data: &Arc<str>| {
        let attributes = [
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", told.event_id.to_owned()),
            ("ce-type", kind.to_owned()),
            ("ce-source", source.to_owned()),
            ("ce-subject", format!("{} processing {}", told.listener, told.event_id)),
            ("ce-time", time.to_string()),
            ("content-type", "application/json".to_owned()),
        ];
        let headers = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Message { headers, data: Arc::clone(data) }
    };
    let mut messages = vec![message(STARTED, &first, told.received, &headers)];
    for _ in 0..told.fired {
        messages.push(message(SUCCESSFUL, &later, told.finished, &headers));
    }
    let nothing: Arc<str> = "null".into();
    if told.failed {
        messages.push(message(FAILED, &later, told.finished, &nothing));
    }
    messages.push(message(DONE, &later, told.finished, &nothing));
    messages
}

/// What is to be sent about one event.
struct Batch {
    listener: Arc<EventListener>,
    messages: Vec<Message>,
}

/// What waits, by namespace; one that has an entry has a task that sends.
#[derive(Debug)]
struct Lanes<T>(HashMap<String, VecDeque<T>>);

/// What becomes of something that is to be sent.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It is the first of a lane, for which a task has to be started.
    First,
    /// It waits behind others.
    Behind,
    /// Too many wait.
    None,
}

impl<T> Lanes<T> {
    fn put(&mut self, namespace: &str, item: T) -> Place {
        let all: usize = self.0.values().map(VecDeque::len).sum();
        let lane = self.0.get_mut(namespace);
        if all >= ALL_WAITING || lane.as_ref().is_some_and(|lane| lane.len() >= WAITING) {
            return Place::None;
        }
        if let Some(lane) = lane {
            lane.push_back(item);
            return Place::Behind;
        }
        self.0.insert(namespace.to_owned(), [item].into());
        Place::First
    }

    /// What is sent next; nothing, and no lane any more, when nothing waits.
    fn next(&mut self, namespace: &str) -> Vec<T> {
        let Some(lane) = self.0.get_mut(namespace) else { return Vec::new() };
        let next: Vec<T> = lane.drain(..lane.len().min(PARALLEL)).collect();
        if next.is_empty() {
            self.0.remove(namespace);
        }
        next
    }
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// Sends; cheap to clone.
#[derive(Clone)]
pub struct Announcer {
    caller: Arc<Caller>,
    reporter: Reporter,
    shutdown: Shutdown,
    lanes: Arc<Mutex<Lanes<Batch>>>,
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Announcer")
    }
}

impl Announcer {
    /// Sends by this caller, until shutdown.
    pub(crate) fn new(caller: Arc<Caller>, reporter: Reporter, shutdown: Shutdown) -> Self {
        Self { caller, reporter, shutdown, lanes: Arc::default() }
    }

    /// Sees to it that a listener's messages are sent; drops them where too many wait.
    pub(crate) fn tell(&self, listener: &Arc<EventListener>, messages: Vec<Message>) {
        let namespace = listener.namespace().unwrap_or_default();
        let place = self.lanes().put(&namespace, Batch { listener: Arc::clone(listener), messages });
        if place == Place::None {
            tracing::warn!(
                eventListener = %listener.name_any(), namespace = %namespace,
                "CloudEvents are dropped: too many wait for spec.cloudEventURI to answer"
            );
        }
        if place == Place::First {
            let (this, stop) = (self.clone(), self.shutdown.token());
            self.shutdown.spawn(async move {
                let hurry = async {
                    stop.cancelled().await;
                    tokio::time::sleep(HURRY).await;
                };
                tokio::select! {
                    () = this.send_all(&namespace) => {}
                    () = hurry => {}
                }
            });
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes<Batch>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what waits of a namespace, until nothing does.
    async fn send_all(&self, namespace: &str) {
        loop {
            let next = self.lanes().next(namespace);
            if next.is_empty() {
                return;
            }
            futures::future::join_all(next.iter().map(|batch| self.send(batch))).await;
        }
    }

    /// Sends the messages of one event in order, up to the first that does not arrive.
    async fn send(&self, batch: &Batch) {
        let uri = batch.listener.spec.cloud_event_uri().unwrap_or_default();
        for message in &batch.messages {
            let question = Question {
                whom: Whom::Service,
                url: uri.to_owned(),
                ca_bundle: None,
                headers: message.headers.clone(),
                body: Some(Arc::clone(&message.data)),
                token: None,
            };
            let Err(error) = self.post(&question).await else { continue };
            let (name, namespace) =
                (batch.listener.name_any(), batch.listener.namespace().unwrap_or_default());
            match error {
                Unsent::Never(why) => {
                    let problem = format!("spec.cloudEventURI is not told of events: {why}");
                    self.reporter.look(batch.listener.object_ref(&()), || vec![problem]);
                }
                Unsent::Now(why) => tracing::warn!(
                    eventListener = %name, namespace = %namespace, error = %why,
                    "CloudEvents are dropped: spec.cloudEventURI does not take them"
                ),
            }
            return;
        }
    }

    async fn post(&self, question: &Question) -> Result<(), Unsent> {
        let mut tries = 1;
        loop {
            let failed = match self.caller.post(question).await {
                Ok(answer) if (200..300).contains(&answer.status) => return Ok(()),
                Ok(answer) if !answer.may_pass() => {
                    return Err(Unsent::Now(format!("it answers {}", answer.status)));
                }
                Ok(answer) => Unsent::Now(format!("it answers {}", answer.status)),
                Err(never @ Unsent::Never(_)) => return Err(never),
                Err(now) => now,
            };
            if tries >= TRIES {
                return Err(failed);
            }
            tokio::time::sleep(PAUSE.saturating_mul(1 << tries)).await;
            tries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_found_no_room_is_taken_up_again_once_there_is() {
        let mut lanes = Lanes::default();
        let busy: Vec<String> = (0..ALL_WAITING / WAITING).map(|number| format!("busy-{number}")).collect();
        for name in &busy {
            assert_eq!(lanes.put(name, 0), Place::First);
            assert!((1..WAITING).all(|number| lanes.put(name, number) == Place::Behind));
            assert_eq!(lanes.put(name, WAITING), Place::None, "a lane has an end");
        }
        assert_eq!(lanes.put("late", 0), Place::None);
        let begun = lanes.next(&busy[0]);
        assert_eq!(begun, (0..PARALLEL).collect::<Vec<_>>(), "in their order");
        assert_eq!(lanes.put("late", 0), Place::First, "there is nobody yet who sends for it");
        assert_eq!((lanes.next("late"), lanes.next("late")), (vec![0], vec![]));
        assert_eq!(lanes.put("late", 1), Place::First);
    }

    #[test]
    fn what_is_told_is_what_tektons_sink_tells() {
        let headers = [("X-Github-Event".to_owned(), "push".to_owned())].into();
        let at = |second| Timestamp::from_second(second).unwrap();
        let told = Told {
            namespace: "org-acme",
            listener: "github-listener",
            event_id: "72d3162e",
            headers: &headers,
            received: at(1_700_000_000),
            finished: at(1_700_000_001),
            fired: 1,
            failed: false,
        };
        let sent = messages(&told);
        let kinds = |sent: &[Message]| -> Vec<String> {
            sent.iter().map(|message| message.headers["ce-type"].clone()).collect()
        };
        assert_eq!(kinds(&sent), [STARTED, SUCCESSFUL, DONE]);
        let expected = [
            ("ce-id", "72d3162e"),
            ("ce-source", "/apis//v1beta1/namespaces/org-acme/EventListener/github-listener"),
            ("ce-specversion", "1.0"),
            ("ce-subject", "github-listener processing 72d3162e"),
            ("ce-time", "2023-11-14T22:13:20Z"),
            ("ce-type", STARTED),
            ("content-type", "application/json"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(sent[0].headers, expected.into());
        assert_eq!(&*sent[0].data, r#"{"X-Github-Event":["push"]}"#);
        assert_eq!(sent[1].headers["ce-source"], "/apis///namespaces/org-acme//github-listener");
        assert_eq!((&*sent[1].data, &*sent[2].data), (&*sent[0].data, "null"));
        assert_eq!(
            kinds(&messages(&Told { fired: 2, failed: true, ..told.clone() })),
            [STARTED, SUCCESSFUL, SUCCESSFUL, FAILED, DONE]
        );
        assert_eq!(kinds(&messages(&Told { fired: 0, ..told })), [STARTED, DONE]);
    }
}
