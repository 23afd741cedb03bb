//! Following a collection: what is there, then every change, as lines of JSON until time is up.

use std::sync::Arc;
use std::time::Duration;

use aphex_store::{Entry, Event, EventKind, List, ReadError, Revision, Watch};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::Response;
use rand::Rng;
use serde_json::{Value, json};
use tokio::sync::watch as signal;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::list::{check_reached, parse_version, scope, selected};
use crate::body::Body;
use crate::call::Call;
use crate::codec;
use crate::registry::Snapshot;
use crate::request::{Encoding, ListOptions, Output, Shape};
use crate::respond;
use crate::selectors::Filter;
use crate::status::Status;
use crate::table;

/// A watch without a timeout ends after half an hour to an hour (`--min-request-timeout`).
const SHORTEST: u64 = 1800;
const STREAMED: &str = "application/json;stream=watch";
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Answers with a stream of events.
pub(super) fn watch(mut call: Call) -> Result<Response<Body>, Status> {
    let mut options = ListOptions::parse(&call.query, true)?;
    if let Some(name) = &call.path.name {
        options.field_selector = format!("metadata.name={name}");
    }
    let filter = Filter::parse(&call.resource, &options.label_selector, &options.field_selector)?;
    // A stream of YAML documents does not exist in this protocol, and nobody reads events indented.
    if call.output.encoding == Encoding::Yaml {
        return Err(Status::no_such_shape(STREAMED));
    }
    call.output.encoding = Encoding::Json;
    let prefix = scope(&call, &filter);
    let version = parse_version(&options.resource_version).map_err(|refused| {
        // Found by the store, not by the handler.
        let why = refused.message.trim_start_matches("invalid resource version: ").to_owned();
        Status::new(500, "", why)
    })?;
    check_reached(&call, version)?;
    let with_initial = options.send_initial_events.unwrap_or(version == 0);
    let (initial, after) = if with_initial { present(&call, &prefix)? } else { (Vec::new(), version) };
    let events = match call.server.store.watch(&prefix, after) {
        Ok(events) => events,
        Err(ReadError::Compacted { oldest }) => {
            let status = Status::expired(format!("too old resource version: {version} ({oldest})"));
            return Ok(respond::finish(&call, 200, Body::full(line("ERROR", &status.to_bytes()))));
        }
        Err(ReadError::Future { current }) => {
            return Err(Status::too_large_resource_version(after, current));
        }
    };
    let mut follower = Follower::new(call, filter, &options, events);
    let mut first = BytesMut::new();
    for entry in &initial {
        first.extend_from_slice(&follower.initial(entry)?);
    }
    if options.send_initial_events == Some(true) && options.bookmarks {
        first.extend_from_slice(&follower.bookmark(after, true));
    }
    let response = respond::finish(&follower.call, 200, Body::full(Bytes::new()));
    let (parts, _) = response.into_parts();
    let first = stream::iter((!first.is_empty()).then(|| first.freeze()));
    let rest = stream::unfold(follower, |mut follower| async move {
        let piece = follower.next().await?;
        Some((piece, follower))
    });
    Ok(Response::from_parts(parts, Body::stream(first.chain(rest))))
}

/// What is there now, and the revision of that.
fn present(call: &Call, prefix: &str) -> Result<(Vec<Entry>, Revision), Status> {
    let request = List { prefix: prefix.to_owned(), ..List::default() };
    let page = call.server.store.list(&request).map_err(Status::internal)?;
    Ok((page.entries, page.revision))
}

/// One line of a watch.
fn line(kind: &str, object: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + kind.len() + 24);
    line.put_slice(b"{\"type\":\"");
    line.put_slice(kind.as_bytes());
    line.put_slice(b"\",\"object\":");
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}

/// One watch that is being answered.
struct Follower {
    call: Call,
    filter: Filter,
    events: Watch,
    bookmarks: Option<Interval>,
    ends: Instant,
    registry: signal::Receiver<Arc<Snapshot>>,
    columns_sent: bool,
    over: bool,
}

/// What wakes a follower.
enum Wake {
    Event(Option<Arc<Event>>),
    Bookmark,
    Registry,
    End,
}

impl Follower {
    fn new(call: Call, filter: Filter, options: &ListOptions, events: Watch) -> Self {
        let now = Instant::now();
        let seconds =
            options.timeout_seconds.unwrap_or_else(|| rand::rng().random_range(SHORTEST..2 * SHORTEST));
        let every = call.server.config.bookmark_every;
        let bookmarks = options.bookmarks.then(|| {
            let mut interval = interval_at(now + every, every);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        let registry = call.server.registry.changes();
        let ends = now.checked_add(Duration::from_secs(seconds)).unwrap_or(now);
        Self { call, filter, events, bookmarks, ends, registry, columns_sent: false, over: false }
    }

    /// The next piece of the body; `None` ends it.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.over {
            match self.wake().await {
                Wake::Event(Some(event)) => {
                    let piece = self.event(&event);
                    let piece = if self.events.waiting() > 0 { self.drain(&piece) } else { piece };
                    if !piece.is_empty() {
                        return Some(piece);
                    }
                }
                Wake::Bookmark => return Some(self.bookmark(self.events.progress(), false)),
                Wake::Registry if self.is_served() => {}
                Wake::End if self.bookmarks.is_some() => {
                    self.over = true;
                    return Some(self.bookmark(self.events.progress(), false));
                }
                // The store closed, the watcher was too slow, or the kind is gone: the client starts over.
                Wake::Event(None) | Wake::Registry | Wake::End => return None,
            }
        }
        None
    }

    async fn wake(&mut self) -> Wake {
        let bookmark = async {
            match &mut self.bookmarks {
                Some(interval) => {
                    interval.tick().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.call.server.stopping.cancelled() => Wake::End,
            () = sleep_until(self.ends) => Wake::End,
            changed = self.registry.changed() => if changed.is_ok() { Wake::Registry } else { Wake::End },
            event = self.events.next() => Wake::Event(event.and_then(Result::ok)),
            () = bookmark => Wake::Bookmark,
        }
    }

    /// Adds events that are already there, so that a burst needs few writes.
    fn drain(&mut self, first: &[u8]) -> Bytes {
        const ENOUGH: usize = 64 * 1024;
        let mut piece = BytesMut::from(first);
        while piece.len() < ENOUGH && self.events.waiting() > 0 {
            match futures::FutureExt::now_or_never(self.events.next()) {
                Some(Some(Ok(event))) => piece.extend_from_slice(&self.event(&event)),
                Some(_) => {
                    self.over = true;
                    break;
                }
                None => break,
            }
        }
        piece.freeze()
    }

    fn is_served(&self) -> bool {
        let resource = &self.call.resource;
        let snapshot = self.call.server.registry.snapshot();
        snapshot.resource(&resource.group, &resource.version, &resource.plural).is_some()
    }

    fn initial(&mut self, entry: &Entry) -> Result<Bytes, Status> {
        if !selected(&self.call.resource, &self.filter, entry) {
            return Ok(Bytes::new());
        }
        let bytes = codec::serve(&self.call.resource, entry)?;
        Ok(self.line("ADDED", &bytes))
    }

    /// The line of an event, empty if this watch does not see it.
    ///
    /// With a selector, an object that starts to match appears as added and one that stops as deleted.
    fn event(&mut self, event: &Event) -> Bytes {
        let resource = Arc::clone(&self.call.resource);
        let matches = |entry: &Entry| selected(&resource, &self.filter, entry);
        let was = event.previous.as_ref().is_some_and(matches);
        let is = event.kind == EventKind::Put && matches(&event.entry);
        let (kind, served) = match (event.kind, is, was) {
            (EventKind::Put, true, false) => ("ADDED", codec::serve(&resource, &event.entry)),
            (EventKind::Put, true, true) => ("MODIFIED", codec::serve(&resource, &event.entry)),
            (EventKind::Delete, _, true) => ("DELETED", codec::serve(&resource, &event.entry)),
            (EventKind::Put, false, true) => {
                let Some(previous) = &event.previous else { return Bytes::new() };
                let bytes = previous.restamped(event.revision);
                ("DELETED", codec::serve_bytes(&resource, previous, &bytes))
            }
            (_, _, false) => return Bytes::new(),
        };
        match served {
            Ok(bytes) => self.line(kind, &bytes),
            Err(status) => line("ERROR", &status.to_bytes()),
        }
    }

    fn line(&mut self, kind: &str, bytes: &Bytes) -> Bytes {
        if self.call.output == Output::JSON {
            return line(kind, bytes);
        }
        // Those who want metadata alone, such as a garbage collector, watch everything: nothing of it is taken apart.
        if let Shape::Metadata(version) | Shape::MetadataList(version) = self.call.output.shape
            && let Some(metadata) = codec::raw_metadata(bytes)
        {
            return line(kind, &respond::raw_metadata_only(&metadata, version));
        }
        codec::parse(bytes).map_or_else(|_| Bytes::new(), |object| self.shaped(kind, &object))
    }

    fn shaped(&mut self, kind: &str, object: &Value) -> Bytes {
        let shaped = match self.call.output.shape {
            Shape::Object => return line(kind, &codec::to_bytes(object)),
            Shape::Metadata(version) | Shape::MetadataList(version) => {
                respond::metadata_only(object, version)
            }
            Shape::Table(version) => {
                let with_columns = !std::mem::replace(&mut self.columns_sent, true);
                table::of_event(&self.call, version, object, with_columns)
            }
        };
        line(kind, &codec::to_bytes(&shaped))
    }

    fn bookmark(&mut self, revision: Revision, initial_end: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial_end {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let resource = &self.call.resource;
        let object =
            json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata});
        self.shaped("BOOKMARK", &object)
    }
}
