//! The server: its parts, how it starts, and the one way a request goes through it.
//!
//! ```text
//! request ─► limits ─► who (access) ─► what (request) ─► may they (access) ─► verb ─► store
//!                                                   └─► discovery, health, OpenAPI
//! ```

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use aphex_auth::User;
use aphex_auth::oidc::{Anonymous, Issuer};
use aphex_auth::tokens::Signer;
use aphex_store::Store;
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::admission::{policy, priorities, quota};
use crate::body::Body;
use crate::call::{Call, Warnings};
use crate::registry::{Registry, Snapshot};
use crate::request::{Output, Query, ResourcePath, Shape, Target, Verb, deadline, negotiate, parse_path};
use crate::status::Status;
use crate::{access, crds, discovery, expiry, health, namespaces, openapi, own_objects, respond, verbs};

/// The largest request body (`--max-request-body-bytes` of kube-apiserver).
pub const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// How a server is set up.
#[derive(Clone)]
pub struct Config {
    /// Where objects are kept.
    pub store: Store,
    /// Tells the time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// How many reading requests may be worked on at once.
    pub max_reads: usize,
    /// How many writing requests may be worked on at once.
    pub max_writes: usize,
    /// Signs and checks service-account tokens; without one there are none.
    pub signer: Option<Arc<Signer>>,
    /// The OpenID Connect issuers whose tokens are accepted.
    pub issuers: Vec<Arc<Issuer>>,
    /// Who gets in without credentials.
    pub anonymous: Anonymous,
    /// The CA that client certificates are checked against, as PEM; other servers learn it from this one.
    pub client_ca: Option<String>,
    /// How often a watch that asks for bookmarks gets one.
    pub bookmark_every: Duration,
    /// Metrics of others in this process, for the end of `/metrics`, in the same text format.
    pub more_metrics: Option<Arc<dyn Fn() -> String + Send + Sync>>,
}

impl Config {
    /// The usual setup over a store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            now: Arc::new(Timestamp::now),
            max_reads: 400,
            max_writes: 200,
            signer: None,
            issuers: Vec::new(),
            anonymous: Anonymous::default(),
            client_ca: None,
            bookmark_every: Duration::from_mins(1),
            more_metrics: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("max_reads", &self.max_reads).finish_non_exhaustive()
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something that every cluster has could not be created or read.
    #[error("cannot prepare the API server's own objects")]
    Bootstrap(#[source] Status),
}

/// A Kubernetes API server over a store.
pub struct ApiServer {
    /// Where objects are kept.
    pub store: Store,
    /// What is served.
    pub registry: Registry,
    /// Cancelled when the server stops: watches end then.
    pub stopping: CancellationToken,
    pub(crate) config: Config,
    pub(crate) access: access::Access,
    pub(crate) crds: crds::Definitions,
    pub(crate) discovery: discovery::Cache,
    pub(crate) openapi: openapi::Cache,
    /// Held while a service is given its addresses and stored.
    pub(crate) allocating: tokio::sync::Mutex<()>,
    pub(crate) policies: policy::index::Policies,
    pub(crate) quotas: quota::Quotas,
    reads: Semaphore,
    writes: Semaphore,
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Starts a server: reads definitions, creates what every cluster has, begins housekeeping.
    pub async fn start(config: Config) -> Result<Arc<Self>, StartError> {
        let server = Arc::new(Self {
            store: config.store.clone(),
            registry: Registry::new(),
            stopping: CancellationToken::new(),
            access: access::Access::new(config.store.clone(), config.signer.clone(), &config.issuers),
            crds: crds::Definitions::default(),
            discovery: discovery::Cache::default(),
            openapi: openapi::Cache::default(),
            allocating: tokio::sync::Mutex::default(),
            policies: policy::index::Policies::default(),
            quotas: quota::Quotas::default(),
            reads: Semaphore::new(config.max_reads),
            writes: Semaphore::new(config.max_writes),
            config,
        });
        namespaces::bootstrap(&server).await.map_err(StartError::Bootstrap)?;
        own_objects::bootstrap(&server).await.map_err(StartError::Bootstrap)?;
        crds::refresh(&server).await.map_err(StartError::Bootstrap)?;
        access::bootstrap(&server).await.map_err(StartError::Bootstrap)?;
        priorities::bootstrap(&server).await.map_err(StartError::Bootstrap)?;
        policy::index::refresh(&server).await.map_err(StartError::Bootstrap)?;
        tokio::spawn(quota::run(Arc::clone(&server)));
        tokio::spawn(expiry::run(Arc::clone(&server)));
        tokio::spawn(crds::finish_deletions(Arc::clone(&server)));
        Ok(server)
    }

    /// The time now, RFC 3339 to the second, as metadata has it.
    pub fn now(&self) -> String {
        (self.config.now)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The time now.
    pub fn timestamp(&self) -> Timestamp {
        (self.config.now)()
    }

    /// Ends watches and housekeeping; requests in flight finish.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Answers one request. The caller is the [`User`] in its extensions, or anonymous.
    pub async fn handle<B>(self: &Arc<Self>, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body + Send,
        B::Data: Send,
    {
        let (parts, body) = request.into_parts();
        let pretty = Query::parse(parts.uri.query());
        let output = negotiate::output(&parts.headers, pretty.get("pretty")).unwrap_or(Output::JSON);
        let body = match read_body(body).await {
            Ok(body) => body,
            Err(status) => return respond::status(&status, output),
        };
        let answer = AssertUnwindSafe(self.answer(&parts, body)).catch_unwind().await;
        match answer {
            Ok(Ok(response)) => response,
            Ok(Err(status)) => respond::status(&status, output),
            Err(_) => {
                tracing::error!(method = %parts.method, path = parts.uri.path(), "a request handler panicked");
                respond::status(&Status::internal("the request could not be handled"), output)
            }
        }
    }

    async fn answer(self: &Arc<Self>, parts: &Parts, body: Bytes) -> Result<Response<Body>, Status> {
        let query = Query::parse(parts.uri.query());
        let target = parse_path(parts.uri.path());
        if is_long(&target, &query) {
            return self.answer_in_time(parts, target, query, body).await;
        }
        let time = deadline::of(&query)?;
        let answer = self.answer_in_time(parts, target, query, body);
        tokio::time::timeout(time, answer).await.unwrap_or_else(|_| Err(deadline::exceeded()))
    }

    async fn answer_in_time(
        self: &Arc<Self>,
        parts: &Parts,
        target: Target,
        query: Query,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let user = access::authenticate(self, parts).await?;
        match target {
            Target::Resource(path) => self.resource(parts, user, *path, query, body).await,
            Target::Other(segments) => {
                access::authorize_path(self, &user, &parts.method, parts.uri.path())?;
                self.other(parts, &segments, &query).await
            }
        }
    }

    async fn resource(
        self: &Arc<Self>,
        parts: &Parts,
        user: User,
        path: ResourcePath,
        query: Query,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        // The option is for collections; one object is followed by its old path or by a field selector.
        let watch = path.watch || path.name.is_none() && query.flag("watch").unwrap_or(false);
        let verb = Verb::of(&parts.method, &path, watch).ok_or_else(Status::method_not_allowed)?;
        access::authorize(self, &user, verb, &path, &query)?;
        let snapshot = self.registry.snapshot();
        let Some(resource) = snapshot.resource(&path.group, &path.version, &path.plural).cloned() else {
            return missing(&snapshot, &path);
        };
        check_scope(&resource, &path, verb)?;
        let mut output = negotiate::output(&parts.headers, query.get("pretty"))?;
        if !resource.is_stored() && output.shape != Shape::Object {
            // Reviews have no metadata to make a table of.
            output = negotiate::plain(&parts.headers)?;
        }
        let permit = self.admit(verb, &query)?;
        let call = Call {
            server: Arc::clone(self),
            user,
            path,
            verb,
            resource,
            query,
            output,
            headers: parts.headers.clone(),
            body,
            warnings: Warnings::default(),
            internal: false,
        };
        if let Some(warning) = call.resource.deprecation() {
            call.warnings.add(warning.to_owned());
        }
        let warnings = call.warnings.clone();
        let response = verbs::dispatch(call).await;
        drop(permit);
        // A refusal carries the warnings as well.
        Ok(response.unwrap_or_else(|status| respond::warned(respond::status(&status, output), &warnings)))
    }

    /// Takes a place among the requests in flight; watches need none.
    fn admit(&self, verb: Verb, query: &Query) -> Result<Option<tokio::sync::SemaphorePermit<'_>>, Status> {
        let follow = query.flag("follow").unwrap_or(false);
        let places = match verb {
            Verb::Watch => return Ok(None),
            Verb::Get if follow => return Ok(None),
            Verb::Get | Verb::List => &self.reads,
            _ => &self.writes,
        };
        places.try_acquire().map(Some).map_err(|_| Status::too_many_requests())
    }

    async fn other(
        self: &Arc<Self>,
        parts: &Parts,
        segments: &[String],
        query: &Query,
    ) -> Result<Response<Body>, Status> {
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        // Probes may come with any method.
        if (reads || health::is_probe(&words))
            && let Some(response) = health::answer(self, &words, query, &parts.headers)
        {
            return Ok(response);
        }
        if !reads {
            return Err(Status::method_not_allowed());
        }
        if let Some(response) = access::openid(self, &words, &parts.headers) {
            return Ok(response);
        }
        if words.first() == Some(&"openapi") {
            return Ok(openapi::answer(self, &words[1..], query, &parts.headers).await);
        }
        discovery::answer(self, &words, query, &parts.headers)
    }

    /// Reads `Accept` for answers that are no objects.
    pub(crate) fn plain_output(headers: &HeaderMap, query: &Query) -> Output {
        negotiate::output(headers, query.get("pretty")).unwrap_or(Output::JSON)
    }
}

/// Whether a request has no time to be answered in: it is answered for as long as the caller likes.
fn is_long(target: &Target, query: &Query) -> bool {
    match target {
        Target::Resource(path) => path.watch || query.flag("watch").unwrap_or(false),
        Target::Other(_) => false,
    }
}

/// 404, in the words kube-apiserver has for an unknown resource and for an unknown group.
fn missing(snapshot: &Snapshot, path: &ResourcePath) -> Result<Response<Body>, Status> {
    let built_in = |group: &crate::registry::Group| {
        let mut resources = group.versions.iter().flat_map(|version| &version.resources);
        resources.any(|resource| resource.custom().is_none())
    };
    if snapshot.group(&path.group).is_some_and(built_in) {
        Err(Status::no_resource())
    } else {
        Ok(health::not_found())
    }
}

/// The path must fit the scope of the resource and the verb what it serves.
fn check_scope(resource: &crate::resource::Resource, path: &ResourcePath, verb: Verb) -> Result<(), Status> {
    let namespaced = path.namespace.is_some();
    let across = matches!(verb, Verb::List | Verb::Watch) && path.name.is_none();
    if resource.namespaced != namespaced && !(resource.namespaced && across) {
        let virtual_create = !resource.is_stored() && verb == Verb::Create && !resource.namespaced;
        if !virtual_create {
            // The collection of all namespaces is there, for reading.
            let collection = resource.namespaced && path.name.is_none();
            return Err(if collection { Status::method_not_allowed() } else { Status::no_resource() });
        }
    }
    let absent = || match &path.name {
        Some(name) if resource.custom().is_some() => {
            Status::not_found(&resource.group, &resource.plural, name)
        }
        _ => Status::no_resource(),
    };
    let verbs = match path.subresource.as_deref() {
        Some(name) => &resource.subresources.get(name).ok_or_else(absent)?.verbs,
        None => &resource.verbs,
    };
    // Following one object is a watch of the collection with a field selector.
    if verbs.iter().any(|served| served == verb.name()) {
        Ok(())
    } else if resource.custom().is_some() {
        Err(Status::method_not_supported(&resource.group, &resource.plural, verb.name()))
    } else {
        Err(Status::method_not_allowed())
    }
}

async fn read_body<B>(body: B) -> Result<Bytes, Status>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let too_large = || Status::too_large(BODY_LIMIT);
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    let mut body = std::pin::pin!(body);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Status::bad_request("unable to read the request body"))?;
        if let Ok(data) = frame.into_data() {
            let mut data = data;
            if bytes.len() + bytes::Buf::remaining(&data) > BODY_LIMIT {
                return Err(too_large());
            }
            bytes::BufMut::put(&mut bytes, &mut data);
        }
    }
    Ok(bytes.freeze())
}
