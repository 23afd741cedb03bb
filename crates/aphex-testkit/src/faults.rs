//! Faults in what a program asks of a service, one at a time.
//!
//! [`Faults`] stands between a client and any service that speaks HTTP. It names each call (stage, verb, kind, object,
//! how often before), so that a run without faults is a recording from which a matrix is made; and it lets one fault
//! strike at one call. What a request is called is up to a [`Reader`]: [`kubernetes`] for the Kubernetes API,
//! [`by_path`] for anything else.

mod answer;
mod strike;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tokio::sync::{Notify, watch};

pub use strike::Faulty;

use crate::requests::Asked;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Answered with 500; nothing was done.
    Internal,
    /// Answered with 503; nothing was done.
    Unavailable,
    /// Answered with 429 and a time to wait; nothing was done.
    TooMany,
    /// Answered with 409; nothing was done.
    Conflict,
    /// Never arrives, and is never answered.
    RequestLost,
    /// Is carried out, and never answered.
    AnswerLost,
    /// Is carried out, and the answer ends in the middle.
    AnswerCut,
    /// A watch is closed as soon as it is open.
    WatchClosed,
    /// A watch is answered with 410.
    WatchGone,
    /// A watch is open and then says 410.
    WatchExpired,
    /// The program ends before the call is carried out, and starts anew.
    KilledBefore,
    /// The program ends after the call was carried out, and starts anew.
    KilledAfter,
}

impl Fault {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 12] = [
        Self::Internal,
        Self::Unavailable,
        Self::TooMany,
        Self::Conflict,
        Self::RequestLost,
        Self::AnswerLost,
        Self::AnswerCut,
        Self::WatchClosed,
        Self::WatchGone,
        Self::WatchExpired,
        Self::KilledBefore,
        Self::KilledAfter,
    ];

    /// Whether the fault can strike at calls of a verb and differs there from the others.
    pub fn strikes(self, verb: &str) -> bool {
        let watches = verb == "watch";
        let reads = watches || matches!(verb, "get" | "list" | "head");
        match self {
            Self::Internal | Self::Unavailable | Self::TooMany | Self::AnswerCut | Self::KilledBefore => true,
            Self::RequestLost => !watches,
            Self::Conflict | Self::AnswerLost | Self::KilledAfter => !reads,
            Self::WatchClosed | Self::WatchGone | Self::WatchExpired => watches,
        }
    }

    /// The fault in two words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Internal => "500",
            Self::Unavailable => "503",
            Self::TooMany => "429",
            Self::Conflict => "409",
            Self::RequestLost => "request lost",
            Self::AnswerLost => "answer lost",
            Self::AnswerCut => "answer cut",
            Self::WatchClosed => "watch closed",
            Self::WatchGone => "watch 410",
            Self::WatchExpired => "watch expired",
            Self::KilledBefore => "killed before",
            Self::KilledAfter => "killed after",
        }
    }
}

/// One call of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    /// What the program was to do at the time.
    pub stage: &'static str,
    /// The verb.
    pub verb: String,
    /// What it was asked of: resource and group.
    pub kind: String,
    /// Namespace and name, without what differs from run to run.
    pub object: String,
    /// The how-manieth call of all this; the first is 1.
    pub occurrence: usize,
}

impl Call {
    /// Whether it can have changed nothing.
    pub fn is_read(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch" | "head")
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {} {} #{}", self.stage, self.verb, self.kind, self.object, self.occurrence)
    }
}

/// Which calls.
pub type Which = fn(&Call) -> bool;

/// What a request is called; nothing for what is not part of a recording.
pub type Reader = fn(&Request<()>) -> Option<Asked>;

/// Requests of the Kubernetes API. Names of Events are made up, so they are left out.
pub fn kubernetes(request: &Request<()>) -> Option<Asked> {
    let mut asked = Asked::of(request).pop()?;
    if asked.resource == "events" {
        asked.name.clear();
    }
    Some(asked)
}

/// Requests of any other service: method, host, path.
pub fn by_path(request: &Request<()>) -> Option<Asked> {
    let verb = match *request.method() {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => return None,
    };
    let path = request.uri().path().trim_matches('/');
    let resource = request.uri().host().unwrap_or("http").to_owned();
    Some(Asked { verb: verb.to_owned(), resource, name: path.to_owned(), ..Asked::default() })
}

/// Requests of Cloudflare's API, by what is asked for and without ids; all others as [`kubernetes`] names them.
pub fn cloudflare_or_kubernetes(request: &Request<()>) -> Option<Asked> {
    let Some(path) = request.uri().path().strip_prefix("/client/v4/") else { return kubernetes(request) };
    let mut asked = by_path(request)?;
    let words = path.split('/').filter(|part| !part.chars().any(|c| c.is_ascii_digit()));
    let words: Vec<&str> = words.collect();
    (asked.resource, asked.group, asked.name) = (words.join("/"), "cloudflare".to_owned(), String::new());
    Some(asked)
}

/// Records calls and lets a fault strike; shared by clones.
#[derive(Clone, Debug)]
pub struct Faults(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    reader: Reader,
    state: Mutex<State>,
    killed: Notify,
    paused: watch::Sender<bool>,
    held: watch::Sender<Option<Which>>,
    /// How many calls are held back now.
    holding: AtomicUsize,
}

/// A call that is held back, until this is dropped.
struct Held<'a>(&'a AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug, Default)]
struct State {
    stage: &'static str,
    names: Vec<(String, String)>,
    counts: HashMap<(&'static str, String), usize>,
    calls: Vec<Call>,
    armed: Option<(Call, Fault)>,
    struck: bool,
}

impl Faults {
    /// No fault yet. Each of `names` is replaced in what calls are named by.
    pub fn new(reader: Reader, names: &[(&str, &str)]) -> Self {
        let names = names.iter().map(|(name, by)| ((*name).to_owned(), (*by).to_owned())).collect();
        Self(Arc::new(Shared {
            reader,
            state: Mutex::new(State { names, ..State::default() }),
            killed: Notify::new(),
            paused: watch::Sender::new(false),
            held: watch::Sender::new(None),
            holding: AtomicUsize::new(0),
        }))
    }

    /// Lets a fault strike at a call, once.
    pub fn arm(&self, call: Call, fault: Fault) {
        self.state().armed = Some((call, fault));
    }

    /// Whether the fault struck.
    pub fn struck(&self) -> bool {
        self.state().struck
    }

    /// Begins a stage.
    pub fn stage(&self, name: &'static str) {
        self.state().stage = name;
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// How many calls there were so far, and how many of them could have changed something.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.calls.len(), state.calls.iter().filter(|call| !call.is_read()).count())
    }

    /// Resolves when the program is to end: whoever runs it drops it and starts it anew.
    pub async fn killed(&self) {
        self.0.killed.notified().await;
    }

    /// Holds back every request from now on, as if the process were stopped; or lets them go on.
    pub fn pause(&self, paused: bool) {
        self.0.paused.send_replace(paused);
    }

    /// Holds back these calls from now on, and lets go of all others.
    pub fn hold(&self, which: Which) {
        self.0.held.send_replace(Some(which));
    }

    /// Holds back none.
    pub fn release(&self) {
        self.0.held.send_replace(None);
    }

    /// How many calls are held back at once.
    pub fn holding(&self) -> usize {
        self.0.holding.load(Ordering::Acquire)
    }

    /// A service with the faults in front of it.
    pub fn layer<S>(&self, inner: S) -> Faulty<S> {
        Faulty::new(inner, self.clone())
    }

    /// A Kubernetes client with the faults in front of it.
    pub fn client(&self, inner: &Client) -> Client {
        let (namespace, inner) = (inner.default_namespace().to_owned(), inner.clone());
        let send = move |request: Request<Body>| {
            let inner = inner.clone();
            async move { inner.send(request).await }
        };
        Client::new(self.layer(tower::service_fn(send)), namespace)
    }

    /// Records a request; tells what it is called, and the fault that strikes at it.
    fn meet(&self, request: &Request<()>) -> (Option<Call>, Option<Fault>) {
        let Some(asked) = (self.0.reader)(request) else { return (None, None) };
        let mut state = self.state();
        let mut object = format!("{}/{}", asked.namespace, asked.name);
        for (name, by) in &state.names {
            object = object.replace(name, by);
        }
        let stage = state.stage;
        let key = (stage, format!("{} {} {object}", asked.verb, asked.kind()));
        let count = state.counts.entry(key).or_default();
        *count += 1;
        let (kind, occurrence) = (asked.kind(), *count);
        let call = Call { stage, verb: asked.verb, kind, object, occurrence };
        let fault = state.armed.take_if(|(wanted, _)| *wanted == call).map(|(_, fault)| fault);
        state.struck |= fault.is_some();
        state.calls.push(call.clone());
        (Some(call), fault)
    }

    /// Waits while a request is held back.
    async fn let_go(&self, call: Option<&Call>) {
        let mut paused = self.0.paused.subscribe();
        // The senders live as long as we do.
        let _ = paused.wait_for(|paused| !paused).await;
        let Some(call) = call else { return };
        let mut held = self.0.held.subscribe();
        let is_held = |held: &Option<Which>| held.is_some_and(|which| which(call));
        if is_held(&held.borrow_and_update()) {
            self.0.holding.fetch_add(1, Ordering::AcqRel);
            let _held = Held(&self.0.holding);
            let _ = held.wait_for(|held| !is_held(held)).await;
        }
    }

    fn kill(&self) {
        self.0.killed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
