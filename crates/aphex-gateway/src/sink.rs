//! The HTTP edge: read, verify, store the Delivery, answer.
//!
//! ```text
//! method -> listener -> its queue has room -> content type, plain -> size -> signature over the raw bytes -> JSON
//!        -> the organization's turn -> Delivery stored, or spooled -> 200
//! ```
//!
//! Nothing is parsed before the signature is verified, and nothing is answered before the event is on a disk; a dry run is
//! answered instead of stored, see [`crate::rehearsal`]. Connections, TLS and the versions of HTTP are
//! [`aphex_runtime::serve`]'s.

mod body;
pub mod form;
mod memory;
pub mod route;
pub mod unicode;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aphex_api::foreign::triggers::{EventListener, PAYLOAD_VALIDATION_ANNOTATION};
use aphex_runtime::proxies::{self, Proxy};
use aphex_runtime::{Clock, errors};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use hyper::body::Body;
use kube::ResourceExt as _;

use crate::admission::{Admission, Busy, source_name};
use crate::bindings::canonical_header;
use crate::deliveries::{Deliveries, Incoming, object_name};
use crate::evaluate::accepts_unsigned;
use crate::metrics::GatewayMetrics;
use crate::rehearsal;
use crate::report::Reporter;
use crate::response::Answer;
use crate::secrets::SecretCache;
use crate::signature::proofs::Proofs;
use crate::snapshot::Snapshot;
use crate::verification::{Verified, verify};

mod serve;
pub use body::Bodies;
pub(crate) use serve::serve;

/// GitHub's own limit for a payload.
pub const MAX_BODY: usize = 25 * 1024 * 1024;
/// Headers kept with a Delivery, and the longest value kept.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_VALUE: usize = 1024;
/// Longest id and event type; the first is also the longest that a Delivery may have.
pub(crate) const ID_MAX: usize = 128;
/// Headers with the delivery's id: GitHub's, GitLab's, Bitbucket's in the cloud and on a server.
///
/// GitLab's tries of one delivery share the `Idempotency-Key`, which early releases do not send; its event UUID is
/// shared by all events that follow from each other.
const DELIVERY_HEADERS: [&str; 5] =
    ["x-github-delivery", "idempotency-key", "x-gitlab-event-uuid", "x-request-uuid", "x-request-id"];
/// Headers with the event's type: GitHub's, GitLab's, Bitbucket's.
pub const EVENT_HEADERS: [&str; 3] = ["x-github-event", "x-gitlab-event", "x-event-key"];
/// Headers that carry secrets or what is made of them.
const SECRET_HEADERS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-gitlab-token",
    "x-slack-signature",
    "x-forwarded-client-cert",
];

/// Answers webhook requests.
#[derive(Debug)]
pub struct Sink {
    /// Listeners and triggers.
    pub snapshot: Snapshot,
    /// What signatures are checked with.
    pub secrets: SecretCache,
    /// Where events go.
    pub deliveries: Arc<Deliveries>,
    /// Who waits, and who is refused.
    pub admission: Admission,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Proxy>,
    /// The platform's domain.
    pub domain: String,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: GatewayMetrics,
    /// Tells on objects what is wrong with them.
    pub reporter: Reporter,
    /// Memory for bodies in flight.
    pub bodies: Bodies,
}

/// What is known of the sender.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A request that named a listener and brought a body.
struct Received {
    listeners: Vec<Arc<EventListener>>,
    headers: HeaderMap,
    url: String,
    body: Bytes,
    source: IpAddr,
}

impl Sink {
    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>, peer: Peer) -> Answer
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let answer = match self.take(request, peer).await {
            Ok(answer) | Err(answer) => answer,
        };
        self.metrics.answered(answer.status());
        answer
    }

    async fn take<B>(&self, request: Request<B>, peer: Peer) -> Result<Answer, Answer>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Err(Answer::Method);
        }
        let source = proxies::source(peer.0.ip(), &head.headers, &self.trusted_proxies);
        let begun = self.bodies.begin(&head, format!("from {}", source_name(source)));
        let begun = begun.inspect_err(|_| self.metrics.held_back("memory"))?;
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let listeners = || route::listeners(&self.snapshot, host, head.uri.path(), &self.domain);
        let mut found = listeners();
        if found.is_empty() && self.snapshot.caught_up().await {
            found = listeners();
        }
        let listeners = found;
        if listeners.is_empty() {
            return Err(Answer::UnknownListener);
        }
        // Before the body is read; once it is known whose event it is, the queue is asked again.
        if !listeners.iter().any(|listener| self.has_room(listener)) {
            self.metrics.held_back("queue");
            return Err(Answer::Busy);
        }
        let form = form::is_form(head.headers.get(header::CONTENT_TYPE)).ok_or(Answer::MediaType)?;
        if !body::is_plain(&head.headers) {
            return Err(Answer::Encoding);
        }
        let url = head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let held = begun.read(body, &head.headers).await;
        let mut held = held.inspect_err(|answer| {
            if *answer == Answer::NoMemory {
                self.metrics.held_back("memory");
            }
        })?;
        let received = Received { listeners, headers: head.headers, url, body: held.bytes.clone(), source };
        let (listener, verified) = self.check(&received).await?;
        if !held.memory.hand_over(format!("to {}", listener.namespace().unwrap_or_default())) {
            self.metrics.held_back("memory");
            return Err(Answer::Busy);
        }
        let json = if form { from_form(&listener, &received)? } else { received.body.clone() };
        let values = held.reads(&json, &listener.namespace().unwrap_or_default());
        let _values = values.inspect_err(|_| self.metrics.held_back("memory"))?;
        self.store(&listener, received, json, verified).await
    }

    fn has_room(&self, listener: &EventListener) -> bool {
        let namespace = listener.namespace().unwrap_or_default();
        self.admission.admits(&namespace, self.deliveries.backlog(&namespace))
    }

    /// Verifies the signature; a source whose signatures fail too often waits for its turn first.
    async fn check(&self, received: &Received) -> Result<(Arc<EventListener>, Verified), Answer> {
        let turn = self.admission.check(received.source).await;
        if turn.is_some() {
            self.metrics.held_back("source");
        }
        let mut verified = self.verify(received).await;
        drop(turn);
        if !matches!(verified, Err(Answer::Signature)) {
            return verified;
        }
        // Before anything is waited for: who fails often is to wait with his kind, and nobody behind who waits here.
        let within_budget = self.admission.failed(received.source);
        if self.snapshot.caught_up().await {
            let _turn = self.admission.check(received.source).await;
            verified = self.verify(received).await;
            if !matches!(verified, Err(Answer::Signature)) {
                return verified;
            }
        }
        if !within_budget {
            return Err(Answer::TooManyFailures);
        }
        if let Some(listener) = received.listeners.first() {
            tracing::error!(
                eventListener = %listener.name_any(), namespace = %listener.namespace().unwrap_or_default(),
                source = %received.source, "Invalid webhook signature"
            );
            // It may be that no signature would do.
            self.reporter.look_beside(listener, &self.snapshot);
        }
        verified
    }

    /// The listener whose secrets the sender knows, and which of them; else one that takes unsigned events.
    async fn verify(&self, received: &Received) -> Result<(Arc<EventListener>, Verified), Answer> {
        let now = self.clock.now();
        let proofs = Proofs::of(&received.headers, now);
        for listener in &received.listeners {
            let (snapshot, secrets) = (&self.snapshot, &self.secrets);
            let verified = verify(listener, snapshot, secrets, &proofs, &received.body, now).await;
            let verified = verified.map_err(|error| {
                tracing::error!(
                    eventListener = %listener.name_any(), namespace = %listener.namespace().unwrap_or_default(),
                    error = %errors::chain(&error), "Webhook secrets cannot be read"
                );
                Answer::Unavailable
            })?;
            if let Some(verified) = verified {
                return Ok((Arc::clone(listener), verified));
            }
        }
        if let Some(listener) = received.listeners.iter().find(|listener| accepts_unsigned(listener)) {
            return Ok((Arc::clone(listener), Verified { signers: Vec::new(), home: None }));
        }
        Err(Answer::Signature)
    }

    async fn store(
        &self,
        listener: &EventListener,
        received: Received,
        json: Bytes,
        verified: Verified,
    ) -> Result<Answer, Answer> {
        let (body, json) = unicode::read(json)?;
        if !body.is_object() {
            return Err(Answer::Payload);
        }
        let namespace = listener.namespace().unwrap_or_default();
        // The first of these headers that the request has: each host of repositories has names of its own.
        let text = |names: &[&str]| {
            let value = |name: &&str| received.headers.get(*name)?.to_str().ok();
            let found = names.iter().find_map(value).unwrap_or_default().trim();
            found.chars().take(ID_MAX).collect::<String>()
        };
        let mut delivery_id = text(&DELIVERY_HEADERS);
        if delivery_id.is_empty() {
            delivery_id = format!("{:032x}", rand::random::<u128>());
        }
        let incoming = Incoming {
            namespace: verified.home.unwrap_or_else(|| namespace.clone()),
            listener_namespace: namespace.clone(),
            listener: listener.name_any(),
            delivery_id,
            event: text(&EVENT_HEADERS),
            headers: kept_headers(&received.headers),
            url: received.url,
            source: received.source.to_string(),
            body,
            json,
            verified_by: verified.signers,
            received: self.clock.now(),
        };
        if !incoming.verified_by.is_empty() && rehearsal::is_asked(&incoming.body) {
            let event_id = object_name(&incoming.delivery_id);
            let rehearsal = self.deliveries.rehearse(incoming).await.ok_or(Answer::Unavailable)?;
            let listener = listener.name_any();
            return Ok(Answer::Rehearsed { listener, namespace, event_id, rehearsal: Box::new(rehearsal) });
        }
        let turn = self.admission.store(&namespace, self.deliveries.backlog(&namespace)).await;
        let _turn = turn.map_err(|Busy| {
            self.metrics.held_back("queue");
            Answer::Busy
        })?;
        match self.deliveries.accept(incoming).await {
            Ok(event_id) => Ok(Answer::Accepted { listener: listener.name_any(), namespace, event_id }),
            Err(error) if error.is_of_the_organization() => {
                self.metrics.held_back("spool");
                Err(Answer::Busy)
            }
            Err(error) => {
                tracing::error!(
                    eventListener = %listener.name_any(), namespace = %namespace, error = %errors::chain(&error),
                    "Webhook event cannot be stored"
                );
                Err(Answer::Unavailable)
            }
        }
    }
}

/// The JSON in a form: GitHub's, or the fields themselves where the listener asks for payloads that are no JSON.
fn from_form(listener: &EventListener, received: &Received) -> Result<Bytes, Answer> {
    let validated =
        listener.annotations().get(PAYLOAD_VALIDATION_ANNOTATION).is_none_or(|value| value != "false");
    let payload = form::payload(&received.body);
    match payload {
        Some(payload) => Ok(payload),
        None if validated => Err(Answer::Payload),
        None if form::has_too_many(&received.body) => Err(Answer::TooLarge),
        None => form::fields(&received.body).ok_or(Answer::Payload),
    }
}

/// Headers by canonical name, several values joined by commas as Tekton joins them; without those that carry secrets, and
/// without `Host`, which to Go is no header.
pub fn kept_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    let is_kept =
        |name: &&header::HeaderName| *name != header::HOST && !SECRET_HEADERS.contains(&name.as_str());
    for name in headers.keys().filter(is_kept).take(MAX_HEADERS) {
        let values: Vec<&str> =
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let joined = values.join(",");
        if joined.len() <= MAX_HEADER_VALUE {
            kept.insert(canonical_header(name.as_str()), joined);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_kept_without_what_is_secret() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-github-event", "push"),
            ("accept", "a"),
            ("accept", "b"),
            ("authorization", "Bearer x"),
            ("host", "hooks.example.com"),
            ("x-hub-signature-256", "sha256=x"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        headers.append("x-long", "l".repeat(MAX_HEADER_VALUE + 1).parse().unwrap());
        let expected =
            [("Accept".to_owned(), "a,b".to_owned()), ("X-Github-Event".to_owned(), "push".to_owned())];
        assert_eq!(kept_headers(&headers), expected.into());
    }
}
